/** Why a call failed. Codes are stable across versions; messages may change. */
export type Code =
  /** An argument or option is out of range, or unknown. */
  | 'value'
  /** An array has the wrong length or shape. */
  | 'shape'
  /** An array has the wrong element type. */
  | 'dtype'
  /** The bytes are not a valid file of the expected kind. */
  | 'format'
  /** The file, the browser or the build lacks support for this. */
  | 'unsupported'
  /** No WebGPU, or no adapter. */
  | 'no-adapter'
  /** The work exceeds a limit of the adapter, or the budget of an ONNX run. */
  | 'limit'
  /** The GPU device was lost. The next call opens a new one, with the weights restored. */
  | 'device-lost'
  /** Any other error that the GPU reported. */
  | 'gpu'
  /** Memory ran out. The next call starts over, with the weights restored. */
  | 'out-of-memory'
  /** A fault inside the library. The next call starts over, with the weights restored. */
  | 'panic'
  /** A loss, gradient or weight became NaN or infinite during training. The weights stay finite. */
  | 'diverged'
  /** The `AbortSignal` fired. The error's name is `AbortError`, or `TimeoutError` after `AbortSignal.timeout`. */
  | 'aborted'
  /** The stream has a call in flight. */
  | 'busy'
  /** The object was freed. */
  | 'freed'
  /** A model file or a file of the package could not be fetched, or the server sent something else. */
  | 'network'
  /**
   * The browser blocked WebAssembly or the worker, because of a content security policy.
   */
  | 'blocked'
  /** `onEpoch` or `onProgress` threw; `cause` is the exception. */
  | 'callback'
  /** Tensors of two devices, or a tensor that was changed between forward and backward: a fault of this package. */
  | 'device-mix'
  | 'modified-in-place'
  /** A file could not be read or written. */
  | 'io'
  /** Anything else. */
  | 'internal';

/** The error of every rejected promise of this package. `code` says why the call failed. */
export class WgruError extends Error {
  /** `WgruError`. With the code `aborted` it is `AbortError` or `TimeoutError`, as for `fetch`. */
  override readonly name: string;

  /** Creates an error. `options.cause` is the error that led to it. */
  constructor(
    /** Why the call failed. Codes are stable across versions; messages may change. */
    readonly code: Code,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    const reason = (options?.cause as { name?: unknown } | undefined)?.name;
    this.name = code !== 'aborted' ? 'WgruError' : reason === 'TimeoutError' ? reason : 'AbortError';
  }
}

/** @internal The error of a call whose signal fired. */
export const aborted = (signal: AbortSignal, message = 'aborted'): WgruError => new WgruError('aborted', message, { cause: signal.reason });

/** @internal Settles like `work`, but fails as soon as `signal` fires. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((done, failed) => {
    const abort = () => failed(aborted(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(done, failed).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** The content security policy that a page needs, for error messages. */
const POLICY = "the page's Content-Security-Policy must allow script-src 'wasm-unsafe-eval' and worker-src 'self'";

/** @internal Converts `error` to a `WgruError`. A trap ends the wasm module: see `isFatal`. */
export function asError(error: unknown): WgruError {
  if (error instanceof WgruError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const as = (code: Code, told = message) => new WgruError(code, told, { cause: error });
  const { name, code } = (error ?? {}) as { name?: unknown; code?: Code };
  // Thrown by the module, or by another copy of this package. A `DOMException` has a number as code.
  if ((name === 'WgruError' && code) || code === 'aborted') return as(code);
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    // A panic has its own code. An `unreachable` without one is a failed allocation.
    return as(/unreachable|memory|allocation/i.test(message) ? 'out-of-memory' : 'panic');
  }
  if (error instanceof WebAssembly.CompileError && /policy|CSP/i.test(message)) return as('blocked', `${POLICY}: ${message}`);
  // The module was replaced after a fault of another device in this thread.
  if (/stale object/.test(message)) return as('panic');
  return as('internal');
}

/** @internal Whether the module is unusable after this error. */
export const isFatal = (error: WgruError): boolean =>
  error.code === 'panic' || error.code === 'out-of-memory' || error.code === 'device-lost';

/** @internal Throws a `WgruError`. */
export function fail(code: Code, message: string): never {
  throw new WgruError(code, message);
}
