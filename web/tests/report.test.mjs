// Tests the page in `report/` in Chromium.  node tests/report.test.mjs [FILE.json] also runs the whole report, and
// saves it to FILE.json.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { browser } from './engines.mjs';
import { serve } from './serve.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
mkdirSync(`${web}out`, { recursive: true });
const server = await serve({ '/report/': `${web}report`, '/demo/': `${web}demo`, '/dist/': `${web}dist` });

const assert = (holds, what) => {
  if (!holds) throw new Error(`failed: ${what}`);
};

async function open(context, query = '') {
  const page = await context.newPage();
  page.setDefaultTimeout(1_600_000);
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${server.url}report/${query}`);
  await page.waitForSelector('html[data-ready]');
  const part = (name) => page.locator(`[data-part="${name}"]`);
  const run = async () => {
    await part('start').click();
    await page.waitForSelector('html[data-state="done"]');
  };
  /** Saves a file by its button, and returns its text. */
  const saved = async (name) => {
    const [download] = await Promise.all([page.waitForEvent('download'), part(name).click()]);
    return readFileSync(await download.path(), 'utf8');
  };
  return { page, errors, part, run, saved };
}

const { context, close } = await browser();
try {
  const keep = process.argv[2];
  // A busy machine without a GPU needs more than the usual two minutes.
  const seen = await open(context, keep ? '?seconds=1500' : '?quick&seconds=1500');
  await seen.run();
  const error = await seen.part('error').textContent();
  assert(!error && !seen.errors.length, `no errors: ${error} ${seen.errors}`);
  const summary = await seen.part('summary').textContent();
  const text = await seen.saved('save');
  const report = JSON.parse(text);
  const wrong = report.checks.filter((check) => !check.ok);
  assert(!wrong.length, `every check is right: ${JSON.stringify(wrong)}`);
  assert(report.ended === 'complete' && report.checks.length > 300, `complete: ${summary}`);
  assert(/^complete: all \d+ checks are right/.test(summary), summary);
  assert(report.adapter.backend === 'webgpu' && report.system.includes('Chrome'), 'the adapter and the browser');
  assert((await seen.part('checks').locator('tr').count()) > 5, 'checks are listed by part');
  assert((await seen.part('timings').locator('tr').count()) === report.timings.length + 1, 'times are listed');
  assert((await seen.saved('svg')).startsWith('<svg'), 'the picture is saved');
  assert(await seen.part('picture').evaluate((image) => image.naturalWidth > 0), 'the picture is shown');
  await seen.page.screenshot({ path: `${web}out/report.png`, fullPage: true });
  if (keep) writeFileSync(keep, text);
  console.log(`ok     report: ${summary}`);

  // Errors that are too large are shown as wrong.
  const spoiled = await open(context, '?quick&spoil=10000&seconds=1');
  await spoiled.run();
  assert(/\d+ of \d+ checks are wrong/.test(await spoiled.part('summary').textContent()), 'wrong checks are counted');
  assert((await spoiled.part('wrong').textContent()).includes('functions: exp'), 'wrong checks are listed');
  console.log('ok     wrong checks are shown');

  const stopped = await open(context, '?quick');
  await stopped.part('start').click();
  await stopped.page.waitForFunction(() => document.querySelector('[data-part="step"]').textContent.startsWith('movement'));
  await stopped.part('stop').click();
  const partial = JSON.parse(await stopped.saved('save'));
  assert(partial.ended === 'stopped by the user' && partial.checks.length > 10, 'a partial report is labelled');
  console.log('ok     a run can be stopped');
} finally {
  await close();
}

const without = await browser({ webgpu: false });
try {
  // A browser without the interface, or without an adapter.
  const seen = await open(without.context, '?quick');
  if (await seen.page.evaluate(() => !navigator.gpu)) {
    assert((await seen.part('error').textContent()).includes('no WebGPU'), 'says that WebGPU is missing');
    assert(await seen.part('start').isDisabled(), 'cannot start');
  } else {
    await seen.run();
    assert((await seen.part('error').textContent()).includes('no adapter'), 'says that there is no adapter');
  }
  console.log('ok     without WebGPU');
} finally {
  await without.close();
  server.close();
}
