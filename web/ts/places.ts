import type { Places } from './assets.js';

/** The builds that only run networks; worklets take them too. */
export const inference: Places = {
  relaxed: new URL('../wasm/inference/relaxed.wasm', import.meta.url),
  simd: new URL('../wasm/inference/simd.wasm', import.meta.url),
  plain: new URL('../wasm/inference/plain.wasm', import.meta.url),
};
