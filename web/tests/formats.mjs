// Files of other programs, which the module `import` converts.
import { open } from '../dist/js/index.js';
import { assert, close, fixture, rejects } from './support.mjs';

/** Reads a fixture as JSON. */
const json = async (name) => (await fetch(fixture(name))).json();
/** Runs frames through a stream, one after another. */
const stepped = (stream, x) => Array.from(x, (v) => [...stream.step([v])]).flat();

export async function modelsOfAudioProgramsRunAndStream() {
  const device = await open({ device: 'cpu' });
  const aida = await json('readers/import/aidax.json');
  const guitar = await json('readers/import/proteus.json');
  const cases = [
    ['aidax', aida.input_batch, aida.output_batch.map((v) => v / 10 ** (aida.out_gain / 20))],
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
  const run = await model.run({ x: { data: Float32Array.from(frames), dims: [1, frames.length / 2, 2] } });
  close(run.output.data, y.flat(Infinity), 2e-5, 'a model of RTNeural');
  const keras = await device.loadOnnx(fixture('readers/model.keras'));
  assert(keras.info.inputs[0].dims.length === 3, JSON.stringify(keras.info));
  device.free();
}

export async function weightsOfPyTorchAndKerasAreRead() {
  const device = await open({ device: 'cpu' });
  const files = ['state.pt', 'traced.pt', 'module.pt', 'program.pt2', 'lightning.ckpt', 'early.tar'];
  const infos = [];
  for (const file of files) {
    const network = await device.load(fixture(`readers/import/${file}`)).catch((error) => `${file}: ${error.code}: ${error.message}`);
    infos.push(typeof network === 'string' ? network : `${file}: ${network.info.cell} ${network.info.input}, ${network.info.hidden}, ${network.info.outputs}`);
  }
  const layer = await device.load(fixture('readers/model.keras'), { layer: 'gru' }).catch((error) => error.message);
  device.free();
  return `${infos.join('; ')}; ${layer.info ? JSON.stringify(layer.info) : layer}`;
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
  await rejects('value', device.load(fixture('readers/import/aidax.json'), { layer: 'none' }), 'a layer that is missing');
  device.free();
}
