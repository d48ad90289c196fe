// Files of other programs, which the module `import` converts.
import { open } from '../dist/js/index.js';
import { assert, close, fixture, noise, rejects } from './support.mjs';

/** Reads a fixture as JSON. */
const json = async (name) => (await fetch(fixture(name))).json();
/** Runs frames through a stream, one after another. */
const stepped = (stream, x) => Array.from(x, (v) => [...stream.step([v])]).flat();

export async function modelsOfAudioProgramsRunAndStream() {
  const device = await open({ device: 'cpu' });
  const aida = await json('readers/import/aidax.json');
  const guitar = await json('readers/import/proteus.json');
  const cases = [
    ['aidax', aida.input_batch, aida.output_batch],
    ['proteus', guitar.x.flat(), guitar.y.flat()],
  ];
  for (const [name, x, y] of cases) {
    const network = await device.load(fixture(`readers/import/${name}.json`));
    const { cell, input, outputs, skip } = network.info;
    assert(cell === 'lstm' && input === 1 && outputs === 1 && skip, `${name}: ${JSON.stringify(network.info)}`);
    const { output } = await network.run(Float32Array.from(x), [1, x.length, 1]);
    close(output.data, y, 2e-5, `${name}: whole sequences`);
    const stream = await network.stream();
    close(stepped(stream, x), output.data, 1e-6, `${name}: frame by frame`);
    stream.reset();
    close([...stream.process(Float32Array.from(x))], output.data, 1e-6, `${name}: as a block`);
    // A saved network keeps the connection from input to output.
    const again = await device.load(await network.save());
    close((await again.run(Float32Array.from(x), [1, x.length, 1])).output.data, output.data, 0, `${name}: saved`);
  }
  device.free();
}

export async function networksOfOtherLayersRunAsGraphs() {
  const device = await open({ device: 'cpu' });
  const { x, y } = await json('readers/import/rtneural.json');
  const source = fixture('readers/import/rtneural.json');
  const { message } = await rejects('unsupported', device.load(source));
  assert(/loadOnnx/.test(message), message);
  const model = await device.loadOnnx(source);
  const frames = x.flat(Infinity);
  const run = await model.run({ x: { data: Float32Array.from(frames), dims: [1, frames.length, 1] } });
  close(run.output.data, y.flat(Infinity), 2e-5, 'a model of RTNeural');
  const keras = await device.loadOnnx(fixture('readers/model.keras'));
  assert(keras.info.inputs[0].dims.length === 3, JSON.stringify(keras.info));
  device.free();
}

/** Outputs of Keras, from the `.npz` files beside the models. */
const functional = [0.4606903, 0.231682, 0.3076276, 0.4442514, 0.2344318, 0.3213169];
const masked = [-0.5545997, 0.2449187, -0.5545997, 0.2449187, -0.5545997, 0.2449187];

export async function functionalModelsOfKerasRunAsGraphs() {
  const device = await open({ device: 'cpu' });
  const source = fixture('readers/keras/k3_graph.keras');
  const { message } = await rejects('unsupported', device.load(source));
  assert(/loadOnnx/.test(message), message);
  const model = await device.loadOnnx(source);
  const ramp = Float32Array.from({ length: 2 * 9 * 2 }, (_, n) => (((7 * n) % 11) - 5) / 8);
  const { output } = await model.run({ x: { data: ramp, dims: [2, 9, 2] } });
  close(output.data, functional, 1e-6, 'branches');
  // Steps that a mask excludes repeat the output before them.
  const words = await device.loadOnnx(fixture('readers/keras/k3_masked.keras'));
  const indices = BigInt64Array.from([3, 1, 0, 2, 0, 0], BigInt);
  const run = await words.run({ x: { data: indices, dims: [1, 6] } });
  close(run.output.data.subarray(0, 6), masked, 1e-6, 'a mask');
  device.free();
}

export async function layersOfPyTorchAndKerasAreLoadedByName() {
  const device = await open({ device: 'cpu' });
  // Files with other tensors, and their recurrent layers.
  const { message } = await rejects('unsupported', device.load(fixture('readers/import/state.pt')));
  assert(/option layer/.test(message), message);
  const x = noise(2 * 7 * 2);
  let first;
  for (const file of ['state.pt', 'traced.pt', 'module.pt', 'program.pt2']) {
    const network = await device.load(fixture(`readers/import/${file}`), { layer: 'gru' });
    const { cell, input, hidden, outputs } = network.info;
    assert(`${cell} ${input} ${hidden} ${outputs}` === 'gru 2 3 null', `${file}: ${JSON.stringify(network.info)}`);
    // The files hold the same weights.
    const { output } = await network.run(x, [2, 7, 2]);
    first ??= output.data;
    close(output.data, first, 0, file);
    assert(first.some((v) => Math.abs(v) > 0.1), `${file}: outputs differ from 0`);
  }
  const keras = await device.load(fixture('readers/model.keras'), { layer: 'layers.gru' });
  assert(keras.info.cell === 'gru' && keras.info.hidden === 4, JSON.stringify(keras.info));
  const stream = await keras.stream();
  assert(stream.step(new Float32Array(keras.info.input)).length === 4, 'a stream of a layer of Keras');
  device.free();
}

export async function graphsAreNamedAndOtherFilesExplained() {
  const device = await open({ device: 'cpu' });
  const { message } = await rejects('format', device.load(fixture('onnx/pytorch/gru.onnx')));
  assert(/ONNX model, which device.loadOnnx reads/.test(message), message);
  const network = fixture('golden/torch_gru.safetensors');
  // A network with PyTorch's names is a graph of one layer.
  const graph = await device.loadOnnx(network);
  assert(graph.info.outputs[0].name === 'output', JSON.stringify(graph.info));
  const lfs = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n');
  for (const load of [device.load(lfs), device.loadOnnx(lfs)]) {
    const { message: text } = await rejects('format', load);
    assert(/Git LFS/.test(text), text);
  }
  await rejects('value', device.load(network, { layer: 5 }));
  const { message: missing } = await rejects('format', device.load(fixture('readers/import/aidax.json'), { layer: 'none' }));
  assert(/"layers.0"/.test(missing), missing);
  device.free();
}
