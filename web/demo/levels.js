// Levels of a sound by time and frequency: the columns of a spectrogram. Runs in workers too.
import { Fft } from './stft.js';

/** Levels in a column, from 0 to half the sample rate. */
export const ROWS = 128;
const SIZE = 512;
const BINS = SIZE / 2 / ROWS;
/** A Hann window; its sum halved is the magnitude of a sine of amplitude 1. */
const WINDOW = Float64Array.from({ length: SIZE }, (_, i) => Math.sin((Math.PI * i) / SIZE) ** 2);
const SCALE = (2 / WINDOW.reduce((sum, w) => sum + w, 0)) ** 2;
/** Level of silence, in decibels. */
export const SILENCE = -120;

/** Computes levels in decibels, as sound arrives: a sine of amplitude 1 has 0 dB. */
export class Levels {
  #fft = new Fft(SIZE);
  #re = new Float64Array(SIZE);
  #im = new Float64Array(SIZE);
  #past = new Float64Array(SIZE);
  #fresh = 0;
  #frames = 0;
  #column = new Float32Array(ROWS).fill(SILENCE);

  /** A spectrum is computed every `hop` samples, at most 512. A column has the highest levels of `pool` spectra. */
  constructor({ hop, pool }) {
    [this.hop, this.pool] = [hop, pool];
  }

  /** Adds samples. Returns the levels `[columns, ROWS]` of the columns that they complete. */
  push(samples) {
    const { hop, pool } = this;
    const columns = Math.floor((this.#frames + Math.floor((this.#fresh + samples.length) / hop)) / pool);
    const levels = new Float32Array(columns * ROWS);
    let done = 0;
    for (let at = 0; at < samples.length; ) {
      const taken = Math.min(hop - this.#fresh, samples.length - at);
      this.#past.copyWithin(0, taken);
      this.#past.set(samples.subarray(at, at + taken), SIZE - taken);
      at += taken;
      this.#fresh += taken;
      if (this.#fresh < hop) break;
      this.#fresh = 0;
      this.#spectrum();
      if (++this.#frames < pool) continue;
      levels.set(this.#column, ROWS * done++);
      this.#column.fill(SILENCE);
      this.#frames = 0;
    }
    return levels;
  }

  /** Raises the current column to the levels of the last samples. */
  #spectrum() {
    const [re, im] = [this.#re, this.#im];
    for (let i = 0; i < SIZE; i++) re[i] = WINDOW[i] * this.#past[i];
    im.fill(0);
    this.#fft.run(re, im);
    for (let row = 0; row < ROWS; row++) {
      let power = 0;
      for (let k = row * BINS; k < (row + 1) * BINS; k++) power = Math.max(power, re[k] ** 2 + im[k] ** 2);
      const level = 10 * Math.log10(SCALE * power);
      if (level > this.#column[row]) this.#column[row] = level;
    }
  }
}

/** Returns the `hop` and `pool` for a sound of `length` samples, and the number of `columns`: at most about `most`. */
export function layout(length, most = 800) {
  const hop = [128, 256].find((hop) => length / hop <= 4 * most) ?? 512;
  const pool = Math.max(1, Math.ceil(length / hop / most));
  return { hop, pool, columns: Math.max(1, Math.ceil(length / hop / pool)) };
}

/** Sum of the squares of samples. */
export const energy = (samples) => samples.reduce((sum, v) => sum + v * v, 0);

/** Level in decibels of a sound with this mean square: a full-scale square wave has 0 dB. */
export const loudness = (square) => Math.max(SILENCE, 10 * Math.log10(square));
