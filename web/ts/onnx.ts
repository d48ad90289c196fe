import { expect, floats, named, attached, wholes } from './check.js';
import { fail } from './errors.js';
import { type Held, Owned, type Owner } from './owned.js';
import type { OnnxInfo, OnnxValue, OnnxValues } from './types.js';

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

/** An ONNX model. */
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

  /** Runs the graph. */
  async run(inputs: OnnxValues): Promise<OnnxValues> {
    return (await this.call('onnx', { id: this.id, inputs: checked(inputs) })) as OnnxValues;
  }

  /** Creates a stream, which keeps the states of the model from call to call. A fault of the device ends it. */
  async stream(): Promise<OnnxStream> {
    const id = this.device.id();
    await this.call('onnxStream', { id, of: this.id });
    return new OnnxStream(this.device, { id, origin: this.origin });
  }
}

/** An ONNX model that keeps its states from call to call. */
export class OnnxStream extends Owned {
  #busy = false;

  /** Runs the graph, starting from the states after the previous call. Only one call may be in flight. */
  async run(inputs: OnnxValues): Promise<OnnxValues> {
    this.check();
    if (this.#busy) fail('busy', 'the stream has a call in flight');
    this.#busy = true;
    try {
      return (await this.call('onnx', { id: this.id, inputs: checked(inputs) })) as OnnxValues;
    } finally {
      this.#busy = false;
    }
  }

  /** Discards the states: the next call starts like the first. */
  async reset(): Promise<void> {
    await this.call('reset', { id: this.id });
  }
}
