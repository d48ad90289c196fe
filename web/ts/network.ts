import { buffersOf, copied, flag, floats, named, signalOf, wholes } from './check.js';
import { WgruError } from './errors.js';
import type { Link, Options } from './link.js';
import { type Held, Owned, type Owner } from './owned.js';
import { type Batch, cut, joined, parts } from './pool.js';
import type { Stream } from './stream.js';
import type { Bytes, NetworkInfo, Run, RunOptions, StreamOptions } from './types.js';

/** The data from which a worklet makes a stream. Pass it there as `processorOptions`. */
export interface StreamParts {
  /** The compiled module for worklets. */
  module: WebAssembly.Module;
  /** The network, as the bytes of a safetensors file. */
  bytes: Bytes;
  /** The options of `streamParts`. */
  options: object;
}

/** Recurrent layers, with an optional linear layer after them. Made by `device.load`. */
export class Network extends Owned {
  /**
   * Number of calls of `train` so far, and the number of the last one whose final weights are in `origin`. If they
   * differ, only the first worker has the current weights.
   * @internal
   */
  protected trained = 0;
  /** @internal */
  protected kept = 0;

  /** @internal */
  constructor(
    device: Owner,
    held: Held,
    /** Configuration of the network. */
    readonly info: NetworkInfo,
  ) {
    super(device, held);
  }

  /** @internal Helps users without types; `wgru` has its own. */
  train(..._: any): Promise<any> {
    return Promise.reject(new WgruError('unsupported', "training is not in the build for inference: import from 'wgru'"));
  }

  /**
   * Runs sequences `x` `[batch, steps, features]`. Calls on one network keep their order, but `run`, `save` and
   * `stream` do not wait for the end of training: they use the weights after its last finished update.
   */
  async run(x: Float32Array, dims: [batch: number, steps: number, features: number], options: RunOptions = {}): Promise<Run> {
    const { h0, lengths, signal, transfer, ...rest } = named('options', options);
    const batch: Batch = { x: floats('x', x), dims: wholes('dims', dims) as Batch['dims'], options: copied(rest) };
    if (h0 !== undefined) batch.h0 = floats('h0', h0);
    if (lengths !== undefined) batch.lengths = wholes('lengths', lengths);
    const buffers = flag('transfer', transfer) ? buffersOf(x, h0) : [];
    signalOf(signal);
    this.check();
    // A run that is not shared is sent without awaiting anything, so that no later call can overtake it.
    const shared = this.share(batch, signal);
    return (shared && (await shared)) ?? (await this.send(batch, { transfer: buffers, signal }));
  }

  private async send({ x, dims, h0, lengths, options }: Batch, how: Options, link?: Link): Promise<Run> {
    const args = { id: this.id, x, dims, h0, lengths, options };
    return (await (link?.call('run', args, how) ?? this.call('run', args, how))) as Run;
  }

  /**
   * Runs a large batch on all workers that hold the network. Returns `undefined` if the batch cannot be shared,
   * or if sharing failed.
   */
  private share(batch: Batch, signal: AbortSignal | undefined): Promise<Run | undefined> | undefined {
    const { layers, bidirectional, parameters } = this.info;
    if (this.kept !== this.trained || parts(batch, parameters, this.device.workers) === 1) return undefined;
    const helpers = this.device.helpers(this.id, this.origin);
    const count = parts(batch, parameters, 1 + helpers.length);
    if (count === 1) return undefined;
    const runs = cut(batch, count, layers * (bidirectional ? 2 : 1)).map((part, i) =>
      this.send(part, { transfer: [part.x.buffer], signal }, helpers[i - 1]),
    );
    const trained = this.trained;
    return Promise.all(runs).then(joined, (error: unknown) => {
      // The caller then runs the whole batch, which reports the error or replaces an ended worker. That run must not
      // see the weights of a later call of `train`.
      if (trained !== this.trained || signal?.aborted) throw error;
      return undefined;
    });
  }

  /** Returns the network as the bytes of a safetensors file, which `device.load` and Python read. */
  save(): Promise<Bytes> {
    return this.call('save', { id: this.id });
  }

  /** Creates a stream that runs a copy of the network frame by frame on the CPU, in this thread. */
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
