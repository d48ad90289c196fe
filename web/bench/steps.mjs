// Times steps of small layers with one input and one output in an audio worklet, in Chromium: single steps, and blocks of
// 128.
//
//   node web/bench/steps.mjs [UNITS]…      default: 8 12 16 20 24 32 40 64
//
// Prints nanoseconds of a step: the median of ROUNDS (7) measurements of BENCH_SECONDS (0.2) each, in turns over all
// layers. Includes the call from JavaScript. Worklets have no finer clock than a millisecond. Needs the package:
// ./scripts/build-web.sh. With RTNEURAL=rtneural.wasm, also times RTNeural; rtneural.cpp says how to build that module.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { browser } from '../tests/engines.mjs';
import { serve } from '../tests/serve.mjs';

const given = process.argv.slice(2).map(Number);
const units = given.length ? given : [8, 12, 16, 20, 24, 32, 40, 64];
if (!units.every((n) => Number.isInteger(n) && n > 0)) {
  console.error('usage: node web/bench/steps.mjs [UNITS]…');
  process.exit(2);
}
const how = { units, rounds: Number(process.env.ROUNDS ?? 7), seconds: Number(process.env.BENCH_SECONDS ?? 0.2) };
const other = process.env.RTNEURAL;
const peer = other ? readFileSync(other).toString('base64') : null;
const web = fileURLToPath(new URL('..', import.meta.url));
const server = await serve({ '/': `${web}bench`, '/dist/': `${web}dist` });
const { context, close } = await browser({ webgpu: false });
try {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  await page.goto(`${server.url}frames.html`);
  const table = await page.evaluate(async (how) => (await import('/steps-page.mjs')).steps(how), { ...how, peer });
  console.log(`| units | ${units.join(' | ')} |`);
  for (const [cell, times] of Object.entries(table)) {
    const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
    for (const name of Object.keys(times[0]))
      console.log(`| ${cell}: ${name} | ${times.map((all) => median(all[name]).toFixed(0)).join(' | ')} |`);
  }
} finally {
  await close();
  server.close();
}
