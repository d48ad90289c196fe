import { floats } from './check.js';
import { fail } from './errors.js';
import { Freeable } from './freeable.js';
import type { GlueBound, GluePort } from './glue.js';
import type { Instance } from './stream.js';
import type { Floats } from './types.js';

/** An input or output: the caller's array, and the place in the module's memory that it is copied to or from. */
interface Port extends GluePort {
  readonly values: Floats;
  view: Float32Array;
}

const opened = (ports: GluePort[]): Port[] =>
  ports.map((port) => ({ ...port, values: new Float32Array(port.dims.reduce((n, d) => n * d, 1)), view: new Float32Array() }));
const byName = (ports: Port[]) => Object.fromEntries(ports.map(({ name, values }) => [name, values]));

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
export class BoundStream extends Freeable {
  /** The inputs by name: write the next frame here. The arrays stay the same, and stay valid. */
  readonly inputs: Readonly<Record<string, Floats>>;
  /** The outputs of the last run by name; integers as floats. The arrays stay the same, and stay valid. */
  readonly outputs: Readonly<Record<string, Floats>>;
  /** The extents of the inputs and outputs by name. */
  readonly dims: Readonly<Record<string, number[]>>;
  private readonly age: number;
  private readonly from: Port[];
  private readonly to: Port[];
  private inner: GlueBound | undefined;
  private buffer: ArrayBufferLike | undefined;

  /** @internal */
  constructor(
    private readonly instance: Instance,
    inner: GlueBound,
  ) {
    super();
    this.inner = inner;
    this.age = instance.age;
    const { inputs, outputs } = instance.guard(() => inner.ports());
    [this.from, this.to] = [opened(inputs), opened(outputs)];
    [this.inputs, this.outputs] = [byName(this.from), byName(this.to)];
    this.dims = Object.fromEntries([...inputs, ...outputs].map(({ name, dims }) => [name, dims]));
    // Inputs that hold integers have the values of the example.
    this.look();
    for (const { values, view } of [...this.from, ...this.to]) values.set(view);
  }

  private get open(): GlueBound {
    if (!this.inner) fail('freed', 'the stream was freed');
    if (this.age !== this.instance.age) fail('panic', 'the module failed after the stream was created: create a new one');
    return this.inner;
  }

  /** Recreates the views if the module's memory has grown. */
  private look(): void {
    const { buffer } = this.instance.memory;
    if (buffer === this.buffer) return;
    this.buffer = buffer;
    for (const ports of [this.from, this.to]) for (const port of ports) port.view = new Float32Array(buffer, port.pointer, port.values.length);
  }

  /** Runs the model on the values in `inputs`. Returns `outputs`. */
  run(): Readonly<Record<string, Floats>> {
    const inner = this.open;
    this.look();
    for (const port of this.from) port.view.set(port.values);
    try {
      inner.run();
    } catch (thrown) {
      throw this.instance.failed(thrown, this.age);
    }
    this.look();
    for (const port of this.to) port.values.set(port.view);
    return this.outputs;
  }

  /** Clears the state: the next run starts like the first. */
  reset(): void {
    this.instance.guard(() => this.open.reset());
  }

  /** Returns a copy of the state. */
  state(): Floats {
    return this.instance.guard(() => this.open.state());
  }

  /** Replaces the state: the next run continues from `state`. */
  setState(state: Float32Array): void {
    this.instance.guard(() => this.open.setState(floats('state', state)));
  }

  /** Frees the stream's memory. Later calls of `run` fail with the code `freed`. */
  free(): void {
    if (this.inner && this.age === this.instance.age) this.inner.free();
    this.inner = undefined;
  }
}

/** Binds a model to inputs like those of `example`. */
export function bind(instance: Instance, bytes: Uint8Array, example: object, options: object): BoundStream {
  const { Bound } = instance.glue;
  if (!Bound) fail('internal', 'this module has no ONNX models');
  // `glue.Bound` exists before the module is instantiated, which `guard` does.
  return new BoundStream(instance, instance.guard(() => Bound.read(bytes, example, options)));
}
