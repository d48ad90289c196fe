import { floats, show } from './check.js';
import { type WgruError, asError, fail, isFatal } from './errors.js';
import { Freeable } from './freeable.js';
import type { Glue, GlueStream } from './glue.js';
import type { Floats } from './types.js';

const instances = new WeakMap<Glue, Instance>();

/** The module instance of one thread, replaced after a fault. There is one for each glue module. */
export class Instance {
  private current: WebAssembly.Memory | undefined;
  /** Number of faults so far. Objects of an earlier age are unusable. */
  age = 0;
  /** Called with the error when a fault ends the current instance. */
  readonly users = new Set<(error: WgruError) => void>();

  private constructor(
    readonly glue: Glue,
    readonly module: WebAssembly.Module,
  ) {}

  /** Returns the instance of this thread. An existing one may be of a different build than `module`. */
  static of(glue: Glue, module: WebAssembly.Module): Instance {
    let instance = instances.get(glue);
    if (!instance) {
      instance = new Instance(glue, module);
      instances.set(glue, instance);
    }
    return instance;
  }

  get memory(): WebAssembly.Memory {
    this.current ??= this.glue.initSync({ module: this.module }).memory;
    return this.current;
  }

  /** Runs `what`. After a fault, the next use creates a new instance. */
  guard<T>(what: (memory: WebAssembly.Memory) => T): T {
    const { age } = this;
    try {
      return what(this.memory);
    } catch (thrown) {
      throw this.failed(thrown, age);
    }
  }

  /** Converts `thrown` to a `WgruError`. A fault ends the instance of `age`. */
  failed(thrown: unknown, age: number): unknown {
    const error = asError(thrown);
    if (isFatal(error)) this.reset(age, error);
    return error;
  }

  /** Ends the instance of `age`, unless it has ended already. */
  reset(age: number, error: WgruError): void {
    if (age !== this.age) return;
    this.glue.__wbg_reset_state();
    this.current = undefined;
    this.age++;
    // Promises of the ended instance never settle.
    for (const end of [...this.users]) end(error);
  }

  /** Creates a stream from the bytes of a safetensors file. */
  stream(bytes: Uint8Array, options: object): Stream {
    const { Stream: inner } = this.glue;
    if (!inner) fail('internal', 'this module has no streams');
    return new Stream(this, this.guard(() => inner.read(bytes, options)));
  }
}

/** Throws unless `frame` is `length` numbers: `set` would silently convert other values. */
function checkFrame(frame: ArrayLike<number>, length: number): void {
  if (!frame) fail('value', `frame: expected numbers, got ${show(frame)}`);
  if (frame.length !== length) fail('shape', `frame: expected ${length} numbers, got ${frame.length}`);
  if (frame instanceof Float32Array) return;
  for (let i = 0; i < length; i++)
    if (typeof frame[i] !== 'number') fail('value', `frame[${i}]: expected a number, got ${show(frame[i])}`);
}

/** Copies `count` numbers. Unlike `set` of a `subarray`, it does not allocate. */
function copy(from: Float32Array, first: number, to: Float32Array, at: number, count: number): void {
  for (let i = 0; i < count; i++) to[at + i] = from[first + i] as number;
}

/**
 * Runs a network frame by frame on the CPU, in the calling thread, without waiting or allocating.
 *
 * ```js
 * stream.frame.set(features);
 * stream.step();
 * const score = stream.output[0];
 * ```
 */
export class Stream extends Freeable {
  /** The input `[batch, input]`: write the next frame here. The array stays the same, and stays valid. */
  readonly frame: Floats;
  /** The output `[batch, outputs]` of the last step. The array stays the same, and stays valid. */
  readonly output: Floats;
  private readonly age: number;
  private inner: GlueStream | undefined;
  // Views of the module's memory, which become invalid when it grows.
  private buffer: ArrayBufferLike | undefined;
  private frames = new Float32Array();
  private outputs = new Float32Array();

  /** @internal */
  constructor(
    private readonly instance: Instance,
    inner: GlueStream,
  ) {
    super();
    this.inner = inner;
    this.age = instance.age;
    this.frame = new Float32Array(inner.frameLength);
    this.output = new Float32Array(inner.outputLength);
  }

  private get open(): GlueStream {
    if (!this.inner) fail('freed', 'the stream was freed');
    if (this.age !== this.instance.age) fail('panic', 'the module failed after the stream was created: create a new one');
    return this.inner;
  }

  /** Recreates the views if the module's memory has grown. */
  private look(inner: GlueStream): void {
    const { buffer } = this.instance.memory;
    if (buffer === this.buffer) return;
    this.buffer = buffer;
    this.frames = new Float32Array(buffer, inner.framePointer, inner.steps * this.frame.length);
    this.outputs = new Float32Array(buffer, inner.outputPointer, inner.steps * this.output.length);
  }

  /** Runs one step on `frame`, which is copied to `this.frame`, or on the values there. Returns `output`. */
  step(frame?: ArrayLike<number>): Floats {
    const inner = this.open;
    if (frame !== undefined) {
      checkFrame(frame, this.frame.length);
      this.frame.set(frame);
    }
    this.look(inner);
    this.frames.set(this.frame);
    try {
      inner.step();
    } catch (thrown) {
      throw this.instance.failed(thrown, this.age);
    }
    this.look(inner);
    copy(this.outputs, 0, this.output, 0, this.output.length);
    return this.output;
  }

  /**
   * Runs as many steps as `input` has frames: reads `[steps, batch, input]` and writes `[steps, batch, outputs]` to
   * `output`, which is returned. Gives the same numbers as `step` for each frame, in less time. `output` may be `input`
   * if an output has as many numbers as a frame. Without `output`, it allocates one.
   *
   * ```js
   * process([[input]], [[output]]) {
   *   this.stream.process(input, output);
   *   return true;
   * }
   * ```
   */
  process(input: Float32Array, output?: Float32Array): Float32Array {
    const inner = this.open;
    const [frame, width] = [this.frame.length, this.output.length];
    const steps = Math.ceil(floats('input', input).length / frame);
    if (input.length !== steps * frame) fail('shape', `input: expected frames of ${frame} numbers, got ${input.length}`);
    const to = output === undefined ? new Float32Array(steps * width) : floats('output', output);
    if (to.length !== steps * width) fail('shape', `output: expected ${steps * width} numbers, got ${to.length}`);
    const most = inner.steps;
    for (let done = 0; done < steps; done += most) {
      const count = Math.min(most, steps - done);
      this.look(inner);
      copy(input, done * frame, this.frames, 0, count * frame);
      try {
        inner.process(count);
      } catch (thrown) {
        throw this.instance.failed(thrown, this.age);
      }
      this.look(inner);
      copy(this.outputs, 0, to, done * width, count * width);
    }
    return to;
  }

  /** Resets the states of all sequences. */
  reset(): void {
    this.instance.guard(() => this.open.reset());
  }

  /** Returns a copy of the states `[layers, batch, …]`. */
  state(): Floats {
    return this.instance.guard(() => this.open.state());
  }

  /** Replaces the states: the next step continues from `state`. */
  setState(state: Float32Array): void {
    this.instance.guard(() => this.open.setState(floats('state', state)));
  }

  /** Returns an independent copy that continues from the current states. */
  fork(): Stream {
    const fork = new Stream(this.instance, this.instance.guard(() => this.open.fork()));
    fork.frame.set(this.frame);
    fork.output.set(this.output);
    return fork;
  }

  /** Frees the stream's memory. Later calls of `step` fail with the code `freed`. */
  free(): void {
    if (this.inner && this.age === this.instance.age) this.inner.free();
    this.inner = undefined;
  }
}
