// A file server on 127.0.0.1.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { ENGINE } from './engines.mjs';
import { RECORDER } from './engines/webkit.mjs';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** Returns the text of a file as `request` gets it. WebKit's pages record their own errors. */
function textFor({ headers }, type, body) {
  const isPage = type.startsWith('text/html') && (headers['sec-fetch-dest'] ?? 'document') === 'document';
  return ENGINE === 'webkit' && isPage ? Buffer.from(String(body).replace(/^(<!doctype html>)?/i, `$1${RECORDER}`)) : body;
}

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
      const found = path.endsWith('/') ? join(file, 'index.html') : file;
      const type = TYPES[extname(found)] ?? 'application/octet-stream';
      const body = textFor(request, type, await readFile(found));
      response.writeHead(200, { 'content-length': body.length, 'content-type': type });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(port, '127.0.0.1', ready));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
