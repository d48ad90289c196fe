// Calls during training, exceptions in listeners, and garbage-collected handles. `package.test.mjs` runs these tests
// in a browser.
import { WgruError, open } from '../dist/js/index.js';
import { assert, close, noise, rejects, sums } from './support.mjs';

const later = (ms = 0) => new Promise((done) => setTimeout(done, ms));
/** Starts endless training, and waits for its first epoch. */
async function endless(network) {
  const stop = new AbortController();
  const state = { isOver: false };
  let began;
  const first = new Promise((done) => (began = done));
  const onEpoch = () => began();
  state.training = network.train(sums(64, 8, 1), { epochs: 1e6, rate: 0.01, signal: stop.signal, onEpoch });
  state.training.catch(() => {}).then(() => (state.isOver = true));
  await first;
  return Object.assign(state, { stop: () => stop.abort() });
}

async function readsDuringTraining(options) {
  const device = await open(options);
  const network = await device.create({ input: 1, hidden: 16, outputs: 1 });
  const x = noise(8);
  const before = (await network.run(x, [1, 8, 1])).output.data[0];
  const state = await endless(network);
  const during = (await network.run(x, [1, 8, 1])).output.data[0];
  const saved = await device.load(await network.save());
  const stream = await network.stream();
  const parts = await network.streamParts();
  assert(!state.isOver, 'training is still in progress');
  assert(during !== before && Number.isFinite(during), `the run sees the current weights: ${before}, ${during}`);
  assert((await saved.run(x, [1, 8, 1])).output.data[0] !== before && parts.bytes.length > 100 && Number.isFinite(stream.step([0])[0]), 'save and stream see the current weights');
  await rejects('shape', network.run(x, [1, 7, 1]));
  await Promise.all(Array.from({ length: 30 }, () => network.run(x, [1, 8, 1])));
  assert(!state.isOver, 'training is still in progress after them');
  state.stop();
  await rejects('aborted', state.training);
  device.free();
}
export const runsDuringTraining = () => readsDuringTraining({ device: 'cpu' });
export const runsDuringTrainingWithoutWorker = () => readsDuringTraining({ device: 'cpu', worker: false });
export const runsDuringTrainingOnWebgpu = () => readsDuringTraining({ device: 'webgpu' });

export async function concurrentRunsDoNotChangeTraining() {
  const device = await open({ device: 'cpu' });
  const weights = [];
  for (const isDisturbed of [false, true]) {
    const network = await device.create({ input: 1, hidden: 16, outputs: 1, seed: 7 });
    let isOver = false;
    const training = network.train(sums(512, 8, 1), { epochs: 6, rate: 0.02, seed: 3, validation: sums(64, 8, 2), patience: 3 }).then(() => (isOver = true));
    let runs = 0;
    while (isDisturbed && !isOver) {
      await network.run(noise(16), [2, 8, 1], { gates: true });
      runs++;
    }
    assert(!isDisturbed || runs > 3, `runs during training: ${runs}`);
    await training;
    weights.push(await network.save());
  }
  close(weights[1], weights[0], 0, 'the weights');
  device.free();
}

export async function callsKeepTheirOrderAroundTraining() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 16, outputs: 1 });
  const x = noise(8);
  const one = async () => (await network.run(x, [1, 8, 1])).output.data[0];
  const initial = await one();
  const order = [];
  const train = (name) => network.train(sums(64, 8, 1), { epochs: 4, rate: 0.02 }).then(() => order.push(name));
  const log = (name, call) => call.then((value) => (order.push(name), value));
  const before = log('before', one());
  const first = train('first');
  const second = train('second');
  const beside = log('beside', one());
  assert((await before) === initial, 'a run before training sees the initial weights');
  const atOnce = await beside;
  assert(order.includes('first') && atOnce !== initial, `a run after two calls of train waits for the first: ${order}`);
  await Promise.all([first, second]);
  assert((await one()) !== atOnce || order.indexOf('beside') > order.indexOf('second'), 'it runs during the second call of train');
  // Training that fails at once still runs the reads that wait for its first pause.
  const refused = network.train({ x: noise(3), dims: [1, 2, 1], y: noise(1) });
  const run = one();
  await rejects('shape', refused);
  assert(Number.isFinite(await run), 'a run after failed training works');
  device.free();
}

export async function trainingAbortedWhileItWaitsChangesNothing() {
  const device = await open({ device: 'cpu' });
  const weights = [];
  for (const isSecond of [false, true]) {
    const network = await device.create({ input: 1, hidden: 16, outputs: 1, seed: 7 });
    const stop = new AbortController();
    const first = network.train(sums(256, 8, 1), { epochs: 3, rate: 0.02, onEpoch: () => stop.abort() });
    const second = isSecond && network.train(sums(64, 8, 2), { epochs: 1, rate: 0.5, signal: stop.signal });
    await first;
    if (isSecond) await rejects('aborted', second);
    weights.push(await network.save());
  }
  close(weights[1], weights[0], 0, 'the weights');
  device.free();
}

export async function weightsAreSentSeldomAndAtTheEnd() {
  const sent = {};
  const { Worker: Own } = globalThis;
  globalThis.Worker = class extends Own {
    constructor(...given) {
      super(...given);
      this.addEventListener('message', ({ data }) => (sent[data.type] = (sent[data.type] ?? 0) + 1));
    }
  };
  try {
    const device = await open({ device: 'cpu' });
    const network = await device.create({ input: 1, hidden: 4, outputs: 1 });
    const began = performance.now();
    await network.train(sums(8, 4, 1), { epochs: 200, rate: 0.01 });
    const seconds = (performance.now() - began) / 1000;
    assert(sent.epoch === 200 && sent.weights >= 1 && sent.weights <= 1 + seconds, `in ${seconds} s: ${JSON.stringify(sent)}`);
    const examples = sums(64, 8, 1);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 2500);
    await rejects('aborted', network.train(examples, { epochs: 1e6, signal: stop.signal }));
    assert(sent.weights >= 3, `weights are also sent during training: ${JSON.stringify(sent)}`);
    device.free();
    return JSON.stringify(sent);
  } finally {
    globalThis.Worker = Own;
  }
}

export async function freeStopsTraining() {
  for (const worker of [true, false]) {
    const device = await open({ device: 'cpu', worker });
    const base = await device.liveBytes();
    const network = await device.create({ input: 1, hidden: 16, outputs: 1 });
    const state = await endless(network);
    const run = network.run(noise(8), [1, 8, 1]);
    network.free();
    await rejects('freed', state.training, 'training');
    assert((await run).output.data.length === 1, 'an earlier call is answered');
    await rejects('freed', network.save());
    for (let tries = 0; (await device.liveBytes()) !== base; tries++) assert(tries < 100, 'its memory is freed'), await later(10);
    device.free();
  }
}

export async function anExceptionInOnEpochEndsTraining() {
  const heard = [];
  const hear = (event) => (heard.push(event), event.preventDefault());
  addEventListener('error', hear);
  addEventListener('unhandledrejection', hear);
  for (const worker of [true, false]) {
    const device = await open({ device: 'cpu', worker });
    const network = await device.create({ input: 1, hidden: 16, outputs: 1 });
    const thrown = new TypeError('mine');
    for (const onEpoch of [() => { throw thrown; }, async () => { throw thrown; }, async () => { await later(5); throw thrown; }])
      for (const epochs of [1e6, 1]) {
        let calls = 0;
        const training = network.train(sums(64, 8, 1), { epochs, onEpoch: () => (calls++, onEpoch()) });
        const error = await rejects('callback', training);
        assert(error.cause === thrown && /onEpoch.*mine/.test(error.message), `the cause is the exception: ${error.message}`);
        assert(onEpoch.constructor.name === 'AsyncFunction' || calls === 1, `the callback is not called again: ${calls}`);
      }
    assert((await network.train(sums(8, 8, 1), { epochs: 2 })).loss.length === 2, 'it can be trained again');
    assert(Number.isFinite((await network.run(noise(8), [1, 8, 1])).output.data[0]), 'it can be run again');
    device.free();
  }
  await later(20);
  removeEventListener('error', hear);
  removeEventListener('unhandledrejection', hear);
  assert(!heard.length, `no error reaches the window: ${heard.map((event) => event.message ?? event.reason)}`);
}

/** Collects garbage until `holds()` is true. */
async function collected(holds, what) {
  for (let tries = 0; !(await holds()); tries++) {
    assert(tries < 100, what);
    globalThis.gc();
    await later(20);
  }
}

export async function droppedModelsAreFreed() {
  const device = await open({ device: 'cpu' });
  const bytes = new Uint8Array(await (await fetch(new URL('../../tests/onnx/pytorch/rnn.onnx', import.meta.url))).arrayBuffer());
  const kept = await device.create({ input: 4, hidden: 32 });
  const base = await device.liveBytes();
  const most = await (async () => {
    const held = [];
    for (let i = 0; i < 100; i++) {
      const [network, model] = [await device.create({ input: 4, hidden: 64, outputs: 2 }), await device.loadOnnx(bytes)];
      await network.run(noise(12), [1, 3, 4]);
      held.push(network, model, await model.stream());
    }
    return (await device.liveBytes()) - held.length;
  })();
  assert(most > base + 100 * 4 * 3 * 64 * 64, `the models took memory: ${base}, ${most}`);
  await collected(async () => (await device.liveBytes()) === base, 'dropped models are freed');
  assert((await kept.run(noise(12), [1, 3, 4])).output.data.length === 96, 'a model in use is kept');
  device.free();
}

export async function droppedDevicesEndTheirWorkers() {
  let ended = 0;
  const { terminate } = Worker.prototype;
  Worker.prototype.terminate = function () {
    ended++;
    terminate.call(this);
  };
  try {
    const network = await (async () => {
      for (let i = 0; i < 4; i++) await (await open({ device: 'cpu' })).create({ input: 1, hidden: 2 });
      return (await open({ device: 'cpu' })).create({ input: 1, hidden: 2 });
    })();
    await collected(() => ended === 4, 'workers of dropped devices end');
    globalThis.gc();
    assert((await network.run(noise(1), [1, 1, 1])).output.data.length === 2 && ended === 4, 'a network keeps its device alive');
    network['device'].free();
  } finally {
    Worker.prototype.terminate = terminate;
  }
}

export async function devicesOfOneThreadSurviveEachOther() {
  const [a, b] = [await open({ device: 'cpu', worker: false }), await open({ device: 'cpu', worker: false })];
  const x = noise(8);
  const networks = await Promise.all([a, b].map((device) => device.create({ input: 2, hidden: 8, outputs: 1, seed: 5 })));
  const [before] = (await networks[0].run(x, [1, 4, 2])).output.data;
  const stream = await networks[1].stream();
  const training = networks[1].train({ x: noise(64), dims: [8, 4, 2], y: noise(8) }, { epochs: 1e6 }).catch(({ code }) => code);
  const { age } = a.instance;
  for (let times = 1; times <= 2; times++) {
    await rejects('out-of-memory', a.create({ input: 2, hidden: 20000 }));
    assert((await training) === 'out-of-memory', 'training on the other device ends with the same code');
    for (const network of networks) {
      const { output } = await network.run(x, [1, 4, 2]);
      if (network === networks[0]) close(output.data, [before], 0, 'restored');
    }
    assert(a.instance.age === age + times, `the module is replaced once per fault: ${a.instance.age}`);
  }
  await rejects('panic', async () => stream.step([0, 0]), 'a stream of the failed module');
  await rejects('value', open({ device: 'cpu', worker: false, build: a.info.build === 'plain' ? 'simd' : 'plain' }), 'another build in this thread');
  const after = await networks[1].stream();
  a.free();
  assert(after.step([0, 0]).length === 1, 'freeing a device does not affect other streams of the thread');
  b.free();
}

export async function freedDevicesOfThisThreadGiveMemoryBack() {
  const sizes = [];
  for (let i = 0; i < 40; i++) {
    const device = await open({ device: 'cpu', worker: false });
    for (let k = 0; k < 4; k++) await device.create({ input: 2, hidden: 128 });
    device.free();
    await later();
    sizes.push(device.instance.memory.buffer.byteLength);
  }
  // The allocator may grow early on. A leak of 0.8 MB per device would keep growing.
  assert(sizes.at(-1) === sizes[19], `the module's memory does not grow: ${sizes}`);
}

export async function runsThatLoseAWorkerNeverSeeLaterWeights() {
  const device = await open({ device: 'cpu', workers: 2 });
  const network = await device.create({ input: 5, hidden: 96, layers: 2, bidirectional: true, outputs: 3, steps: 'every' });
  const [x, dims] = [noise(16 * 100 * 5), [16, 100, 5]];
  const before = (await network.run(x, dims)).output.data;
  const helpers = () => device.helpers(network['id'], network.origin);
  for (let tries = 0; helpers().length < 1; tries++) assert(tries < 500, 'a helper starts'), await later(10);
  const run = network.run(x, dims);
  helpers()[0].end(new WgruError('internal', 'the helper ended'));
  const training = network.train({ x: noise(40), dims: [2, 4, 5], y: noise(24) }, { epochs: 1, rate: 0.5 });
  const outcome = await run.catch((error) => error);
  if (outcome instanceof WgruError) assert(outcome.code === 'internal', `the error of the helper: ${outcome}`);
  else close(outcome.output.data, before, 0, 'the run used the weights at its place in the queue');
  await training;
  device.free();
}
