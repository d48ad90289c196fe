import type { Code } from './errors.js';
import type { AdapterInfo, Bytes, Epoch, History, NetworkInfo, OnnxInfo } from './types.js';

/** The source of a network or model, from which it can be rebuilt. */
export type Origin =
  | { kind: 'network'; source: string; bytes: Uint8Array; options: object }
  | { kind: 'onnx'; bytes: Uint8Array };

/** The calls of a device by name, each as `[arguments, result]`. The caller chooses the ids of new objects. */
export interface Calls {
  open: [object, { kind: 'webgpu' | 'cpu'; name: string; reason: string; adapter: AdapterInfo | null }];
  load: [{ id: number; origin: Origin }, NetworkInfo | OnnxInfo];
  /** Converts a file of another format. */
  convert: [{ source: string; bytes: Uint8Array; layer: string | undefined; asGraph: boolean }, Converted];
  create: [{ id: number; options: object }, { info: NetworkInfo; bytes: Uint8Array }];
  run: [Batch, unknown];
  train: [Training, History];
  save: [{ id: number }, Bytes];
  /** Like `save`, but fails if the network cannot be streamed. */
  checkStream: [{ id: number; options: object }, Bytes];
  onnx: [{ id: number; inputs: unknown }, unknown];
  onnxStream: [{ id: number; of: number; options: object }, null];
  reset: [{ id: number }, null];
  free: [{ id: number }, null];
  liveBytes: [Record<string, never>, number];
}

/** A file that the module for networks or that for ONNX models reads. */
export interface Converted {
  kind: 'network' | 'onnx';
  bytes: Bytes;
}

export interface Batch {
  id: number;
  x: Float32Array;
  dims: number[];
  h0: Float32Array | undefined;
  lengths: number[] | undefined;
  options: object;
}

export interface Training {
  id: number;
  x: Float32Array;
  dims: number[];
  y: Float32Array | Uint32Array;
  checkX: Float32Array | undefined;
  checkDims: number[] | undefined;
  checkY: Float32Array | Uint32Array | undefined;
  options: object;
}

export type Call = keyof Calls;
export type Args<C extends Call> = Calls[C][0];
export type Result<C extends Call> = Calls[C][1];

/** The weights during training, or after it (`final`), as the bytes of a safetensors file. */
export interface Weights {
  bytes: Uint8Array;
  final: boolean;
}

/** Message to the worker. */
export type Request =
  | { type: 'start'; module: WebAssembly.Module }
  | { type: 'call'; call: number; name: Call; args: unknown }
  | { type: 'abort'; call: number };

/** Message from the worker. */
export type Reply =
  | { type: 'done'; call: number; result: unknown }
  | { type: 'epoch'; call: number; report: Epoch }
  | { type: 'weights'; call: number; weights: Weights }
  | { type: 'failed'; call: number; code: Code; message: string }
  /** The module has become unusable. */
  | { type: 'fatal'; code: Code; message: string };
