import { floats } from './check.js';
import { fail } from './errors.js';
import type { GlueBound, GluePort } from './glue.js';
import type { Instance } from './stream.js';

const theMemory = (memory: WebAssembly.Memory) => memory;

/**
 * Runs an ONNX model frame by frame on the CPU, in the calling thread, without waiting or allocating. The extents of the
 * inputs are fixed.
 *
 * ```js
 * bound.inputs.magnitudes.set(frame);
 * bound.run();
 * const gain = bound.outputs.gains[0];
 * ```
 */
export class BoundStream implements Disposable {
  readonly #age: number;
  readonly #ports: { inputs: GluePort[]; outputs: GluePort[] };
  #inner: GlueBound | undefined;
  #buffer: ArrayBufferLike | undefined;
  #inputs: Record<string, Float32Array> = {};
  #outputs: Record<string, Float32Array> = {};

  /** @internal */
  constructor(
    private readonly instance: Instance,
    inner: GlueBound,
  ) {
    this.#inner = inner;
    this.#age = instance.age;
    this.#ports = instance.guard(() => inner.ports());
  }

  get #open(): GlueBound {
    if (!this.#inner) fail('freed', 'the stream was freed');
    if (this.#age !== this.instance.age) fail('panic', 'the module failed after the stream was created: create a new one');
    return this.#inner;
  }

  /** Recreates the views if the module's memory has grown. */
  #look(): void {
    void this.#open;
    const { buffer } = this.instance.guard(theMemory);
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    const views = (ports: GluePort[]) =>
      Object.fromEntries(ports.map(({ name, dims, pointer }) => [name, new Float32Array(buffer, pointer, dims.reduce((n, d) => n * d, 1))]));
    this.#inputs = views(this.#ports.inputs);
    this.#outputs = views(this.#ports.outputs);
  }

  /**
   * The inputs by name: write the next frame here. They are views of the module's memory and become invalid when that
   * memory grows, so read this property again for every frame.
   */
  get inputs(): Readonly<Record<string, Float32Array>> {
    this.#look();
    return this.#inputs;
  }

  /** The outputs of the last run by name; integers as floats. Views, like `inputs`. */
  get outputs(): Readonly<Record<string, Float32Array>> {
    this.#look();
    return this.#outputs;
  }

  /** The extents of the inputs and outputs by name. */
  get dims(): Readonly<Record<string, number[]>> {
    return Object.fromEntries([...this.#ports.inputs, ...this.#ports.outputs].map(({ name, dims }) => [name, dims]));
  }

  /** Runs the model on the values in `inputs`. Returns `outputs`. */
  run(): Readonly<Record<string, Float32Array>> {
    const inner = this.#open;
    try {
      inner.run();
    } catch (thrown) {
      throw this.instance.failed(thrown, this.#age);
    }
    return this.outputs;
  }

  /** Clears the state: the next run starts like the first. */
  reset(): void {
    this.instance.guard(() => this.#open.reset());
  }

  /** Returns a copy of the state. */
  state(): Float32Array {
    return this.instance.guard(() => this.#open.state());
  }

  /** Replaces the state: the next run continues from `state`. */
  setState(state: Float32Array): void {
    this.instance.guard(() => this.#open.setState(floats('state', state)));
  }

  free(): void {
    if (this.#inner && this.#age === this.instance.age) this.#inner.free();
    this.#inner = undefined;
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** Binds a model to inputs like those of `example`. */
export function bind(instance: Instance, bytes: Uint8Array, example: object, options: object): BoundStream {
  const { Bound } = instance.glue;
  if (!Bound) fail('internal', 'this module has no ONNX models');
  // `glue.Bound` exists before the module is instantiated, which `guard` does.
  return new BoundStream(instance, instance.guard(() => Bound.read(bytes, example, options)));
}
