// Tests of the panel that forecasts: intervals, and rows beyond the end of the table.
import { assert, visit } from './page.mjs';

/** Reads the table of the forecast: labels, and numbers. */
const rows = ({ page }) =>
  page.$$eval('#forecast [data-say=future] tbody tr', (all) => all.map((tr) => [tr.cells[0].textContent, ...[1, 2, 3].map((i) => Number(tr.cells[i].textContent.replaceAll(',', '')))]));

const file = (name, text) => ({ name, mimeType: 'text/csv', buffer: Buffer.from(text) });

async function trained(seen) {
  await seen.press('forecast', 'train');
  await seen.said('forecast', 'Trained');
  return rows(seen);
}

export const forecast = {
  /** The forecast continues the dates of the table, with intervals that cover about 90 % of the held-out rows. */
  async future(context) {
    const seen = await visit(context, 'cpu');
    const hidden = await seen.page.isHidden('#forecast [data-say=future]');
    assert(hidden, 'no future before training');
    const next = await trained(seen);
    const covered = await seen.number('forecast', 'coverage');
    assert(covered > 0.82 && covered < 0.98, `the intervals cover 90 %: ${covered}`);
    assert(next.length === 14 && next[0][0] === '2016-01-01' && next[13][0] === '2016-01-14', `the dates continue: ${next.map(([date]) => date)}`);
    const width = ([, , low, high]) => high - low;
    assert(next.every(([, value, low, high]) => low < value && value < high), `the intervals are around the forecast: ${next}`);
    assert(width(next[13]) > 1.2 * width(next[0]), `later rows are less certain: ${width(next[0])}, ${width(next[13])}`);
    // The first days of January in Seattle.
    assert(next.every(([, value]) => value > 0 && value < 15), `the temperatures are those of January: ${next}`);
    assert((await seen.drawn('forecast', 'future')) > 20, 'the future is drawn');
    await seen.page.focus('#forecast summary');
    await seen.page.keyboard.press('Enter');
    assert(await seen.page.isVisible('#forecast [data-say=future] table'), 'the table opens by keyboard');

    await seen.page.selectOption('#forecast [data-control=horizon]', '7');
    await seen.has('#forecast [data-value=coverage][data-number=""]');
    assert(await seen.page.isHidden('#forecast [data-say=future]'), 'another horizon discards the forecast');
    const week = await trained(seen);
    assert(week.length === 7 && week[6][0] === '2016-01-07', `seven rows: ${week.length}`);
    await seen.calm('the future');
    return `90 % intervals cover ${(100 * covered).toFixed(1)} %; widths ${width(next[0]).toFixed(1)} to ${width(next[13]).toFixed(1)} °C`;
  },

  /** Monthly dates continue by month; rows without dates by number; the horizon of a short table is shorter. */
  async otherDates(context) {
    const seen = await visit(context, 'cpu');
    const read = async (name, lines) => {
      await seen.page.setInputFiles('#forecast input[type=file]', file(name, `time,value\n${lines.join('\n')}`));
      await seen.page.waitForFunction((n) => document.querySelector('#forecast [data-say=series]').textContent.startsWith(n), name);
      await seen.page.selectOption('#forecast [data-control=column]', { label: 'value' });
      return trained(seen);
    };
    const wave = (i) => (20 + 5 * Math.sin(i / 2)).toFixed(2);
    const month = (i) => `${2000 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, '0')}`;
    const months = await read('months.csv', Array.from({ length: 240 }, (_, i) => `${month(i)},${wave(i)}`));
    assert(months[0][0] === '2020-01' && months.at(-1)[0] === month(239 + months.length), `months: ${months.map(([date]) => date)}`);
    const plain = await read('plain.csv', Array.from({ length: 120 }, (_, i) => `${i * i},${wave(i)}`));
    // 12 of 120 rows are for validation, or a cycle; the horizon is at most half of them.
    assert(plain.length > 3 && plain.length < 14 && plain.every(([row], h) => row === `row ${121 + h}`), `rows: ${plain.map(([row]) => row)}`);
    assert([...months, ...plain].flat().every((cell) => typeof cell === 'string' || Number.isFinite(cell)), `finite intervals: ${plain}`);
    await seen.calm('other dates');
  },
};
