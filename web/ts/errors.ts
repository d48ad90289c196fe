/** Why a call failed. Codes stay the same from version to version; messages may change. */
export type Code =
  /** An argument or option is out of range, or unknown. */
  | 'value'
  /** A length or shape does not fit. */
  | 'shape'
  /** A wrong type of elements. */
  | 'dtype'
  /** The bytes are no file of the kind asked for. */
  | 'format'
  /** A file that is understood, but not run. */
  | 'unsupported'
  /** No WebGPU, or no adapter. */
  | 'no-adapter'
  /** The work is too large for the adapter. */
  | 'limit'
  /** The GPU went away. The next call opens a new one, with the weights restored. */
  | 'device-lost'
  /** What the GPU reported otherwise. */
  | 'gpu'
  /** More memory than there is. The next call starts anew, with the weights restored. */
  | 'out-of-memory'
  /** A fault inside the library. The next call starts anew, with the weights restored. */
  | 'panic'
  /** A loss, gradient or weight became NaN or infinite in training. The weights stay finite. */
  | 'diverged'
  /** The `AbortSignal` fired. */
  | 'aborted'
  /** The stream has a call in flight. */
  | 'busy'
  /** The object was freed. */
  | 'freed'
  /** A file of a model or of the package could not be fetched, or the server sent something else. */
  | 'network'
  /** The browser forbids WebAssembly or the worker: a content security policy, or a package on another origin. */
  | 'blocked'
  /** `onEpoch` or `onProgress` threw: `cause` is what it threw. */
  | 'callback'
  /** Anything else. */
  | 'internal';

/** What every rejected promise of this package holds. */
export class WgruError extends Error {
  override readonly name = 'WgruError';
  constructor(
    readonly code: Code,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The policy that a page needs, for messages. */
const POLICY = "the page's Content-Security-Policy must allow script-src 'wasm-unsafe-eval' and worker-src 'self'";

/** `error` as a `WgruError`. A trap of the wasm module ends it: see `isFatal`. */
export function asError(error: unknown): WgruError {
  if (error instanceof WgruError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const as = (code: Code, told = message) => new WgruError(code, told, { cause: error });
  const { name, code } = (error ?? {}) as { name?: unknown; code?: Code };
  // Of the module, or of another copy of this package.
  if (name === 'WgruError' && code) return as(code);
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    // A panic brings its own code; what ends the module without one is an allocation that failed.
    return as(/unreachable|memory|allocation/i.test(message) ? 'out-of-memory' : 'panic');
  }
  if (error instanceof WebAssembly.CompileError && /policy/i.test(message)) return as('blocked', `${POLICY}: ${message}`);
  // The module was made anew after a fault of another device in this thread.
  if (/stale object/.test(message)) return as('panic');
  return as('internal');
}

/** Whether nothing of the module can be used after this error. */
export const isFatal = (error: WgruError): boolean =>
  error.code === 'panic' || error.code === 'out-of-memory' || error.code === 'device-lost';

export function fail(code: Code, message: string): never {
  throw new WgruError(code, message);
}
