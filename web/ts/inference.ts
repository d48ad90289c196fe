/** Runs recurrent networks on WebGPU, or on the CPU where there is no WebGPU. */
// Only exports, as in `index.ts`.
export * from './api.js';
export { Device } from './device.js';
export { Network } from './network.js';
export { open } from './open-inference.js';
