import type { Bytes, Floats } from './types.js';

/** The part of wasm-bindgen's output that the package uses. Each module has some of the optional members. */
export interface Glue {
  initSync(module: { module: WebAssembly.Module }): { memory: WebAssembly.Memory };
  /** Makes the next `initSync` create a new instance, after a fault. */
  __wbg_reset_state(): void;
  Engine: { open(options: object): Promise<GlueEngine> };
  Bound?: { read(bytes: Uint8Array, example: object, options: object): GlueBound };
  Stream?: { read(bytes: Uint8Array, options: object): GlueStream };
}

export interface Freed {
  free(): void;
}

export interface GlueEngine extends Freed {
  info(): unknown;
  liveBytes(): number;
  network?(source: string, bytes: Uint8Array, options: object): Promise<GlueNetwork>;
  create?(options: object): GlueNetwork;
  onnx?(bytes: Uint8Array): GlueOnnx;
  convert?(source: string, bytes: Uint8Array, layer: string | undefined, asGraph: boolean): Promise<unknown>;
}

export interface GlueNetwork extends Freed {
  info(): unknown;
  run(
    x: Float32Array,
    dims: Uint32Array,
    h0: Float32Array | undefined,
    lengths: Uint32Array | undefined,
    options: object,
  ): Promise<unknown>;
  save(): Promise<Bytes>;
  train?(
    x: Float32Array,
    dims: Uint32Array,
    y: unknown,
    checkX: Float32Array | undefined,
    checkDims: Uint32Array | undefined,
    checkY: unknown,
    options: object,
    listener: (...progress: [number, number, number, number | null, number | null]) => unknown,
  ): Promise<unknown>;
}

export interface GlueOnnx extends Freed {
  info(): unknown;
  run(inputs: unknown): Promise<unknown>;
  stream(options: object): GlueOnnxStream;
}

/** A buffer in the module's memory. */
export interface GluePort {
  name: string;
  dims: number[];
  pointer: number;
}

export interface GlueBound extends Freed {
  ports(): { inputs: GluePort[]; outputs: GluePort[] };
  run(): void;
  reset(): void;
  state(): Floats;
  setState(state: Float32Array): void;
}

export interface GlueOnnxStream extends Freed {
  run(inputs: unknown): Promise<unknown>;
  reset(): void;
}

export interface GlueStream extends Freed {
  readonly framePointer: number;
  readonly frameLength: number;
  readonly outputPointer: number;
  readonly outputLength: number;
  /** Number of frames, and of outputs, at the pointers. */
  readonly steps: number;
  step(): void;
  process(steps: number): void;
  reset(): void;
  state(): Floats;
  setState(state: Float32Array): void;
  fork(): GlueStream;
}
