// The part of frames.mjs that runs in the page.
import { open } from '/dist/js/index.js';

/** Calls `f` until the seconds have passed. Returns the milliseconds of a call. */
async function timed(f, seconds) {
  const start = performance.now();
  let calls = 0;
  let now;
  do {
    for (let i = 0; i < 10; i++) await f();
    calls += 10;
    now = performance.now();
  } while (now - start < 1000 * seconds);
  return (now - start) / calls;
}

/** Returns the times of both programs per turn, and the largest difference of their outputs of the first frame. */
export async function frames({ extents, integers, rounds, seconds }) {
  const bytes = new Uint8Array(await (await fetch('/model')).arrayBuffer());
  const device = await open({ device: 'cpu', workers: 1 });
  const model = await device.loadOnnx(bytes.slice());
  const inputs = model.info.inputs.map(({ name, dims, type }) => {
    const shape = extents[name] ?? dims.map((n) => (typeof n === 'number' ? n : 1));
    const count = shape.reduce((product, n) => product * n, 1);
    const isInt = type === 'int64';
    const data = isInt
      ? BigInt64Array.from({ length: count }, () => BigInt(integers[name] ?? 1))
      : Float32Array.from({ length: count }, (_, i) => 0.1 * Math.sin(i + 1));
    return { name, shape, data };
  });
  const bound = await model.bind(Object.fromEntries(inputs.map(({ name, shape, data }) => [name, { data, dims: shape }])));

  const ort = await import('/ort/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const feeds = {};
  for (const { name, shape, data } of inputs) {
    feeds[name] = new ort.Tensor(typeof data[0] === 'bigint' ? 'int64' : 'float32', data.slice(), shape);
  }
  const results = await session.run(feeds);

  // The states of the first frame are those in the inputs for onnxruntime-web, and zeros for a stream, unless fed.
  const feed = () => {
    for (const { name, data } of inputs) if (bound.inputs[name] && data instanceof Float32Array) bound.inputs[name].set(data);
  };
  feed();
  const outputs = bound.run();
  let difference = 0;
  for (const [name, values] of Object.entries(outputs)) {
    const other = results[name]?.data;
    if (other) values.forEach((v, i) => (difference = Math.max(difference, Math.abs(v - Number(other[i])))));
  }
  const frame = inputs.find(({ name }) => bound.inputs[name]);
  const ours = () => {
    bound.inputs[frame.name].set(frame.data);
    bound.run();
  };
  const theirs = async () => {
    feeds[frame.name].data.set(frame.data);
    await session.run(feeds);
  };
  await timed(ours, seconds);
  await timed(theirs, seconds);
  const times = { ours: [], theirs: [] };
  for (let round = 0; round < rounds; round++) {
    times.ours.push(await timed(ours, seconds));
    times.theirs.push(await timed(theirs, seconds));
  }
  device.free();
  return { ...times, difference };
}
