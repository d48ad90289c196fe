import { floats, show } from './check.js';
import { type WgruError, asError, fail, isFatal } from './errors.js';
import type { Glue, GlueStream } from './glue.js';

const instances = new WeakMap<Glue, Instance>();

/** The module of one thread, made again after a fault. There is one for each glue, which is itself made once. */
export class Instance {
  #memory: WebAssembly.Memory | undefined;
  /** Counts the instances: objects of an earlier one are of no more use. */
  age = 0;
  /** Called with the error when a fault ends the current instance. */
  readonly users = new Set<(error: WgruError) => void>();

  private constructor(
    readonly glue: Glue,
    readonly module: WebAssembly.Module,
  ) {}

  /** The one of this thread, of `module` unless there is one of another build. */
  static of(glue: Glue, module: WebAssembly.Module): Instance {
    let instance = instances.get(glue);
    if (!instance) {
      instance = new Instance(glue, module);
      instances.set(glue, instance);
    }
    return instance;
  }

  get memory(): WebAssembly.Memory {
    this.#memory ??= this.glue.initSync({ module: this.module }).memory;
    return this.#memory;
  }

  /** Runs what may fail; a fault makes the next use a new instance. */
  guard<T>(what: (memory: WebAssembly.Memory) => T): T {
    const { age } = this;
    try {
      return what(this.memory);
    } catch (thrown) {
      throw this.failed(thrown, age);
    }
  }

  /** `thrown` as a `WgruError`; a fault ends the instance of `age`. */
  failed(thrown: unknown, age: number): unknown {
    const error = asError(thrown);
    if (isFatal(error)) this.reset(age, error);
    return error;
  }

  /** Ends the instance of `age`, unless it has ended. */
  reset(age: number, error: WgruError): void {
    if (age !== this.age) return;
    this.glue.__wbg_reset_state();
    this.#memory = undefined;
    this.age++;
    // Promises of the ended instance never settle.
    for (const end of [...this.users]) end(error);
  }

  /** A stream of the network in the bytes of a file. */
  stream(bytes: Uint8Array, options: object): Stream {
    return new Stream(this, this.guard(() => this.glue.Stream.read(bytes, options)));
  }
}

const theMemory = (memory: WebAssembly.Memory) => memory;

/** Refuses a frame that is not `length` numbers; `set` would silently convert other values. */
function checkFrame(frame: ArrayLike<number>, length: number): void {
  if (!frame) fail('value', `frame: expected numbers, got ${show(frame)}`);
  if (frame.length !== length) fail('shape', `frame: expected ${length} numbers, got ${frame.length}`);
  if (frame instanceof Float32Array) return;
  for (let i = 0; i < length; i++)
    if (typeof frame[i] !== 'number') fail('value', `frame[${i}]: expected a number, got ${show(frame[i])}`);
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

  get #open(): GlueStream {
    if (!this.#inner) fail('freed', 'the stream was freed');
    if (this.#age !== this.instance.age) fail('panic', 'the module failed after the stream was made: make a new one');
    return this.#inner;
  }

  /** The views, made again when the module's memory has grown. */
  #look(): void {
    const { buffer } = this.instance.guard(theMemory);
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
    if (frame !== undefined) {
      checkFrame(frame, this.#frame.length);
      this.#frame.set(frame);
    }
    try {
      inner.step();
    } catch (thrown) {
      throw this.instance.failed(thrown, this.#age);
    }
    return this.#output;
  }

  /** All sequences begin again. */
  reset(): void {
    this.instance.guard(() => this.#open.reset());
  }

  /** A copy of the states, `[layers, batch, …]`. */
  state(): Float32Array {
    return this.instance.guard(() => this.#open.state());
  }

  /** Goes on from `state`. */
  setState(state: Float32Array): void {
    this.instance.guard(() => this.#open.setState(floats('state', state)));
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
