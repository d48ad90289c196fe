/** Trains and runs recurrent networks on WebGPU, or on the CPU where there is no WebGPU. */
import * as glue from '../wasm/full/glue.js';
import { inference } from './places.js';
import { Device } from './device.js';
import type { OpenOptions } from './types.js';

export * from './api.js';

const kit = {
  glue,
  places: {
    relaxed: new URL('../wasm/full/relaxed.wasm', import.meta.url),
    simd: new URL('../wasm/full/simd.wasm', import.meta.url),
    plain: new URL('../wasm/full/plain.wasm', import.meta.url),
  },
  streams: inference,
  worker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'wgru' }),
};

/** Opens a device. */
export const open = (options: OpenOptions = {}): Promise<Device> => Device.open(kit, options);
