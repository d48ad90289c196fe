// Panel 5: removes noise from a recording with a published model. The microphone is in `denoise-live.js`.
import { WgruError } from '../dist/js/index.js';
import { Background } from './background.js';
import * as live from './denoise-live.js';
import { KINDS, RATE } from './denoisers.js';
import { Spectrogram } from './spectrogram.js';
import { choosable, drops, duration, figure, panel } from './ui.js';

const ui = panel('denoise');
const background = new Background(new URL('./denoise-worker.js', import.meta.url));
/** Decibels below the loudest level that have a color. */
const RANGE = 70;
/** Longest recording, in minutes: its samples are in memory several times. */
const LONGEST = 10;

const top = RATE / 2000;
const before = { player: ui.control('play-before'), picture: new Spectrogram(ui.chart('before'), { top }) };
const after = { player: ui.control('play-after'), picture: new Spectrogram(ui.chart('after'), { top }) };

/** The chosen model: its `kind`, and by place its `networks` and the `names` of their files. */
let model = { kind: undefined, networks: [], names: [] };
/** The chosen recording: its `name`, and the `seconds`, `columns` and `range` of its spectrogram. */
let recording;
let running = false;
/** Number of files to read and recordings to denoise. */
let queued = 0;

/** Returns the places of the networks that the model still needs. */
const needed = () => KINDS[model.kind].frames.map((_, place) => place).filter((place) => !model.networks[place]);
const complete = () => !!model.kind && !needed().length;

function modelText() {
  if (!model.kind) return 'No model yet.';
  const { title, files } = KINDS[model.kind];
  const names = model.names.filter(Boolean).join(' and ');
  return complete() ? `${title} (${names}).` : `${title} needs two files. Found ${names}. Add ${files[needed()[0]]}.`;
}

/** Shows the chosen files, and enables the controls that can be used. */
function refresh() {
  ui.say('model', `Model: ${modelText()}`);
  ui.say('recording', `Recording: ${recording ? `${recording.name}, ${figure(recording.seconds)} s.` : 'none yet.'}`);
  ui.control('start').disabled = !complete() || !recording || queued > 0;
  ui.control('cancel').disabled = !running;
  live.offer(complete() ? model : null);
}

/** Gives a sound to a player, or takes it away. */
function play({ player }, file) {
  URL.revokeObjectURL(player.src);
  if (file) player.src = URL.createObjectURL(file);
  else player.removeAttribute('src');
  player.load();
}

/** Removes the results of the last run. */
function forget() {
  play(after, null);
  after.picture.clear(recording);
  ui.put('factor', null);
  ui.put('delay', null);
  ui.control('download').hidden = true;
}

/** Reads a file of a model. A file of another kind replaces the model. */
async function takeModel(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { kind, place, network } = await background.call('model', { bytes }, { transfer: [bytes.buffer] });
  if (kind !== model.kind) model = { kind, networks: [], names: [] };
  const [networks, names] = [[...model.networks], [...model.names]];
  [networks[place], names[place]] = [network, file.name];
  model = { kind, networks, names };
}

/** Decodes a file, at the rate of the models. */
async function decoded(file) {
  const bytes = await file.arrayBuffer();
  try {
    return await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  } catch {
    throw new WgruError('format', 'expected sound that this browser can play, such as WAV, or a model whose name ends in .onnx');
  }
}

/** Reads a recording, and draws it. */
async function takeRecording(file) {
  const sound = await decoded(file);
  if (!sound.length) throw new WgruError('value', 'the recording is empty');
  if (sound.duration > 60 * LONGEST) throw new WgruError('value', `expected at most ${LONGEST} minutes, got ${figure(sound.duration / 60)}`);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c));
  const { levels, columns, loudest, wav } = await background.call('record', { channels });
  recording = { name: file.name, seconds: sound.duration, columns, range: [loudest - RANGE, loudest] };
  before.picture.clear(recording);
  before.picture.push(levels);
  play(before, wav);
  forget();
  ui.part('result').hidden = false;
}

/** Reads a model or a recording. */
async function take(file) {
  ui.say('progress', `Reading ${file.name}…`);
  const onnx = /\.onnx$/i.test(file.name);
  const read = await ui.attempt(async () => {
    try {
      await (onnx ? takeModel(file) : takeRecording(file));
    } catch (error) {
      throw new WgruError(error.code || 'internal', `${file.name}: ${error.message}`);
    }
  });
  const next = complete() && recording ? 'Ready.' : `Read ${file.name}.`;
  ui.say('progress', read ? next : `${file.name} was not read.`);
}

/** Denoises the recording, and draws and plays the result. */
async function run() {
  running = true;
  refresh();
  forget();
  const { title } = KINDS[model.kind];
  const bar = ui.control('bar');
  [bar.value, bar.hidden] = [0, false];
  ui.say('progress', `Denoising with ${title}…`);
  const onProgress = ({ share, levels }) => {
    bar.value = share;
    after.picture.push(levels);
  };
  const ended = await ui.attempt(async () => {
    const result = await background.call('denoise', { model }, { onProgress });
    if (!result) return ui.say('progress', 'Cancelled.');
    const { wav, busy, delay } = result;
    const factor = busy / 1000 / recording.seconds;
    play(after, wav);
    ui.put('factor', factor, `${figure(factor)} (${figure(1 / factor)} × real time)`);
    ui.put('delay', delay, duration((1000 * delay) / RATE));
    const link = ui.control('download');
    [link.href, link.download, link.hidden] = [after.player.src, `${recording.name.replace(/\.[^.]*$/, '')}-${model.kind}.wav`, false];
    ui.say('progress', `${title} denoised ${recording.name} in ${duration(busy)}.`);
  });
  if (!ended) ui.say('progress', 'The recording was not denoised.');
  [bar.hidden, running] = [true, false];
}

/** Reads files and denoises one at a time. */
let queue = Promise.resolve();
function enqueue(work) {
  queued++;
  refresh();
  queue = queue.then(work).finally(() => {
    queued--;
    refresh();
  });
}

export function start() {
  const takeAll = (files) => files.forEach((file) => enqueue(() => take(file)));
  for (const name of ['model', 'recording']) choosable(ui.control(name), takeAll);
  drops(ui.root, takeAll);
  ui.control('start').addEventListener('click', () => enqueue(run));
  ui.control('cancel').addEventListener('click', () => background.call('cancel'));
  // Starting one player continues where the other one is.
  for (const [one, other] of [[before.player, after.player], [after.player, before.player]])
    one.addEventListener('play', () => {
      if (other.paused) return;
      other.pause();
      one.currentTime = other.currentTime;
    });
  live.start(ui);
  refresh();
}
