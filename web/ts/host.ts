import { type WgruError, asError, fail, isFatal } from './errors.js';
import type { Freed, Glue, GlueEngine, GlueNetwork, GlueOnnx, GlueOnnxStream } from './glue.js';
import type { Args, Call, Origin, Result, Weights } from './protocol.js';
import { type Training, Turns } from './turns.js';
import type { Bytes, Epoch, History, NetworkInfo } from './types.js';

/** Milliseconds after which training pauses for other calls. */
const SLICE = 8;
/** Least number of milliseconds between two copies of the weights for the page, which restores them after a fault. */
const SNAPSHOT = 1000;
/** Largest share of the time that goes into these copies. */
const SHARE = 1 / 20;

/** Yields to the event loop. */
const turn = () =>
  new Promise<void>((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });

async function maker(): Promise<string> {
  const gpu = (navigator as { gpu?: { requestAdapter(options: object): Promise<{ info: Record<string, unknown> } | null> } }).gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  const told = ['vendor', 'architecture', 'device'].map((key) => adapter?.info[key]).filter(Boolean);
  return told.join(' ') || 'a WebGPU adapter';
}

/** Lets a running call detect an abort and report its progress. */
export interface Watch {
  aborted: () => boolean;
  onEpoch: (report: Epoch) => void;
  onWeights: (weights: Weights) => void;
}

/** Executes calls by name on the wasm module of its thread. Calls on one object keep their order. */
export class Host {
  #engine: GlueEngine | undefined;
  readonly #objects = new Map<number, Freed>();
  readonly #turns = new Turns();

  constructor(private readonly glue: Glue) {}

  /** Executes one call. */
  do<C extends Call>(name: C, args: Args<C>, watch: Watch): Promise<Result<C>> {
    const id = (args as { id?: number }).id ?? 0;
    const handler = this[name] as (args: Args<C>, watch: Watch, training?: Training) => Promise<Result<C>>;
    const act = async (training?: Training) => handler.call(this, args, watch, training);
    if (name === 'train') return this.#turns.train(id, act);
    if (name === 'run' || name === 'save' || name === 'checkStream') return this.#turns.read(id, act);
    if (name === 'free') this.#turns.stop(id);
    return this.#turns.next(id, act);
  }

  #get<T extends Freed>(id: number): T {
    return (this.#objects.get(id) as T | undefined) ?? fail('freed', 'the object was freed');
  }

  get #open(): GlueEngine {
    return this.#engine ?? fail('internal', 'no device is open');
  }

  async open(options: Args<'open'>): Promise<Result<'open'>> {
    // The module looks for WebGPU in a window or a worker, and fails where there is neither, as in Node.
    const isBrowser = 'Window' in globalThis || 'WorkerGlobalScope' in globalThis;
    const { device } = options as { device: unknown };
    if (!isBrowser && device === 'webgpu') fail('no-adapter', 'there is no WebGPU outside of browsers');
    const isFallback = !isBrowser && device === 'auto';
    this.#engine = await this.glue.Engine.open(isFallback ? { device: 'cpu' } : options);
    const info = this.#engine.info() as Result<'open'>;
    if (isFallback) info.reason = 'there is no WebGPU outside of browsers';
    // Browsers hide the name of the adapter but report its vendor.
    if (info.adapter && !info.name) info.name = info.adapter.name = await maker();
    return info;
  }

  async load({ id, origin }: Args<'load'>): Promise<Result<'load'>> {
    const made = await this.#read(origin);
    this.#objects.set(id, made);
    return made.info() as Result<'load'>;
  }

  async convert({ source, bytes, layer, asGraph }: Args<'convert'>): Promise<Result<'convert'>> {
    const converted = this.#open.convert?.(source, bytes, layer, asGraph) ?? fail('internal', 'this module does not convert files');
    return (await converted) as Result<'convert'>;
  }

  async #read(origin: Origin): Promise<GlueNetwork | GlueOnnx> {
    const made = origin.kind === 'network' ? this.#open.network?.(origin.source, origin.bytes, origin.options) : this.#open.onnx?.(origin.bytes);
    return made ?? fail('internal', `this module does not load models of kind ${origin.kind}`);
  }

  async create({ id, options }: Args<'create'>): Promise<Result<'create'>> {
    const made = this.#open.create?.(options) ?? fail('internal', 'this module does not create networks');
    this.#objects.set(id, made);
    return { info: made.info() as NetworkInfo, bytes: await made.save() };
  }

  async run({ id, x, dims, h0, lengths, options }: Args<'run'>, watch: Watch): Promise<unknown> {
    if (watch.aborted()) fail('aborted', 'aborted before it began');
    return this.#get<GlueNetwork>(id).run(x, Uint32Array.from(dims), h0, lengths && Uint32Array.from(lengths), options);
  }

  async train(args: Args<'train'>, watch: Watch, training: Training): Promise<Result<'train'>> {
    const network = this.#get<GlueNetwork>(args.id);
    if (!network.train) fail('unsupported', "training is not in the build for inference: import from 'wgru'");
    const goesOn = () => !watch.aborted() && !training.isStopped;
    // Aborted or freed while it waited for earlier calls: make no update at all.
    if (!goesOn()) fail(training.isStopped ? 'freed' : 'aborted', 'training was stopped before it began');
    let error: WgruError | undefined;
    let since = performance.now();
    let next = since + SNAPSHOT;
    const snapshot = async (final: boolean) => {
      const began = performance.now();
      watch.onWeights({ bytes: await network.save(), final });
      const now = performance.now();
      next = now + Math.max(SNAPSHOT, (now - began) / SHARE);
    };
    const pause = async () => {
      if (performance.now() >= next) await snapshot(false);
      await turn();
      await training.pause();
      since = performance.now();
      return goesOn();
    };
    try {
      return (await network.train(
        args.x,
        Uint32Array.from(args.dims),
        args.y,
        args.checkX,
        args.checkDims && Uint32Array.from(args.checkDims),
        args.checkY,
        args.options,
        (epoch, _updates, _of, loss, validation) => {
          if (loss !== null) watch.onEpoch({ epoch, loss, validation });
          return loss === null && performance.now() - since < SLICE ? goesOn() : pause();
        },
      )) as History;
    } catch (thrown) {
      error = asError(thrown);
      throw error;
    } finally {
      if (!error || !isFatal(error)) {
        if (training.isStopped) fail('freed', 'the network was freed while it was trained');
        // Whether training was completed, aborted or failed: the page keeps the weights after the last update.
        await snapshot(true);
      }
    }
  }

  save({ id }: Args<'save'>): Promise<Bytes> {
    return this.#get<GlueNetwork>(id).save();
  }

  async checkStream({ id, options }: Args<'checkStream'>): Promise<Bytes> {
    const bytes = await this.#get<GlueNetwork>(id).save();
    this.glue.Stream?.read(bytes, options).free();
    return bytes;
  }

  onnx({ id, inputs }: Args<'onnx'>): Promise<unknown> {
    return this.#get<GlueOnnx | GlueOnnxStream>(id).run(inputs);
  }

  async onnxStream({ id, of, options }: Args<'onnxStream'>): Promise<null> {
    this.#objects.set(id, this.#get<GlueOnnx>(of).stream(options));
    return null;
  }

  async reset({ id }: Args<'reset'>): Promise<null> {
    this.#get<GlueOnnxStream>(id).reset();
    return null;
  }

  async free({ id }: Args<'free'>): Promise<null> {
    this.#objects.get(id)?.free();
    this.#objects.delete(id);
    return null;
  }

  /** Stops training, waits for the calls in flight, and frees everything. */
  async clear(): Promise<void> {
    for (const id of this.#objects.keys()) this.#turns.stop(id);
    await this.#turns.over();
    for (const object of this.#objects.values()) object.free();
    this.#engine?.free();
  }

  async liveBytes(): Promise<number> {
    return this.#open.liveBytes();
  }
}
