// Runs the tests that `package.html` imports in Chromium.  node tests/package.test.mjs [name…]
import { fileURLToPath } from 'node:url';
import { odd } from './odd.mjs';
import { browser, serve } from './serve.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const server = await serve({ '/': root }, 0, odd(root));
const other = await serve({ '/': root }, 0, odd(root));
const { context, close } = await browser();
let failed = 0;
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
    const { ok, note } = await Promise.race([page.evaluate((n) => window.run(n), name), limit]);
    clearTimeout(timer);
    failed += ok ? 0 : 1;
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)${note === undefined ? '' : `: ${note}`}`);
  }
} finally {
  await close();
  server.close();
  other.close();
}
if (failed) {
  console.error(`${failed} failed`);
  process.exit(1);
}
