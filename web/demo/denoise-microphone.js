// The microphone of the panel `denoise`, through an audio worklet that removes noise.
import { RATE } from './denoisers.js';

/** Samples in a block of an audio worklet. */
export const BLOCK = 128;

/**
 * Creates the node that denoises in `context`. Its port sends `{ delay }` or `{ error }`, and
 * then `{ before, after, busy }`: the sounds, and the time that they took in milliseconds.
 */
export async function denoiseNode(context, model) {
  await context.audioWorklet.addModule(new URL('./denoise-worklet.js', import.meta.url));
  return new AudioWorkletNode(context, 'denoise', {
    channelCount: 1,
    channelCountMode: 'explicit',
    outputChannelCount: [1],
    processorOptions: { model, block: BLOCK },
  });
}

const coded = ({ code, message }) => Object.assign(new Error(message), { code });
const refused = (message) => coded({ code: 'unsupported', message });
const broken = () => refused('the audio worklet failed');

/** Explains why there is no microphone, or returns `null` if there may be one. */
export async function missing() {
  if (!navigator.mediaDevices || typeof AudioWorkletNode === 'undefined')
    return 'This page cannot use a microphone: browsers need a secure connection (https, or this computer).';
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.some(({ kind }) => kind === 'audioinput') ? null : 'No microphone was found.';
}

async function listen() {
  try {
    // The model is to do this work, not the browser.
    return await navigator.mediaDevices.getUserMedia({ audio: { autoGainControl: false, echoCancellation: false, noiseSuppression: false } });
  } catch (error) {
    if (error.name === 'NotAllowedError') throw refused('access to the microphone was denied; allow it for this page in the settings of the browser');
    if (error.name === 'NotFoundError') throw refused('no microphone was found');
    throw refused(`the microphone did not start: ${error.message}`);
  }
}

/** Waits for the first message of a node. Returns its delay in samples. */
const ready = (node) =>
  new Promise((done, failed) => {
    node.port.onmessage = ({ data: { error, delay } }) => (error ? failed(coded(error)) : done(delay));
    node.onprocessorerror = () => failed(broken());
  });

/**
 * Starts the microphone. `heard` receives the sounds that the worklet sends, and `ended` an error if the microphone or the
 * worklet ends by itself. Returns the `delay` in samples, and functions: `play(on)` plays the result or not, and `stop()`.
 */
export async function microphone(model, { heard, ended }) {
  const sound = await listen();
  let context;
  const stop = () => {
    sound.getTracks().forEach((track) => track.stop());
    context?.close();
    context = undefined;
  };
  const fail = (error) => {
    if (!context) return;
    stop();
    ended(error);
  };
  try {
    context = new AudioContext({ sampleRate: RATE });
    const node = await denoiseNode(context, model);
    const gain = new GainNode(context, { gain: 0 });
    let source;
    try {
      source = context.createMediaStreamSource(sound);
    } catch (error) {
      throw refused(`this browser does not resample a microphone to ${RATE / 1000} kHz: ${error.message}`);
    }
    // The context processes only nodes that lead to its destination.
    source.connect(node).connect(gain).connect(context.destination);
    const [delay] = await Promise.all([ready(node), context.resume()]);
    node.port.onmessage = ({ data }) => context && heard(data);
    node.onprocessorerror = () => fail(broken());
    sound.getTracks().forEach((track) => (track.onended = () => fail(refused('the microphone was disconnected'))));
    return { delay, stop, play: (on) => (gain.gain.value = on ? 1 : 0) };
  } catch (error) {
    stop();
    throw error;
  }
}
