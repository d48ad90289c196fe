/** What `wgru` and `wgru/inference` have in common. */
export { BoundStream } from './bound.js';
export { WgruError, type Code } from './errors.js';
export type { StreamParts } from './network.js';
export { type BoundParts, OnnxModel, OnnxStream } from './onnx.js';
export type { Source } from './source.js';
export { Stream } from './stream.js';
export type * from './types.js';
