import { best, compile } from './assets.js';
import { callback, copied, expect, named, nothing, signalOf } from './check.js';
import { WorkerPool } from './pool.js';
import { WgruError, asError, fail, isFatal } from './errors.js';
import type { Kit } from './kit.js';
import { type Link, LocalLink, type Options, WorkerLink } from './link.js';
import { Network } from './network.js';
import { OnnxModel } from './onnx.js';
import type { Held, Owner } from './owned.js';
import type { Args, Call, Origin, Result } from './protocol.js';
import { type Source, bytesOf } from './source.js';
import { Instance } from './stream.js';
import type { Build, DeviceInfo, LoadOptions, NetworkInfo, NetworkOptions, OnnxInfo, OpenOptions } from './types.js';

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
async function helper(kit: Kit, module: WebAssembly.Module, onFatal: () => void): Promise<Link> {
  const link = new WorkerLink(kit.worker, module, onFatal);
  try {
    await link.call('open', { device: 'cpu' });
  } catch (error) {
    link.end(asError(error));
    throw error;
  }
  return link;
}

/** A device and the models on it. After a fault, the next call opens it again with every weight restored. */
export class Device implements Disposable, Owner {
  #info: DeviceInfo | undefined;
  #next = 1;
  #freed = false;
  readonly #models = new Map<number, Held>();
  readonly #workers: Workers;
  /** The device of ONNX models, in a module of its own. */
  #onnx: Promise<Device> | undefined;
  /** @internal */
  readonly self = new WeakRef(this);

  private constructor(
    private readonly kit: Kit,
    private readonly module: WebAssembly.Module,
    /** The `device` option. */
    private readonly choice: object,
    private readonly inWorker: boolean,
    private readonly build: Build,
    workers: number,
  ) {
    this.#workers = { link: undefined, pool: new WorkerPool(workers, (onFatal) => helper(kit, module, onFatal)) };
    collected.register(this, this.#workers, this);
  }

  /** @internal */
  static async open(kit: Kit, options: OpenOptions): Promise<Device> {
    if (typeof WebAssembly === 'undefined') fail('unsupported', 'this browser has no WebAssembly: it is old, or in Lockdown Mode');
    const { device = 'auto', worker = typeof Worker === 'function', build = best(), ...others } = named('options', options);
    const { workers = Math.min(4, globalThis.navigator?.hardwareConcurrency ?? 1), ...rest } = others;
    nothing('options', rest, 'device, worker, workers, build');
    const choice = copied({ device });
    expect('worker', worker, 'true or false', (given) => typeof given === 'boolean');
    expect('workers', workers, 'a whole number from 1 to 16', (n) => Number.isInteger(n) && n >= 1 && n <= 16);
    expect('build', build, 'relaxed, simd or plain', (given) => Object.keys(kit.places).includes(given));
    const module = await compile(kit.places, build);
    if (!worker) expect('build', build, 'the build that this thread runs already', () => Instance.of(kit.glue, module).module === module);
    const opened = new Device(kit, module, choice, worker, build, worker ? workers : 1);
    await opened.#start();
    return opened;
  }

  /** Returns the device of ONNX models, which is of the same kind as this one. */
  #onnxDevice(): Promise<Device> {
    if (this.#freed) fail('freed', 'the device was freed');
    const open = async () => {
      const { kit } = await import('./onnx-kit.js');
      const module = await compile(kit.places, this.build);
      const opened = new Device(kit, module, { device: this.info.kind }, this.inWorker, this.build, 1);
      await opened.#start();
      if (this.#freed) opened.free();
      return opened;
    };
    this.#onnx ??= open();
    // Allow a retry after a failed download.
    this.#onnx.catch(() => (this.#onnx = undefined));
    return this.#onnx;
  }

  /** Kind and name of the device, and why it was chosen. It may change after a fault. */
  get info(): DeviceInfo {
    return this.#info ?? fail('internal', 'the device is not open yet');
  }

  #start(): Promise<Link> {
    this.#workers.link ??= this.#connect();
    return this.#workers.link;
  }

  async #connect(): Promise<Link> {
    let link: Link | undefined;
    try {
      link = this.#link();
      const info = await link.call('open', this.choice);
      this.#info = { ...info, worker: this.inWorker, build: this.build };
      for (const { id, origin } of this.#models.values()) await link.call('load', { id, origin });
    } catch (thrown) {
      const error = asError(thrown);
      link?.end(error);
      this.#workers.link = undefined;
      throw error;
    }
    return link;
  }

  #link(): Link {
    const { inWorker, kit, module } = this;
    const workers = this.#workers;
    // A running worker keeps its listeners reachable: they must not refer to the device, or it is never collected.
    const ended = () => {
      // Afterwards, `workers.link` may be the next link.
      if (isCurrent) workers.link = undefined;
      isCurrent = false;
    };
    let isCurrent = true;
    if (inWorker) return new WorkerLink(kit.worker, module, ended);
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
    if (this.#freed) fail('freed', 'the device was freed');
    const link = await this.#start();
    return link.call(name, args, options);
  }

  /** @internal */
  helpers(id: number, origin: Origin): Link[] {
    return this.info.kind === 'cpu' ? this.#workers.pool.ready(id, origin) : [];
  }

  /** @internal */
  get workers(): number {
    return this.#workers.pool.size;
  }

  /** @internal */
  id(): number {
    return this.#next++;
  }

  /** @internal */
  forget(id: number): void {
    this.#models.delete(id);
    this.#workers.pool.forget(id);
    // Without a link, the module has ended and there is nothing to free.
    if (!this.#freed && this.#workers.link) this.call('free', { id }).catch(() => {});
  }

  /** Runs `make`, and frees `id` if it fails: an aborted call may still have created the object. */
  async #made<T>(id: number, make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (error) {
      this.forget(id);
      throw error;
    }
  }

  #load(origin: Origin, { signal }: LoadOptions): Promise<[Held, unknown]> {
    const id = this.id();
    return this.#made(id, async () => {
      const info = await this.call('load', { id, origin }, signal ? { signal } : {});
      const held = { id, origin };
      this.#models.set(id, held);
      return [held, info];
    });
  }

  /**
   * Loads a network from a safetensors file: recurrent layers with PyTorch's parameter names, and at most one linear
   * layer.
   */
  async load(source: Source, options: LoadOptions = {}): Promise<Network> {
    const { onProgress, signal, ...rest } = named('options', options);
    callback('onProgress', onProgress);
    signalOf(signal);
    const given = copied(rest);
    const { name, bytes } = await bytesOf(source, options);
    const [held, info] = await this.#load({ kind: 'network', source: name, bytes, options: given }, options);
    return new Network(this, held, info as NetworkInfo);
  }

  /** Loads a model from an ONNX file. The first call loads a module that runs such models. */
  async loadOnnx(source: Source, options: Omit<LoadOptions, 'steps'> = {}): Promise<OnnxModel> {
    const { onProgress, signal, ...rest } = named('options', options);
    callback('onProgress', onProgress);
    signalOf(signal);
    nothing('options', rest, 'onProgress, signal');
    const [{ bytes }, device] = await Promise.all([bytesOf(source, options), this.#onnxDevice()]);
    const [held, info] = await device.#load({ kind: 'onnx', bytes }, options);
    return new OnnxModel(device, held, info as OnnxInfo);
  }

  /** Creates a network with random weights. */
  async create(options: NetworkOptions): Promise<Network> {
    const given = copied(named('options', options));
    const id = this.id();
    const { info, bytes } = await this.#made(id, () => this.call('create', { id, options: given }));
    const held: Held = { id, origin: { kind: 'network', source: 'created', bytes, options: {} } };
    this.#models.set(id, held);
    return new Network(this, held, info);
  }

  /** Returns the size of all tensors on the device, in bytes. */
  async liveBytes(): Promise<number> {
    const own = await this.call('liveBytes', {});
    return own + ((await (await this.#onnx)?.liveBytes()) ?? 0);
  }

  /** @internal */
  get instance(): Instance {
    return Instance.of(this.kit.glue, this.module);
  }

  /** @internal */
  streamModule(): Promise<WebAssembly.Module> {
    return compile(this.kit.streams, this.build);
  }

  /** Frees the device and everything on it. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    collected.unregister(this);
    this.#models.clear();
    this.#onnx?.then((device) => device.free()).catch(() => {});
    end(this.#workers);
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
