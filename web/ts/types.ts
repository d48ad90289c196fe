/** The device to compute on. `auto` uses WebGPU if there is a hardware adapter, else the CPU. */
export type DeviceChoice = 'auto' | 'webgpu' | 'cpu';

/** An adapter, in WebGPU's terms. */
export interface AdapterInfo {
  name: string;
  driver: string;
  /** Whether it computes on the CPU. */
  software: boolean;
  features: string[];
  maxBinding: number;
  maxBuffer: number;
  workgroupMemory: number;
}

/** A device, and why it was chosen. */
export interface DeviceInfo {
  kind: 'webgpu' | 'cpu';
  name: string;
  reason: string;
  adapter: AdapterInfo | null;
  /** Whether the work runs in a worker. */
  worker: boolean;
  /** The build of the wasm module. */
  build: Build;
}

/** Builds of the wasm module, best first: relaxed SIMD, SIMD, neither. */
export type Build = 'relaxed' | 'simd' | 'plain';

export interface OpenOptions {
  /** Default: `auto`. */
  device?: DeviceChoice;
  /** `false` computes in the calling thread, for callers that are already in a worker. */
  worker?: boolean;
  /**
   * Number of workers among which the CPU splits large batches of `run`, 1 to 16. Default: the number of cores, at most
   * 4. The other workers start with the first such batch, and each keeps a copy of the model. The results
   * are the same, bit for bit.
   */
  workers?: number;
  /** Build of the wasm module. Default: the best one that the browser supports. */
  build?: Build;
}

/** Configuration of a new network. */
export interface NetworkOptions {
  /** Default: `gru`. */
  cell?: 'gru' | 'lstm' | 'rnn';
  /** Features per step. */
  input: number;
  /** Units per layer. */
  hidden: number;
  layers?: number;
  bidirectional?: boolean;
  /** Outputs of the linear layer. Default: no linear layer. */
  outputs?: number;
  /** Whether the linear layer reads the `last` state of each sequence or `every` step. Default: `last`. */
  steps?: 'last' | 'every';
  /** Seed of the initial weights. Default: 0. */
  seed?: number;
}

export interface NetworkInfo {
  cell: 'gru' | 'lstm' | 'rnn';
  input: number;
  hidden: number;
  layers: number;
  bidirectional: boolean;
  outputs: number | null;
  steps: 'last' | 'every' | null;
  parameters: number;
  /**
   * Largest error of the test run in the file; `null` if it has none. A file whose error is too large does not load.
   */
  verified: number | null;
}

export interface LoadOptions {
  /**
   * Whether the linear layer reads the `last` state or `every` step. Default: the value in the file, which `save`
   * writes, or `every`.
   */
  steps?: 'last' | 'every';
  /**
   * Called with the number of bytes downloaded so far, after decompression, and the total. The total is 0 if the server
   * does not send it or compresses the file. If this throws, the download ends with the code `callback`.
   */
  onProgress?: (loaded: number, total: number) => void;
  signal?: AbortSignal;
}

/** Numbers in row-major order, and their extents. */
export interface Numbers {
  data: Float32Array;
  dims: number[];
}

export interface RunOptions {
  /** Initial states `[layers·directions, batch, hidden]`. Default: 0. */
  h0?: Float32Array;
  /** Valid steps of each sequence. */
  lengths?: number[] | Uint32Array;
  /** Whether to return the gates too. */
  gates?: boolean;
}

export interface Run {
  /** `[batch, steps, …]`, or `[batch, outputs]` if the linear layer reads the last state. */
  output: Numbers;
  /** Last states `[layers·directions, batch, hidden]`. */
  state: Numbers;
  /** For each layer, its gates by name, each `[steps, batch, directions·hidden]`. Empty unless requested. */
  gates: Record<string, Numbers>[];
}

/** Sequences and their targets, numbers or classes. */
export interface Examples {
  /** `[examples, steps, features]` */
  x: Float32Array;
  dims: [examples: number, steps: number, features: number];
  /** Targets: numbers, or a `Uint32Array` of classes; one row for every output row. */
  y: Float32Array | Uint32Array;
}

export interface TrainOptions {
  epochs?: number;
  /** Examples per update. Default: 32. */
  batch?: number;
  optimizer?: 'adam' | 'adamw' | 'sgd';
  /** Learning rate. Default: 0.001. */
  rate?: number;
  weightDecay?: number;
  /** Maximum norm of all gradients together; larger gradients are scaled down. */
  clipNorm?: number;
  /** Default: `cross-entropy` for classes, `mse` for numbers. */
  loss?: 'mse' | 'mae' | 'huber' | 'cross-entropy';
  validation?: Examples;
  /** Stops after this many epochs without a better validation loss, and restores the best weights. */
  patience?: number;
  /** Keeps the order of the examples instead of shuffling them every epoch. */
  inOrder?: boolean;
  /** Seed of the shuffling. Default: 0. */
  seed?: number;
  /**
   * Called after every epoch. It may be asynchronous, in which case training continues meanwhile. If it throws or
   * rejects, training ends with the code `callback`.
   */
  onEpoch?: (progress: Epoch) => void;
  signal?: AbortSignal;
}

export interface Epoch {
  /** Counted from 0. */
  epoch: number;
  loss: number;
  validation: number | null;
}

export interface History {
  loss: number[];
  validation: number[];
  stoppedEarly: boolean;
  /** The epoch whose weights the network has now; `null` without `patience`, which leaves those of the last epoch. */
  bestEpoch: number | null;
}

export interface StreamOptions {
  /** Number of sequences stepped together. */
  batch?: number;
  /** Precision of the stored weights. */
  weights?: 'f32' | 'f16' | 'bf16' | 'int8';
}

/** An input or output of an ONNX model. An extent is a number, a name that stands for one, or `null` if it is free. */
export interface OnnxPort {
  name: string;
  dims: (number | string | null)[] | null;
  type: 'float32' | 'int64';
}

export interface OnnxInfo {
  inputs: OnnxPort[];
  outputs: OnnxPort[];
}

export interface OnnxValue {
  data: Float32Array | Int32Array | BigInt64Array;
  dims: number[];
}

export type OnnxValues = Record<string, OnnxValue>;

/** Options of a stream of an ONNX model. */
export interface OnnxStreamOptions {
  /** Pairs of an input and the output that continues it. By default, they are found by name and shape. */
  pairs?: [input: string, output: string][];
  /** Whether recurrent nodes keep their states. By default, only in a model without pairs. */
  nodes?: boolean;
}
