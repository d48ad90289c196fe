import { type BoundStream, bind } from './bound.js';
import { attached, buffersOf, copied, flag, floats, named, nothing, signalOf, wholes } from './check.js';
import { fail } from './errors.js';
import { type Held, Owned, type Owner } from './owned.js';
import type { Bytes, OnnxInfo, OnnxRunOptions, OnnxStreamOptions, OnnxValue, OnnxValues } from './types.js';

/** The data from which a worklet makes a stream. Pass it there as `processorOptions`. */
export interface BoundParts {
  /** The compiled module for worklets. */
  module: WebAssembly.Module;
  /** The bytes of the model's file. */
  bytes: Uint8Array;
  /** The inputs that give the extents. */
  example: OnnxValues;
  /** The options of `bindParts`. */
  options: object;
}

/** Validates the inputs of a run. */
function checked(inputs: OnnxValues): OnnxValues {
  const values = Object.entries(named('inputs', inputs)).map(([name, given]) => {
    const { data, dims } = named<OnnxValue>(name, given, 'data', 'dims');
    const isInt = data instanceof Int32Array || data instanceof BigInt64Array;
    if (isInt) attached(name, data.buffer);
    else floats(`${name}: data`, data);
    return [name, { data, dims: wholes(`${name}: dims`, dims) }];
  });
  return Object.fromEntries(values);
}

/** Validates the options of a run. */
function options(values: OnnxValues, given: OnnxRunOptions): { signal: AbortSignal | undefined; transfer: Transferable[] } {
  const { signal, transfer, ...rest } = named('options', given);
  nothing('options', rest, 'signal, transfer');
  return { signal: signalOf(signal), transfer: flag('transfer', transfer) ? buffersOf(...Object.values(values).map(({ data }) => data)) : [] };
}

/** An ONNX model. Made by `device.loadOnnx`. */
export class OnnxModel extends Owned {
  /** @internal */
  constructor(
    device: Owner,
    held: Held,
    /** The inputs and outputs of the model. */
    readonly info: OnnxInfo,
  ) {
    super(device, held);
  }

  /** Runs the graph on inputs by name. Returns its outputs by name. */
  async run(inputs: OnnxValues, how: OnnxRunOptions = {}): Promise<OnnxValues> {
    const values = checked(inputs);
    return (await this.call('onnx', { id: this.id, inputs: values }, options(values, how))) as OnnxValues;
  }

  /** Creates a stream, which keeps the states of the model from call to call. A fault of the device ends it. */
  async stream(options: OnnxStreamOptions = {}): Promise<OnnxStream> {
    const given = copied(named('options', options));
    const id = this.device.id();
    await this.call('onnxStream', { id, of: this.id, options: given });
    return new OnnxStream(this.device, { id, origin: this.origin });
  }

  /**
   * Creates a stream that runs a copy of the model on the CPU in this thread, on buffers of the extents of `example`.
   * Integers keep the values that they have there.
   */
  async bind(example: OnnxValues, options: OnnxStreamOptions = {}): Promise<BoundStream> {
    const { bytes, ...parts } = this.parts(example, options);
    return bind(this.device.instance, bytes, parts.example, parts.options);
  }

  /** Returns the data from which `boundStreamOf` of `wgru/worklet-onnx` makes such a stream in an audio worklet. */
  async bindParts(example: OnnxValues, options: OnnxStreamOptions = {}): Promise<BoundParts> {
    const parts = this.parts(example, options);
    // Reports errors here, where they can be caught.
    (await this.bind(example, options)).free();
    return { module: await this.device.streamModule(), ...parts };
  }

  private parts(example: OnnxValues, options: OnnxStreamOptions): Omit<BoundParts, 'module'> {
    this.check();
    return { bytes: this.origin.bytes, example: checked(example), options: copied(named('options', options)) };
  }
}

/** An ONNX model that keeps its states from call to call. Made by `model.stream`. */
export class OnnxStream extends Owned {
  private busy = false;

  /** Runs the graph, starting from the states after the previous call. Only one call may be in flight. */
  async run(inputs: OnnxValues, how: Omit<OnnxRunOptions, 'signal'> = {}): Promise<OnnxValues> {
    this.check();
    if (this.busy) fail('busy', 'the stream has a call in flight');
    this.busy = true;
    try {
      const values = checked(inputs);
      return (await this.call('onnx', { id: this.id, inputs: values }, options(values, how))) as OnnxValues;
    } finally {
      this.busy = false;
    }
  }

  /** Discards the states: the next call starts like the first. */
  async reset(): Promise<void> {
    await this.call('reset', { id: this.id });
  }
}
