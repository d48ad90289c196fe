import { WgruError, aborted, asError, fail } from './errors.js';
import { builtin } from './node.js';
import type { AssetUrl, Build, LoadOptions } from './types.js';
import { located } from './urls.js';

/** URL of the wasm module of each build. */
export type Places = Record<Build, URL>;

// Modules for feature detection, without their common header: one function that uses SIMD or relaxed SIMD.
const SIMD = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const RELAXED = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const runs = (code: number[]) => WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...code]));

/** Returns whether this browser has the instructions of a build. */
export const supports = (build: Build): boolean => build === 'plain' || runs(build === 'simd' ? SIMD : RELAXED);

/** Returns the best build that this browser supports. */
export const best = (): Build => (supports('relaxed') ? 'relaxed' : supports('simd') ? 'simd' : 'plain');

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** Returns the module of one build, fetched and compiled once. `at` is the option `wasmUrl`. */
export function compile(kind: string, places: Places, build: Build, at: AssetUrl | undefined): Promise<WebAssembly.Module> {
  const url = at === undefined ? places[build] : located('wasmUrl', at, `${kind}/${build}.wasm`);
  let module = compiled.get(url.href);
  if (!module) {
    module = fetchAndCompile(url);
    compiled.set(url.href, module);
    // Allow a retry after a failed download.
    module.catch(() => compiled.delete(url.href));
  }
  return module;
}

const HINT = "this is not the package's WebAssembly module; serve its folder dist/wasm beside dist/js, or give open({ wasmUrl })";

async function fetchAndCompile(url: URL): Promise<WebAssembly.Module> {
  const response = await get(url, undefined, HINT);
  const type = response.headers.get('content-type') ?? 'no type';
  try {
    if (type.startsWith('application/wasm')) return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    const error = asError(cause);
    if (error.code !== 'internal') throw error;
    throw new WgruError('network', `${url}: ${HINT}: ${type}, ${error.message}`, { cause });
  }
}

/** Runs `what`, a read from `place`. Errors other than `WgruError` become `network` errors that name `place`. */
async function reading<T>(place: string, signal: AbortSignal | undefined, what: () => Promise<T>): Promise<T> {
  try {
    return await what();
  } catch (cause) {
    if (signal?.aborted) throw aborted(signal, 'the download was aborted');
    if (cause instanceof WgruError) throw cause;
    const why = 'not reachable, or forbidden by CORS or by the Content-Security-Policy';
    throw new WgruError('network', `${place}: ${asError(cause).message} (${why})`, { cause });
  }
}

/** Fetches a URL. Node's `fetch` does not read files, so they are read here. */
export const get = (url: URL, signal?: AbortSignal, hint = ''): Promise<Response> =>
  reading(url.href, signal, async () => {
    const files = url.protocol === 'file:' && builtin('node:fs/promises');
    if (files) return new Response(await files.readFile(url));
    return answered(url.href, await fetch(url, signal ? { signal } : {}), hint);
  });

/** Returns `response`, or throws if it reports a failure. */
export function answered(place: string, response: Response, hint = ''): Response {
  const { ok, status, statusText } = response;
  if (!ok) fail('network', `${place}: the server answered ${status} ${statusText}`.trim() + (hint && `: ${hint}`));
  return response;
}

/** Reads the body of a response. */
export async function bodyOf(place: string, response: Response, { onProgress, signal }: LoadOptions): Promise<Uint8Array> {
  const header = (name: string) => response.headers.get(name) ?? '';
  // The length of a compressed response counts compressed bytes; the bytes read here are decompressed.
  let total = /^(identity)?$/.test(header('content-encoding')) ? Number(header('content-length')) || 0 : 0;
  const parts: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body?.getReader();
  const next = () => reading(place, signal, async () => reader?.read());
  for (let part = await next(); part && !part.done; part = await next()) {
    parts.push(part.value);
    loaded += part.value.length;
    // Cross-origin responses hide their content encoding, so `total` may count compressed bytes.
    if (loaded > total) total = 0;
    try {
      await onProgress?.(loaded, total);
    } catch (cause) {
      void reader?.cancel().catch(() => {});
      throw new WgruError('callback', `onProgress threw: ${asError(cause).message}`, { cause });
    }
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  if (!loaded) fail('network', `${place}: the server sent no bytes`);
  if (header('content-type').startsWith('text/html') && bytes.find((byte) => byte > 32) === 60)
    fail('network', `${place}: the server sent a web page, not a model: check the path (servers of single-page applications answer unknown paths with their start page)`);
  return bytes;
}
