export { Device, Network, OnnxModel, OnnxStream, type Source, type StreamParts } from './device.js';
export { WgruError, type Code } from './errors.js';
export { Stream } from './stream.js';
export type * from './types.js';
