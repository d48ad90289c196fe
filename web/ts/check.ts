/**
 * Validates arguments in the caller's thread, before anything is sent: typed arrays, `Uint32Array.from` and JSON
 * silently convert values that do not fit. The options of each call and their ranges are validated by
 * `web/src/options.rs`.
 */
import { asError, fail } from './errors.js';

/** Formats a value for an error message. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(show).join(', ')}${value.length > 8 ? ', …' : ''}]`;
  if (!value || typeof value !== 'object') return String(value);
  const { length } = value as { length?: unknown };
  return `${value.constructor?.name ?? 'an object'}${length === undefined ? '' : ` of length ${length}`}`;
}

/** Returns `value`, or throws if it does not satisfy `holds`. */
export function expect<T>(name: string, value: unknown, expected: string, holds: (value: any) => boolean): T {
  if (!holds(value)) fail('value', `${name}: expected ${expected}, got ${show(value)}`);
  return value as T;
}

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** Copies an object: its own entries, and `keys`, which it may inherit. Getters run only here, once. */
export function named<T>(name: string, value: T, ...keys: (keyof T)[]): T {
  expect(name, value, 'an object', isObject);
  try {
    const copy = { ...value };
    for (const key of keys) copy[key] = value[key];
    return copy;
  } catch (cause) {
    return fail('value', `${name}: expected an object that can be read, got ${asError(cause).message}`);
  }
}

/** Returns `value`, which must be a function or `undefined`. */
export const callback = <T>(name: string, value: T): T =>
  expect(name, value, 'a function', (given) => given === undefined || typeof given === 'function');

/** Returns `value`, which must be an `AbortSignal` or `undefined`. */
export const signalOf = <T>(value: T): T =>
  expect('signal', value, 'an AbortSignal', (given) => given === undefined || (given && typeof given.addEventListener === 'function' && 'aborted' in given));

/** Returns `value`, which must be `true`, `false` or `undefined`. */
export const flag = (name: string, value: unknown): boolean =>
  expect(name, value ?? false, 'true or false', (given) => typeof given === 'boolean' && value !== null);

/** Returns the buffers of `arrays`, each once. */
export const buffersOf = (...arrays: (ArrayBufferView | undefined)[]): Transferable[] =>
  [...new Set(arrays.flatMap((array) => (array ? [array.buffer as ArrayBuffer] : [])))];

/** Throws on unknown options in `rest`: a misspelled option must not silently become a default. */
export function nothing(at: string, rest: object, known: string): void {
  for (const name of Object.keys(rest)) fail('value', `${at}: there is no ${name}; expected ${known}`);
}

/** Clones options, so that they can be sent to a worker and later changes by the caller have no effect. */
export function copied(options: object): object {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    try {
      if (value !== undefined) copy[name] = structuredClone(value);
    } catch {
      fail('value', `${name}: expected plain data, got ${show(value)}`);
    }
  }
  return copy;
}

/** Validates a list of whole numbers, such as extents or lengths. */
export function wholes(name: string, values: unknown): number[] {
  const isList = Array.isArray(values) || (ArrayBuffer.isView(values) && 'length' in values);
  const list = Array.from(expect<ArrayLike<number>>(name, values, 'whole numbers', () => isList));
  list.forEach((value, i) =>
    expect(`${name}[${i}]`, value, 'a whole number', () => Number.isInteger(value) && value >= 0 && value < 2 ** 32),
  );
  return list;
}

/** Throws if `buffer` is detached. */
export function attached(name: string, buffer: unknown): void {
  if ((buffer as { detached?: boolean }).detached) fail('value', `${name}: its buffer was detached`);
}

/** Returns `value`, which must be a `Float32Array`: the module would silently convert other arrays. */
export function floats(name: string, value: unknown): Float32Array {
  if (!(value instanceof Float32Array)) fail('dtype', `${name}: expected a Float32Array, got ${show(value)}`);
  attached(name, value.buffer);
  return value;
}
