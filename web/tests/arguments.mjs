// Invalid arguments are rejected by name, never converted. `package.test.mjs` runs these tests in a browser.
import { WgruError, open } from '../dist/js/index.js';
import { assert, noise, rejects } from './support.mjs';

/** Asserts that `call` fails with `code` and a message that begins with `name`. */
async function refused(code, name, call, value) {
  const what = `${name}: ${typeof value === 'symbol' ? 'a symbol' : typeof value === 'bigint' ? `${value}n` : value}`;
  const { message } = await rejects(code, call, what);
  assert(message.startsWith(name) && / got |there is no/.test(message), `the message names ${what}: ${message}`);
}

const holes = [5, , 5];
/** Values that are not numbers. JSON turns NaN into `null`. */
const ODD = ['5', true, null, 5n, [5], {}, new Float64Array([5]), () => 5, Symbol('5'), new Date(5)];
const NUMBER = [NaN, Infinity, -Infinity, -1, 1e300, ...ODD];
const COUNT = [...NUMBER, 1.5, 2 ** 32];
const FLAG = [NaN, 1, 0, 'true', null, [], () => true];
const WORD = [NaN, 1, true, null, '', 'toString', ['gru'], Symbol('gru')];
const OPTIONS = [null, 5, 'fast', [], new Float32Array(2), () => {}];
const LISTS = [NaN, null, 'abc', {}, 5, new ArrayBuffer(4)];
const ITEMS = [NaN, Infinity, -1, 1.5, '2', null, undefined, 2n, [2], 2 ** 32];

/** Passes each of `values` to `call` as the option `name`. All must be rejected. */
async function each(values, name, call) {
  for (const value of values) await refused('value', name, () => call({ [name]: value }), value);
}

export async function optionsOfTrainAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 3, hidden: 4, outputs: 1 });
  const examples = () => ({ x: noise(12), dims: [2, 2, 3], y: noise(2) });
  const train = (options) => network.train(examples(), { epochs: 1, validation: examples(), ...options });
  for (const name of ['epochs', 'batch', 'patience', 'seed']) await each(COUNT, name, train);
  for (const name of ['rate', 'weightDecay', 'clipNorm']) await each(NUMBER, name, train);
  await each(FLAG, 'inOrder', train);
  for (const name of ['optimizer', 'loss']) await each(WORD, name, train);
  await each([null, 5, 'f', {}], 'onEpoch', train);
  await each([null, 5, {}, () => {}], 'signal', train);
  await each([null, 5, [], new Float32Array(2)], 'validation', train);
  for (const options of OPTIONS) await refused('value', 'options', () => network.train(examples(), options), options);
  const { message } = await rejects('value', train({ learningRate: 0.1 }));
  assert(/no learningRate; .*\brate\b/.test(message), `a misspelled option is named with the known ones: ${message}`);
  assert(await train({ rate: undefined, patience: undefined, signal: undefined }), 'undefined is treated as omitted');
  device.free();
}

export async function examplesAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 3, hidden: 4, outputs: 1 });
  const good = { x: noise(12), dims: [2, 2, 3], y: noise(2) };
  for (const at of ['', 'validation.']) {
    const train = (wrong) => network.train(...(at ? [good, { epochs: 1, validation: { ...good, ...wrong } }] : [{ ...good, ...wrong }]));
    for (const x of [null, undefined, [...good.x], new Float64Array(12), new BigInt64Array(12), 'abc']) await refused('dtype', `${at}x`, () => train({ x }), x);
    for (const y of [null, undefined, [1, 2], new Float64Array(2), new Int32Array(2), 'ab']) await refused('value', `${at}y`, () => train({ y }), y);
    for (const dims of LISTS) await refused('value', `${at}dims`, () => train({ dims }), dims);
    for (const item of ITEMS) await refused('value', `${at}dims[1]`, () => train({ dims: [2, item, 3] }), item);
    await refused('shape', `${at}x`, () => train({ x: noise(13) }), 13);
    await refused('shape', `${at}x`, () => train({ x: new Float32Array() }), 'no x');
    await refused('shape', `${at}y`, () => train({ y: noise(3) }), 3);
  }
  await refused('value', 'examples', () => network.train({ ...good, lengths: [1, 2] }), 'lengths, which training does not support');
  await refused('value', 'validation', () => network.train(good, { validation: { ...good, lengths: [1, 2] } }), 'lengths');
  for (const examples of [null, undefined, 5, [], noise(3)]) await refused('value', 'examples', () => network.train(examples), examples);
  device.free();
}

export async function optionsOfRunAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 3, hidden: 4 });
  const run = (options) => network.run(noise(12), [2, 2, 3], options);
  await each(FLAG, 'gates', run);
  await each(LISTS, 'lengths', run);
  for (const item of ITEMS) await refused('value', 'lengths[1]', () => run({ lengths: [1, item] }), item);
  await refused('value', 'lengths[1]', () => run({ lengths: holes }), 'a hole');
  await refused('value', 'lengths[0]', () => run({ lengths: new Float64Array([NaN, 1]) }), 'NaN in a Float64Array');
  for (const h0 of [null, [1, 2], new Float64Array(8), new Uint8Array(8), 'abc', 5]) await refused('dtype', 'h0', () => run({ h0 }), h0);
  for (const x of [null, undefined, new Float64Array(12), [1, 2], 'abc']) await refused('dtype', 'x', () => network.run(x, [2, 2, 3]), x);
  for (const dims of [undefined, ...LISTS]) await refused('value', 'dims', () => network.run(noise(12), dims), dims);
  for (const item of ITEMS) await refused('value', 'dims[1]', () => network.run(noise(12), [2, item, 3]), item);
  for (const options of OPTIONS) await refused('value', 'options', () => run(options), options);
  await refused('value', 'options', () => run({ length: [1, 1] }), 'misspelt');
  const { message } = await rejects('shape', network.run(noise(21), [1, 20, 1]));
  assert(message === 'x: expected 20 values for [1, 20, 1], got 21', `the message: ${message}`);
  const [typed, plain] = [await run({ lengths: Uint32Array.of(1, 2) }), await run({ lengths: [1, 2] })];
  assert(typed.output.data.join() === plain.output.data.join(), 'lengths may be any array of whole numbers');
  device.free();
}

export async function optionsOfCreateAndLoadAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const create = (options) => device.create({ input: 3, hidden: 4, ...options });
  for (const name of ['input', 'hidden', 'layers', 'outputs', 'seed']) await each(COUNT, name, create);
  await each(FLAG, 'bidirectional', create);
  for (const name of ['cell', 'steps']) await each(WORD, name, create);
  for (const options of [undefined, ...OPTIONS]) await refused('value', 'options', () => device.create(options), options);
  await refused('value', 'options', () => create({ layer: 2 }), 'misspelt');

  const bytes = await (await create({ outputs: 2 })).save();
  for (const how of ['load', 'loadOnnx']) {
    const load = (options) => device[how](bytes, options);
    if (how === 'load') await each(WORD, 'steps', load);
    await each([null, 5, 'f', {}], 'onProgress', load);
    await each([null, 5, {}, () => {}], 'signal', load);
    for (const options of OPTIONS) await refused('value', 'options', () => load(options), options);
    await refused('value', 'options', () => load({ step: 'last' }), 'misspelt');
    for (const source of [null, undefined, 5, [], {}, new Float32Array(2)]) await refused('value', 'source', () => device[how](source), source);
    await refused('value', 'source', () => device[how]('http://['), 'no URL');
    const gone = new ArrayBuffer(8);
    structuredClone(gone, { transfer: [gone] });
    for (const source of [gone]) await rejects('value', device[how](source), 'a detached buffer');
    await rejects('aborted', device[how](bytes, { signal: AbortSignal.abort() }), 'aborted before');
  }
  device.free();
}

export async function optionsOfStreamsAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 2, hidden: 4 });
  for (const make of ['stream', 'streamParts']) {
    await each(COUNT, 'batch', (options) => network[make](options));
    await each(WORD, 'weights', (options) => network[make](options));
    for (const options of OPTIONS) await refused('value', 'options', () => network[make](options), options);
    await refused('value', 'options', () => network[make]({ precision: 'f16' }), 'misspelt');
  }
  const stream = await network.stream();
  await refused('value', 'frame', async () => stream.step(null), null);
  for (const frame of ['ab', [1, '2'], [1, undefined], [1, null], [1n, 2n], new BigInt64Array(2)]) await refused('value', 'frame[', async () => stream.step(frame), frame);
  await refused('shape', 'frame', async () => stream.step([1]), 1);
  for (const state of [[1, 2, 3, 4], new Float64Array(4), null, undefined]) await refused('dtype', 'state', async () => stream.setState(state), state);
  for (const values of [[1, 2], new Float64Array(2), null, undefined]) await refused('dtype', 'input', async () => stream.process(values), values);
  for (const values of [[1, 2, 3, 4], new Float64Array(4), null]) await refused('dtype', 'output', async () => stream.process(new Float32Array(2), values), values);
  await refused('shape', 'input', async () => stream.process(new Float32Array(3)), 3);
  await refused('shape', 'output', async () => stream.process(new Float32Array(2), new Float32Array(5)), 5);
  assert(stream.step(new Float64Array(2)).length === 4, 'a frame may be any array of numbers');
  device.free();
}

export async function optionsOfOpenAreRefusedByName() {
  const open_ = (options) => open({ device: 'cpu', ...options });
  await each(WORD, 'device', open_);
  await each(WORD, 'build', open_);
  await each(FLAG, 'worker', open_);
  await each([...COUNT, 0, 17], 'workers', open_);
  for (const options of OPTIONS) await refused('value', 'options', () => open(options), options);
  await refused('value', 'options', () => open_({ threads: 2 }), 'misspelt');
}

export async function inputsOfOnnxAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  const model = await device.loadOnnx(new URL('../../tests/onnx/pytorch/rnn.onnx', import.meta.url));
  const [{ name }] = model.info.inputs;
  for (const run of [(inputs) => model.run(inputs), async (inputs) => (await model.stream()).run(inputs)]) {
    for (const inputs of [null, undefined, 5, 'abc', []]) await refused('value', 'inputs', () => run(inputs), inputs);
    for (const given of [null, undefined, 5, noise(2)]) await refused('value', name, () => run({ [name]: given }), given);
    for (const data of [null, [1, 2], new Float64Array(2), new Uint8Array(2)]) await refused('dtype', `${name}: data`, () => run({ [name]: { data, dims: [2] } }), data);
    for (const item of ITEMS) await refused('value', `${name}: dims[0]`, () => run({ [name]: { data: noise(2), dims: [item] } }), item);
    await refused('shape', name, () => run({ [name]: { data: noise(3), dims: [2] } }), 3);
  }
  device.free();
}

/** Adds a tensor to the bytes of a safetensors file. */
function withTensor(bytes, name, values) {
  const len = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + len)));
  const data = bytes.subarray(8 + len);
  header[name] = { dtype: 'F32', shape: [values.length], data_offsets: [data.length, data.length + 4 * values.length] };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length + 4 * values.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  file.set(new Uint8Array(values.buffer), 8 + text.length + data.length);
  return file;
}

export async function tensorsThatBelongToNothingAreRefusedByName() {
  const device = await open({ device: 'cpu' });
  for (const outputs of [undefined, 2]) {
    const bytes = await (await device.create({ input: 3, hidden: 4, outputs })).save();
    for (const name of ['norm.bias', 'norm.weight', 'norm.mean', 'scale']) {
      const { message } = await rejects('unsupported', device.load(withTensor(bytes, name, new Float32Array(4))), `${name} beside a network with ${outputs} outputs`);
      assert(message.includes(`"${name}"`), message);
    }
  }
  device.free();
}

export async function everyRejectionIsTypedWhateverIsGiven() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 3, hidden: 4, outputs: 1 });
  const model = await device.loadOnnx(new URL('../../tests/onnx/pytorch/rnn.onnx', import.meta.url));
  const [stream, frames] = [await network.stream(), await model.stream()];
  const bytes = await network.save();
  const [x, dims, y] = [noise(12), [2, 2, 3], noise(2)];
  const calls = {
    open: [open, { device: 'cpu' }],
    load: [(...given) => device.load(...given), bytes, { steps: 'last' }],
    loadOnnx: [(...given) => device.loadOnnx(...given), bytes, {}],
    create: [(options) => device.create(options), { input: 3, hidden: 4 }],
    run: [(...given) => network.run(...given), x, dims, { lengths: [1, 2] }],
    train: [(...given) => network.train(...given), { x, dims, y }, { epochs: 1 }],
    stream: [(options) => network.stream(options), { batch: 1 }],
    streamParts: [(options) => network.streamParts(options), { batch: 1 }],
    onnx: [(inputs) => model.run(inputs), { x: { data: noise(4), dims: [1, 1, 4] } }],
    frames: [(inputs) => frames.run(inputs), { x: { data: noise(4), dims: [1, 1, 4] } }],
    step: [async (frame) => stream.step(frame), noise(3)],
    process: [async (...given) => stream.process(...given), noise(6), noise(2)],
    setState: [async (state) => stream.setState(state), noise(4)],
  };
  const loop = {};
  loop.loop = loop;
  const throwing = { get rate() { throw new Error('a getter'); } };
  const odd = [undefined, null, 0, NaN, -1, 1n, '', 'abc', true, Symbol('s'), [], [null], {}, () => {}, new Date(NaN), new Map(), loop, throwing];
  odd.push(new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Float64Array(3), new Float32Array(), new BigInt64Array(2), Object.create(null), document.body, new Error('x'), Promise.resolve(1), window);
  let refused = 0;
  for (const [name, [call, ...good]] of Object.entries(calls))
    for (let at = 0; at < good.length; at++)
      for (const [i, value] of odd.entries())
        for (const given of [value, ...(Object.getPrototypeOf(good[at]) === Object.prototype ? Object.keys(good[at]).map((key) => ({ ...good[at], [key]: value })) : [])])
          try {
            const made = await call(...good.with(at, given));
            if (made?.free) made.free();
          } catch (error) {
            refused++;
            assert(error instanceof WgruError, `${name}, argument ${at}, value ${i}: ${error}`);
            assert(!['panic', 'out-of-memory', 'internal'].includes(error.code), `${name}, argument ${at}, value ${i}: ${error.code} ${error.message}`);
          }
  assert(refused > 500, `most values are refused: ${refused}`);
  device.free();
  return `${refused} refused`;
}
