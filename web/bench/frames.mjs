// Times ONNX models frame by frame in Chromium, on the CPU in the thread of the page, beside onnxruntime-web.
//
//   WGRU_PEERS=FOLDER node web/bench/frames.mjs MODEL.onnx [INPUT:EXTENTS | INPUT=INTEGER]…
//   WGRU_PEERS=FOLDER node web/bench/frames.mjs silero_vad.onnx input:1,576 state:2,1,128 sr=16000
//
// FOLDER has `onnxruntime-web` in its node_modules. INPUT:EXTENTS sets the extents of an input, which are otherwise those
// of the model, with 1 for each that is free; INPUT=INTEGER sets the value of an integer. Both programs run in one page in
// turns, and only ratios within a turn count: ROUNDS (9) turns of BENCH_SECONDS (0.5) each. onnxruntime-web uses one
// thread, and its states are not fed back, which saves it two copies. Needs the package: ./scripts/build-web.sh.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { browser } from '../tests/engines.mjs';
import { serve } from '../tests/serve.mjs';

const [path, ...given] = process.argv.slice(2);
const peers = process.env.WGRU_PEERS;
if (!path || !peers) {
  console.error('usage: WGRU_PEERS=FOLDER node web/bench/frames.mjs MODEL.onnx [INPUT:EXTENTS | INPUT=INTEGER]…');
  process.exit(2);
}
const extents = {};
const integers = {};
for (const text of given) {
  const [, name, sign, value] = /^(.+)([:=])([-\d,]+)$/.exec(text) ?? [];
  if (!name) throw new Error(`${text}: expected INPUT:EXTENTS or INPUT=INTEGER`);
  if (sign === ':') extents[name] = value.split(',').map(Number);
  else integers[name] = Number(value);
}

const web = fileURLToPath(new URL('..', import.meta.url));
const bytes = readFileSync(path);
const answer = async (request, response) => {
  if (request.url !== '/model') return false;
  response.end(bytes);
  return true;
};
const folders = { '/': `${web}bench`, '/dist/': `${web}dist`, '/ort/': `${peers}/node_modules/onnxruntime-web/dist` };
const server = await serve(folders, 0, answer);
const { context, close } = await browser({ webgpu: false });
try {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  await page.goto(`${server.url}frames.html`);
  const how = { extents, integers, rounds: Number(process.env.ROUNDS ?? 9), seconds: Number(process.env.BENCH_SECONDS ?? 0.5) };
  const { ours, theirs, difference } = await page.evaluate(async (how) => (await import('/page.mjs')).frames(how), how);
  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
  const ratio = median(ours.map((time, round) => theirs[round] / time));
  const us = (times) => `${(1000 * median(times)).toFixed(1)} µs`;
  console.log(`wgru ${us(ours)}, onnxruntime-web ${us(theirs)}, ratio ${ratio.toFixed(2)} (largest difference ${difference.toExponential(1)})`);
} finally {
  await close();
  server.close();
}
