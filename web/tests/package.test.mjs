// Runs the tests that `package.html` imports in a browser.  ENGINE=… node tests/package.test.mjs [name…]
import { fileURLToPath } from 'node:url';
import { LACKS, NAME, browser } from './engines.mjs';
import { odd } from './odd.mjs';
import { serve } from './serve.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const server = await serve({ '/': root }, 0, odd(root));
const other = await serve({ '/': root }, 0, odd(root));
const { context, close } = await browser();
let failed = 0;
const skipped = [];
try {
  const page = await context.newPage();
  page.on('console', (message) => console.log('   ', message.type(), message.text()));
  await page.goto(`${server.url}web/tests/package.html?other=${other.url}`);
  await page.waitForFunction(() => window.names);
  const wanted = process.argv.slice(2);
  for (const name of await page.evaluate(() => window.names)) {
    if (wanted.length && !wanted.includes(name)) continue;
    const began = performance.now();
    let timer;
    const limit = new Promise((done) => (timer = setTimeout(done, 180_000, { ok: false, note: 'over three minutes' })));
    const { ok, note, lacks } = await Promise.race([page.evaluate((n) => window.run(n), name), limit]);
    clearTimeout(timer);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    if (lacks && lacks in LACKS) {
      skipped.push(name);
      console.log(`SKIPPED ${name}: ${NAME}: ${LACKS[lacks]}`);
      continue;
    }
    failed += ok ? 0 : 1;
    const told = lacks ? `: ${NAME} is expected to have ${lacks}` : note === undefined || note === null ? '' : `: ${note}`;
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)${told}`);
  }
} finally {
  await close();
  server.close();
  other.close();
}
if (skipped.length) console.log(`${skipped.length} skipped`);
if (failed) {
  console.error(`${failed} failed`);
  process.exit(1);
}
