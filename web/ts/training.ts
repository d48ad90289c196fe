/** Training, and the device whose networks can be trained. */
import { attached, buffersOf, callback, copied, flag, floats, named, nothing, show, signalOf, wholes } from './check.js';
import { Device as InferenceDevice } from './device.js';
import { fail } from './errors.js';
import { Network as InferenceNetwork } from './network.js';
import type { Held } from './owned.js';
import type { Source } from './source.js';
import type { Examples, History, LoadOptions, NetworkInfo, NetworkOptions, TrainOptions } from './types.js';

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

/** Recurrent layers, with an optional linear layer after them. Made by `device.create` or `device.load`. */
export class Network extends InferenceNetwork {
  /**
   * Trains the network. If aborted, it keeps the weights of the last finished update. If `onEpoch` throws, training
   * ends with the code `callback`, and the exception is the `cause` of the error.
   */
  override async train(examples: Examples, options: TrainOptions = {}): Promise<History> {
    const { validation, onEpoch, signal, transfer, ...rest } = named('options', options);
    const [{ x, dims, y }, check] = [checked('', examples), validation === undefined ? undefined : checked('validation.', validation)];
    callback('onEpoch', onEpoch);
    signalOf(signal);
    const args = { id: this.id, x, dims, y, checkX: check?.x, checkDims: check?.dims, checkY: check?.y, options: copied(rest) };
    const buffers = flag('transfer', transfer) ? buffersOf(x, y, check?.x, check?.y) : [];
    this.check();
    const training = ++this.trained;
    return this.call('train', args, {
      signal,
      transfer: buffers,
      ...(onEpoch ? { onEpoch } : {}),
      onWeights: ({ bytes, final }) => {
        this.origin = { kind: 'network', source: 'trained', bytes, options: {} };
        if (final) this.kept = training;
      },
    });
  }
}

/** A device and the models on it. After a fault, the next call opens it again with every weight restored. */
export class Device extends InferenceDevice<Network> {
  /**
   * Loads a network: recurrent layers, and at most one linear layer. Reads safetensors files with PyTorch's parameter
   * names. For files of PyTorch, Keras, NumPy, RTNeural, AIDA-X, GuitarML and Neural Amp Modeler, and for the option
   * `layer`, it downloads a module that converts the file.
   */
  override load(source: Source, options: LoadOptions = {}): Promise<Network> {
    return super.load(source, options);
  }

  /** Creates a network with random weights, to be trained. */
  override create(options: NetworkOptions): Promise<Network> {
    return super.create(options);
  }

  /** @internal */
  protected override network(held: Held, info: NetworkInfo): Network {
    return new Network(this, held, info);
  }
}
