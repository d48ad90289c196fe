// Simulates misconfigured servers for `delivery.mjs`. The first part of the path selects one.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const PAGE = '<!doctype html>\n<title>An application</title>\n';
const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };

/** Serves files under `root` with the misconfiguration that the path selects. */
export function odd(root) {
  return async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const [, how, path] = /^\/([^/]+)\/(.*)$/.exec(url.pathname) ?? [];
    const { csp } = Object.fromEntries(url.searchParams);
    if (csp) response.setHeader('content-security-policy', csp);
    response.setHeader('access-control-allow-origin', '*');
    const send = (status, type, body = '', more = {}) => {
      response.writeHead(status, { 'content-type': type, 'content-length': body.length, ...more });
      response.end(body);
      return true;
    };
    const page = () => send(200, 'text/html; charset=utf-8', PAGE);
    const file = () => readFile(join(root, path));
    const script = async () => send(200, TYPES[path.split('.').at(-1)] ?? 'application/octet-stream', await file());
    switch (how) {
      case 'spa':
        return page();
      case 'empty':
        return send(200, 'application/octet-stream');
      case 'gzip':
        return send(200, 'application/octet-stream', gzipSync(await file()), { 'content-encoding': 'gzip' });
      case 'cut': {
        const body = await file();
        response.writeHead(200, { 'content-length': body.length });
        response.write(body.subarray(0, body.length / 2), () => response.destroy());
        return true;
      }
      case 'without-wasm-404':
        return path.endsWith('.wasm') ? send(404, 'text/plain') : script();
      case 'without-wasm-html':
        return path.endsWith('.wasm') ? page() : script();
      case 'without-worker-404':
        return path.endsWith('worker.js') ? send(404, 'text/plain') : script();
      case 'without-worker-html':
        return path.endsWith('worker.js') ? page() : script();
      default:
        return false;
    }
  };
}
