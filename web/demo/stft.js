// Short-time Fourier transform, frame by frame and without allocation.

/** Returns factors of `n`: fours, and then primes in ascending order. */
function factors(n) {
  const found = [];
  for (const f of [4, 2]) for (; n % f === 0; n /= f) found.push(f);
  for (let f = 3; n > 1; f += 2) for (; n % f === 0; n /= f) found.push(f);
  return found;
}

/** A complex Fourier transform of any size, by Stockham's algorithm; fast if the prime factors are small. */
export class Fft {
  #factors;
  #cos;
  #sin;
  #scratch;
  #turns;

  constructor(size) {
    this.size = size;
    this.#factors = factors(size);
    this.#cos = Float64Array.from({ length: size }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.#sin = Float64Array.from({ length: size }, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.#scratch = [new Float64Array(size), new Float64Array(size)];
    const widest = Math.max(1, ...this.#factors);
    this.#turns = [new Float64Array(widest), new Float64Array(widest)];
  }

  /** Replaces `re + i·im` `[size]` by `Σ xₜ·e^(∓2πi·kt/size)`: minus forward, plus if `inverse`. Not normalized. */
  run(re, im, inverse = false) {
    const sign = inverse ? 1 : -1;
    let from = [re, im];
    let to = this.#scratch;
    let stride = 1;
    for (const radix of this.#factors) {
      this.#stage(from, to, radix, stride, sign);
      [from, to] = [to, from];
      stride *= radix;
    }
    if (from[0] === re) return;
    re.set(from[0]);
    im.set(from[1]);
  }

  /** Combines `radix` transforms into one, for each of `stride` interleaved signals. */
  #stage([fromRe, fromIm], [toRe, toIm], radix, stride, sign) {
    const { size } = this;
    const [cos, sin, turnRe, turnIm] = [this.#cos, this.#sin, this.#turns[0], this.#turns[1]];
    const parts = size / stride / radix;
    for (let p = 0; p < parts; p++)
      for (let j = 0; j < radix; j++) {
        for (let k = 0; k < radix; k++) {
          const angle = (j * (k * (size / radix) + p * stride)) % size;
          turnRe[k] = cos[angle];
          turnIm[k] = sign * sin[angle];
        }
        for (let q = 0; q < stride; q++) {
          let sumRe = 0;
          let sumIm = 0;
          for (let k = 0, at = stride * p + q; k < radix; k++, at += stride * parts) {
            sumRe += fromRe[at] * turnRe[k] - fromIm[at] * turnIm[k];
            sumIm += fromRe[at] * turnIm[k] + fromIm[at] * turnRe[k];
          }
          const out = stride * (radix * p + j) + q;
          toRe[out] = sumRe;
          toIm[out] = sumIm;
        }
      }
  }
}

/** Square root of a Hann window of period `size`, as in PyTorch. */
export const rootHann = (size) => Float64Array.from({ length: size }, (_, i) => Math.sin((Math.PI * i) / size));

/**
 * Cuts a signal into windows that overlap, and adds them up again. If spectra are not changed, the output is the input
 * `delay` samples later.
 */
export class Stft {
  #fft;
  #hop;
  /** Windows `[size]` for analysis and synthesis; the latter includes the factor `1 / size` of the inverse transform. */
  #analysis;
  #synthesis;
  /** The last `size` samples of the input. */
  #past;
  /** Sums of the windows so far, for the next `size` samples of the output. */
  #sums;
  #imaginary;

  /**
   * `window` has the size of the transform, which is a multiple of `hop`. The window for synthesis follows from it, so
   * that their products add up to 1.
   */
  constructor(window, hop) {
    const size = window.length;
    const energy = (i) => {
      let sum = 0;
      for (let at = i % hop; at < size; at += hop) sum += window[at] ** 2;
      return sum;
    };
    this.#fft = new Fft(size);
    this.#hop = hop;
    this.#analysis = Float64Array.from(window);
    this.#synthesis = this.#analysis.map((w, i) => w / energy(i) / size);
    [this.#past, this.#sums, this.#imaginary] = [0, 0, 0].map(() => new Float64Array(size));
    /** Number of samples by which the output is later than the input. */
    this.delay = size - hop;
    /** The spectrum of the current window: bins `[size / 2 + 1]`. */
    this.bins = size / 2 + 1;
    this.re = new Float64Array(size);
    this.im = new Float64Array(size);
    /** The current window of samples `[size]`. */
    this.block = new Float64Array(size);
  }

  /** Appends `hop` samples, and computes the spectrum of the last `size` ones. */
  analyze(input) {
    const past = this.#past;
    past.copyWithin(0, this.#hop);
    past.set(input, this.delay);
    for (let i = 0; i < past.length; i++) this.re[i] = past[i] * this.#analysis[i];
    this.im.fill(0);
    this.#fft.run(this.re, this.im);
  }

  /** Computes `block` from the spectrum: its samples times the window for synthesis. */
  inverse() {
    const { re, im, block, bins } = this;
    const size = block.length;
    // The first and the last bin of real signals are real; the upper half mirrors the lower.
    im[0] = im[bins - 1] = 0;
    for (let k = bins; k < size; k++) [re[k], im[k]] = [re[size - k], -im[size - k]];
    block.set(re);
    this.#imaginary.set(im);
    this.#fft.run(block, this.#imaginary, true);
    for (let i = 0; i < size; i++) block[i] *= this.#synthesis[i];
  }

  /** Adds `block` to the output, and writes its next `hop` samples to `output`. */
  add(output) {
    const sums = this.#sums;
    for (let i = 0; i < sums.length; i++) sums[i] += this.block[i];
    for (let i = 0; i < this.#hop; i++) output[i] = sums[i];
    sums.copyWithin(0, this.#hop);
    sums.fill(0, this.delay);
  }

  /** Writes the next `hop` samples of the output, computed from the spectrum. */
  synthesize(output) {
    this.inverse();
    this.add(output);
  }
}
