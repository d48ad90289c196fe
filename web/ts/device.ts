import { type Places, best, compile, download } from './assets.js';
import { type Batch, Crew, cut, joined, parts } from './crew.js';
import { WgruError, asError, fail } from './errors.js';
import type { Glue } from './glue.js';
import { type Link, LocalLink, type Options, WorkerLink } from './link.js';
import type { Args, Call, Origin, Result } from './protocol.js';
import { Instance, Stream } from './stream.js';
import type {
  Build,
  DeviceChoice,
  DeviceInfo,
  Epoch,
  Examples,
  History,
  LoadOptions,
  NetworkInfo,
  NetworkOptions,
  OnnxInfo,
  OnnxValues,
  OpenOptions,
  Run,
  RunOptions,
  StreamOptions,
  TrainOptions,
} from './types.js';

/** @internal What an entry of the package is made of. */
export interface Kit {
  glue: Glue;
  places: Places;
  /** The builds for worklets. */
  streams: Places;
  worker: () => Worker;
}

/** What a file may come from. */
export type Source = string | URL | ArrayBuffer | Uint8Array | Blob;

/** What a worklet needs to step a network: clone it there, as `processorOptions`. */
export interface StreamParts {
  module: WebAssembly.Module;
  bytes: Uint8Array;
  options: string;
}

const instances = new WeakMap<WebAssembly.Module, Instance>();

/** The module of this thread. */
function instanceOf(glue: Glue, module: WebAssembly.Module): Instance {
  let instance = instances.get(module);
  if (!instance) {
    instance = new Instance(glue, module);
    instances.set(module, instance);
  }
  return instance;
}

function attached(name: string, array: ArrayBufferView | undefined | null): void {
  const { buffer } = array ?? {};
  if (buffer && (buffer as { detached?: boolean }).detached) fail('value', `${name}: its buffer was detached`);
}

async function bytesOf(source: Source, options: LoadOptions): Promise<{ name: string; bytes: Uint8Array }> {
  if (typeof source === 'string' || source instanceof URL) {
    const place = new URL(source, globalThis.location?.href).href;
    return { name: place, bytes: await download(place, options.onProgress, options.signal) };
  }
  if (source instanceof Blob) {
    const name = (source as Blob & { name?: string }).name ?? 'file';
    return { name, bytes: new Uint8Array(await source.arrayBuffer()) };
  }
  if (source instanceof ArrayBuffer) source = new Uint8Array(source);
  if (!(source instanceof Uint8Array)) fail('value', 'source: expected a URL, bytes or a Blob');
  attached('source', source);
  // A copy: it is kept, to make the model again after a fault.
  return { name: 'bytes', bytes: source.slice() };
}

/** A device, and what is made on it. After a fault the next call opens it again, with every weight restored. */
export class Device implements Disposable {
  #info: DeviceInfo | undefined;
  #link: Promise<Link> | undefined;
  #next = 1;
  #freed = false;
  readonly #models = new Map<number, Owned>();
  readonly #crew: Crew;

  private constructor(
    private readonly kit: Kit,
    private readonly module: WebAssembly.Module,
    private readonly choice: DeviceChoice,
    private readonly inWorker: boolean,
    private readonly build: Build,
    workers: number,
  ) {
    this.#crew = new Crew(workers, async (onFatal) => {
      const link = new WorkerLink(this.kit.worker(), this.module, onFatal);
      try {
        await link.call('open', { device: 'cpu' });
        this.#check();
      } catch (error) {
        link.end(asError(error));
        throw error;
      }
      return link;
    });
  }

  /** @internal */
  static async open(kit: Kit, options: OpenOptions): Promise<Device> {
    const { device = 'auto', worker = typeof Worker === 'function', build = best(), ...others } = options;
    const { workers = Math.min(4, globalThis.navigator?.hardwareConcurrency ?? 1), ...rest } = others;
    if (!(Number.isInteger(workers) && workers >= 1 && workers <= 16)) fail('value', `workers: expected 1 to 16, got ${workers}`);
    for (const name of Object.keys(rest)) fail('value', `options: there is no ${name}`);
    if (!(build in kit.places)) fail('value', `build: expected relaxed, simd or plain, got ${build}`);
    const opened = new Device(kit, await compile(kit.places, build), device, worker, build, worker ? workers : 1);
    await opened.#start();
    return opened;
  }

  /** What it is, and why it was chosen. After a fault it may be another one. */
  get info(): DeviceInfo {
    return this.#info ?? fail('internal', 'the device is not open yet');
  }

  #start(): Promise<Link> {
    this.#link ??= this.#connect();
    return this.#link;
  }

  async #connect(): Promise<Link> {
    // Only the link of now may end itself.
    let current = true;
    const onFatal = () => {
      if (current) this.#link = undefined;
      current = false;
      if (!this.inWorker) instanceOf(this.kit.glue, this.module).reset();
    };
    let link: Link;
    if (this.inWorker) {
      link = new WorkerLink(this.kit.worker(), this.module, onFatal);
    } else {
      void instanceOf(this.kit.glue, this.module).memory;
      link = new LocalLink(this.kit.glue, onFatal);
    }
    try {
      const info = await link.call('open', { device: this.choice });
      this.#info = { ...info, worker: this.inWorker, build: this.build };
      for (const [id, model] of this.#models) await link.call('load', { id, origin: model.origin });
    } catch (error) {
      link.end(asError(error));
      this.#link = undefined;
      throw error;
    }
    return link;
  }

  #check(): void {
    if (this.#freed) fail('freed', 'the device was freed');
  }

  /** @internal */
  async call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>> {
    this.#check();
    const link = await this.#start();
    return link.call(name, args, options);
  }

  /** @internal The workers that hold a model beside the first one. */
  helpers(id: number, origin: Origin): Link[] {
    return this.info.kind === 'cpu' ? this.#crew.ready(id, origin) : [];
  }

  /** @internal Workers, started or not. */
  get workers(): number {
    return this.#crew.size;
  }

  /** @internal */
  id(): number {
    return this.#next++;
  }

  /** @internal */
  forget(id: number): void {
    this.#models.delete(id);
    this.#crew.forget(id);
    // A module that ended has nothing to free.
    if (!this.#freed && this.#link) this.call('free', { id }).catch(() => {});
  }

  /** A network from a safetensors file: recurrent layers by PyTorch's names, and at most one linear layer. */
  async load(source: Source, options: LoadOptions = {}): Promise<Network> {
    const { name, bytes } = await bytesOf(source, options);
    const { steps } = options;
    const origin: Origin = { kind: 'network', source: name, bytes, options: JSON.stringify({ steps }) };
    const id = this.id();
    const info = (await this.call('load', { id, origin })) as NetworkInfo;
    const network = new Network(this, id, info, origin);
    this.#models.set(id, network);
    return network;
  }

  /** A model from an ONNX file. */
  async loadOnnx(source: Source, options: Omit<LoadOptions, 'steps'> = {}): Promise<OnnxModel> {
    const { bytes } = await bytesOf(source, options);
    const origin: Origin = { kind: 'onnx', bytes };
    const id = this.id();
    const model = new OnnxModel(this, id, (await this.call('load', { id, origin })) as OnnxInfo, origin);
    this.#models.set(id, model);
    return model;
  }

  /** A network with fresh weights. */
  async create(options: NetworkOptions): Promise<Network> {
    const id = this.id();
    const { info, bytes } = await this.call('create', { id, options: JSON.stringify(options) });
    const network = new Network(this, id, info, { kind: 'network', source: 'created', bytes, options: '{}' });
    this.#models.set(id, network);
    return network;
  }

  /** Bytes of the tensors that live on the device. */
  liveBytes(): Promise<number> {
    return this.call('liveBytes', {});
  }

  /** @internal */
  get instance(): Instance {
    return instanceOf(this.kit.glue, this.module);
  }

  /** @internal */
  async parts(bytes: Uint8Array, options: StreamOptions): Promise<StreamParts> {
    return { module: await compile(this.kit.streams, this.build), bytes, options: JSON.stringify(options) };
  }

  /** Frees it and everything on it. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.#models.clear();
    const error = new WgruError('freed', 'the device was freed');
    this.#link?.then((link) => link.end(error)).catch(() => {});
    this.#crew.end((link) => link.end(error));
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** What a device owns. */
abstract class Owned implements Disposable {
  #freed = false;

  constructor(
    protected readonly device: Device,
    protected readonly id: number,
    /** @internal */
    public origin: Origin,
  ) {}

  protected call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>> {
    if (this.#freed) return Promise.reject(new WgruError('freed', 'the object was freed'));
    return this.device.call(name, args, options);
  }

  protected check(): void {
    if (this.#freed) fail('freed', 'the object was freed');
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.device.forget(this.id);
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

const none = { data: new Float32Array(), dims: [0] };

/** Recurrent layers and a linear layer after them. */
export class Network extends Owned {
  /** Trainings begun, and the last one whose weights are in `origin`: after others the first worker alone has them. */
  #trained = 0;
  #kept = 0;

  /** @internal */
  constructor(
    device: Device,
    id: number,
    /** What it is. */
    readonly info: NetworkInfo,
    origin: Origin,
  ) {
    super(device, id, origin);
  }

  /** Runs sequences `x`, `[batch, steps, features]`. */
  async run(x: Float32Array, dims: [batch: number, steps: number, features: number], options: RunOptions = {}): Promise<Run> {
    attached('x', x);
    attached('h0', options.h0);
    if (!(x instanceof Float32Array)) fail('dtype', 'x: expected a Float32Array');
    this.check();
    // What is not shared is on its way before anything else can be asked for.
    const shared = this.#share({ x, dims, options });
    return (shared && (await shared)) ?? (await this.#run({ x, dims, options }));
  }

  async #run({ x, dims, options }: Batch, transfer: Transferable[] = [], link?: Link): Promise<Run> {
    const { h0, ...rest } = options;
    const args = { id: this.id, x, dims, h0, options: JSON.stringify(rest) };
    return (await (link?.call('run', args, { transfer }) ?? this.call('run', args, { transfer }))) as Run;
  }

  /** A large batch, run by all workers that hold the network; nothing where it is not to be shared, or that failed. */
  #share(batch: Batch): Promise<Run | undefined> | undefined {
    const { layers, bidirectional, parameters } = this.info;
    if (this.#kept !== this.#trained || parts(batch, parameters, this.device.workers) === 1) return undefined;
    const helpers = this.device.helpers(this.id, this.origin);
    const count = parts(batch, parameters, 1 + helpers.length);
    if (count === 1) return undefined;
    const runs = cut(batch, count, layers * (bidirectional ? 2 : 1)).map((part, i) => this.#run(part, [part.x.buffer], helpers[i - 1]));
    // The whole run tells what is wrong, or does without a worker that ended.
    return Promise.all(runs).then(joined, () => undefined);
  }

  /** Trains it. Aborted, it keeps the weights of the update before. */
  async train(examples: Examples, options: TrainOptions = {}): Promise<History> {
    const { validation, onEpoch, signal, ...rest } = options;
    for (const [name, part] of [['x', examples.x], ['y', examples.y], ['validation.x', validation?.x], ['validation.y', validation?.y]] as const)
      attached(name, part);
    const check = validation ?? { x: none.data, dims: none.dims, y: null };
    const args = {
      ...{ id: this.id, x: examples.x, dims: examples.dims, y: examples.y },
      ...{ checkX: check.x, checkDims: check.dims, checkY: check.y, options: JSON.stringify(rest) },
    };
    const training = ++this.#trained;
    const trained = await this.call('train', args, {
      ...(signal ? { signal } : {}),
      onEpoch: ({ bytes, ...epoch }) => {
        this.#keep(bytes);
        onEpoch?.(epoch satisfies Epoch);
      },
    });
    this.#keep(trained.bytes);
    this.#kept = training;
    return trained.history;
  }

  #keep(bytes: Uint8Array): void {
    this.origin = { kind: 'network', source: 'trained', bytes, options: '{}' };
  }

  /** The bytes of a safetensors file. */
  save(): Promise<Uint8Array> {
    return this.call('save', { id: this.id });
  }

  /** The network as it is now, frame by frame in this thread. */
  async stream(options: StreamOptions = {}): Promise<Stream> {
    const bytes = await this.save();
    return Stream.read(this.device.instance, bytes, options);
  }

  /** What `streamOf` of `wgru/worklet` makes a stream of, in an audio worklet. */
  async streamParts(options: StreamOptions = {}): Promise<StreamParts> {
    return this.device.parts(await this.save(), options);
  }
}

/** An ONNX model. */
export class OnnxModel extends Owned {
  /** @internal */
  constructor(
    device: Device,
    id: number,
    /** What it takes and gives. */
    readonly info: OnnxInfo,
    origin: Origin,
  ) {
    super(device, id, origin);
  }

  /** Runs the graph. */
  async run(inputs: OnnxValues): Promise<OnnxValues> {
    for (const [name, value] of Object.entries(inputs)) attached(name, value.data);
    return (await this.call('onnx', { id: this.id, inputs })) as OnnxValues;
  }

  /** The model with states that are kept from call to call. A fault of the device ends it. */
  async stream(): Promise<OnnxStream> {
    const id = this.device.id();
    await this.call('onnxStream', { id, of: this.id });
    return new OnnxStream(this.device, id, this.origin);
  }
}

/** An ONNX model that keeps its states from call to call. */
export class OnnxStream extends Owned {
  #busy = false;

  /** Runs the graph from the states that the last call left. One call at a time. */
  async run(inputs: OnnxValues): Promise<OnnxValues> {
    this.check();
    if (this.#busy) fail('busy', 'the stream has a call in flight');
    for (const [name, value] of Object.entries(inputs)) attached(name, value.data);
    this.#busy = true;
    try {
      return (await this.call('onnx', { id: this.id, inputs })) as OnnxValues;
    } finally {
      this.#busy = false;
    }
  }

  /** Forgets the states. */
  async reset(): Promise<void> {
    await this.call('reset', { id: this.id });
  }
}
