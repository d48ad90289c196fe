// Measures what a browser has, and compares it with the table in README.md.  ENGINE=… node tests/engines.test.mjs
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LACKS, NAME, browser } from './engines.mjs';
import { serve } from './serve.mjs';

/** First cells of the rows, and what they show. */
const ROWS = {
  WebGPU: ({ webgpu }) => webgpu,
  'module workers': ({ workers, moduleWorkers }) => workers && moduleWorkers,
  'WebAssembly SIMD': ({ simd }) => simd,
  'relaxed SIMD': ({ relaxedSimd }) => relaxedSimd,
  'promise integration (JSPI)': ({ jspi }) => jspi,
  'audio worklets': ({ audioWorklets }) => audioWorklets,
  'transferable streams': ({ transferableStreams }) => transferableStreams,
  'runs in a worker': (_, { worker }) => worker,
  'build of the module': (_, { build }) => build,
};

/** Returns the cells of the column `name`, by the first cell of their rows. */
function column(name) {
  const text = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const rows = text.split('\n').map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  const head = rows.findIndex((cells) => cells.includes(name) && cells[0] === 'feature');
  const end = rows.findIndex((cells, i) => i > head && !cells.length);
  const at = rows[head]?.indexOf(name);
  return Object.fromEntries(rows.slice(head + 2, end).map((cells) => [cells[0], cells[at]]));
}

const server = await serve({ '/': fileURLToPath(new URL('../..', import.meta.url)) });
const { context, close } = await browser();
let wrong = [];
try {
  const page = await context.newPage();
  await page.goto(`${server.url}web/tests/package.html`);
  await page.waitForFunction(() => window.names);
  const has = await page.evaluate(() => window.features);
  const chosen = await page.evaluate(() => window.choices());
  console.log(await page.evaluate(() => navigator.userAgent));
  console.log(JSON.stringify({ ...has, ...chosen }));

  for (const [feature, isThere] of Object.entries(has))
    if (isThere === feature in LACKS) wrong.push(`engines.mjs: ${NAME} ${isThere ? 'has' : 'lacks'} ${feature}`);
  const told = column(NAME);
  for (const [row, show] of Object.entries(ROWS)) {
    const value = show(has, chosen);
    const want = value === true ? 'yes' : value === false ? 'no' : value;
    if (told[row] !== want) wrong.push(`README.md: ${row}, ${NAME}: ${told[row]}, measured ${want}`);
  }
  const unknown = Object.keys(told).filter((row) => !(row in ROWS));
  if (unknown.length) wrong.push(`README.md: rows that are not measured: ${unknown}`);
} finally {
  await close();
  server.close();
}
for (const line of wrong) console.log(`FAILED ${line}`);
if (wrong.length) process.exit(1);
console.log(`ok     ${NAME} is as README.md says`);
