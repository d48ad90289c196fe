/** The module that reads files of other formats. `device.ts` imports it when a page loads the first one. */
import * as glue from '../wasm/import/glue.js';
import type { Places } from './assets.js';
import type { Kit } from './kit.js';

// Reading files needs no SIMD, so there is one build.
const plain = new URL('../wasm/import/plain.wasm', import.meta.url);
const places: Places = { relaxed: plain, simd: plain, plain };

export const kit: Kit = {
  glue,
  kind: 'import',
  places,
  script: 'worker-import.js',
  worker: () => new Worker(new URL('./worker-import.js', import.meta.url), { type: 'module', name: 'wgru-import' }),
};
