/** The module that runs ONNX models. `device.ts` imports it when a page loads the first one. */
import * as glue from '../wasm/onnx/glue.js';
import type { Places } from './assets.js';
import type { Kit } from './kit.js';

const places: Places = {
  relaxed: new URL('../wasm/onnx/relaxed.wasm', import.meta.url),
  simd: new URL('../wasm/onnx/simd.wasm', import.meta.url),
  plain: new URL('../wasm/onnx/plain.wasm', import.meta.url),
};

export const kit: Kit = {
  glue,
  kind: 'onnx',
  places,
  streams: { kind: 'onnx', places },
  script: 'worker-onnx.js',
  worker: () => new Worker(new URL('./worker-onnx.js', import.meta.url), { type: 'module', name: 'wgru-onnx' }),
};
