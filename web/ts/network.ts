import { callback, copied, floats, named, nothing, show, signalOf, wholes, attached } from './check.js';
import { type Batch, cut, joined, parts } from './crew.js';
import type { Device } from './device.js';
import { fail } from './errors.js';
import type { Link } from './link.js';
import { type Held, Owned } from './owned.js';
import type { Instance, Stream } from './stream.js';
import type { Examples, History, NetworkInfo, Run, RunOptions, StreamOptions, TrainOptions } from './types.js';

/** What a worklet needs to step a network: clone it there, as `processorOptions`. */
export interface StreamParts {
  module: WebAssembly.Module;
  bytes: Uint8Array;
  options: object;
}

/** Examples, checked; `at` names them. */
function checked(at: string, examples: Examples): Examples {
  const name = at.slice(0, -1) || 'examples';
  const { x, dims, y, ...rest } = named(name, examples, 'x', 'dims', 'y');
  nothing(name, rest, 'x, dims, y');
  if (!(y instanceof Float32Array || y instanceof Uint32Array))
    fail('value', `${at}y: expected a Float32Array of numbers or a Uint32Array of classes, got ${show(y)}`);
  attached(`${at}y`, y.buffer);
  return { x: floats(`${at}x`, x), dims: wholes(`${at}dims`, dims) as Examples['dims'], y };
}

/** Recurrent layers and a linear layer after them. */
export class Network extends Owned<Device> {
  /** Trainings begun, and the last one whose weights are in `origin`: after others the first worker alone has them. */
  #trained = 0;
  #kept = 0;

  /** @internal */
  constructor(
    device: Device,
    held: Held,
    /** What it is. */
    readonly info: NetworkInfo,
  ) {
    super(device, held);
  }

  /**
   * Runs sequences `x`, `[batch, steps, features]`. Calls on one network keep their order; a run, `save` or `stream` that
   * is called during a training does not wait for its end, but takes the weights after the last finished update.
   */
  async run(x: Float32Array, dims: [batch: number, steps: number, features: number], options: RunOptions = {}): Promise<Run> {
    const { h0, lengths, ...rest } = named('options', options);
    const batch: Batch = { x: floats('x', x), dims: wholes('dims', dims) as Batch['dims'], options: copied(rest) };
    if (h0 !== undefined) batch.h0 = floats('h0', h0);
    if (lengths !== undefined) batch.lengths = wholes('lengths', lengths);
    this.check();
    // What is not shared is on its way before anything else can be asked for.
    const shared = this.#share(batch);
    return (shared && (await shared)) ?? (await this.#run(batch));
  }

  async #run({ x, dims, h0, lengths, options }: Batch, transfer: Transferable[] = [], link?: Link): Promise<Run> {
    const args = { id: this.id, x, dims, h0, lengths, options };
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
    const trained = this.#trained;
    return Promise.all(runs).then(joined, (error: unknown) => {
      // The unsplit run reports the error, or replaces a worker that ended. It must not see the weights of a later training.
      if (trained !== this.#trained) throw error;
      return undefined;
    });
  }

  /**
   * Trains it. Aborted, it keeps the weights of the last finished update. An exception of `onEpoch` ends the training too, and
   * is the `cause` of a `WgruError` with the code `callback`.
   */
  async train(examples: Examples, options: TrainOptions = {}): Promise<History> {
    const { validation, onEpoch, signal, ...rest } = named('options', options);
    const [{ x, dims, y }, check] = [checked('', examples), validation === undefined ? undefined : checked('validation.', validation)];
    callback('onEpoch', onEpoch);
    signalOf(signal);
    const args = { id: this.id, x, dims, y, checkX: check?.x, checkDims: check?.dims, checkY: check?.y, options: copied(rest) };
    this.check();
    const training = ++this.#trained;
    const trained = await this.call('train', args, {
      ...(signal ? { signal } : {}),
      onEpoch: ({ bytes, ...epoch }) => {
        this.#keep(bytes);
        return onEpoch?.(epoch);
      },
    });
    this.#keep(trained.bytes);
    this.#kept = training;
    return trained.history;
  }

  #keep(bytes: Uint8Array): void {
    this.origin = { kind: 'network', source: 'trained', bytes, options: {} };
  }

  /** The bytes of a safetensors file. */
  save(): Promise<Uint8Array> {
    return this.call('save', { id: this.id });
  }

  /** The network as it is now, frame by frame in this thread. */
  async stream(options: StreamOptions = {}): Promise<Stream> {
    const given = copied(named('options', options));
    return this.device.instance.stream(await this.save(), given);
  }

  /** What `streamOf` of `wgru/worklet` makes a stream of, in an audio worklet. */
  async streamParts(options: StreamOptions = {}): Promise<StreamParts> {
    const given = copied(named('options', options));
    const bytes = await this.call('checkStream', { id: this.id, options: given });
    return { module: await this.device.streamModule(), bytes, options: given };
  }
}
