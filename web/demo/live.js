// Panel 4: a stream that predicts each sample before it arrives, and flags samples that it predicts badly.
import { device, leave, train } from './device.js';
import { painter, plot } from './chart.js';
import { moments } from './series.js';
import { SOURCES } from './signals.js';
import { figure, median, panel, stopped } from './ui.js';

const ui = panel('live');
const [WINDOW, HIDDEN, EPOCHS] = [100, 24, 40];
/** Length of the chart, in seconds. */
const SECONDS = innerWidth < 640 ? 4 : 8;
/** Decay of the smoothed error: a new sample has the weight `1 - SMOOTH`. */
const SMOOTH = 0.9;
/** Threshold, as a multiple of the highest score on normal signal. */
const MARGIN = 1.5;

let trace = { values: [], scores: [], count: 100 * SECONDS };
let threshold = NaN;
let flags = [];
let abort, learning;
let seen = 0;

const shown = () => Math.max(0, seen - trace.count);
const area = (width, height) => ({ right: width - 4, bottom: height - 8 });
const draw = (name, of) => painter(ui.chart(name), (context, width, height, colors) => plot(context, area(width, height), colors, of()));
const repaints = [
  draw('signal', () => ({
    lines: [{ values: trace.values, color: 'ink' }],
    count: trace.count,
    shade: flags.map(([from, to]) => [Math.max(0, from - shown()), (to ?? seen) - shown()]).filter(([, to]) => to > 0),
  })),
  draw('score', () => ({
    lines: [
      { values: trace.scores, color: 'accent', width: 2 },
      { values: Array(trace.count).fill(threshold), color: 'rose', dash: [5, 4] },
    ],
    count: trace.count,
    range: [0, Math.max(2 * threshold || 1, ...trace.scores)],
  })),
];
const repaint = () => repaints.forEach((one) => one());

/** Predicts each sample from the previous ones, and scores the error. */
class Scorer {
  #guess = 0;
  score = 0;

  constructor(stream, scale) {
    [this.stream, this.scale] = [stream, scale];
  }

  push(sample) {
    const { mean, deviation } = this.scale;
    const value = (sample - mean) / deviation;
    this.score = SMOOTH * this.score + (1 - SMOOTH) * (value - this.#guess) ** 2;
    const { frame } = this.stream;
    frame[0] = value;
    this.stream.step();
    this.#guess = value + this.stream.output[0];
    return this.score;
  }

  /**
   * Returns the time of a step in microseconds, averaged over 5 ms because the clock of some browsers counts whole
   * milliseconds. Uses a fork, so the stream itself does not change.
   */
  time() {
    const fork = this.stream.fork();
    const began = performance.now();
    let [steps, took] = [0, 0];
    for (; took < 5; took = performance.now() - began) for (let i = 0; i < 64; i++, steps++) fork.step();
    fork.free();
    return (took / steps) * 1000;
  }
}

/** Trains a network to predict the change from each sample to the next. */
async function learn(normal, scale, signal) {
  const on = device();
  const value = (i) => (normal[i] - scale.mean) / scale.deviation;
  const starts = [];
  for (let at = 0; at + WINDOW < normal.length; at += WINDOW / 2) starts.push(at);
  const x = Float32Array.from({ length: starts.length * WINDOW }, (_, i) => value(starts[Math.floor(i / WINDOW)] + (i % WINDOW)));
  const y = x.map((v, i) => value(starts[Math.floor(i / WINDOW)] + (i % WINDOW) + 1) - v);
  const network = await on.create({ input: 1, hidden: HIDDEN, outputs: 1, steps: 'every', seed: 3 });
  try {
    let epoch = 0;
    const onEpoch = ({ loss }) => ui.say('progress', `Learning the normal signal: epoch ${++epoch} of ${EPOCHS}, loss ${figure(loss)}`);
    await train(network, { x, dims: [starts.length, WINDOW, 1], y }, { epochs: EPOCHS, batch: 16, rate: 0.01, clipNorm: 1, onEpoch, signal });
    return await network.stream();
  } finally {
    network.free();
  }
}

async function live() {
  const stop = (abort = new AbortController());
  const source = SOURCES[ui.control('source').value];
  for (const name of ['start', 'source']) ui.control(name).disabled = true;
  ui.control('stop').disabled = false;
  let signal, stream;
  await ui.attempt(async () => {
    try {
      const { rate } = source;
      signal = await source.open();
      const heard = (n) => ui.say('progress', `Recording the normal signal: ${figure(n / rate)} s`);
      // A generated signal is available at once. A sensor records in real time, so record less of it.
      const length = (source === SOURCES.ecg ? 60 : 12) * rate;
      const normal = await signal.record(length, heard, stop.signal);
      const check = await signal.record(Math.round(length / 3), heard, stop.signal);
      const scale = moments(normal);
      learning = true;
      stream = await learn(normal, scale, stop.signal).finally(() => (learning = false));
      const scorer = new Scorer(stream, scale);
      let highest = 0;
      check.forEach((sample, i) => (highest = Math.max(highest, scorer.push(sample) * (i > rate))));
      threshold = MARGIN * highest;
      ui.put('threshold', threshold);
      ui.say('progress', `Threshold: ${MARGIN} × the highest score on ${figure(check.length / rate)} s of held-out normal signal.`);
      ui.control('inject').disabled = false;
      ui.control('inject').onclick = () => signal.inject();
      signal.take(0);
      await follow(signal, scorer, rate, stop.signal);
    } catch (error) {
      if (!stopped(error, stop.signal)) throw error;
    } finally {
      signal?.stop();
      stream?.free();
    }
    ui.say('progress', 'Stopped.');
  });
  for (const name of ['start', 'source']) ui.control(name).disabled = false;
  for (const name of ['stop', 'inject']) ui.control(name).disabled = true;
}

/** Scores the signal as it arrives, once per animation frame. */
async function follow(signal, scorer, rate, stop) {
  trace = { values: [], scores: [], count: SECONDS * rate };
  [seen, flags] = [0, []];
  let [before, timed, counted, quiet] = [performance.now(), 0, 0, Infinity];
  const times = [];
  for (;;) {
    const now = await new Promise((done, failed) => {
      requestAnimationFrame(done);
      stop.addEventListener('abort', () => failed(stop.reason), { once: true });
    }).catch(() => null);
    if (now === null || stop.aborted) return;
    for (const sample of signal.take(now - before)) {
      const score = scorer.push(sample);
      trace.values.push(sample);
      trace.scores.push(score);
      seen++;
      if (score > threshold) {
        // Less than half a second below the threshold does not end an anomaly.
        if (quiet > rate / 2) {
          flags.push([seen]);
          counted++;
        }
        quiet = 0;
        flags.at(-1)[1] = seen;
      } else quiet++;
    }
    before = now;
    const over = trace.values.length - trace.count;
    if (over > 0) [trace.values.splice(0, over), trace.scores.splice(0, over)];
    flags = flags.filter(([, to]) => to > shown());
    if (now - timed > 500) {
      timed = now;
      times.push(scorer.time());
      if (times.length > 21) times.shift();
      ui.put('micros', median(times), `${figure(median(times))} µs`);
      ui.put('score', trace.scores.at(-1) ?? null);
      ui.put('samples', seen);
    }
    ui.put('flags', counted);
    repaint();
  }
}

export function start() {
  ui.control('start').addEventListener('click', live);
  ui.control('stop').addEventListener('click', () => abort?.abort());
  // Only training uses the device: the stream always runs in this thread.
  leave.addEventListener('leave', () => learning && abort.abort());
  // A preview of the signal before training.
  return ui.attempt(async () => {
    trace.values = Array.from(await (await SOURCES.ecg.open()).record(trace.count));
    repaint();
  });
}
