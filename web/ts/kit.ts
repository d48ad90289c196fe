import type { Places } from './assets.js';
import type { Glue } from './glue.js';

/** A WebAssembly module, and the worker that runs it. */
export interface Kit {
  glue: Glue;
  /** Folder of the module in `dist/wasm`. */
  kind: 'full' | 'inference' | 'onnx' | 'import';
  places: Places;
  /** Builds for worklets, and their folder. */
  streams?: { kind: 'inference' | 'onnx'; places: Places };
  /** Name of the worker's script in `dist/js`. */
  script: string;
  /** Starts the worker. Bundlers find its script by this call. */
  worker: () => Worker;
}
