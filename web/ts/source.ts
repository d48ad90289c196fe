import { answered, bodyOf, get } from './assets.js';
import { attached, expect } from './check.js';
import { WgruError, asError, fail } from './errors.js';
import type { LoadOptions } from './types.js';
import { urlOf } from './urls.js';

/** Source of a file: its URL, its bytes, a `File` or `Blob`, or the `Response` of a `fetch`. In Node, also a path. */
export type Source = string | URL | ArrayBuffer | Uint8Array | Blob | Response;

/** @internal Reads a file. Returns its bytes, and a name for error messages. */
export async function bytesOf(source: Source, options: LoadOptions): Promise<{ name: string; bytes: Uint8Array }> {
  if (typeof source === 'string' || source instanceof URL) {
    const url = urlOf('source', source);
    return { name: url.href, bytes: await bodyOf(url.href, await get(url, options.signal), options) };
  }
  if (source instanceof Response) {
    const name = source.url || 'response';
    if (source.bodyUsed) fail('value', `source: expected an unread Response, got one whose body was read`);
    return { name, bytes: await bodyOf(name, answered(name, source), options) };
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
  expect('source', source, 'a URL, a Uint8Array, an ArrayBuffer, a Blob or a Response', () => isBuffer || source instanceof Uint8Array);
  attached('source', isBuffer ? source : source.buffer);
  const bytes = isBuffer ? new Uint8Array(source) : source;
  // The bytes are kept to rebuild the model after a fault, so the caller must not change them.
  return { name: 'bytes', bytes: options.transfer ? taken(bytes) : bytes.slice() };
}

/** Takes the buffer of `bytes` from the caller. */
function taken(bytes: Uint8Array): Uint8Array {
  try {
    return structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  } catch (cause) {
    throw new WgruError('value', `source: its buffer cannot be transferred: ${asError(cause).message}`, { cause });
  }
}
