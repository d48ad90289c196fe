import { type Code, WgruError, aborted, asError, isFatal } from './errors.js';
import { Host } from './host.js';
import type { Args, Call, Reply, Request, Result, Weights } from './protocol.js';
import type { Instance } from './stream.js';
import type { Epoch } from './types.js';

/** Options of a call: progress, cancellation, transfers. */
export interface Options {
  /** Called after every epoch. If it throws or rejects, training ends. */
  onEpoch?: (report: Epoch) => unknown;
  /** Called with the weights, now and then during training, and after it. */
  onWeights?: (weights: Weights) => void;
  signal?: AbortSignal | undefined;
  /** Buffers to transfer instead of copying. */
  transfer?: Transferable[];
}

interface Pending extends Options {
  done: (result: unknown) => void;
  failed: (error: WgruError) => void;
  /** Settles when asynchronous listeners are done. */
  told: Promise<unknown>;
  /** The first exception of the listener. */
  threw?: WgruError;
}

/** Connection to a running module, in a worker or in this thread. A fatal error ends it. */
export abstract class Link {
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #ended: WgruError | undefined;

  /** @param onFatal Called once, with the error that ended the link. */
  constructor(private readonly onFatal: (error: WgruError) => void) {}

  protected abstract send<C extends Call>(call: number, name: C, args: Args<C>, transfer?: Transferable[]): void;
  protected abstract abort(call: number): void;
  protected abstract stop(error: WgruError): void;

  /** Executes one call. */
  call<C extends Call>(name: C, args: Args<C>, options: Options = {}): Promise<Result<C>> {
    return new Promise((done, failed) => {
      if (this.#ended) return failed(this.#ended);
      const { signal } = options;
      if (signal?.aborted) return failed(aborted(signal, 'aborted before it began'));
      const call = this.#next++;
      const abort = () => {
        this.abort(call);
        // Training ends after its current update. Nothing waits for the result of another call.
        if (name !== 'train') this.settle(call, (pending) => pending.failed(aborted(signal!)));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const over = () => signal?.removeEventListener('abort', abort);
      const pending: Pending = {
        ...options,
        told: Promise.resolve(),
        done: async (result) => {
          await pending.told;
          over();
          if (pending.threw) failed(pending.threw);
          else if (signal?.aborted) failed(aborted(signal));
          else done(result as Result<C>);
        },
        failed: (error) => {
          over();
          failed(error.code === 'aborted' && signal?.aborted ? aborted(signal, error.message) : error);
        },
      };
      this.#pending.set(call, pending);
      try {
        this.send(call, name, args, options.transfer);
      } catch (cause) {
        // The arguments could not be copied to the worker: a buffer was detached meanwhile, or memory ran out.
        const error = asError(cause);
        failed(error.code === 'internal' ? new WgruError('value', error.message, { cause }) : error);
        this.settle(call, over);
      }
    });
  }

  protected settle(call: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (pending) how(pending);
  }

  protected epoch(call: number, report: Epoch): void {
    const pending = this.#pending.get(call);
    if (!pending?.onEpoch || pending.threw) return;
    const threw = (cause: unknown) => {
      pending.threw ??= new WgruError('callback', `onEpoch threw: ${asError(cause).message}`, { cause });
      this.abort(call);
    };
    try {
      pending.told = Promise.all([pending.told, Promise.resolve(pending.onEpoch(report)).catch(threw)]);
    } catch (cause) {
      threw(cause);
    }
  }

  protected weights(call: number, weights: Weights): void {
    this.#pending.get(call)?.onWeights?.(weights);
  }

  /** Ends the link. Calls in flight fail with `error`. */
  end(error: WgruError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.stop(error);
    this.onFatal(error);
    for (const pending of this.#pending.values()) pending.failed(error);
    this.#pending.clear();
  }
}

const NOT_STARTED =
  "the worker's script could not be started: serve all of dist/js as JavaScript or give open({ workerUrl }), and let the Content-Security-Policy allow worker-src 'self' (blob: and the package's origin, if that is another) and script-src 'wasm-unsafe-eval'";

/** Connection to a module in its own worker. */
export class WorkerLink extends Link {
  readonly #worker: Worker;

  constructor(worker: Worker, module: WebAssembly.Module, onFatal: (error: WgruError) => void) {
    super(onFatal);
    this.#worker = worker;
    // Until the worker answers, an error means that its script did not start. Only a `securitypolicyviolation` event
    // distinguishes a blocked script from a missing one.
    let silent: Code = 'network';
    const starting = new AbortController();
    const forbidden = ({ effectiveDirective }: SecurityPolicyViolationEvent) => {
      if (effectiveDirective === 'worker-src') silent = 'blocked';
    };
    globalThis.addEventListener?.('securitypolicyviolation', forbidden, { signal: starting.signal });
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      starting.abort();
      this.#hear(data);
    };
    this.#worker.onerror = ({ message }) => {
      const isStarted = starting.signal.aborted;
      starting.abort();
      this.end(isStarted ? new WgruError('panic', message) : new WgruError(silent, `${NOT_STARTED}${message ? `: ${message}` : ''}`));
    };
    this.#worker.onmessageerror = () => this.end(new WgruError('internal', 'a message of the worker could not be read'));
    this.#post({ type: 'start', module });
  }

  #post(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #hear(reply: Reply): void {
    if (reply.type === 'fatal') this.end(new WgruError(reply.code, reply.message));
    else if (reply.type === 'epoch') this.epoch(reply.call, reply.report);
    else if (reply.type === 'weights') this.weights(reply.call, reply.weights);
    else if (reply.type === 'done') this.settle(reply.call, (pending) => pending.done(reply.result));
    else this.settle(reply.call, (pending) => pending.failed(new WgruError(reply.code, reply.message)));
  }

  protected send<C extends Call>(call: number, name: C, args: Args<C>, transfer?: Transferable[]): void {
    this.#post({ type: 'call', call, name, args }, transfer);
  }

  protected abort(call: number): void {
    this.#post({ type: 'abort', call });
  }

  protected stop(): void {
    this.#worker.terminate();
  }
}

/** Connection to a module in this thread. */
export class LocalLink extends Link {
  readonly #host: Host;
  readonly #aborted = new Set<number>();
  // A fault inside an asynchronous call of the module arrives here: its promise never settles.
  readonly #onError = (event: Event) => {
    const thrown: unknown = (event as ErrorEvent).error ?? (event as PromiseRejectionEvent).reason;
    // Other code throws in this thread too, and its stack overflow is not a fault of the module.
    if (thrown instanceof RangeError) return;
    const error = asError(thrown);
    if (isFatal(error)) this.end(error);
  };

  readonly #end = (error: WgruError) => this.end(error);

  constructor(
    private readonly instance: Instance,
    onFatal: (error: WgruError) => void,
  ) {
    super(onFatal);
    this.#host = new Host(instance.glue);
    instance.users.add(this.#end);
    globalThis.addEventListener?.('error', this.#onError);
    globalThis.addEventListener?.('unhandledrejection', this.#onError);
  }

  protected send<C extends Call>(call: number, name: C, args: Args<C>): void {
    const watch = {
      aborted: () => this.#aborted.has(call),
      onEpoch: (report: Epoch) => this.epoch(call, report),
      onWeights: (weights: Weights) => this.weights(call, weights),
    };
    this.#host.do(name, args, watch).then(
      (result) => this.settle(call, (pending) => pending.done(result)),
      (thrown) => {
        const error = asError(thrown);
        if (isFatal(error)) this.end(error);
        else this.settle(call, (pending) => pending.failed(error));
      },
    ).finally(() => this.#aborted.delete(call));
  }

  protected abort(call: number): void {
    this.#aborted.add(call);
  }

  protected stop(error: WgruError): void {
    this.instance.users.delete(this.#end);
    if (!isFatal(error)) this.#host.clear().catch(() => {});
    globalThis.removeEventListener?.('error', this.#onError);
    globalThis.removeEventListener?.('unhandledrejection', this.#onError);
  }
}
