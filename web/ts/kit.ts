import type { Places } from './assets.js';
import type { Glue } from './glue.js';

/** A WebAssembly module, and the worker that runs it. */
export interface Kit {
  glue: Glue;
  places: Places;
  /** Builds for worklets. */
  streams: Places;
  worker: () => Worker;
}
