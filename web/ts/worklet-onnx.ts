/** Streams of ONNX models for audio worklets, where code must not block and cannot fetch. */
import './text.js';
import * as glue from '../wasm/onnx/glue.js';
import { type BoundStream, bind } from './bound.js';
import { expect, named } from './check.js';
import type { BoundParts } from './onnx.js';
import { Instance } from './stream.js';

export { BoundStream } from './bound.js';

/** Creates a stream from the result of `model.bindParts()`. */
export function boundStreamOf(parts: BoundParts): BoundStream {
  const { module, bytes, example, options } = named('parts', parts);
  expect('parts', parts, 'the result of model.bindParts()', () => module instanceof WebAssembly.Module && bytes instanceof Uint8Array);
  return bind(Instance.of(glue, module), bytes, named('example', example), named('options', options));
}
