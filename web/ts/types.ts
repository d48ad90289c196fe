/** Where the numbers are computed: `auto` takes WebGPU where a hardware adapter answers, and says why it chose. */
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
  /** Whether the work is done in a worker of its own. */
  worker: boolean;
  /** The instructions of the wasm module. */
  build: Build;
}

/** The builds of the wasm module, best first; the best that the browser runs is taken. */
export type Build = 'relaxed' | 'simd' | 'plain';

export interface OpenOptions {
  /** `auto` if not given. */
  device?: DeviceChoice;
  /** `false` computes in the calling thread, for who already is in a worker. */
  worker?: boolean;
  /**
   * Workers among which the CPU shares out large batches of `run`, 1 to 16; as many as the machine has cores, at most 4, if
   * not given. Those beside the first start when such a batch comes, and each keeps a copy of the model. The results are
   * the same, bit for bit.
   */
  workers?: number;
  /** Takes one build of the wasm module instead of the best. */
  build?: Build;
}

/** What a network is built from. */
export interface NetworkOptions {
  /** `gru` if not given. */
  cell?: 'gru' | 'lstm' | 'rnn';
  /** Features of a step. */
  input: number;
  /** Units of a layer. */
  hidden: number;
  layers?: number;
  bidirectional?: boolean;
  /** Outputs of a linear layer after the last one; none without it. */
  outputs?: number;
  /** Whether the linear layer sees the `last` state of a sequence, or `every` step. `last` if not given. */
  steps?: 'last' | 'every';
  /** Of the first weights; 0 if not given. */
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
  /** Largest error of the test run that the file holds; `null` where it holds none. A larger one refuses to load. */
  verified: number | null;
}

export interface LoadOptions {
  /** What the linear layer of a file sees; a file written here says so itself. Else `every`. */
  steps?: 'last' | 'every';
  /**
   * Called with the bytes downloaded so far, after decompression, and their total: 0 if the server does not send it, or
   * compresses the file. An exception ends the download with the code `callback`.
   */
  onProgress?: (loaded: number, total: number) => void;
  signal?: AbortSignal;
}

/** Numbers with extents, row by row. */
export interface Numbers {
  data: Float32Array;
  dims: number[];
}

export interface RunOptions {
  /** `[layers·directions, batch, hidden]`, the first states; 0 if not given. */
  h0?: Float32Array;
  /** Valid steps of each sequence. */
  lengths?: number[] | Uint32Array;
  /** Give the gates too. */
  gates?: boolean;
}

export interface Run {
  /** `[batch, steps, …]`, or `[batch, outputs]` of a network that gives the last step. */
  output: Numbers;
  /** `[layers·directions, batch, hidden]`, the last states. */
  state: Numbers;
  /** By layer, each gate by its name: as the network's steps lie, `[steps, batch, …]`. */
  gates: Record<string, Numbers>[];
}

/** Sequences, and what should come out of each: numbers, or classes. */
export interface Examples {
  /** `[examples, steps, features]` */
  x: Float32Array;
  dims: [examples: number, steps: number, features: number];
  /** Numbers, or `Uint32Array` of classes: one row for every output row. */
  y: Float32Array | Uint32Array;
}

export interface TrainOptions {
  epochs?: number;
  /** Examples of an update; 32 if not given. */
  batch?: number;
  optimizer?: 'adam' | 'adamw' | 'sgd';
  /** Learning rate; 0.001 if not given. */
  rate?: number;
  weightDecay?: number;
  /** Largest norm of all gradients together. */
  clipNorm?: number;
  /** `cross-entropy` for classes, else `mse`, if not given. */
  loss?: 'mse' | 'mae' | 'huber' | 'cross-entropy';
  validation?: Examples;
  /** Stop after so many epochs without a better validation loss, and go back to the best weights. */
  patience?: number;
  /** Take the examples in order, not in a new one each epoch. */
  inOrder?: boolean;
  /** Of the order; 0 if not given. */
  seed?: number;
  /**
   * Called after every epoch. It may be asynchronous: the training goes on meanwhile. An exception or a rejection ends the
   * training with the code `callback`.
   */
  onEpoch?: (progress: Epoch) => void;
  signal?: AbortSignal;
}

export interface Epoch {
  /** From 0. */
  epoch: number;
  loss: number;
  validation: number | null;
}

export interface History {
  loss: number[];
  validation: number[];
  stoppedEarly: boolean;
  /** Whose weights the network has now, where there was patience; else the last one's. */
  bestEpoch: number | null;
}

export interface StreamOptions {
  /** Sequences stepped together. */
  batch?: number;
  /** How the weights are kept. */
  weights?: 'f32' | 'f16' | 'bf16' | 'int8';
}

/** An input or output of an ONNX model: extents are numbers, names that stand for one, or free. */
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
