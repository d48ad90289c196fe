import { WgruError } from './errors.js';
import type { Build } from './types.js';

/** Where the wasm module of each build lies. */
export type Places = Record<Build, URL>;

// A function that holds one instruction of each kind.
const SIMD = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const RELAXED = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const runs = (code: number[]) => WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...code]));

/** The best build that this browser runs. */
export const best = (): Build => (runs(RELAXED) ? 'relaxed' : runs(SIMD) ? 'simd' : 'plain');

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** The module of one build; fetched and compiled once. */
export function compile(places: Places, build: Build): Promise<WebAssembly.Module> {
  const place = places[build].href;
  let module = compiled.get(place);
  if (!module) {
    module = fetchAndCompile(place);
    compiled.set(place, module);
    // A download that failed may be tried again.
    module.catch(() => compiled.delete(place));
  }
  return module;
}

async function fetchAndCompile(place: string): Promise<WebAssembly.Module> {
  const response = await get(place);
  if (response.headers.get('content-type')?.startsWith('application/wasm')) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

async function get(place: string, signal?: AbortSignal): Promise<Response> {
  try {
    const response = await fetch(place, signal ? { signal } : {});
    if (response.ok) return response;
    throw new Error(`${response.status} ${response.statusText}`);
  } catch (cause) {
    if (signal?.aborted) throw new WgruError('aborted', 'the download was aborted', { cause });
    throw new WgruError('network', `${place}: ${(cause as Error).message}`, { cause });
  }
}

/** The bytes behind a URL. */
export async function download(
  place: string,
  onProgress?: (loaded: number, total: number) => void,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const response = await get(place, signal);
  const total = Number(response.headers.get('content-length') ?? 0);
  const parts: Uint8Array[] = [];
  let loaded = 0;
  try {
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      parts.push(part.value);
      loaded += part.value.length;
      onProgress?.(loaded, total);
    }
  } catch (cause) {
    if (signal?.aborted) throw new WgruError('aborted', 'the download was aborted', { cause });
    throw new WgruError('network', `${place}: ${(cause as Error).message}`, { cause });
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
