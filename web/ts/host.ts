import { fail } from './errors.js';
import type { Freed, Glue, GlueEngine, GlueNetwork, GlueOnnx, GlueOnnxStream } from './glue.js';
import type { Args, Call, EpochReport, Result } from './protocol.js';
import type { History, NetworkInfo } from './types.js';

/** Milliseconds after which others get their turn. */
const SLICE = 8;

/** Lets what waits in the event loop happen. */
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

/** What a call may hear and tell while it runs. */
export interface Watch {
  aborted: () => boolean;
  onEpoch: (report: EpochReport) => void;
}

/** Does what is asked for, with the wasm module of its own thread. Calls on one object wait for each other. */
export class Host {
  #engine: GlueEngine | undefined;
  readonly #objects = new Map<number, Freed>();
  readonly #last = new Map<number, Promise<unknown>>();

  constructor(private readonly glue: Glue) {}

  /** Does one call. */
  do<C extends Call>(name: C, args: Args<C>, watch: Watch): Promise<Result<C>> {
    const id = (args as { id?: number }).id ?? 0;
    const before = this.#last.get(id) ?? Promise.resolve();
    const handler = this[name] as (args: Args<C>, watch: Watch) => Promise<Result<C>>;
    const now = before.then(() => handler.call(this, args, watch));
    const settled = now.catch(() => {});
    this.#last.set(id, settled);
    void settled.then(() => this.#last.get(id) === settled && this.#last.delete(id));
    return now;
  }

  #get<T extends Freed>(id: number): T {
    return (this.#objects.get(id) as T | undefined) ?? fail('freed', 'the object was freed');
  }

  get #open(): GlueEngine {
    return this.#engine ?? fail('internal', 'no device is open');
  }

  async open({ device }: Args<'open'>): Promise<Result<'open'>> {
    this.#engine = await this.glue.Engine.open(device);
    const info = this.#engine.info() as Result<'open'>;
    // Browsers hide the name; what they tell is who made it.
    if (info.adapter && !info.name) info.name = info.adapter.name = await maker();
    return info;
  }

  async load({ id, origin }: Args<'load'>): Promise<Result<'load'>> {
    let made: GlueNetwork | GlueOnnx;
    if (origin.kind === 'network') made = await this.#open.network(origin.source, origin.bytes, origin.options);
    else made = this.#open.onnx?.(origin.bytes) ?? fail('unsupported', 'ONNX is not in the build for inference');
    this.#objects.set(id, made);
    return made.info() as Result<'load'>;
  }

  async create({ id, options }: Args<'create'>): Promise<Result<'create'>> {
    const made = this.#open.create(options);
    this.#objects.set(id, made);
    return { info: made.info() as NetworkInfo, bytes: await made.save() };
  }

  run({ id, x, dims, h0, options }: Args<'run'>): Promise<unknown> {
    return this.#get<GlueNetwork>(id).run(x, Uint32Array.from(dims), h0, options);
  }

  async train(args: Args<'train'>, watch: Watch): Promise<Result<'train'>> {
    const network = this.#get<GlueNetwork>(args.id);
    if (!network.train) fail('unsupported', 'training is not in the build for inference');
    let since = performance.now();
    const listener = async (epoch: number, loss: number, validation: number | null) => {
      watch.onEpoch({ epoch, loss, validation, bytes: await network.save() });
    };
    const history = (await network.train(
      args.x,
      Uint32Array.from(args.dims),
      args.y,
      args.checkX,
      Uint32Array.from(args.checkDims),
      args.checkY,
      args.options,
      (epoch, _updates, _of, loss, validation) => {
        const report = loss === null ? undefined : listener(epoch, loss, validation);
        if (!report && performance.now() - since < SLICE) return !watch.aborted();
        return (report ?? Promise.resolve()).then(turn).then(() => {
          since = performance.now();
          return !watch.aborted();
        });
      },
    )) as History;
    return { history, bytes: await network.save() };
  }

  save({ id }: Args<'save'>): Promise<Uint8Array> {
    return this.#get<GlueNetwork>(id).save();
  }

  onnx({ id, inputs }: Args<'onnx'>): Promise<unknown> {
    return this.#get<GlueOnnx | GlueOnnxStream>(id).run(inputs);
  }

  async onnxStream({ id, of }: Args<'onnxStream'>): Promise<null> {
    this.#objects.set(id, this.#get<GlueOnnx>(of).stream());
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

  async liveBytes(): Promise<number> {
    return this.#open.liveBytes();
  }
}
