// Panel 6: runs a model from the user on WebGPU and on the CPU.
import { open } from '../dist/js/index.js';
import { device, persist } from './device.js';
import { trained } from './forecast.js';
import { described, droppable, duration, facts, figure, noise, panel } from './ui.js';

const ui = panel('model');
const called = { webgpu: 'WebGPU', cpu: 'CPU' };
let model;

/** Loads an ONNX model or a network. */
async function load(on, { name, bytes }) {
  const onnx = name.endsWith('.onnx');
  return { onnx, of: onnx ? await on.loadOnnx(bytes) : await on.load(bytes) };
}

/** Creates inputs: random floats, zeros for integers. */
function inputs({ onnx, of }, steps) {
  const next = noise(5);
  const random = (dims) => Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, next);
  if (!onnx) {
    const dims = [1, steps, of.info.input];
    return { x: { data: random(dims), dims } };
  }
  // A free axis is the batch if its name says so, or if it is the first and has no name. Other free axes are steps.
  const extent = (e, i) => (typeof e === 'number' ? e : (e ? /batch/i.test(e) : i === 0) ? 1 : steps);
  return Object.fromEntries(
    of.info.inputs.map(({ name, dims, type }) => {
      const extents = (dims ?? [1, steps, 1]).map(extent);
      const data = type === 'float32' ? random(extents) : new BigInt64Array(extents.reduce((a, b) => a * b, 1));
      return [name, { data, dims: extents }];
    }),
  );
}

/** Runs the model once, and returns all outputs. */
async function run({ onnx, of }, values) {
  if (onnx) return of.run(values);
  const { output, state } = await of.run(values.x.data, values.x.dims);
  return { output, state };
}

/**
 * Measures runs for half a second: at least 3, at most 200. The clock of some browsers counts whole milliseconds, so the
 * time of a run is the mean.
 */
async function measure(loaded, values) {
  const outputs = await run(loaded, values);
  const began = performance.now();
  let [runs, took] = [0, 0];
  for (; runs < 3 || (took < 500 && runs < 200); took = performance.now() - began, runs++) await run(loaded, values);
  return { outputs, runs, time: took / runs };
}

/** Returns the largest difference between two results, and the largest value for comparison. */
function apart(a, b) {
  let [worst, largest, same] = [0, 0, true];
  for (const name of Object.keys(a))
    for (let i = 0; i < a[name].data.length; i++) {
      const [p, q] = [Number(a[name].data[i]), Number(b[name].data[i])];
      same &&= Number.isNaN(p) === Number.isNaN(q);
      if (p !== q) worst = Math.max(worst, Math.abs(p - q) || 0);
      largest = Math.max(largest, Math.abs(p) || 0);
    }
  return { worst: same ? worst : Infinity, largest };
}

const dimsText = (dims) => (dims ? dims.map((d) => d ?? '?').join(' × ') : 'any');

function describe({ onnx, of }, name) {
  const { info } = of;
  const entries = [['File', name]];
  if (onnx) {
    for (const port of info.inputs) entries.push([`Input ${port.name}`, `${dimsText(port.dims)}, ${port.type}`]);
    for (const port of info.outputs) entries.push([`Output ${port.name}`, dimsText(port.dims)]);
  } else {
    entries.push(['Network', `${info.cell.toUpperCase()}, ${info.layers} ${info.layers > 1 ? 'layers' : 'layer'}${info.bidirectional ? ', bidirectional' : ''}`]);
    entries.push(['Input, units, outputs', `${info.input}, ${info.hidden}, ${info.outputs ?? 'states'}`]);
    entries.push(['Weights', info.parameters.toLocaleString('en')]);
  }
  facts(ui.part('facts'), entries);
}

const embedded = ({ onnx, of }) => {
  if (onnx) return 'none in ONNX files';
  return of.info.verified === null ? 'none in the file' : `largest error ${figure(of.info.verified)}`;
};

function row(cells, kind) {
  const tr = document.createElement('tr');
  tr.dataset.kind = kind;
  tr.append(...cells.map((text) => Object.assign(document.createElement('td'), { textContent: text })));
  ui.root.querySelector('tbody').append(tr);
  return tr;
}

/** Loads and runs the model on the device of the page, then on a device of the other kind. */
async function compare() {
  const steps = ui.control('steps').valueAsNumber;
  ui.control('run').disabled = true;
  ui.root.querySelector('tbody').replaceChildren();
  ui.part('facts').replaceChildren();
  delete ui.part('parity').dataset.number;
  ui.say('parity', '');
  ui.root.querySelector('table').hidden = true;
  const going = await ui.attempt(async () => {
    if (!Number.isInteger(steps) || steps < 1 || steps > 2000) throw Object.assign(new Error('steps: expected 1 to 2000'), { code: 'value' });
    const first = device();
    const results = [];
    let values;
    const on = async (one) => {
      const where = called[one.info.kind];
      ui.say('progress', `Loading ${model.name} on ${where}…`);
      const loaded = await load(one, model);
      try {
        describe(loaded, model.name);
        values ??= inputs(loaded, steps);
        ui.say('progress', `Running on ${where}…`);
        const result = await measure(loaded, values);
        results.push(result);
        const name = one.info.name === where ? where : `${where}: ${one.info.name}`;
        row([name, `${duration(result.time)} of ${result.runs}`, embedded(loaded)], one.info.kind).dataset.number = result.time;
        ui.root.querySelector('table').hidden = false;
      } finally {
        loaded.of.free();
      }
    };
    await persist(() => on(first));
    const shape = Object.entries(values).map(([name, { dims }]) => `${name} ${dims.join(' × ')}`);
    ui.say('input', `Input of each run: ${shape.join(', ')}, random numbers`);
    let other;
    try {
      other = await open({ device: first.info.kind === 'cpu' ? 'webgpu' : 'cpu' });
    } catch (error) {
      ui.say('parity', `No other device to compare with. ${described(error)}`);
    }
    if (other)
      try {
        await on(other);
        const { worst, largest } = apart(results[0].outputs, results[1].outputs);
        ui.part('parity').dataset.number = worst;
        ui.say('parity', `Largest difference: ${figure(worst)}. Largest value: ${figure(largest)}.`);
      } finally {
        other.free();
      }
    ui.say('progress', `Measured ${model.name}.`);
  });
  if (!going) ui.say('progress', 'The model did not run.');
  ui.control('run').disabled = false;
}

/** Runs comparisons one at a time. */
let queue = Promise.resolve();
const take = (name, bytes) =>
  (queue = queue.then(() => {
    model = { name, bytes };
    return compare();
  }));

export function start() {
  droppable(ui.control('drop'), async (file) => take(file.name, new Uint8Array(await file.arrayBuffer())));
  ui.control('run').addEventListener('click', () => take(model.name, model.bytes));
  ui.control('sample').addEventListener('click', () =>
    ui.attempt(async () => {
      const answer = await fetch(new URL('./data/sample.safetensors', import.meta.url));
      await take('sample.safetensors', new Uint8Array(await answer.arrayBuffer()));
    }),
  );
  ui.control('trained').addEventListener('click', () => take('the forecaster trained above', trained));
  document.getElementById('forecast').addEventListener('trained', () => (ui.control('trained').disabled = false));
}
