// Signals, transfers, sources, proxies and held arrays. These tests run in a browser (`package.test.mjs`) and in Node
// (`node.test.mjs`).
import { WgruError, open } from '../dist/js/index.js';
import { assert, close, fixture, noise, rejects, sums } from './support.mjs';

/** Opens a device on the CPU with one small network, and passes both to `use`, with and without a worker. */
async function each(use) {
  for (const worker of [true, false]) {
    const device = await open({ device: 'cpu', worker });
    assert(device.info.worker === worker, `runs in a worker: ${worker}`);
    await use(device, await device.create({ input: 2, hidden: 8, outputs: 1, seed: 5 }));
    device.free();
  }
}

/** Asserts that `error` is what `fetch` rejects with after an abort, and a `WgruError`. */
function isAbort(error, signal, what) {
  assert(error instanceof WgruError && error.code === 'aborted', `${what}: ${error}`);
  assert(error.name === (signal.reason.name === 'TimeoutError' ? 'TimeoutError' : 'AbortError'), `${what}: name ${error.name}`);
  assert(error.cause === signal.reason, `${what}: the cause is the reason of the signal`);
}

async function abortedBy(signal, call, what) {
  const error = await call(signal).then(() => undefined, (thrown) => thrown);
  isAbort(error, signal, what);
}

export async function abortsAreAbortErrors() {
  const reasons = [AbortSignal.abort(), AbortSignal.abort(new Error('mine')), AbortSignal.timeout(0)];
  await new Promise((done) => setTimeout(done, 20));
  await each(async (device, network) => {
    const examples = { x: noise(16), dims: [2, 4, 2], y: noise(2) };
    for (const given of reasons) {
      await abortedBy(given, (signal) => open({ device: 'cpu', signal }), 'open');
      await abortedBy(given, (signal) => device.load(fixture('golden/torch_gru.safetensors'), { signal }), 'load');
      await abortedBy(given, (signal) => device.loadOnnx(fixture('onnx/pytorch/rnn.onnx'), { signal }), 'loadOnnx');
      await abortedBy(given, (signal) => network.run(noise(8), [1, 4, 2], { signal }), 'run');
      await abortedBy(given, (signal) => network.train(examples, { signal }), 'train');
    }
    const later = async (call, what) => {
      const stop = new AbortController();
      const settled = abortedBy(stop.signal, call, what);
      stop.abort();
      await settled;
    };
    await later((signal) => open({ device: 'cpu', signal }), 'open');
    await later((signal) => device.load(fixture('golden/torch_gru.safetensors'), { signal }), 'load');
    await later((signal) => network.run(noise(8), [1, 4, 2], { signal }), 'run');
    await later((signal) => network.train(examples, { epochs: 1e6, signal }), 'train');
    assert(Number.isFinite((await network.run(noise(8), [1, 4, 2])).output.data[0]), 'the network works after aborted calls');
    for (const signal of [null, 5, {}]) await rejects('value', network.run(noise(8), [1, 4, 2], { signal }), 'no signal');
  });
  const refused = await rejects('value', open({ signal: 'soon' }), 'no signal');
  assert(refused.name === 'WgruError', `the name of other errors: ${refused.name}`);
}

export async function abortedRunsDoNotWaitForOthers() {
  await each(async (_, network) => {
    const stop = new AbortController();
    let isOver = false;
    const training = network.train({ x: noise(6400), dims: [800, 4, 2], y: noise(800) }, { epochs: 3 }).then(() => (isOver = true));
    const again = network.train({ x: noise(16), dims: [2, 4, 2], y: noise(2) }, { epochs: 1, signal: stop.signal });
    const run = network.run(noise(8), [1, 4, 2], { signal: stop.signal });
    stop.abort();
    await rejects('aborted', run);
    assert(!isOver, 'the run does not wait for the training before it');
    await Promise.allSettled([training, again]);
  });
}

export async function transferredArraysAreDetached() {
  const onnx = new Uint8Array(await (await new Response(await bytesOf('onnx/pytorch/rnn.onnx'))).arrayBuffer());
  await each(async (device, network) => {
    const { worker } = device.info;
    const want = (await network.run(noise(8), [1, 4, 2], { h0: noise(8, 3) })).output.data;
    const [x, h0] = [noise(8), noise(8, 3)];
    close((await network.run(x, [1, 4, 2], { h0, transfer: true })).output.data, want, 0, 'a transferred batch');
    assert(x.length === (worker ? 0 : 8) && h0.length === x.length, `x and h0 are detached: ${x.length}, ${h0.length}`);
    const kept = noise(8);
    await network.run(kept, [1, 4, 2]);
    assert(kept.length === 8, 'x is copied by default');
    // Two arrays may share a buffer.
    const both = noise(16);
    await network.run(both.subarray(0, 8), [1, 4, 2], { h0: both.subarray(8), transfer: true });
    const examples = { x: noise(16), dims: [2, 4, 2], y: noise(2) };
    await network.train(examples, { epochs: 1, transfer: true });
    assert(examples.x.length === (worker ? 0 : 16), 'examples are detached');

    const saved = await network.save();
    const size = saved.length;
    const copy = await device.load(saved);
    assert(saved.length === size, 'bytes are copied by default');
    const taken = await device.load(saved, { transfer: true });
    assert(saved.length === 0, 'transferred bytes are detached');
    close((await taken.run(noise(8), [1, 4, 2])).output.data, (await copy.run(noise(8), [1, 4, 2])).output.data, 0, 'the same network');
    const padded = new Uint8Array(size + 8);
    padded.set(await copy.save(), 8);
    assert((await device.load(padded.subarray(8), { transfer: true })).info.hidden === 8, 'a part of a buffer');
    const model = await device.loadOnnx(onnx.slice().buffer, { transfer: true });
    const inputs = { x: { data: noise(4), dims: [1, 1, 4] } };
    await model.run(inputs, { transfer: true });
    assert(inputs.x.data.length === (worker ? 0 : 4), 'inputs of a model are detached');
    await rejects('value', network.run(noise(8), [1, 4, 2], { transfer: 'yes' }), 'not a flag');
    await rejects('value', device.load(saved, { transfer: 1 }), 'not a flag');
    await rejects('value', model.run(inputs, { transfers: true }), 'misspelled');
  });
}

/** Reads a fixture the way its environment does. */
async function bytesOf(name) {
  const url = fixture(name);
  if (url.protocol !== 'file:') return (await fetch(url)).arrayBuffer();
  return (await import('node:fs/promises')).readFile(url);
}

export async function responsesAreSources() {
  const bytes = await bytesOf('golden/torch_gru.safetensors');
  await each(async (device) => {
    const seen = [];
    const headers = { 'content-length': String(bytes.byteLength) };
    const network = await device.load(new Response(bytes, { headers }), { onProgress: (...given) => seen.push(given) });
    assert(network.info.input > 0 && seen.at(-1).join() === `${bytes.byteLength},${bytes.byteLength}`, `progress: ${seen}`);
    assert((await device.load(new Blob([bytes]))).info.input === network.info.input, 'a Blob');
    const { message } = await rejects('network', device.load(new Response('no', { status: 404, statusText: 'Not Found' })));
    assert(/404 Not Found/.test(message), message);
    const read = new Response(bytes);
    await read.arrayBuffer();
    await rejects('value', device.load(read), 'a response that was read');
  });
}

/** A proxy like those of Vue, which leaves alone objects that ask for it. */
const reactive = (object) => (object.__v_skip ? object : assert(false, 'handles ask Vue not to make them reactive'));

export async function handlesWorkThroughProxies() {
  await each(async (plain) => {
    for (const wrap of [(object) => new Proxy(object, {}), reactive]) {
      const device = wrap(plain);
      const network = wrap(await device.create({ input: 2, hidden: 8, outputs: 1 }));
      await network.train({ x: noise(16), dims: [2, 4, 2], y: noise(2) }, { epochs: 2 });
      const { output } = await network.run(noise(8), [1, 4, 2]);
      const again = wrap(await device.load(await network.save()));
      close((await again.run(noise(8), [1, 4, 2])).output.data, output.data, 0, 'a saved network');
      assert(device.info.kind === 'cpu' && again.info.hidden === 8, 'getters');
      const stream = wrap(await again.stream());
      stream.frame.set([1, 2]);
      const first = stream.step()[0];
      stream.reset();
      const fork = wrap(stream.fork());
      stream.setState(stream.state());
      assert(stream.step([1, 2])[0] === first && fork.step([1, 2])[0] === first, 'a stream');
      const model = wrap(await device.loadOnnx(fixture('onnx/pytorch/rnn.onnx')));
      const inputs = { x: { data: noise(4), dims: [1, 1, 4] } };
      const [want] = Object.values(await model.run(inputs));
      const frames = wrap(await model.stream());
      close(Object.values(await frames.run(inputs))[0].data, want.data, 0, 'a stream of a model');
      await frames.reset();
      const bound = wrap(await model.bind(inputs));
      bound.inputs.x.set(inputs.x.data);
      close(Object.values(bound.run())[0], want.data, 0, 'a bound stream');
      bound.reset();
      for (const handle of [stream, fork, bound, frames, model, again, network]) handle.free();
      await rejects('freed', network.run(noise(8), [1, 4, 2]), 'a freed network');
      await rejects('freed', async () => stream.step(), 'a freed stream');
    }
  });
  const device = new Proxy(await open({ device: 'cpu' }), {});
  device.free();
  await rejects('freed', device.create({ input: 1, hidden: 1 }), 'a freed device');
}

export async function heldFramesStayValid() {
  const device = await open({ device: 'cpu', worker: false });
  const network = await device.create({ input: 3, hidden: 9, outputs: 2 });
  const model = await device.loadOnnx(fixture('onnx/pytorch/rnn.onnx'));
  const inputs = { x: { data: noise(4), dims: [1, 1, 4] } };
  const [stream, bound] = [await network.stream(), await model.bind(inputs)];
  const { frame, output } = stream;
  const { x } = bound.inputs;
  const [result] = Object.values(bound.outputs);
  frame.set([1, 2, 3]);
  stream.step();
  const first = [...output];
  x.set(inputs.x.data);
  bound.run();
  const model_first = [...result];
  // The streams, the networks and the bound models of this thread share one memory per module, which grows here.
  const before = device.instance.memory.buffer;
  const more = [];
  while (device.instance.memory.buffer === before) more.push(await device.create({ input: 200, hidden: 400 }));
  for (let i = 0; i < 30; i++) more.push(await model.bind({ x: { data: noise(4), dims: [1, 1, 4] } }));
  assert(before.byteLength === 0, 'the memory grew');
  stream.reset();
  bound.reset();
  frame.set([1, 2, 3]);
  stream.step();
  x.set(inputs.x.data);
  bound.run();
  close(output, first, 0, 'the held output');
  close(result, model_first, 0, 'the held output of a model');
  assert(frame === stream.frame && output === stream.output && x === bound.inputs.x, 'the arrays stay the same');
  device.free();
}

export async function trainingRestoresItsWeightsAfterAFault() {
  await each(async (device, network) => {
    const examples = { x: noise(64), dims: [8, 4, 2], y: noise(8) };
    const x = noise(8);
    const output = async () => (await network.run(x, [1, 4, 2])).output.data;
    const restored = async (what) => {
      const want = await output();
      await rejects('out-of-memory', device.create({ input: 2, hidden: 20000 }));
      close(await output(), want, 0, what);
      return want[0];
    };
    const initial = await restored('the initial weights');
    await network.train(examples, { epochs: 3, rate: 0.02 });
    const trained = await restored('trained weights');
    assert(trained !== initial, 'training changes the weights');
    const stop = new AbortController();
    await rejects('aborted', network.train(examples, { epochs: 1e6, rate: 0.02, signal: stop.signal, onEpoch: ({ epoch }) => epoch === 3 && stop.abort() }));
    assert((await restored('weights of an aborted training')) !== trained, 'the aborted training changed the weights');
    const thrown = network.train(examples, { epochs: 1e6, rate: 0.02, onEpoch: () => { throw new Error('mine'); } });
    await rejects('callback', thrown);
    await restored('weights after an exception in onEpoch');
  });
}

export async function learns() {
  await each(async (device) => {
    const network = await device.create({ input: 1, hidden: 12, outputs: 1 });
    const epochs = [];
    const { loss } = await network.train(sums(128, 6, 1), { epochs: 8, rate: 0.02, onEpoch: ({ loss }) => epochs.push(loss) });
    assert(loss.at(-1) < loss[0] / 3 && epochs.join() === loss.join(), `learns: ${loss}`);
  });
}
