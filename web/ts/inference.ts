/** Runs recurrent networks on WebGPU, or on the CPU where there is no WebGPU. */
import * as glue from '../wasm/inference/glue.js';
import { inference } from './places.js';
import { Device } from './device.js';
import type { OpenOptions } from './types.js';

export * from './api.js';

const kit = {
  glue,
  places: inference,
  streams: inference,
  worker: () => new Worker(new URL('./worker-inference.js', import.meta.url), { type: 'module', name: 'wgru' }),
};

/** Opens a device. */
export const open = (options: OpenOptions = {}): Promise<Device> => Device.open(kit, options);
