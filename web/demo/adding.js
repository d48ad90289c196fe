// The adding problem of Hochreiter and Schmidhuber (1997), as in `examples/cells`: the sum of two marked numbers.
import { noise } from './ui.js';

/** Squared error of always answering 1: the variance of the sum of two numbers uniform in [0, 1). */
export const GUESS = 1 / 6;
/** Squared error below which the task counts as learned. */
export const LEARNED = 0.01;

/**
 * Generates sequences of `[number, mark]`. One number in each half has the mark 1; the target after the last step is
 * their sum.
 */
export function adding(examples, steps, seed) {
  const next = noise(seed);
  const uniform = () => (next() + 1) / 2;
  const x = new Float32Array(examples * steps * 2);
  const y = new Float32Array(examples);
  const half = steps >> 1;
  for (let e = 0; e < examples; e++) {
    const at = (t) => 2 * (e * steps + t);
    for (let t = 0; t < steps; t++) x[at(t)] = uniform();
    const marks = [Math.floor(uniform() * half), half + Math.floor(uniform() * (steps - half))];
    for (const t of marks) {
      x[at(t) + 1] = 1;
      y[e] += x[at(t)];
    }
  }
  return { x, dims: [examples, steps, 2], y };
}
