// The microphone of the panel `denoise`: draws it and the denoised sound, and plays that if wanted.
import { microphone, missing } from './denoise-microphone.js';
import { KINDS, RATE } from './denoisers.js';
import { Levels, energy, loudness } from './levels.js';
import { Spectrogram } from './spectrogram.js';
import { duration, figure } from './ui.js';

/** The spectrograms: a column every 256 samples, and the levels of the first and last color. */
const SHAPE = { hop: 128, pool: 2 };
const COLUMNS = innerWidth < 640 ? 250 : 500;
const RANGE = [-100, -30];
const SECONDS = (COLUMNS * SHAPE.hop * SHAPE.pool) / RATE;
/** Seconds of a measurement. */
const MEASURED = 0.5;

let ui, pictures;
/** The model that the microphone would use, or `null`. */
let offered = null;
/** Reason why there is no microphone, or `null`. */
let absent = null;
let listening;

/** Enables the controls that can be used, and gives the reason if there is no microphone. */
function refresh() {
  const reason = absent ?? (offered ? null : 'The microphone needs a model.');
  ui.control('listen').disabled = reason !== null || !!listening;
  ui.control('mute').disabled = !listening?.stop;
  ui.say('microphone', reason ?? 'The browser asks for permission to use the microphone. The sound stays on this page.');
}

/** Sets the model for the next start of the microphone. */
export function offer(model) {
  offered = model;
  refresh();
}

/** Returns the function that draws and measures what the worklet sends. */
function meter() {
  const levels = { before: new Levels(SHAPE), after: new Levels(SHAPE) };
  let sums = { before: 0, after: 0, busy: 0, samples: 0 };
  return ({ busy, ...sounds }) => {
    for (const [name, samples] of Object.entries(sounds)) {
      pictures[name].push(levels[name].push(samples));
      sums[name] += energy(samples);
    }
    sums.busy += busy / 1000;
    sums.samples += sounds.before.length;
    if (sums.samples < MEASURED * RATE) return;
    for (const name of ['before', 'after']) {
      const level = loudness(sums[name] / sums.samples);
      ui.put(`live-${name}`, level, `${level.toFixed(0).replace('-', '−')} dB`);
    }
    const factor = (sums.busy * RATE) / sums.samples;
    ui.put('live-factor', factor, figure(factor));
    sums = { before: 0, after: 0, busy: 0, samples: 0 };
  };
}

async function listen() {
  listening = {};
  refresh();
  ui.say('progress', 'Waiting for the microphone…');
  const ended = (error) => {
    listening = undefined;
    refresh();
    ui.say('progress', 'The microphone stopped.');
    ui.attempt(async () => {
      throw error;
    });
  };
  const started = await ui.attempt(async () => {
    listening = await microphone(offered, { heard: meter(), ended });
    for (const picture of Object.values(pictures)) picture.clear({ columns: COLUMNS, seconds: SECONDS, range: RANGE });
    ui.part('live').hidden = false;
    listening.play(ui.control('play').checked);
    ui.put('live-delay', listening.delay, duration((1000 * listening.delay) / RATE));
    ui.say('progress', `Listening with ${KINDS[offered.kind].title}.`);
  });
  if (!started) {
    listening = undefined;
    ui.say('progress', 'The microphone did not start.');
  }
  refresh();
}

function mute() {
  listening.stop();
  listening = undefined;
  ui.say('progress', 'The microphone stopped.');
  refresh();
}

async function look() {
  absent = await missing();
  refresh();
}

/** Prepares the controls of the panel `of`. */
export function start(of) {
  ui = of;
  const picture = (name) => new Spectrogram(ui.chart(`live-${name}`), { top: RATE / 2000, running: true });
  pictures = { before: picture('before'), after: picture('after') };
  ui.control('listen').addEventListener('click', listen);
  ui.control('mute').addEventListener('click', mute);
  ui.control('play').addEventListener('change', ({ target }) => listening?.play?.(target.checked));
  navigator.mediaDevices?.addEventListener('devicechange', look);
  return look();
}
