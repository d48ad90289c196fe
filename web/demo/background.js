// Calls to functions in a worker.
import { WgruError } from '../dist/js/index.js';

/** A module worker that answers `{ id, call, args }` by `{ id, result }` or `{ id, error }`, after any `{ id, progress }`. */
export class Background {
  #url;
  #worker;
  #calls = new Map();
  #last = 0;

  /** The worker starts with the first call. */
  constructor(url) {
    this.#url = url;
  }

  /** Calls the function `name` of the worker. `onProgress` receives its progress. */
  call(name, args, { onProgress, transfer = [] } = {}) {
    this.#worker ??= this.#start();
    const id = ++this.#last;
    this.#worker.postMessage({ id, call: name, args }, transfer);
    return new Promise((done, failed) => this.#calls.set(id, { done, failed, onProgress }));
  }

  #start() {
    const worker = new Worker(this.#url, { type: 'module' });
    worker.onmessage = ({ data: { id, progress, result, error } }) => {
      const { done, failed, onProgress } = this.#calls.get(id);
      if (progress) return onProgress(progress);
      this.#calls.delete(id);
      if (error) failed(new WgruError(error.code, error.message));
      else done(result);
    };
    // The next call starts another worker.
    worker.onerror = ({ message }) => {
      worker.terminate();
      this.#worker = undefined;
      for (const { failed } of this.#calls.values()) failed(new WgruError('internal', `the worker failed: ${message ?? 'it did not start'}`));
      this.#calls.clear();
    };
    return worker;
  }
}
