import { WgruError, asError, isFatal } from './errors.js';
import type { Glue } from './glue.js';
import { Host } from './host.js';
import type { Args, Call, EpochReport, Reply, Request, Result } from './protocol.js';

/** What a caller may hear and do while a call runs. */
export interface Options {
  onEpoch?: (report: EpochReport) => void;
  signal?: AbortSignal;
  /** Buffers to hand over instead of copying. */
  transfer?: Transferable[];
}

interface Pending extends Options {
  done: (result: unknown) => void;
  failed: (error: WgruError) => void;
}

/** A module at work: in a worker, or in this thread. After a fatal error it is of no more use. */
export abstract class Link {
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #ended: WgruError | undefined;

  /** @param onFatal hears of the error after which nothing works, once. */
  constructor(private readonly onFatal: (error: WgruError) => void) {}

  protected abstract send<C extends Call>(call: number, name: C, args: Args<C>, transfer?: Transferable[]): void;
  protected abstract abort(call: number): void;
  protected abstract stop(): void;

  /** Does one call. */
  call<C extends Call>(name: C, args: Args<C>, options: Options = {}): Promise<Result<C>> {
    return new Promise((done, failed) => {
      if (this.#ended) return failed(this.#ended);
      const { signal } = options;
      if (signal?.aborted) return failed(new WgruError('aborted', 'aborted before it began', { cause: signal.reason }));
      const call = this.#next++;
      const abort = () => this.abort(call);
      signal?.addEventListener('abort', abort, { once: true });
      const over = () => signal?.removeEventListener('abort', abort);
      this.#pending.set(call, {
        ...options,
        done: (result) => {
          over();
          if (signal?.aborted) failed(new WgruError('aborted', 'aborted', { cause: signal.reason }));
          else done(result as Result<C>);
        },
        failed: (error) => {
          over();
          failed(error);
        },
      });
      try {
        this.send(call, name, args, options.transfer);
      } catch (cause) {
        // What cannot be copied to a worker: a detached buffer, a function.
        this.settle(call, (pending) => pending.failed(new WgruError('value', (cause as Error).message, { cause })));
      }
    });
  }

  protected settle(call: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (pending) how(pending);
  }

  protected epoch(call: number, report: EpochReport): void {
    this.#pending.get(call)?.onEpoch?.(report);
  }

  /** Ends it: what is in flight fails with `error`. */
  end(error: WgruError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.stop();
    this.onFatal(error);
    for (const pending of this.#pending.values()) pending.failed(error);
    this.#pending.clear();
  }
}

/** A module in a worker of its own. */
export class WorkerLink extends Link {
  constructor(
    private readonly worker: Worker,
    module: WebAssembly.Module,
    onFatal: (error: WgruError) => void,
  ) {
    super(onFatal);
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#hear(data);
    worker.onerror = (event) => this.end(new WgruError('panic', event.message || 'the worker could not be started'));
    this.#post({ type: 'start', module });
  }

  #post(request: Request, transfer: Transferable[] = []): void {
    this.worker.postMessage(request, transfer);
  }

  #hear(reply: Reply): void {
    if (reply.type === 'fatal') this.end(new WgruError(reply.code, reply.message));
    else if (reply.type === 'epoch') this.epoch(reply.call, reply.report);
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
    this.worker.terminate();
  }
}

/** A module in this thread. */
export class LocalLink extends Link {
  readonly #host: Host;
  readonly #aborted = new Set<number>();
  // A fault inside an asynchronous call of the module ends here, not in its promise.
  readonly #onError = (event: Event) => {
    const error = asError((event as ErrorEvent).error ?? (event as PromiseRejectionEvent).reason);
    if (isFatal(error)) this.end(error);
  };

  constructor(glue: Glue, onFatal: (error: WgruError) => void) {
    super(onFatal);
    this.#host = new Host(glue);
    globalThis.addEventListener?.('error', this.#onError);
    globalThis.addEventListener?.('unhandledrejection', this.#onError);
  }

  protected send<C extends Call>(call: number, name: C, args: Args<C>): void {
    const watch = {
      aborted: () => this.#aborted.has(call),
      onEpoch: (report: EpochReport) => this.epoch(call, report),
    };
    this.#host.do(name, args, watch).then(
      (result) => this.settle(call, (pending) => pending.done(result)),
      (thrown) => {
        const error = asError(thrown);
        if (isFatal(error)) this.end(error);
        else this.settle(call, (pending) => pending.failed(error));
      },
    );
  }

  protected abort(call: number): void {
    this.#aborted.add(call);
  }

  protected stop(): void {
    globalThis.removeEventListener?.('error', this.#onError);
    globalThis.removeEventListener?.('unhandledrejection', this.#onError);
  }
}
