// Drives Firefox by WebDriver BiDi, which Firefox itself speaks.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { start } from './child.mjs';
import { contextOf } from './page.mjs';

const PREFS = {
  // WebGPU is off by default on Linux, and its software adapter is on the blocklist.
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  // As on a phone, scrollbars take no width.
  'ui.useOverlayScrollbars': 1,
  // Windows in the background run like the one in front.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  'dom.ipc.processPriorityManager.enabled': false,
};

/** Connection to the browser: `send` resolves with the result of a command. */
async function connect(url, onEvent) {
  const socket = new WebSocket(url, { maxPayload: 2 ** 30 });
  await once(socket, 'open');
  const waiting = new Map();
  let last = 0;
  socket.on('message', (text) => {
    const { id, type, method, params, result, error, message } = JSON.parse(text);
    if (type === 'event') return onEvent(method, params);
    const { done, failed } = waiting.get(id);
    waiting.delete(id);
    if (type === 'success') done(result);
    else failed(new Error(`${error}: ${message}`));
  });
  socket.on('close', () => waiting.forEach(({ failed }) => failed(new Error('Firefox ended'))));
  return (method, params = {}) =>
    new Promise((done, failed) => {
      waiting.set(++last, { done, failed });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
}

/** Starts the program, and returns the address on which it listens. */
function started(child) {
  return new Promise((done, failed) => {
    let told = '';
    child.stderr.on('data', (text) => {
      told += text;
      const [, url] = /WebDriver BiDi listening on (ws:\S+)/.exec(told) ?? [];
      if (url) done(url);
    });
    child.on('error', failed);
    child.on('exit', (code) => failed(new Error(`Firefox ended with ${code}: ${told}`)));
  });
}

/** Evaluates an expression, and returns its value. */
async function evaluated(send, context, expression) {
  const { type, result, exceptionDetails } = await send('script.evaluate', { target: { context }, awaitPromise: true, expression });
  if (type !== 'success') throw new Error(exceptionDetails.text);
  return result.value;
}

export async function firefox({ webgpu }) {
  const profile = mkdtempSync(join(tmpdir(), 'wgru-firefox-'));
  const prefs = { ...PREFS, 'dom.webgpu.enabled': webgpu };
  writeFileSync(join(profile, 'user.js'), Object.entries(prefs).map(([name, value]) => `user_pref("${name}", ${value});\n`).join(''));
  // System access lets the tests collect garbage and change the color scheme.
  const options = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', '--remote-allow-system-access'];
  const { child, end } = start(process.env.FIREFOX ?? 'firefox-esr', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  const drivers = new Map();
  const send = await connect(`${await started(child)}/session`, (method, params) => {
    const context = params.context ?? params.source?.context;
    if (method === 'script.message') return void collect();
    drivers.get(context)?.hear(method, params);
  });
  await send('session.new', { capabilities: {} });
  await send('session.subscribe', { events: ['log.entryAdded', 'network.beforeRequestSent', 'script.message'] });
  const { contexts: [{ context: system }] } = await send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  const collect = () => evaluated(send, system, "Services.obs.notifyObservers(null, 'child-gc-request'); 0");
  await send('script.addPreloadScript', {
    functionDeclaration: '(collect) => { globalThis.gc = () => collect(0); }',
    arguments: [{ type: 'channel', value: { channel: 'gc' } }],
  });

  const open = async () => {
    // A window per page: the page of a hidden tab draws nothing.
    const { context } = await send('browsingContext.create', { type: 'window' });
    const driver = {
      hear(method, params) {
        if (method === 'network.beforeRequestSent') return driver.onEvent('request', { url: () => params.request.url });
        const { type, level, text } = params;
        if (type === 'javascript') driver.onEvent('pageerror', text);
        else driver.onEvent('console', { type: () => (level === 'warn' ? 'warning' : level), text: () => text });
      },
      evaluate: (expression) => evaluated(send, context, expression),
      goto: (url) => send('browsingContext.navigate', { context, url, wait: 'complete' }),
      resize: (viewport) => send('browsingContext.setViewport', { context, viewport }),
      emulate({ colorScheme, reducedMotion }) {
        const set = (name, value) => `Services.prefs.setIntPref('${name}', ${value});`;
        const scheme = set('layout.css.prefers-color-scheme.content-override', colorScheme === 'dark' ? 0 : 1);
        return evaluated(send, system, `${scheme} ${set('ui.prefersReducedMotion', reducedMotion === 'reduce' ? 1 : 0)} 0`);
      },
      async screenshot(path, fullPage) {
        const { data } = await send('browsingContext.captureScreenshot', { context, origin: fullPage ? 'document' : 'viewport' });
        await writeFile(path, data, 'base64');
      },
      async click(selector) {
        const { nodes: [{ sharedId }] } = await send('browsingContext.locateNodes', { context, locator: { type: 'css', value: selector } });
        const origin = { type: 'element', element: { sharedId } };
        const actions = [{ type: 'pointerMove', x: 0, y: 0, origin }, { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 }];
        await send('input.performActions', { context, actions: [{ type: 'pointer', id: 'mouse', actions }] });
      },
      /** Counts the elements in the accessibility tree below `selector`. */
      async count(selector, role, name) {
        const within = await send('browsingContext.locateNodes', { context, locator: { type: 'css', value: selector } });
        const value = name === undefined ? { role } : { role, name };
        const { nodes } = await send('browsingContext.locateNodes', { context, locator: { type: 'accessibility', value }, startNodes: within.nodes.map(({ sharedId }) => ({ sharedId })) });
        return nodes.length;
      },
      press(value) {
        const actions = [{ type: 'keyDown', value }, { type: 'keyUp', value }];
        return send('input.performActions', { context, actions: [{ type: 'key', id: 'keyboard', actions }] });
      },
      async close() {
        drivers.delete(context);
        await send('browsingContext.close', { context });
      },
    };
    drivers.set(context, driver);
    return driver;
  };

  const close = async () => {
    const ended = once(child, 'exit');
    await send('browser.close');
    await ended;
    end();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context: contextOf(open), close };
}
