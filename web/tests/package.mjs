// The guarantees of the package, one function each. `package.test.mjs` runs these tests in a browser.
import { WgruError, open } from '../dist/js/index.js';
import * as inference from '../dist/js/inference.js';
import { assert, close, fixture, noise, rejects, sums } from './support.mjs';

export async function webgpuAndCpuAgree() {
  const gpu = await open({ device: 'webgpu' });
  const cpu = await open({ device: 'cpu' });
  assert(gpu.info.kind === 'webgpu' && gpu.info.adapter && cpu.info.kind === 'cpu', 'the requested devices');
  let worst = 0;
  for (const cell of ['gru', 'lstm', 'rnn']) {
    const options = { cell, input: 5, hidden: 19, layers: 2, bidirectional: true, outputs: 3, steps: 'every', seed: 3 };
    const [a, b] = [await gpu.create(options), await cpu.create(options)];
    const x = noise(4 * 11 * 5);
    const lengths = [11, 3, 7, 1];
    const [p, q] = [await a.run(x, [4, 11, 5], { lengths, gates: true }), await b.run(x, [4, 11, 5], { lengths, gates: true })];
    worst = Math.max(worst, close(p.output.data, q.output.data, 2e-6, `${cell} output`), close(p.state.data, q.state.data, 2e-6, `${cell} state`));
    assert(p.output.dims.join() === '4,11,3', 'extents of the output');
    p.gates.forEach((layer, l) => Object.keys(layer).forEach((name) => close(layer[name].data, q.gates[l][name].data, 2e-6, `${cell} ${name}`)));
    const names = { gru: 'reset,update,candidate', lstm: 'input,forget,cell,output', rnn: 'state' }[cell];
    assert(p.gates.length === 2 && p.gates.every((layer) => Object.keys(layer).join() === names), 'gates of every layer');
  }
  gpu.free();
  cpu.free();
  return `${gpu.info.name}: at most ${worst}`;
}

export async function pytorchFile() {
  const device = await open({ device: 'cpu' });
  const seen = [];
  const network = await device.load(fixture('golden/torch_gru.safetensors'), { onProgress: (loaded, total) => seen.push([loaded, total]) });
  assert(seen.length > 0 && seen.at(-1)[0] === seen.at(-1)[1], 'the last progress is the total');
  const again = await device.load(await network.save());
  const { input } = network.info;
  const x = noise(2 * 6 * input);
  const [a, b] = [await network.run(x, [2, 6, input]), await again.run(x, [2, 6, input])];
  close(a.output.data, b.output.data, 0, 'a saved network gives the same outputs');
  device.free();
  return JSON.stringify(network.info);
}

export async function streamsFollowRuns() {
  const device = await open({ device: 'cpu' });
  for (const cell of ['gru', 'lstm', 'rnn']) {
    const network = await device.create({ cell, input: 3, hidden: 33, layers: 2, outputs: 2, steps: 'every' });
    const x = noise(3 * 20);
    const { output } = await network.run(x, [1, 20, 3]);
    const stream = await network.stream();
    const steps = [];
    let fork, kept;
    for (let t = 0; t < 20; t++) {
      if (t === 10) [fork, kept] = [stream.fork(), stream.state()];
      stream.frame.set(x.subarray(3 * t, 3 * t + 3));
      stream.step();
      steps.push(...stream.output);
    }
    close(steps, output.data, 1e-6, `${cell} frame by frame`);
    const rest = (s) => Array.from({ length: 10 }, (_, t) => [...s.step(x.subarray(30 + 3 * t, 33 + 3 * t))]).flat();
    close(rest(fork), steps.slice(20), 0, 'fork');
    stream.setState(kept);
    close(rest(stream), steps.slice(20), 0, 'restored');
    stream.reset();
    close([...stream.step(x.subarray(0, 3))], steps.slice(0, 2), 0, 'reset');
    stream.free();
    await rejects('freed', () => stream.step());
    fork.free();
    const int8 = await network.stream({ weights: 'int8' });
    close([...int8.step(x.subarray(0, 3))], steps.slice(0, 2), 0.03, 'int8');
    await rejects('shape', () => int8.step([1, 2]));
  }
  device.free();
}

export async function blocksEqualSteps() {
  const device = await open({ device: 'cpu' });
  let layers = 0;
  // Steps of few units have their own code, which `int8`, `batch` and 70 units do not use. 300 frames are several blocks.
  for (const [network, stream] of [
    [{ input: 1, hidden: 8, outputs: 1 }],
    [{ cell: 'lstm', input: 1, hidden: 20, outputs: 3 }],
    [{ cell: 'lstm', input: 12, hidden: 64, layers: 2 }],
    [{ cell: 'rnn', input: 2, hidden: 5, outputs: 2 }],
    [{ input: 3, hidden: 70, outputs: 2 }],
    [{ input: 1, hidden: 16, outputs: 1 }, { weights: 'int8' }],
    [{ input: 2, hidden: 9, outputs: 2 }, { batch: 3 }],
  ]) {
    const made = await device.create({ ...network, steps: 'every', seed: 5 });
    const [blocks, steps] = [await made.stream(stream), await made.stream(stream)];
    const [frame, width] = [blocks.frame.length, blocks.output.length];
    const x = noise(300 * frame);
    const want = Array.from({ length: 300 }, (_, t) => [...steps.step(x.subarray(t * frame, (t + 1) * frame))]).flat();
    const out = new Float32Array(200 * width);
    const got = [...blocks.process(x.subarray(0, 99 * frame)), ...blocks.process(x.subarray(99 * frame, 99 * frame))];
    assert(blocks.process(x.subarray(99 * frame, 299 * frame), out) === out, 'the given array is returned');
    got.push(...out, ...blocks.step(x.subarray(299 * frame)));
    close(got, want, 0, `blocks of ${JSON.stringify(network)}`);
    if (frame === width) {
      blocks.reset();
      const place = x.slice();
      close([...blocks.process(place, place)], want, 0, 'in place');
    }
    await rejects('shape', async () => blocks.process(new Float32Array(frame), new Float32Array(width + 1)), 'output');
    layers++;
  }
  device.free();
  return `${layers} networks`;
}

async function trainsOn(choice) {
  const device = await open({ device: choice });
  const network = await device.create({ input: 1, hidden: 16, outputs: 1 });
  const epochs = [];
  const history = await network.train(sums(256, 6, 1), {
    epochs: 12, rate: 0.02, validation: sums(64, 6, 9), patience: 6, onEpoch: (e) => epochs.push(e),
  });
  assert(epochs.length === history.loss.length && epochs.every((e) => e.loss >= 0 && e.validation >= 0), 'onEpoch is called for every epoch');
  assert(history.validation.at(-1) < history.validation[0] / 5, `learns: ${history.validation}`);
  const test = sums(8, 6, 5);
  const { output } = await network.run(test.x, test.dims);
  close(output.data, test.y, 0.5, 'forecast');
  device.free();
  return `${history.loss[0].toFixed(3)} to ${history.loss.at(-1).toFixed(4)}`;
}
export const trainsOnCpu = () => trainsOn('cpu');
export const trainsOnWebgpu = () => trainsOn('webgpu');

export async function trainsClasses() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 12, outputs: 2 });
  const { x, dims, y } = sums(200, 5, 2);
  const history = await network.train({ x, dims, y: Uint32Array.from(y, (v) => (v > 0 ? 1 : 0)) }, { epochs: 15, rate: 0.02 });
  assert(history.loss.at(-1) < 0.3, `learns: ${history.loss}`);
  device.free();
}

export async function abortKeepsTheModel() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 32, outputs: 1 });
  const abort = new AbortController();
  let epochs = 0;
  const began = performance.now();
  const training = network.train(sums(2000, 12, 1), { epochs: 100000, signal: abort.signal, onEpoch: () => ++epochs === 2 && abort.abort() });
  await rejects('aborted', training);
  assert(performance.now() - began < 60000, 'ends');
  const x = noise(12);
  const { output } = await network.run(x, [1, 12, 1]);
  assert(Number.isFinite(output.data[0]), 'goes on');
  await rejects('aborted', network.train(sums(4, 2, 1), { signal: AbortSignal.abort() }));
  device.free();
}

export async function badInput() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 3, hidden: 4 });
  const gone = new Float32Array(6);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  await rejects('shape', network.run(new Float32Array(5), [1, 2, 3]), 'wrong length');
  await rejects('shape', network.run(new Float32Array(8), [1, 2, 4]), 'wrong width');
  await rejects('shape', network.run(new Float32Array(6), [6]), 'wrong axes');
  await rejects('value', network.run(gone, [1, 2, 3]), 'detached');
  await rejects('dtype', network.run([1, 2, 3], [1, 1, 3]), 'x that is not a typed array');
  await rejects('value', network.run(new Float32Array(6), [1, 2, 3], { lengths: [3] }), 'length past the steps');
  await rejects('value', network.run(new Float32Array(6), [1, 2, 3], { lenghts: [1] }), 'misspelt option');
  await rejects('shape', network.run(new Float32Array(6), [1, 2, 3], { h0: new Float32Array(3) }), 'h0');
  await rejects('value', device.create({ input: 0, hidden: 4 }), 'no feature');
  await rejects('value', device.create({ input: 1, hidden: 4, cell: 'gpt' }), 'no such cell');
  await rejects('value', device.create({ input: 1, hidden: -4 }), 'negative');
  await rejects('value', open({ device: 'quantum' }), 'no such device');
  await rejects('value', open({ devise: 'cpu' }), 'misspelt');
  await rejects('format', device.load(new Uint8Array([1, 2, 3])), 'no safetensors');
  await rejects('format', device.load(new Uint8Array(1000).fill(255)), 'hostile length');
  await rejects('format', device.loadOnnx(new Uint8Array([8, 255, 255])), 'no ONNX');
  await rejects('network', device.load('/does/not/exist.safetensors'), 'no such file');
  await rejects('value', device.load(42), 'no source');
  const bytes = await network.save();
  await rejects('format', device.load(bytes.slice(0, bytes.length - 4)), 'cut short');
  await rejects('shape', network.train({ x: new Float32Array(6), dims: [1, 2, 3], y: new Float32Array(5) }), 'targets');
  await rejects('value', network.train({ x: new Float32Array(6), dims: [1, 2, 3], y: new Float32Array(8) }, { epochs: 0 }), 'no epoch');
  await rejects('value', network.train({ x: new Float32Array(6), dims: [1, 2, 3], y: new Float32Array(8) }, { loss: 'cross-entropy' }), 'loss');
  const headed = await device.create({ input: 3, hidden: 4, outputs: 2 });
  await rejects('value', headed.train({ x: new Float32Array(6), dims: [1, 2, 3], y: new Uint32Array([7]) }), 'no such class');
  await rejects('diverged', headed.train({ x: new Float32Array(6).fill(NaN), dims: [1, 2, 3], y: new Float32Array(2) }), 'NaN');
  await rejects('value', network.stream({ weights: 'f7' }), 'precision');
  const { output } = await network.run(new Float32Array(6), [1, 2, 3]);
  assert(output.data.length === 8, 'still works');
  network.free();
  network.free();
  await rejects('freed', network.run(new Float32Array(6), [1, 2, 3]), 'after free');
  device.free();
  await rejects('freed', device.create({ input: 1, hidden: 1 }), 'after free of the device');
  await rejects('freed', headed.run(new Float32Array(6), [1, 2, 3]), 'of a freed device');
}

async function surviving(open_) {
  const device = await open_();
  const network = await device.create({ input: 2, hidden: 8, outputs: 1, seed: 5 });
  const x = noise(8);
  const before = (await network.run(x, [1, 4, 2])).output.data;
  const inFlight = network.run(x, [1, 4, 2]).then((r) => close(r.output.data, before, 0, 'in flight'), (e) => assert(e instanceof WgruError, 'typed'));
  for (const hidden of [20000, 9000]) await rejects('out-of-memory', device.create({ input: 2, hidden }), `${hidden} units`);
  await inFlight;
  close((await network.run(x, [1, 4, 2])).output.data, before, 0, 'restored');
  device.free();
}
export const survivesOutOfMemory = () => surviving(() => open({ device: 'cpu' }));
export const survivesOutOfMemoryWithoutWorker = () => surviving(() => open({ device: 'cpu', worker: false }));

export async function survivesALostDevice() {
  let lost;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    return (lost = await request.apply(this, args));
  };
  const device = await open({ device: 'webgpu', worker: false });
  const network = await device.create({ input: 2, hidden: 8, outputs: 1, seed: 5 });
  const x = noise(8);
  const before = (await network.run(x, [1, 4, 2])).output.data;
  await network.train(sums(16, 4, 1).x.length ? { x: noise(128), dims: [16, 4, 2], y: noise(16) } : 0, { epochs: 2 });
  const trained = (await network.run(x, [1, 4, 2])).output.data;
  assert(Math.abs(trained[0] - before[0]) > 1e-6, 'training changed the weights');
  const first = lost;
  const inFlight = network.run(x, [1, 4, 2]);
  first.destroy();
  await rejects('device-lost', inFlight, 'in flight');
  close((await network.run(x, [1, 4, 2])).output.data, trained, 1e-6, 'restored');
  assert(lost !== first, 'the network runs on a new device');
  GPUAdapter.prototype.requestDevice = request;
  device.free();
}

export async function noAdapter() {
  const request = GPU.prototype.requestAdapter;
  GPU.prototype.requestAdapter = async () => null;
  try {
    await rejects('no-adapter', open({ device: 'webgpu', worker: false }), 'adapter null');
    const auto = await open({ device: 'auto', worker: false });
    assert(auto.info.kind === 'cpu' && /adapter/.test(auto.info.reason), `the reason names the adapter: ${auto.info.reason}`);
    auto.free();
  } finally {
    GPU.prototype.requestAdapter = request;
  }
}

export async function concurrentCalls() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 2, hidden: 8, outputs: 1 });
  const x = noise(2 * 5);
  const all = await Promise.all(Array.from({ length: 20 }, () => network.run(x, [1, 5, 2])));
  all.forEach((r) => close(r.output.data, all[0].output.data, 0, 'the same'));
  const training = network.train({ x: noise(64), dims: [8, 4, 2], y: noise(8) }, { epochs: 3 });
  const run = network.run(x, [1, 5, 2]);
  await training;
  assert(Math.abs((await run).output.data[0] - all[0].output.data[0]) > 0, 'a run after training sees the trained weights');
  device.free();
}

export async function flatMemory() {
  const device = await open({ device: 'cpu' });
  const live = [];
  for (let i = 0; i < 1000; i++) {
    const network = await device.create({ input: 4, hidden: 32, outputs: 2 });
    await network.run(noise(12), [1, 3, 4]);
    const stream = await network.stream();
    stream.step();
    stream.free();
    network.free();
    if (i % 100 === 99) live.push([await device.liveBytes(), device.instance.memory.buffer.byteLength]);
  }
  assert(live.every(([bytes]) => bytes === live[0][0]), `the tensors' memory does not grow: ${live}`);
  assert(live.at(-1)[1] === live[1][1], `the module's memory does not grow: ${live}`);
  device.free();
  return JSON.stringify(live.at(-1));
}

export async function everyBuildAgrees() {
  const x = noise(3 * 17 * 6);
  const outputs = [];
  const automatic = await open({ device: 'cpu' });
  const { build: best } = automatic.info;
  automatic.free();
  for (const build of ['relaxed', 'simd', 'plain'])
    for (const from of [open, inference.open]) {
      if (build === 'relaxed' && best !== 'relaxed') {
        const { message } = await rejects('unsupported', from({ device: 'cpu', build }), 'a build that the browser cannot run');
        assert(message.includes(best), message);
        continue;
      }
      const device = await from({ device: 'cpu', build });
      assert(device.info.build === build, 'the requested build');
      const network = await device.create({ input: 6, hidden: 37, layers: 2, outputs: 3, seed: 2 });
      outputs.push((await network.run(x, [3, 17, 6])).output.data);
      device.free();
    }
  return outputs.map((o) => close(o, outputs[0], 1e-6, 'a build'));
}

export async function inferenceRefusesToTrain() {
  const device = await inference.open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 3, outputs: 1 });
  await rejects('unsupported', network.train(sums(4, 2, 1)));
  device.free();
}

export async function onnxModelsHaveTheirOwnModule() {
  const file = new URL('../../tests/onnx/pytorch/rnn.onnx', import.meta.url);
  const inputs = { x: { data: noise(4), dims: [1, 1, 4] } };
  const outputs = [];
  for (const from of [open, inference.open])
    for (const worker of [true, false]) {
      const device = await from({ device: 'cpu', worker });
      const before = await device.liveBytes();
      const [model, second] = await Promise.all([device.loadOnnx(file), device.loadOnnx(file)]);
      assert((await device.liveBytes()) > before, 'models are counted');
      const [[one], [two]] = [await model.run(inputs), await second.run(inputs)].map(Object.values);
      close(one.data, two.data, 0, 'the same model');
      outputs.push(one.data);
      model.free();
      await rejects('freed', model.run(inputs));
      device.free();
      await rejects('freed', second.run(inputs));
      await rejects('freed', device.loadOnnx(file));
    }
  return outputs.map((output) => close(output, outputs[0], 0, 'a module'));
}

const rnn = new URL('../../tests/onnx/pytorch/rnn.onnx', import.meta.url);
const frameOf = (x) => ({ x: { data: x, dims: [1, 1, 4] } });

export async function boundStreamsAgreeWithStreams() {
  const device = await open({ device: 'cpu' });
  const model = await device.loadOnnx(rnn);
  const [stream, bound] = [await model.stream(), await model.bind(frameOf(new Float32Array(4)))];
  assert(bound.dims.x.join() === '1,1,4', JSON.stringify(bound.dims));
  let worst = 0;
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5; i++) {
      const x = noise(4, i);
      const [want] = Object.values(await stream.run(frameOf(x)));
      bound.inputs.x.set(x);
      const [got] = Object.values(bound.run());
      worst = Math.max(worst, close(got, want.data, 0, `frame ${i}`));
    }
    await stream.reset();
    bound.reset();
  }
  const state = bound.state();
  bound.setState(state);
  await rejects('shape', (async () => bound.setState(new Float32Array(state.length + 1)))());
  await rejects('value', model.bind({}), 'no input');
  await rejects('value', model.bind(frameOf(noise(4)), { pairs: 'x' }), 'no pairs');
  await rejects('value', model.stream({ nodez: true }), 'misspelt');
  bound.free();
  await rejects('freed', (async () => bound.run())());
  device.free();
  return worst;
}

/** Plays `samples` through `node`. A source takes the content of its buffer when it gets the buffer. */
function play(context, node, samples) {
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: context.sampleRate });
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
}

export async function boundStreamInAWorklet() {
  const device = await open({ device: 'cpu' });
  const model = await device.loadOnnx(rnn);
  const context = new OfflineAudioContext(1, 1280, 44100);
  await context.audioWorklet.addModule(new URL('./worklet-onnx.mjs', import.meta.url));
  const node = new AudioWorkletNode(context, 'model', { processorOptions: await model.bindParts(frameOf(new Float32Array(4))) });
  const told = new Promise((done) => (node.port.onmessage = ({ data }) => done(data)));
  const x = noise(1280);
  play(context, node, x);
  const rendered = (await context.startRendering()).getChannelData(0);
  const bound = await model.bind(frameOf(new Float32Array(4)));
  const [want, got] = [[], []];
  for (let at = 0; at < 1280; at += 128) {
    bound.inputs.x.set(x.subarray(at, at + 4));
    want.push(Object.values(bound.run())[0][0]);
    got.push(rendered[at]);
  }
  const error = await Promise.race([told, new Promise((done) => setTimeout(done, 50))]);
  assert(!error, error);
  device.free();
  return close(Float32Array.from(got), Float32Array.from(want), 0, 'in the worklet');
}

export async function firstResult() {
  const began = performance.now();
  const device = await open({ device: 'cpu' });
  const network = await device.load(fixture('golden/torch_gru.safetensors'));
  await network.run(noise(network.info.input * 4), [1, 4, network.info.input]);
  device.free();
  return `${(performance.now() - began).toFixed(0)} ms`;
}

export async function disposes() {
  const device = await open({ device: 'cpu' });
  device[Symbol.dispose ?? Symbol.for('Symbol.dispose')]();
  await rejects('freed', device.create({ input: 1, hidden: 1 }));
}

export async function worklet() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 16, outputs: 1, steps: 'every' });
  const context = new OfflineAudioContext(1, 1280, 44100);
  await context.audioWorklet.addModule(new URL('./worklet.mjs', import.meta.url));
  const node = new AudioWorkletNode(context, 'network', { processorOptions: await network.streamParts() });
  const told = new Promise((done) => (node.port.onmessage = ({ data }) => done(data)));
  const x = noise(1280);
  play(context, node, x);
  const rendered = (await context.startRendering()).getChannelData(0);
  const failed = await Promise.race([told, Promise.resolve(null)]);
  assert(!failed, failed);
  const { output } = await network.run(x, [1, 1280, 1]);
  const worst = close(rendered, output.data, 1e-5, 'in the worklet');
  device.free();
  return worst;
}

export async function workersShareLargeBatches() {
  const one = await open({ device: 'cpu', workers: 1 });
  const three = await open({ device: 'cpu', workers: 3 });
  // 37 rows make parts of 16, 8 and 13; 17 rows make parts of 8 and 9, whose linear layer reads only the last states.
  for (const [batch, steps] of [[37, 'every'], [17, 'last']]) {
    const options = { cell: 'gru', input: 5, hidden: 96, layers: 2, bidirectional: true, outputs: 3, steps, seed: 3 };
    const [a, b] = [await one.create(options), await three.create(options)];
    const dims = [batch, 400, 5];
    const x = noise(batch * 400 * 5);
    const h0 = noise(4 * batch * 96, 7);
    const lengths = Array.from({ length: batch }, (_, i) => 1 + ((i * 13) % 400));
    const same = async (what) => {
      for (const more of [{}, { h0, lengths }]) {
        const [p, q] = [await a.run(x, dims, more), await b.run(x, dims, more)];
        close(p.output.data, q.output.data, 0, `${what}: outputs of ${batch} rows`);
        close(p.state.data, q.state.data, 0, `${what}: states of ${batch} rows`);
        assert(p.output.dims.join() === q.output.dims.join() && p.state.dims.join() === q.state.dims.join(), `${what}: extents`);
      }
    };
    await same('before the helpers have started');
    const id = b['id'];
    const shared = async () => {
      for (let tries = 0; three.helpers(id, b.origin).length < 2; tries++) {
        assert(tries < 500, 'helpers start');
        await new Promise((done) => setTimeout(done, 10));
      }
    };
    await shared();
    await same('shared');
    // Helpers receive new weights.
    const examples = { ...sums(8, 4, 1), x: noise(8 * 4 * 5), dims: [8, 4, 5], y: noise(8 * 4 * 3).slice(steps === 'last' ? 72 : 0) };
    for (const network of [a, b]) await network.train(examples, { epochs: 1, rate: 0.1 });
    await same('trained');
    await shared();
    await same('after training');
    // After an aborted training, the helpers do not have the current weights.
    const stop = new AbortController();
    const onEpoch = ({ epoch }) => epoch === 2 && stop.abort();
    await rejects('aborted', b.train(examples, { epochs: 1e5, batch: 1, signal: stop.signal, onEpoch }));
    await shared();
    const now = await one.load(await b.save());
    close((await now.run(x, dims)).output.data, (await b.run(x, dims)).output.data, 0, `aborted: outputs of ${batch} rows`);
    // Calls on one network keep their order: the run uses the weights from before training.
    const [early] = await Promise.all([now.run(x, dims), now.train(examples, { epochs: 1, rate: 0.1 })]);
    close((await b.run(x, dims)).output.data, early.output.data, 0, 'a run before training');
    // Errors are the same as with one worker.
    await rejects('shape', b.run(x, [batch, 401, 5]));
    await rejects('shape', b.run(x, [batch, 400, 5], { h0: h0.slice(1) }));
    b.free();
    await rejects('freed', b.run(x, dims));
  }
  await rejects('value', open({ workers: 0 }));
  one.free();
  three.free();
}
