// Worker of the panel `denoise`: reads models, and denoises recordings on the CPU without blocking the page.
import { open } from '../dist/js/index.js';
import { boundStreamOf } from '../dist/js/worklet-onnx.js';
import { RATE, denoise, denoiserOf, prepared } from './denoisers.js';
import { Levels, SILENCE, layout } from './levels.js';
import { encoded } from './wav.js';

/** Milliseconds of work between two looks for messages. */
const SLICE = 30;

const device = open({ device: 'cpu', worker: false });
// Each call awaits the device, and reports a failure to open it.
device.catch(() => {});
let recording = new Float32Array(0);
let cancelled = false;

const { port1, port2 } = new MessageChannel();
port1.start();
/** Lets messages that have arrived be handled. */
const turn = () =>
  new Promise((done) => {
    port1.onmessage = done;
    port2.postMessage(null);
  });

const sound = (samples) => new Blob([encoded(samples, RATE)], { type: 'audio/wav' });

/** Returns `samples` with zeros at the end, so that they fill the last column. */
function padded(samples, { hop, pool, columns }) {
  const all = new Float32Array(columns * pool * hop);
  all.set(samples);
  return all;
}

const calls = {
  /** Reads an ONNX model. Returns its kind, its place, and the network. */
  async model({ bytes }) {
    const model = await (await device).loadOnnx(bytes);
    try {
      return await prepared(model);
    } finally {
      model.free();
    }
  },

  /** Keeps a recording: the mean of its channels. Returns a WAV file and the levels. */
  async record({ channels }) {
    recording = channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
    const shape = layout(recording.length);
    const levels = new Levels(shape).push(padded(recording, shape));
    return { levels, columns: shape.columns, loudest: levels.reduce((a, b) => Math.max(a, b), SILENCE), wav: sound(recording) };
  },

  /**
   * Denoises the recording. Reports the share done and new levels. Returns a WAV file, the time in
   * milliseconds, and the delay in samples that a call would have.
   */
  async denoise({ model }, report) {
    cancelled = false;
    const denoiser = denoiserOf(model, boundStreamOf);
    try {
      const shape = layout(recording.length);
      const levels = new Levels(shape);
      const output = padded([], shape);
      const frames = denoise(denoiser, recording, output.subarray(0, recording.length));
      let [done, busy, ended] = [0, 0, false];
      while (!ended) {
        const before = done;
        const began = performance.now();
        while (!ended && performance.now() - began < SLICE) {
          const frame = frames.next();
          if (frame.done) ended = true;
          else done = frame.value;
        }
        busy += performance.now() - began;
        const to = ended ? output.length : done;
        report({ share: done / recording.length, levels: levels.push(output.subarray(before, to)) });
        await turn();
        if (cancelled) return null;
      }
      return { wav: sound(output.subarray(0, recording.length)), busy, delay: denoiser.delay };
    } finally {
      denoiser.free();
    }
  },

  /** Ends the current `denoise`, which returns `null`. */
  async cancel() {
    cancelled = true;
  },
};

addEventListener('message', async ({ data: { id, call, args } }) => {
  try {
    const result = await calls[call](args, (progress) => postMessage({ id, progress }));
    postMessage({ id, result });
  } catch (error) {
    postMessage({ id, error: { code: error.code ?? 'internal', message: error.message } });
  }
});
