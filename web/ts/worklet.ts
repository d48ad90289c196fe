/** Streams for audio worklets, where code must not block and cannot fetch. */
import './text.js';
import * as glue from '../wasm/inference/glue.js';
import { expect, named } from './check.js';
import type { StreamParts } from './network.js';
import { Instance, type Stream } from './stream.js';

export { Stream } from './stream.js';

/** Creates a stream from the result of `network.streamParts()`. */
export function streamOf(parts: StreamParts): Stream {
  const { module, bytes, options } = named('parts', parts);
  expect('parts', parts, 'the result of network.streamParts()', () => module instanceof WebAssembly.Module && bytes instanceof Uint8Array);
  return Instance.of(glue, module).stream(bytes, named('options', options));
}
