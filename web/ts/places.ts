import type { Places } from './assets.js';

/** The inference builds, which worklets also use. */
export const inference: Places = {
  relaxed: new URL('../wasm/inference/relaxed.wasm', import.meta.url),
  simd: new URL('../wasm/inference/simd.wasm', import.meta.url),
  plain: new URL('../wasm/inference/plain.wasm', import.meta.url),
};
