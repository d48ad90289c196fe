// What this browser has of the features that the package and its tests use, found by using them.
import { open } from '../dist/js/index.js';

/** Whether `use` neither throws, nor returns a false value, nor takes too long. */
const works = (use) => {
  const late = new Promise((done) => setTimeout(done, 30_000, false));
  return Promise.race([(async () => Boolean(await use()))().catch(() => false), late]);
};

const module = (code) => WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, ...code]));
const urlOf = (code) => URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));

/** Runs `code` in a worker, and returns its first message. */
const inWorker = (code, options) => new Promise((done) => (new Worker(urlOf(code), options).onmessage = ({ data }) => done(data)));

const PROCESSOR = `registerProcessor('one', class extends AudioWorkletProcessor {
  process(_, [[output]]) { output.fill(1); return true; }
});`;

async function rendersInAWorklet() {
  const context = new OfflineAudioContext(1, 128, 44100);
  await context.audioWorklet.addModule(urlOf(PROCESSOR));
  new AudioWorkletNode(context, 'one').connect(context.destination);
  return (await context.startRendering()).getChannelData(0)[127] === 1;
}

async function collectsGarbage() {
  let dead = 0;
  const registry = new FinalizationRegistry(() => dead++);
  (() => { for (let i = 0; i < 100; i++) registry.register({ i }); })();
  for (let tries = 0; dead < 50 && tries < 100; tries++) {
    globalThis.gc();
    await new Promise((done) => setTimeout(done, 20));
  }
  return dead >= 50;
}

const TESTS = {
  webgpu: () => navigator.gpu.requestAdapter(),
  workers: () => inWorker('postMessage(1)'),
  moduleWorkers: () => inWorker(`import '${urlOf('')}'; postMessage(1)`, { type: 'module' }),
  simd: () => module([10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]),
  relaxedSimd: () => module([15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11]),
  jspi: () => new WebAssembly.Suspending(() => 1) && WebAssembly.promising,
  audioWorklets: rendersInAWorklet,
  transferableStreams: () => {
    const stream = new ReadableStream();
    return structuredClone(stream, { transfer: [stream] });
  },
  gc: collectsGarbage,
};

/** Returns for each feature whether this browser has it. */
export async function features() {
  return Object.fromEntries(await Promise.all(Object.entries(TESTS).map(async ([name, use]) => [name, await works(use)])));
}

/** Returns what the package uses by itself. */
export async function choices() {
  const device = await open();
  const { kind, build, worker, name, reason } = device.info;
  device.free();
  return { kind, build, worker, name, reason };
}
