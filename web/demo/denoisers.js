// Published models that remove noise from speech, frame by frame. Twins of the models of `examples/denoise`.
//
// Runs in workers and audio worklets too: nothing here needs a page.
import { Stft, rootHann } from './stft.js';

/** Samples per second of every model. */
export const RATE = 16_000;

/**
 * Westhausen, Meyer: *Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression* (2020). A mask for the
 * spectrum, then a second network on blocks of samples.
 */
class Dtln {
  static title = 'DTLN';
  static hop = 128;
  /** Extents of a frame of each network: magnitudes, and samples. */
  static frames = [[1, 1, 257], [1, 1, 512]];
  static files = ['model_1.onnx', 'model_2.onnx'];
  // The networks work on blocks that are not windowed, and output blocks that only have to be added.
  stft = new Stft(new Float64Array(512).fill(1), Dtln.hop);

  constructor([spectra, blocks]) {
    [this.spectra, this.blocks] = [spectra, blocks];
  }

  process(input, output) {
    const { stft, spectra, blocks } = this;
    const { re, im, block, bins } = stft;
    stft.analyze(input);
    for (let k = 0; k < bins; k++) spectra.input[k] = Math.sqrt(re[k] ** 2 + im[k] ** 2);
    spectra.run();
    for (let k = 0; k < bins; k++) {
      re[k] *= spectra.output[k];
      im[k] *= spectra.output[k];
    }
    stft.inverse();
    // The window for synthesis has divided by the number of overlapping blocks.
    const overlap = block.length / Dtln.hop;
    for (let i = 0; i < block.length; i++) blocks.input[i] = overlap * block[i];
    blocks.run();
    block.set(blocks.output);
    stft.add(output);
  }
}

/**
 * Rong et al.: *GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources* (2024). Complex spectra in
 * and out.
 */
class Gtcrn {
  static title = 'GTCRN';
  static hop = 256;
  /** Extents of a frame: bins, steps, real and imaginary part. */
  static frames = [[1, 257, 1, 2]];
  static files = ['gtcrn_simple.onnx'];
  stft = new Stft(rootHann(512), Gtcrn.hop);

  constructor([network]) {
    this.network = network;
  }

  process(input, output) {
    const { stft, network } = this;
    stft.analyze(input);
    for (let k = 0; k < stft.bins; k++) {
      network.input[2 * k] = stft.re[k];
      network.input[2 * k + 1] = stft.im[k];
    }
    network.run();
    for (let k = 0; k < stft.bins; k++) {
      stft.re[k] = network.output[2 * k];
      stft.im[k] = network.output[2 * k + 1];
    }
    stft.synthesize(output);
  }
}

/** Least power, whose logarithm is finite. */
const FLOOR = 1e-12;
/** Least gain: −80 dB. */
const LEAST = 1e-4;

/**
 * The baseline of Microsoft's Deep Noise Suppression Challenge. Braun, Tashev: *Data augmentation and loss normalization
 * for deep noise suppression* (2020). Logarithms of the power in, gains out.
 */
class Nsnet2 {
  static title = 'nsnet2';
  static hop = 160;
  /** Extents of a frame: sequences, steps, bins. */
  static frames = [[1, 1, 161]];
  static files = ['nsnet2-20ms-baseline.onnx'];
  // The network was trained with the square root of the symmetric Hann window.
  stft = new Stft(Float64Array.from({ length: 320 }, (_, i) => Math.sin((Math.PI * i) / 319)), Nsnet2.hop);

  constructor([network]) {
    this.network = network;
  }

  process(input, output) {
    const { stft, network } = this;
    stft.analyze(input);
    for (let k = 0; k < stft.bins; k++) network.input[k] = Math.log10(Math.max(FLOOR, stft.re[k] ** 2 + stft.im[k] ** 2));
    network.run();
    for (let k = 0; k < stft.bins; k++) {
      const gain = Math.min(1, Math.max(LEAST, network.output[k]));
      stft.re[k] *= gain;
      stft.im[k] *= gain;
    }
    stft.synthesize(output);
  }
}

/** Models by kind. Each has a `title`, a `hop` in samples, the `frames` of its networks, and their usual `files`. */
export const KINDS = { dtln: Dtln, gtcrn: Gtcrn, nsnet2: Nsnet2 };

const size = (dims) => dims.reduce((product, extent) => product * extent, 1);

/** Whether the extents of an input in a file are those of a frame, where they are fixed. */
const fits = (dims, frame) => dims?.length === frame.length && frame.every((extent, i) => typeof dims[i] !== 'number' || dims[i] === extent);

/** Recognizes a network by its first input. Returns the kind of model and the place in it, or `null`. */
export function recognized({ inputs: [first] }) {
  if (first?.type !== 'float32') return null;
  for (const [kind, { frames }] of Object.entries(KINDS)) {
    const place = frames.findIndex((frame) => fits(first.dims, frame));
    if (place >= 0) return { kind, place };
  }
  return null;
}

/** Prepares an ONNX model: returns its kind and place, and the `network` for `denoiserOf`, in this or another thread. */
export async function prepared(model) {
  const { inputs, outputs } = model.info;
  const found = recognized(model.info);
  if (!found) {
    const got = inputs.map(({ name, dims }) => `${name} [${dims?.map((d) => d ?? '?') ?? 'any'}]`).join(', ');
    throw Object.assign(new Error(`expected DTLN, GTCRN or nsnet2; this is a model of another kind, with the inputs ${got}`), { code: 'format' });
  }
  const [input, output] = [inputs[0].name, outputs[0].name];
  const dims = KINDS[found.kind].frames[found.place];
  const parts = await model.bindParts({ [input]: { data: new Float32Array(size(dims)), dims } });
  return { ...found, network: { parts, input, output } };
}

/** A network whose frame goes in and comes out with the same extents, and whose states are carried from run to run. */
class Network {
  constructor(stream, { input, output }) {
    this.stream = stream;
    [this.input, this.output] = [stream.inputs[input], stream.outputs[output]];
    if (this.input.length === this.output.length) return;
    throw Object.assign(new Error(`the first output: expected ${this.input.length} numbers as in the input, got ${this.output.length}`), { code: 'shape' });
  }

  run() {
    this.stream.run();
  }
}

/** Creates the denoiser `kind` from its networks. `bind` is `boundStreamOf` of `wgru/worklet-onnx`. */
export function denoiserOf({ kind, networks }, bind) {
  const Kind = KINDS[kind];
  const streams = [];
  const free = () => streams.forEach((stream) => stream.free());
  try {
    for (const { parts } of networks) streams.push(bind(parts));
    const denoiser = new Kind(streams.map((stream, i) => new Network(stream, networks[i])));
    return Object.assign(denoiser, { hop: Kind.hop, delay: denoiser.stft.delay, free });
  } catch (error) {
    free();
    throw error;
  }
}

/** Denoises `samples` into `output` of the same length, without delay. Yields the number of samples done so far. */
export function* denoise(denoiser, samples, output) {
  const { hop, delay } = denoiser;
  const [x, y] = [new Float32Array(hop), new Float32Array(hop)];
  for (let at = 0; at < samples.length + delay; at += hop) {
    x.fill(0);
    x.set(samples.subarray(at, at + hop));
    denoiser.process(x, y);
    const from = at - delay;
    const skipped = Math.max(0, -from);
    output.set(y.subarray(skipped, Math.max(skipped, output.length - from)), Math.max(0, from));
    yield Math.min(output.length, Math.max(0, from + hop));
  }
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Runs a denoiser on blocks of a fixed length, as audio worklets have them. */
export class Blocks {
  #denoiser;
  #frame;
  #filled = 0;
  #result;
  /** Samples of the output that are ready. */
  #ready;
  #count;

  constructor(denoiser, length) {
    const { hop, delay } = denoiser;
    // The longest time for which a block would have to wait for its frame.
    const lag = hop - divisor(hop, length);
    this.#denoiser = denoiser;
    [this.#frame, this.#result] = [new Float32Array(hop), new Float32Array(hop)];
    this.#ready = new Float32Array(lag + hop + length);
    this.#count = lag;
    /** Number of samples by which the output is later than the input. */
    this.delay = delay + lag;
  }

  /** Reads and writes a block. */
  process(input, output) {
    const { hop } = this.#denoiser;
    for (let i = 0; i < input.length; i++) {
      this.#frame[this.#filled++] = input[i];
      if (this.#filled < hop) continue;
      this.#denoiser.process(this.#frame, this.#result);
      this.#ready.set(this.#result, this.#count);
      this.#count += hop;
      this.#filled = 0;
    }
    for (let i = 0; i < output.length; i++) output[i] = this.#ready[i];
    this.#ready.copyWithin(0, output.length, this.#count);
    this.#count -= output.length;
  }
}
