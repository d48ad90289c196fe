// Drives WebKit by WebDriver: WebKitGTK's MiniBrowser, on a virtual display.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './child.mjs';
import { contextOf } from './page.mjs';

const FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/libexec', '/usr/lib'];
const BINARY = process.env.WEBKIT ?? FOLDERS.map((folder) => `${folder}/webkit2gtk-4.1/MiniBrowser`).find(existsSync);
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

/** The engine reports neither errors nor requests, so the page itself does: `serve.mjs` inserts this into pages. */
export const RECORDER = `<script>
  globalThis.recorded = [];
  for (const level of ['debug', 'log', 'info', 'warn', 'error']) {
    const write = console[level];
    console[level] = (...given) => {
      recorded.push(['console', level === 'warn' ? 'warning' : level, given.map((value) => value?.stack ? value + '\\n' + value.stack : String(value)).join(' ')]);
      write.apply(console, given);
    };
  }
  addEventListener('error', ({ message, error }) => message && recorded.push(['pageerror', '', message + '\\n' + error?.stack]));
  addEventListener('unhandledrejection', ({ reason }) => recorded.push(['pageerror', '', reason + '\\n' + reason?.stack]));
  new PerformanceObserver((list) => recorded.push(...list.getEntries().map(({ name }) => ['request', '', name]))).observe({ type: 'resource', buffered: true });
</script>`;

/** JavaScriptCore has no function that collects garbage; it does so by itself after many allocations. */
const GC = `globalThis.gc = () => { for (let i = 0; i < 400; i++) globalThis.garbage = Array.from({ length: 5000 }, () => ({})); globalThis.garbage = undefined; }`;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((ready) => server.once('listening', ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Starts a virtual display, and returns its name. */
async function display() {
  const options = ['-displayfd', '3', '-screen', '0', '1600x1400x24', '-nolisten', 'tcp'];
  const { child, end } = start('Xvfb', options, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const number = await new Promise((done, failed) => {
    child.on('error', failed);
    child.stdio[3].once('data', (text) => done(String(text).trim()));
  });
  return { name: `:${number}`, end };
}

/** Starts the browser. The driver serves one session, so every page has a driver and a browser of its own. */
async function session(screen, look, folder) {
  mkdirSync(join(folder, 'gtk-3.0'), { recursive: true });
  writeFileSync(join(folder, 'gtk-3.0', 'settings.ini'), `[Settings]\ngtk-enable-animations=${look.reducedMotion === 'reduce' ? 0 : 1}\n`);
  const port = await freePort();
  const env = { ...process.env, DISPLAY: screen, GDK_BACKEND: 'x11', XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, XDG_CACHE_HOME: folder };
  const { child, end } = start('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore', env });
  const failed = new Promise((_, fail) => child.once('error', fail));
  const command = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  };
  const dark = look.colorScheme === 'dark' ? ['--dark-mode'] : [];
  const options = { binary: BINARY, args: ['--automation', ...dark] };
  const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': options, timeouts: { script: 3_600_000, pageLoad: 120_000 } } };
  const begin = async () => {
    for (let tries = 0; ; tries++) {
      try {
        return await command('POST', '/session', { capabilities });
      } catch (error) {
        // The driver may not listen yet.
        if (error.cause?.code !== 'ECONNREFUSED' || tries === 100) throw error;
        await new Promise((done) => setTimeout(done, 50));
      }
    }
  };
  const { sessionId } = await Promise.race([begin(), failed]);
  return {
    send: (method, path, body) => command(method, `/session/${sessionId}${path}`, body),
    end: async () => {
      await command('DELETE', `/session/${sessionId}`);
      end();
    },
  };
}

export async function webkit() {
  const screen = process.env.DISPLAY ? { name: process.env.DISPLAY, end() {} } : await display();
  const profile = mkdtempSync(join(tmpdir(), 'wgru-webkit-'));
  let pages = 0;

  const open = async () => {
    const folder = join(profile, String(pages++));
    let look = {};
    let size = { width: 1280, height: 900 };
    let live;
    const driver = {
      /** Passes on what the page recorded. */
      async hear() {
        for (const [type, level, text] of JSON.parse(await driver.execute('JSON.stringify(globalThis.recorded?.splice(0) ?? [])'))) {
          const event = { console: { type: () => level, text: () => text }, request: { url: () => text }, pageerror: text }[type];
          driver.onEvent(type, event);
        }
      },
      async execute(expression) {
        const script = `Promise.resolve(${expression}).then(arguments[0])`;
        return live.send('POST', '/execute/async', { script, args: [] });
      },
      async evaluate(expression) {
        try {
          return await driver.execute(expression);
        } finally {
          await driver.hear();
        }
      },
      async goto(url) {
        live ??= await session(screen.name, look, folder);
        await driver.resize(size);
        await live.send('POST', '/url', { url });
        await driver.execute(`(${GC}, 0)`);
      },
      /** Resizes the window so that the page gets this size. */
      async resize(wanted) {
        size = wanted;
        if (!live) return;
        for (let tries = 0; tries < 3; tries++) {
          const { width, height } = await live.send('GET', '/window/rect');
          const [inner, outer] = [await driver.execute('innerWidth'), await driver.execute('innerHeight')];
          if (inner === size.width && outer === size.height) return;
          await live.send('POST', '/window/rect', { width: width + size.width - inner, height: height + size.height - outer });
        }
      },
      /** Takes effect when the page is opened. */
      emulate(wanted) {
        look = wanted;
      },
      async screenshot(path) {
        await writeFile(path, await live.send('GET', '/screenshot'), 'base64');
      },
      async click(selector) {
        const { [ELEMENT]: id } = await live.send('POST', '/element', { using: 'css selector', value: selector });
        await live.send('POST', `/element/${id}/click`, {});
        await driver.hear();
      },
      async press(value) {
        const actions = [{ type: 'keyDown', value }, { type: 'keyUp', value }];
        await live.send('POST', '/actions', { actions: [{ type: 'key', id: 'keyboard', actions }] });
      },
      async close() {
        await live?.end();
        live = undefined;
      },
    };
    return driver;
  };

  const context = contextOf(open);
  const close = async () => {
    for (const page of context.pages()) await page.close();
    screen.end();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}
