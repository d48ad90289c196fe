// node web-ratios.mjs LINES: prints the table of ratios for the measurements of bench-web.sh.
import { readFileSync } from 'node:fs';

/** Maximum difference between the sums of outputs of two programs that compute the same function. */
const SAME = 1e-3;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
const nameOf = ({ peer, version, backend }) => [peer, version, backend].filter(Boolean).join(' ');
const measured = lines.filter((line) => line.median > 0);
const rows = [...new Set(measured.map(({ row }) => row))];

console.log('Streams in µs per step, the rest in ms. The ratio is the time of the other program by that of wgru in the same');
console.log('round: the median of the rounds, and the least and the largest. Above 1, wgru is faster.\n');
console.log('| workload | wgru | other | its time | ratio | from, to | rounds | |');
console.log('| --- | --: | --- | --: | --: | --- | --: | --- |');
for (const row of rows) {
  const all = measured.filter((line) => line.row === row);
  const ours = all.filter(({ peer }) => peer === 'ours');
  for (const name of new Set(all.filter((line) => !ours.includes(line)).map(nameOf))) {
    const theirs = all.filter((line) => nameOf(line) === name);
    const ratios = theirs.flatMap(({ round, median }) => ours.filter((line) => line.round === round).map((line) => median / line.median));
    if (!ratios.length) continue;
    const note = Math.abs(theirs[0].check - ours[0].check) <= SAME ? '' : 'another function';
    const number = (value) => value.toFixed(value < 10 ? 2 : 1);
    const cells = [row, number(median(ours.map((line) => line.median))), name, number(median(theirs.map((line) => line.median))), median(ratios).toFixed(2)];
    console.log(`| ${[...cells, `${Math.min(...ratios).toFixed(2)}, ${Math.max(...ratios).toFixed(2)}`, ratios.length, note].join(' | ')} |`);
  }
}

const failures = new Set(lines.filter((line) => line.error).map((line) => `${line.program ?? `${nameOf(line)} ${line.row}`}: ${line.error.split('\n')[0]}`));
for (const failure of failures) console.log(`\nNot compared, because it failed: ${failure}`);
