/** Opens devices that train and run networks. */
import * as glue from '../wasm/full/glue.js';
import { openDevice } from './device.js';
import type { Kit } from './kit.js';
import { inference } from './places.js';
import { Device } from './training.js';
import type { OpenOptions } from './types.js';

const kit: Kit = {
  glue,
  kind: 'full',
  places: {
    relaxed: new URL('../wasm/full/relaxed.wasm', import.meta.url),
    simd: new URL('../wasm/full/simd.wasm', import.meta.url),
    plain: new URL('../wasm/full/plain.wasm', import.meta.url),
  },
  streams: { kind: 'inference', places: inference },
  script: 'worker.js',
  worker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'wgru' }),
};

/** Opens a device. Free it with `device.free()`. */
export const open = (options: OpenOptions = {}): Promise<Device> => openDevice(Device, kit, options);
