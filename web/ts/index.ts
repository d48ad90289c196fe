/** Trains and runs recurrent networks on WebGPU, or on the CPU where there is no WebGPU. */
// Only exports, so that bundlers can skip the modules that are not used, and the files that these refer to.
export * from './api.js';
export { open } from './open-full.js';
export { Device, Network } from './training.js';
