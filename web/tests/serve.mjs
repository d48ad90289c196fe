// A file server on 127.0.0.1, and a headless Chromium with WebGPU on its software adapter.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Serves folders by URL prefix, the longest first: `{'/': 'demo', '/dist/': 'dist'}`. `answer` may handle a request
 * itself.
 */
export async function serve(folders, port = 0, answer = async () => false) {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
  const server = createServer(async (request, response) => {
    if (await answer(request, response)) return;
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const prefix = prefixes.find((p) => path.startsWith(p));
    const file = join(folders[prefix] ?? '.', path.slice((prefix ?? '').length));
    try {
      const body = await readFile(path.endsWith('/') ? join(file, 'index.html') : file);
      response.writeHead(200, { 'content-length': body.length, 'content-type': TYPES[extname(path.endsWith('/') ? 'index.html' : file)] ?? 'application/octet-stream' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(port, '127.0.0.1', ready));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** Starts a browser with a new profile. `webgpu: false` disables WebGPU; `args` are more arguments. */
export async function browser({ webgpu = true, args = [] } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'wgru-browser-'));
  const quiet = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const gpu = webgpu ? ['--enable-unsafe-webgpu'] : ['--disable-features=WebGPU', '--disable-gpu'];
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    chromiumSandbox: false,
    args: ['--headless', '--no-sandbox', '--js-flags=--expose-gc', ...quiet, ...gpu, ...args],
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}
