/** Opens devices that run networks. */
import * as glue from '../wasm/inference/glue.js';
import { Device, openDevice } from './device.js';
import type { Kit } from './kit.js';
import { inference } from './places.js';
import type { OpenOptions } from './types.js';

const kit: Kit = {
  glue,
  kind: 'inference',
  places: inference,
  streams: { kind: 'inference', places: inference },
  script: 'worker-inference.js',
  worker: () => new Worker(new URL('./worker-inference.js', import.meta.url), { type: 'module', name: 'wgru' }),
};

/** Opens a device. Free it with `device.free()`. */
export const open = (options: OpenOptions = {}): Promise<Device> => openDevice(Device, kit, options);
