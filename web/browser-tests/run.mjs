// ENGINE=… node run.mjs FOLDER [MODULE…] [--only TEXT] [--cpu]
//
// Runs the tests of all modules that `bindgen` wrote to FOLDER, or of the named ones, in a browser. `--only` selects
// tests whose names include TEXT; `--cpu` runs without WebGPU, and leaves out tests named for the GPU. ENGINE selects
// the browser: ../tests/engines.mjs.

import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LACKS, NAME, browser } from '../tests/engines.mjs';
import { serve } from '../tests/serve.mjs';

const { values: only, positionals: [folder, ...named] } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', default: '' }, cpu: { type: 'boolean', default: false } },
});
const modules = (await readdir(folder)).filter(file => file.endsWith('.js')).map(file => file.slice(0, -3)).sort();
const missing = named.filter(name => !modules.includes(name));
if (missing.length || !modules.length) throw new Error(`no module ${missing} in ${folder}, which has: ${modules}`);

const server = await serve({ '/': import.meta.dirname, '/modules/': resolve(folder) });
const { context, close } = await browser({ webgpu: !only.cpu });

let [passed, failed, skipped, onWebGpu] = [0, 0, 0, 0];
try {
  if (!only.cpu) {
    const page = await open();
    console.log(`adapter: ${await page.evaluate(() => window.host.adapter())}`);
    await page.close();
  }
  // Two modules at a time: while one waits for the GPU, the other computes.
  const left = named.length ? named : modules;
  await Promise.all([1, 2].map(async () => {
    while (left.length) await runModule(left.shift());
  }));
} finally {
  await close();
  server.close();
}
if (!passed) failed += 1;
if (!only.cpu && !onWebGpu) {
  console.log('no test used WebGPU');
  failed += 1;
}
console.log(`${NAME}: ${passed} passed, ${onWebGpu} of them with work on WebGPU; ${skipped} skipped; ${failed} FAILED`);
process.exitCode = failed ? 1 : 0;

async function open() {
  const page = await context.newPage();
  await page.goto(`${server.url}host.html`);
  await page.waitForFunction(() => window.host);
  return page;
}

// Each module runs in its own page.
async function runModule(module) {
  const page = await open();
  const results = [];
  page.on('pageerror', error => results.push({ test: module, error: error.stack ?? error, ms: 0 }));
  const titles = await page.evaluate(name => window.host.load(name), module);
  const onGpu = await page.evaluate(all => all.filter(window.host.onGpu), titles);
  for (const title of titles) {
    if (!title.includes(only.only) || (only.cpu && onGpu.includes(title))) continue;
    results.push(await page.evaluate(t => window.host.run(t), title));
  }
  await page.close();
  const skips = results.filter(result => result.waits && 'jspi' in LACKS);
  const failures = results.filter(result => result.error && !skips.includes(result));
  const worked = results.filter(result => !result.error && result.submitted);
  const slowest = results.toSorted((a, b) => b.ms - a.ms).slice(0, 5);
  const ms = results.reduce((sum, result) => sum + result.ms, 0);
  const seconds = time => `${(time / 1000).toFixed(1)} s`;
  const count = results.length - failures.length - skips.length;
  console.log(`${module}: ${count} passed, ${failures.length} failed, ${worked.length} with work on WebGPU; ${seconds(ms)}`);
  for (const { test, ms } of slowest) if (ms > 5000) console.log(`    ${seconds(ms)} ${test}`);
  for (const { test } of skips) console.log(`SKIPPED ${test}: waits, and ${LACKS.jspi}`);
  for (const { test, error } of failures) console.log(`FAILED ${test}\n${error}\n`);
  passed += count;
  failed += failures.length;
  skipped += skips.length;
  onWebGpu += worked.length;
}
