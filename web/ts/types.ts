/** Bytes that the package returns. Their buffer is never shared, so `Blob` and IndexedDB take them. */
export type Bytes = ReturnType<Uint8Array['slice']>;

/** Numbers that the package returns. Their buffer is never shared. */
export type Floats = ReturnType<Float32Array['slice']>;

/**
 * Place of some of the package's files: the URL of their folder, which ends with `/`, or a function from the name of a
 * file to its URL.
 */
export type AssetUrl = string | URL | ((file: string) => string | URL);

/** The device to compute on. `auto` uses WebGPU if there is a hardware adapter, else the CPU. */
export type DeviceChoice = 'auto' | 'webgpu' | 'cpu';

/** An adapter, in WebGPU's terms. */
export interface AdapterInfo {
  /** Name or vendor, as far as the browser tells it. */
  name: string;
  /** Driver; often empty. */
  driver: string;
  /** Whether it computes on the CPU. */
  software: boolean;
  /** WebGPU features that the adapter has. */
  features: string[];
  /** Largest storage buffer that a kernel can read, in bytes. */
  maxBinding: number;
  /** Largest buffer, in bytes. */
  maxBuffer: number;
  /** Memory of a workgroup, in bytes. */
  workgroupMemory: number;
}

/** A device, and why it was chosen. */
export interface DeviceInfo {
  /** Where the work runs. */
  kind: 'webgpu' | 'cpu';
  /** Name of the device. */
  name: string;
  /** Why this device was chosen, as a sentence. */
  reason: string;
  /** The WebGPU adapter; `null` on the CPU. */
  adapter: AdapterInfo | null;
  /** Whether the work runs in a worker. */
  worker: boolean;
  /** The build of the wasm module. */
  build: Build;
}

/** Builds of the wasm module, best first: relaxed SIMD, SIMD, neither. */
export type Build = 'relaxed' | 'simd' | 'plain';

/** Options of `open`. */
export interface OpenOptions {
  /** Where to compute. Default: `auto`. */
  device?: DeviceChoice;
  /**
   * `false` computes in the calling thread, for callers that are already in a worker. Default: `true` where there are
   * workers.
   */
  worker?: boolean;
  /**
   * Number of workers among which the CPU splits large batches of `run`, 1 to 16. Default: the number of cores, at most
   * 4. The other workers start with the first such batch, and each keeps a copy of the model. The results
   * are the same, bit for bit.
   */
  workers?: number;
  /** Build of the wasm module. Default: the best one that the browser supports. */
  build?: Build;
  /**
   * Place of the WebAssembly modules, for bundlers that do not copy them: a copy of the folder `wgru/dist/wasm`, or a
   * function that receives names such as `full/simd.wasm`.
   */
  wasmUrl?: AssetUrl;
  /**
   * Place of the workers' scripts: a copy of `wgru/dist/js`, or a function that receives `worker.js`,
   * `worker-inference.js`, `worker-onnx.js` or `worker-import.js`.
   */
  workerUrl?: AssetUrl;
  /** Aborts opening. The error is named `AbortError`, and its code is `aborted`. */
  signal?: AbortSignal;
}

/** Configuration of a new network. */
export interface NetworkOptions {
  /** Kind of the recurrent layers. Default: `gru`. */
  cell?: 'gru' | 'lstm' | 'rnn';
  /** Features per step. */
  input: number;
  /** Units per layer. */
  hidden: number;
  /** Number of recurrent layers. Default: 1. */
  layers?: number;
  /** Whether each layer also runs backward in time. Default: `false`. */
  bidirectional?: boolean;
  /** Outputs of the linear layer. Default: no linear layer. */
  outputs?: number;
  /** Whether the linear layer reads the `last` state of each sequence or `every` step. Default: `last`. */
  steps?: 'last' | 'every';
  /** Seed of the initial weights. Default: 0. */
  seed?: number;
}

/** Configuration of a network. */
export interface NetworkInfo {
  /** Kind of the recurrent layers. */
  cell: 'gru' | 'lstm' | 'rnn';
  /** Features per step. */
  input: number;
  /** Units per layer. */
  hidden: number;
  /** Number of recurrent layers. */
  layers: number;
  /** Whether each layer also runs backward in time. */
  bidirectional: boolean;
  /** Outputs of the linear layer; `null` without one. */
  outputs: number | null;
  /** The states that the linear layer reads; `null` without one. */
  steps: 'last' | 'every' | null;
  /** Whether the first features of the input are added to the output, as in models of audio effects. */
  skip: boolean;
  /** Number of weights. */
  parameters: number;
  /**
   * Largest error of the verification run in the file; `null` if it has none. A file whose error is too large does not
   * load.
   */
  verified: number | null;
}

/** Options of `load` and `loadOnnx`. */
export interface LoadOptions {
  /**
   * Whether the linear layer reads the `last` state or `every` step. Default: the value in the file, which `save`
   * writes, or `every`.
   */
  steps?: 'last' | 'every';
  /** Name of the recurrent layer to load alone. Default: the network of the file, or its only recurrent layer. */
  layer?: string;
  /**
   * Called with the number of bytes downloaded so far, after decompression, and the total. The total is 0 if the server
   * does not send it or compresses the file. If this throws, the download ends with the code `callback`.
   */
  onProgress?: (loaded: number, total: number) => void;
  /** Aborts the call. The error is named `AbortError`, and its code is `aborted`. */
  signal?: AbortSignal;
  /** Takes the buffer of the given bytes instead of copying it: it is detached afterwards. */
  transfer?: boolean;
}

/** Numbers in row-major order, and their extents. */
export interface Numbers {
  /** The numbers. */
  data: Floats;
  /** The extents, outermost first. */
  dims: number[];
}

/** Options of `run`. */
export interface RunOptions {
  /** Initial states `[layers·directions, batch, hidden]`. Default: 0. */
  h0?: Float32Array;
  /** Valid steps of each sequence. */
  lengths?: number[] | Uint32Array;
  /** Whether to return the gates too. */
  gates?: boolean;
  /** Aborts the call. The error is named `AbortError`, and its code is `aborted`. */
  signal?: AbortSignal;
  /** Allows sending the buffers of `x` and `h0` to the worker instead of copies: they may be detached afterwards. */
  transfer?: boolean;
}

/** Result of `run`. */
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
  /** The sequences, `[examples, steps, features]`. */
  x: Float32Array;
  /** The extents of `x`. */
  dims: [examples: number, steps: number, features: number];
  /** Targets: numbers, or a `Uint32Array` of classes; one row for every output row. */
  y: Float32Array | Uint32Array;
}

/** Options of `train`. */
export interface TrainOptions {
  /** Passes over the examples. Default: 10. */
  epochs?: number;
  /** Examples per update. Default: 32. */
  batch?: number;
  /** Method of the updates. Default: `adam`. */
  optimizer?: 'adam' | 'adamw' | 'sgd';
  /** Learning rate. Default: 0.001. */
  rate?: number;
  /**
   * Weight decay λ: `adamw` subtracts `rate·λ·w` from each weight, the others add `λ·w` to its gradient. Default: 0.01
   * for `adamw`, 0 for the others.
   */
  weightDecay?: number;
  /** Maximum norm of all gradients together; larger gradients are scaled down. */
  clipNorm?: number;
  /** The loss to reduce. Default: `cross-entropy` for classes, `mse` for numbers. */
  loss?: 'mse' | 'mae' | 'huber' | 'cross-entropy';
  /** Examples on which the loss is computed after every epoch, without training on them. */
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
  /**
   * Ends training after its current update. The network keeps its weights. The error is named `AbortError`, and its code
   * is `aborted`.
   */
  signal?: AbortSignal;
  /** Sends the buffers of the examples to the worker instead of copies: they may be detached afterwards. */
  transfer?: boolean;
}

/** Report of one epoch. */
export interface Epoch {
  /** Number of the epoch, counted from 0. */
  epoch: number;
  /** Mean loss of its updates. */
  loss: number;
  /** Loss of the validation examples after it; `null` without them. */
  validation: number | null;
}

/** Losses of a training. */
export interface History {
  /** Mean loss of each epoch. */
  loss: number[];
  /** Validation loss after each epoch; empty without validation examples. */
  validation: number[];
  /** Whether `patience` ended training. */
  stoppedEarly: boolean;
  /** The epoch whose weights the network has now; `null` without `patience`, which leaves those of the last epoch. */
  bestEpoch: number | null;
}

/** Options of `stream` and `streamParts`. */
export interface StreamOptions {
  /** Number of sequences stepped together. Default: 1. */
  batch?: number;
  /** Precision of the stored weights; `auto` takes the faster of `f32` and `bf16`. Default: `f32`. */
  weights?: 'f32' | 'f16' | 'bf16' | 'int8' | 'auto';
}

/** An input or output of an ONNX model. An extent is a number, a name that stands for one, or `null` if it is free. */
export interface OnnxPort {
  /** Name in the graph. */
  name: string;
  /** The extents; `null` if their number is unknown. */
  dims: (number | string | null)[] | null;
  /** Type of the elements. */
  type: 'float32' | 'int64';
}

/** The inputs and outputs of an ONNX model. */
export interface OnnxInfo {
  /** Inputs that `run` needs. */
  inputs: OnnxPort[];
  /** Outputs that `run` returns. */
  outputs: OnnxPort[];
}

/** A tensor of an ONNX model. */
export interface OnnxValue {
  /** The elements in row-major order. */
  data: Float32Array | Int32Array | BigInt64Array;
  /** The extents, outermost first. */
  dims: number[];
}

/** Tensors by name. */
export type OnnxValues = Record<string, OnnxValue>;

/** Options of the `run` of an ONNX model. */
export interface OnnxRunOptions {
  /** Aborts the call. The error is named `AbortError`, and its code is `aborted`. */
  signal?: AbortSignal;
  /** Allows sending the buffers of the inputs to the worker instead of copies: they may be detached afterwards. */
  transfer?: boolean;
}

/** Options of a stream of an ONNX model. */
export interface OnnxStreamOptions {
  /** Pairs of an input and the output that continues it. By default, they are found by name and shape. */
  pairs?: [input: string, output: string][];
  /** Whether recurrent nodes keep their states. By default, only in a model without pairs. */
  nodes?: boolean;
}
