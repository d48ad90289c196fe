import { best, compile, supports } from './assets.js';
import { callback, copied, expect, flag, named, nothing, signalOf } from './check.js';
import { WgruError, abortable, asError, fail, isFatal } from './errors.js';
import { Freeable } from './freeable.js';
import type { Kit } from './kit.js';
import { type Link, LocalLink, type Options, WorkerLink } from './link.js';
import { Network } from './network.js';
import { builtin } from './node.js';
import { OnnxModel } from './onnx.js';
import type { Held, Owner } from './owned.js';
import { WorkerPool } from './pool.js';
import type { Args, Call, Converted, Origin, Result } from './protocol.js';
import { type Source, bytesOf } from './source.js';
import { startWorker } from './start.js';
import { Instance } from './stream.js';
import type { AssetUrl, Build, DeviceInfo, LoadOptions, NetworkInfo, NetworkOptions, OnnxInfo, OpenOptions } from './types.js';

/** @internal How a device is opened, and opened again after a fault. */
export interface Setup {
  readonly kit: Kit;
  readonly module: WebAssembly.Module;
  /** The `device` option. */
  readonly choice: object;
  readonly inWorker: boolean;
  readonly workers: number;
  readonly build: Build;
  readonly wasmUrl: AssetUrl | undefined;
  readonly workerUrl: AssetUrl | undefined;
}

/** The workers of a device. `collected` ends them when the handle of the device is garbage-collected. */
interface Workers {
  link: Promise<Link> | undefined;
  readonly pool: WorkerPool;
}

function end({ link, pool }: Workers): void {
  const error = new WgruError('freed', 'the device was freed');
  link?.then((first) => first.end(error)).catch(() => {});
  pool.end(error);
}

/** Ends the workers of devices that were garbage-collected without `free`. */
const collected = new FinalizationRegistry<Workers>(end);

/** Starts a worker that runs parts of batches. */
async function helper({ kit, module, workerUrl }: Setup, onFatal: () => void): Promise<Link> {
  const link = new WorkerLink(await startWorker(kit, workerUrl), module, onFatal);
  try {
    await link.call('open', { device: 'cpu' });
  } catch (error) {
    link.end(asError(error));
    throw error;
  }
  return link;
}

/** @internal Opens a device of the class `Opened`. */
export async function openDevice<D extends Device>(Opened: new (setup: Setup) => D, kit: Kit, options: OpenOptions): Promise<D> {
  if (typeof WebAssembly === 'undefined') fail('unsupported', 'this browser has no WebAssembly: it is old, or in Lockdown Mode');
  const { device = 'auto', worker = typeof Worker === 'function' || !!builtin('node:worker_threads'), build = best(), ...others } = named('options', options);
  const { workers = Math.min(4, cores()), signal, wasmUrl, workerUrl, ...rest } = others;
  nothing('options', rest, 'device, worker, workers, build, wasmUrl, workerUrl, signal');
  const choice = copied({ device });
  expect('worker', worker, 'true or false', (given) => typeof given === 'boolean');
  expect('workers', workers, 'a whole number from 1 to 16', (n) => Number.isInteger(n) && n >= 1 && n <= 16);
  expect('build', build, 'relaxed, simd or plain', (given) => Object.keys(kit.places).includes(given));
  if (!supports(build)) fail('unsupported', `build: this browser lacks instructions of the build ${build}: leave it to the package, or take ${best()}`);
  for (const [name, at] of Object.entries({ wasmUrl, workerUrl }))
    expect(name, at, 'a URL or a function', () => at === undefined || typeof at === 'string' || at instanceof URL || typeof at === 'function');
  signalOf(signal);
  // The module is shared with other devices, so aborting does not stop its download.
  const module = await abortable(compile(kit.kind, kit.places, build, wasmUrl), signal);
  if (!worker) expect('build', build, 'the build that this thread runs already', () => Instance.of(kit.glue, module).module === module);
  const opened = new Opened({ kit, module, choice, inWorker: worker, workers: worker ? workers : 1, build, wasmUrl, workerUrl });
  try {
    await abortable(opened.start(), signal);
  } catch (error) {
    opened.free();
    throw error;
  }
  return opened;
}

/** Whether a file starts with the number of a version, as ONNX models do, and is no safetensors file. */
const isOnnx = (bytes: Uint8Array): boolean => bytes[0] === 8 && bytes[8] !== 123;

const cores = (): number => globalThis.navigator?.hardwareConcurrency ?? builtin('node:os')?.availableParallelism() ?? 1;

/** A device and the models on it. After a fault, the next call opens it again with every weight restored. */
export class Device<N extends Network = Network> extends Freeable implements Owner {
  private told: DeviceInfo | undefined;
  private next = 1;
  private freed = false;
  private readonly models = new Map<number, Held>();
  private readonly running: Workers;
  /** The device of ONNX models, in a module of its own. */
  private onnx: Promise<Device> | undefined;
  /** @internal */
  readonly self = new WeakRef(this);

  /** @internal */
  constructor(private readonly setup: Setup) {
    super();
    this.running = { link: undefined, pool: new WorkerPool(setup.workers, (onFatal) => helper(setup, onFatal)) };
    collected.register(this, this.running, this.running);
  }

  /** Opens a device of another module, of the same kind as this one. */
  private async beside(kit: Kit): Promise<Device> {
    const { build, wasmUrl } = this.setup;
    const module = await compile(kit.kind, kit.places, build, wasmUrl);
    const opened = new Device({ ...this.setup, kit, module, choice: { device: this.info.kind }, workers: 1 });
    await opened.start();
    if (this.freed) opened.free();
    return opened;
  }

  /** Returns the device of ONNX models. */
  private onnxDevice(): Promise<Device> {
    if (this.freed) fail('freed', 'the device was freed');
    this.onnx ??= import('./onnx-kit.js').then(({ kit }) => this.beside(kit));
    // Allow a retry after a failed download.
    this.onnx.catch(() => (this.onnx = undefined));
    return this.onnx;
  }

  /** Kind and name of the device, and why it was chosen. It may change after a fault. */
  get info(): DeviceInfo {
    return this.told ?? fail('internal', 'the device is not open yet');
  }

  /** @internal */
  start(): Promise<Link> {
    this.running.link ??= this.connect();
    return this.running.link;
  }

  private async connect(): Promise<Link> {
    const { choice, inWorker, build } = this.setup;
    let link: Link | undefined;
    try {
      link = await this.link();
      const info = await link.call('open', choice);
      this.told = { ...info, worker: inWorker, build };
      for (const { id, origin } of this.models.values()) await link.call('load', { id, origin });
    } catch (thrown) {
      const error = asError(thrown);
      link?.end(error);
      this.running.link = undefined;
      throw error;
    }
    return link;
  }

  private async link(): Promise<Link> {
    const { inWorker, kit, module, workerUrl } = this.setup;
    const { running } = this;
    // A running worker keeps its listeners reachable: they must not refer to the device, or it is never collected.
    const ended = () => {
      // Afterwards, `running.link` may be the next link.
      if (isCurrent) running.link = undefined;
      isCurrent = false;
    };
    let isCurrent = true;
    if (inWorker) return new WorkerLink(await startWorker(kit, workerUrl), module, ended);
    const { instance } = this;
    const { age } = instance;
    instance.guard(() => {});
    return new LocalLink(instance, (error) => {
      ended();
      if (isFatal(error)) instance.reset(age, error);
    });
  }

  /** @internal */
  async call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>> {
    if (this.freed) fail('freed', 'the device was freed');
    const link = await this.start();
    return link.call(name, args, options);
  }

  /** @internal */
  helpers(id: number, origin: Origin): Link[] {
    return this.info.kind === 'cpu' ? this.running.pool.ready(id, origin) : [];
  }

  /** @internal */
  get workers(): number {
    return this.running.pool.size;
  }

  /** @internal */
  id(): number {
    return this.next++;
  }

  /** @internal */
  forget(id: number): void {
    this.models.delete(id);
    this.running.pool.forget(id);
    // Without a link, the module has ended and there is nothing to free.
    if (!this.freed && this.running.link) this.call('free', { id }).catch(() => {});
  }

  /** Runs `make`, and frees `id` if it fails: an aborted call may still have created the object. */
  private async made<T>(id: number, make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (error) {
      this.forget(id);
      throw error;
    }
  }

  private restore(origin: Origin, { signal }: LoadOptions): Promise<[Held, unknown]> {
    const id = this.id();
    return this.made(id, async () => {
      const info = await this.call('load', { id, origin }, signal ? { signal } : {});
      const held = { id, origin };
      this.models.set(id, held);
      return [held, info];
    });
  }

  /** Converts a file of another format, in a module that is loaded for it. */
  private async convert(args: Args<'convert'>, signal: AbortSignal | undefined): Promise<Converted> {
    if (this.freed) fail('freed', 'the device was freed');
    const { kit } = await abortable(import('./import-kit.js'), signal);
    const device = await abortable(this.beside(kit), signal);
    try {
      return await device.call('convert', args, signal ? { signal } : {});
    } finally {
      // Other formats are read rarely, and the memory of a module never shrinks.
      device.free();
    }
  }

  /**
   * Loads a network: recurrent layers, and at most one linear layer. Reads safetensors files with PyTorch's parameter
   * names. For files of PyTorch, Keras, NumPy, RTNeural, AIDA-X, GuitarML and Neural Amp Modeler, and for the option
   * `layer`, it downloads a module that converts the file.
   */
  async load(source: Source, options: LoadOptions = {}): Promise<N> {
    const { onProgress, signal, transfer, layer, ...rest } = named('options', options);
    callback('onProgress', onProgress);
    signalOf(signal);
    flag('transfer', transfer);
    expect('layer', layer, 'the name of a layer', () => layer === undefined || typeof layer === 'string');
    const given = copied(rest);
    const file = await bytesOf(source, options);
    const { name } = file;
    let { bytes } = file;
    // A safetensors file starts with the length of a header of JSON, and an ONNX model with the number of its version.
    if (isOnnx(bytes)) fail('format', `${name}: this is an ONNX model, which device.loadOnnx reads`);
    if (bytes[8] !== 123 || layer !== undefined) {
      const converted = await this.convert({ source: name, bytes, layer, asGraph: false }, signal);
      if (converted.kind === 'onnx')
        fail('unsupported', `${name}: expected recurrent layers and at most one linear layer; this has other layers, which device.loadOnnx runs`);
      bytes = converted.bytes;
    }
    const [held, info] = await this.restore({ kind: 'network', source: name, bytes, options: given }, options);
    return this.network(held, info as NetworkInfo);
  }

  /**
   * Loads a model from an ONNX file, or from a file of another format whose layers run one after another. The first call
   * loads a module that runs such models.
   */
  async loadOnnx(source: Source, options: Omit<LoadOptions, 'steps' | 'layer'> = {}): Promise<OnnxModel> {
    const { onProgress, signal, transfer, ...rest } = named('options', options);
    callback('onProgress', onProgress);
    signalOf(signal);
    flag('transfer', transfer);
    nothing('options', rest, 'onProgress, signal, transfer');
    const [{ name, bytes: given }, device] = await Promise.all([bytesOf(source, options), abortable(this.onnxDevice(), signal)]);
    const { bytes } = isOnnx(given) ? { bytes: given } : await this.convert({ source: name, bytes: given, layer: undefined, asGraph: true }, signal);
    const [held, info] = await device.restore({ kind: 'onnx', bytes }, options);
    return new OnnxModel(device, held, info as OnnxInfo);
  }

  /** @internal Creates a network with random weights. */
  async create(options: NetworkOptions): Promise<N> {
    const given = copied(named('options', options));
    const id = this.id();
    const { info, bytes } = await this.made(id, () => this.call('create', { id, options: given }));
    const held: Held = { id, origin: { kind: 'network', source: 'created', bytes, options: {} } };
    this.models.set(id, held);
    return this.network(held, info);
  }

  /** Returns the size of all tensors on the device, in bytes. */
  async liveBytes(): Promise<number> {
    const own = await this.call('liveBytes', {});
    return own + ((await (await this.onnx)?.liveBytes()) ?? 0);
  }

  /** @internal */
  protected network(held: Held, info: NetworkInfo): N {
    return new Network(this, held, info) as N;
  }

  /** @internal */
  get instance(): Instance {
    return Instance.of(this.setup.kit.glue, this.setup.module);
  }

  /** @internal */
  streamModule(): Promise<WebAssembly.Module> {
    const { kit, build, wasmUrl } = this.setup;
    const { kind, places } = kit.streams ?? fail('internal', 'this module has no streams');
    return compile(kind, places, build, wasmUrl);
  }

  /** Frees the device and everything on it. */
  free(): void {
    if (this.freed) return;
    this.freed = true;
    collected.unregister(this.running);
    this.models.clear();
    this.onnx?.then((device) => device.free()).catch(() => {});
    end(this.running);
  }
}
