import { asError, fail, isFatal } from './errors.js';
import type { Glue, GlueStream } from './glue.js';
import type { StreamOptions } from './types.js';

/** The module of one thread, made again after a fault. */
export class Instance {
  #memory: WebAssembly.Memory | undefined;
  /** Counts the instances: objects of an earlier one are of no more use. */
  age = 0;

  constructor(
    readonly glue: Glue,
    private readonly module: WebAssembly.Module,
  ) {}

  get memory(): WebAssembly.Memory {
    this.#memory ??= this.glue.initSync({ module: this.module }).memory;
    return this.#memory;
  }

  /** Runs what may fail; a fault makes the next use a new instance. */
  guard<T>(what: () => T): T {
    try {
      void this.memory;
      return what();
    } catch (thrown) {
      const error = asError(thrown);
      if (isFatal(error)) this.reset();
      throw error;
    }
  }

  reset(): void {
    this.glue.__wbg_reset_state();
    this.#memory = undefined;
    this.age++;
  }
}

/**
 * A network frame by frame, on the CPU and in the calling thread: nothing waits, nothing is allocated.
 *
 * ```js
 * stream.frame.set(features);
 * stream.step();
 * const score = stream.output[0];
 * ```
 */
export class Stream implements Disposable {
  readonly #age: number;
  #inner: GlueStream | undefined;
  #buffer: ArrayBufferLike | undefined;
  #frame = new Float32Array();
  #output = new Float32Array();

  /** @internal */
  constructor(
    private readonly instance: Instance,
    inner: GlueStream,
  ) {
    this.#inner = inner;
    this.#age = instance.age;
  }

  /** @internal A stream of the network in the bytes of a file. */
  static read(instance: Instance, bytes: Uint8Array, options: StreamOptions & { steps?: 'last' | 'every' }): Stream {
    const text = JSON.stringify(options);
    return new Stream(instance, instance.guard(() => instance.glue.Stream.read(bytes, text)));
  }

  get #open(): GlueStream {
    if (!this.#inner) fail('freed', 'the stream was freed');
    if (this.#age !== this.instance.age) fail('panic', 'the module failed after the stream was made: make a new one');
    return this.#inner;
  }

  /** The views, made again when the module's memory has grown. */
  #look(): void {
    const { buffer } = this.instance.memory;
    if (buffer === this.#buffer) return;
    const inner = this.#open;
    this.#buffer = buffer;
    this.#frame = new Float32Array(buffer, inner.framePointer, inner.frameLength);
    this.#output = new Float32Array(buffer, inner.outputPointer, inner.outputLength);
  }

  /** `[batch, input]`: write the next frame here. A view of the module's memory: take it anew for every frame. */
  get frame(): Float32Array {
    void this.#open;
    this.#look();
    return this.#frame;
  }

  /** `[batch, outputs]` of the last step. A view, as `frame`. */
  get output(): Float32Array {
    void this.#open;
    this.#look();
    return this.#output;
  }

  /** One step, of `frame` or of what was written to `this.frame`; gives `output`. */
  step(frame?: ArrayLike<number>): Float32Array {
    const inner = this.#open;
    this.#look();
    if (frame) {
      if (frame.length !== this.#frame.length) fail('shape', `frame: expected ${this.#frame.length} numbers, got ${frame.length}`);
      this.#frame.set(frame);
    }
    inner.step();
    return this.#output;
  }

  /** All sequences begin again. */
  reset(): void {
    this.#open.reset();
  }

  /** A copy of the states, `[layers, batch, …]`. */
  state(): Float32Array {
    return this.instance.guard(() => this.#open.state());
  }

  /** Goes on from `state`. */
  setState(state: Float32Array): void {
    this.instance.guard(() => this.#open.setState(state));
  }

  /** One that goes on from here on its own. */
  fork(): Stream {
    return new Stream(this.instance, this.instance.guard(() => this.#open.fork()));
  }

  free(): void {
    if (this.#inner && this.#age === this.instance.age) this.#inner.free();
    this.#inner = undefined;
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
