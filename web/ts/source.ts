import { download } from './assets.js';
import { attached, expect, show } from './check.js';
import { WgruError, asError, fail } from './errors.js';
import type { LoadOptions } from './types.js';

/** Source of a file. */
export type Source = string | URL | ArrayBuffer | Uint8Array | Blob;

/** Reads a file. Returns its bytes, and a name for error messages. */
export async function bytesOf(source: Source, options: LoadOptions): Promise<{ name: string; bytes: Uint8Array }> {
  if (typeof source === 'string' || source instanceof URL) {
    const place = placeOf(source);
    return { name: place, bytes: await download(place, options) };
  }
  if (source instanceof Blob) {
    const name = (source as Blob & { name?: string }).name ?? 'file';
    try {
      return { name, bytes: new Uint8Array(await source.arrayBuffer()) };
    } catch (cause) {
      throw new WgruError('network', `${name}: could not be read (was it changed after it was chosen?): ${asError(cause).message}`, { cause });
    }
  }
  const isBuffer = source instanceof ArrayBuffer;
  expect('source', source, 'a URL, a Uint8Array, an ArrayBuffer or a Blob', () => isBuffer || source instanceof Uint8Array);
  attached('source', isBuffer ? source : source.buffer);
  // A copy, because it is kept to rebuild the model after a fault.
  return { name: 'bytes', bytes: (isBuffer ? new Uint8Array(source) : source).slice() };
}

function placeOf(source: string | URL): string {
  try {
    return new URL(source, globalThis.location?.href).href;
  } catch {
    return fail('value', `source: expected a URL, got ${show(String(source))}`);
  }
}
