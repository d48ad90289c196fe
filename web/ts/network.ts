import { callback, copied, floats, named, nothing, show, signalOf, wholes, attached } from './check.js';
import { type Batch, cut, joined, parts } from './pool.js';
import { fail } from './errors.js';
import type { Link } from './link.js';
import { type Held, Owned, type Owner } from './owned.js';
import type { Stream } from './stream.js';
import type { Examples, History, NetworkInfo, Run, RunOptions, StreamOptions, TrainOptions } from './types.js';

/** The data from which a worklet makes a stream. Pass it there as `processorOptions`. */
export interface StreamParts {
  module: WebAssembly.Module;
  bytes: Uint8Array;
  options: object;
}

/** Validates examples; `at` is their prefix in error messages. */
function checked(at: string, examples: Examples): Examples {
  const name = at.slice(0, -1) || 'examples';
  const { x, dims, y, ...rest } = named(name, examples, 'x', 'dims', 'y');
  nothing(name, rest, 'x, dims, y');
  if (!(y instanceof Float32Array || y instanceof Uint32Array))
    fail('value', `${at}y: expected a Float32Array of numbers or a Uint32Array of classes, got ${show(y)}`);
  attached(`${at}y`, y.buffer);
  return { x: floats(`${at}x`, x), dims: wholes(`${at}dims`, dims) as Examples['dims'], y };
}

/** Recurrent layers, with an optional linear layer after them. */
export class Network extends Owned {
  /**
   * Number of calls of `train` so far, and the number of the last one whose final weights are in `origin`. If they
   * differ, only the first worker has the current weights.
   */
  #trained = 0;
  #kept = 0;

  /** @internal */
  constructor(
    device: Owner,
    held: Held,
    /** Configuration of the network. */
    readonly info: NetworkInfo,
  ) {
    super(device, held);
  }

  /**
   * Runs sequences `x` `[batch, steps, features]`. Calls on one network keep their order, but `run`, `save` and
   * `stream` do not wait for the end of training: they use the weights after its last finished update.
   */
  async run(x: Float32Array, dims: [batch: number, steps: number, features: number], options: RunOptions = {}): Promise<Run> {
    const { h0, lengths, ...rest } = named('options', options);
    const batch: Batch = { x: floats('x', x), dims: wholes('dims', dims) as Batch['dims'], options: copied(rest) };
    if (h0 !== undefined) batch.h0 = floats('h0', h0);
    if (lengths !== undefined) batch.lengths = wholes('lengths', lengths);
    this.check();
    // A run that is not shared is sent without awaiting anything, so that no later call can overtake it.
    const shared = this.#share(batch);
    return (shared && (await shared)) ?? (await this.#run(batch));
  }

  async #run({ x, dims, h0, lengths, options }: Batch, transfer: Transferable[] = [], link?: Link): Promise<Run> {
    const args = { id: this.id, x, dims, h0, lengths, options };
    return (await (link?.call('run', args, { transfer }) ?? this.call('run', args, { transfer }))) as Run;
  }

  /**
   * Runs a large batch on all workers that hold the network. Returns `undefined` if the batch cannot be shared,
   * or if sharing failed.
   */
  #share(batch: Batch): Promise<Run | undefined> | undefined {
    const { layers, bidirectional, parameters } = this.info;
    if (this.#kept !== this.#trained || parts(batch, parameters, this.device.workers) === 1) return undefined;
    const helpers = this.device.helpers(this.id, this.origin);
    const count = parts(batch, parameters, 1 + helpers.length);
    if (count === 1) return undefined;
    const runs = cut(batch, count, layers * (bidirectional ? 2 : 1)).map((part, i) => this.#run(part, [part.x.buffer], helpers[i - 1]));
    const trained = this.#trained;
    return Promise.all(runs).then(joined, (error: unknown) => {
      // The caller then runs the whole batch, which reports the error or replaces an ended worker. That run must not
      // see the weights of a later call of `train`.
      if (trained !== this.#trained) throw error;
      return undefined;
    });
  }

  /**
   * Trains the network. If aborted, it keeps the weights of the last finished update. If `onEpoch` throws, training
   * ends with the code `callback`, and the exception is the `cause` of the error.
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

  /** Returns the network as the bytes of a safetensors file. */
  save(): Promise<Uint8Array> {
    return this.call('save', { id: this.id });
  }

  /** Creates a stream that runs a copy of the network frame by frame, in this thread. */
  async stream(options: StreamOptions = {}): Promise<Stream> {
    const given = copied(named('options', options));
    return this.device.instance.stream(await this.save(), given);
  }

  /** Returns the data from which `streamOf` of `wgru/worklet` makes a stream in an audio worklet. */
  async streamParts(options: StreamOptions = {}): Promise<StreamParts> {
    const given = copied(named('options', options));
    const bytes = await this.call('checkStream', { id: this.id, options: given });
    return { module: await this.device.streamModule(), bytes, options: given };
  }
}
