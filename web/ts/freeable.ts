/// <reference lib="esnext.disposable" preserve="true" />

/** Compilers of `using` take the same symbol where the engine has no `Symbol.dispose`. */
const dispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/** An object that holds memory until it is freed. Objects dropped without `free` are freed by garbage collection. */
export abstract class Freeable {
  /** Frees the memory. Later calls fail with the code `freed`; another call of `free` does nothing. */
  abstract free(): void;

  /** Calls `free` at the end of a block that declares the object with `using`. */
  [dispose](): void {
    this.free();
  }

  /** @internal Tells Vue not to make the object reactive: it is not plain data, and its parts are sent to workers. */
  get __v_skip(): boolean {
    return true;
  }
}
