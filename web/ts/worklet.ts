/** Streams in an audio worklet, where nothing may wait and nothing can be fetched. */
import './text.js';
import * as glue from '../wasm/inference/glue.js';
import type { StreamParts } from './device.js';
import { Instance, Stream } from './stream.js';

export { Stream } from './stream.js';

/** A stream of what `network.streamParts()` gave. */
export function streamOf(parts: StreamParts): Stream {
  const instance = new Instance(glue, parts.module);
  return Stream.read(instance, parts.bytes, JSON.parse(parts.options));
}
