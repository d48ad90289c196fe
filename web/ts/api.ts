export { BoundStream } from './bound.js';
export { Device } from './device.js';
export { WgruError, type Code } from './errors.js';
export { Network, type StreamParts } from './network.js';
export { type BoundParts, OnnxModel, OnnxStream } from './onnx.js';
export type { Source } from './source.js';
export { Stream } from './stream.js';
export type * from './types.js';
