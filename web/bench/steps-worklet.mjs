// The part of steps.mjs that runs in the worklet.
import { streamOf } from '/dist/js/worklet.js';

/** Frames of a block, as many as a quantum of Web Audio has. */
const BLOCK = 128;
/** Steps between two looks at the clock. */
const STEPS = 16 * BLOCK;

/** Runs `STEPS` single steps. */
function single(stream) {
  for (let i = 0; i < STEPS; i++) {
    stream.frame[0] = (i & 63) / 64 - 0.5;
    stream.step();
  }
}

const [input, output] = [Float32Array.from({ length: BLOCK }, (_, i) => (i & 63) / 64 - 0.5), new Float32Array(BLOCK)];
/** Runs `STEPS` steps in blocks. */
function blocks(stream) {
  for (let i = 0; i < STEPS; i += BLOCK) stream.process(input, output);
}

/** RTNeural, with the methods of a stream that `single` and `blocks` call. One module runs one network at a time. */
class Peer {
  frame = [0];
  constructor(module) {
    const imports = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
    this.code = new WebAssembly.Instance(module, imports).exports;
    this.code._initialize?.();
    this.samples = new Float32Array(this.code.memory.buffer, this.code.input(), BLOCK);
  }
  make(cell, units) {
    if (!this.code.make(cell, units)) throw new Error(`RTNeural was not compiled for ${units} units`);
  }
  step() {
    this.code.step(this.frame[0]);
  }
  process(input) {
    this.samples.set(input);
    this.code.block(BLOCK);
  }
}

/** Returns the nanoseconds of a step. */
function measured(run, stream, seconds) {
  let [steps, time] = [0, 0];
  const began = Date.now();
  while (time < 1000 * seconds) {
    run(stream);
    steps += STEPS;
    time = Date.now() - began;
  }
  return (1e6 * time) / steps;
}

registerProcessor(
  'steps',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { parts, rounds, seconds, units, other } }) {
      super();
      try {
        const streams = parts.map(streamOf);
        const peer = other && new Peer(other);
        const times = streams.map(() => ({ step: [], block: [], ...(peer && { 'RTNeural, step': [], 'RTNeural, block': [] }) }));
        // The first round warms up.
        for (let round = 0; round <= rounds; round++) {
          streams.forEach((stream, i) => {
            const time = (name, run, model) => {
              const time = measured(run, model, seconds);
              if (round > 0) times[i][name].push(time);
            };
            time('step', single, stream);
            time('block', blocks, stream);
            if (!peer) return;
            peer.make(Math.floor(i / units.length), units[i % units.length]);
            time('RTNeural, step', single, peer);
            time('RTNeural, block', blocks, peer);
          });
        }
        this.port.postMessage({ times });
      } catch (error) {
        this.port.postMessage({ error: String(error.stack ?? error) });
      }
    }
    process() {
      return false;
    }
  },
);
