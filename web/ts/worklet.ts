/** Streams in an audio worklet, where nothing may wait and nothing can be fetched. */
import './text.js';
import * as glue from '../wasm/inference/glue.js';
import { expect, named } from './check.js';
import type { StreamParts } from './network.js';
import { Instance, type Stream } from './stream.js';

export { Stream } from './stream.js';

/** A stream of what `network.streamParts()` gave. */
export function streamOf(parts: StreamParts): Stream {
  const { module, bytes, options } = named('parts', parts);
  expect('parts', parts, 'what network.streamParts() gave', () => module instanceof WebAssembly.Module && bytes instanceof Uint8Array);
  return Instance.of(glue, module).stream(bytes, named('options', options));
}
