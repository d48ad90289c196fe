// Helpers for the tests that run in a browser.
import { WgruError } from '../dist/js/index.js';

export const assert = (holds, what) => {
  if (!holds) throw new Error(`failed: ${what}`);
};
export const close = (a, b, tolerance, what) => {
  assert(a.length === b.length && a.length > 0, `${what}: lengths ${a.length} and ${b.length}`);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]) || (a[i] === b[i] ? 0 : Infinity));
  assert(worst <= tolerance, `${what}: off by ${worst}`);
  return worst;
};
/** Asserts that `promise` is rejected with `code`. Returns the error. */
export async function rejects(code, promise, what = code) {
  try {
    await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    assert(error instanceof WgruError && error instanceof Error, `${what}: a WgruError, not ${error}`);
    assert(error.code === code, `${what}: code ${code}, not ${error.code} (${error.message})`);
    assert(error.message.length > 3, `${what}: a message`);
    return error;
  }
  throw new Error(`${what}: was not refused`);
}
export const noise = (n, seed = 1) => {
  let state = seed;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
};
export const fixture = (name) => new URL(`../../tests/${name}`, import.meta.url);
/** Sums of a few random numbers: a task that a small GRU learns quickly. */
export function sums(examples, steps, seed) {
  const x = noise(examples * steps, seed);
  const y = new Float32Array(examples);
  for (let i = 0; i < x.length; i++) y[Math.floor(i / steps)] += x[i] / 2;
  return { x, dims: [examples, steps, 1], y };
}
