// Signals, sample by sample: generated, or from the sensors of this device.
import { WgruError } from '../dist/js/index.js';
import { noise } from './ui.js';

/** Waves of a heartbeat: center and width as fractions of the beat, and height. */
const WAVES = [
  [0.2, 0.028, 0.16],
  [0.345, 0.011, -0.14],
  [0.37, 0.012, 1.0],
  [0.397, 0.012, -0.24],
  [0.62, 0.05, 0.3],
];
/** Waves of an abnormal beat: early, wide and inverted. */
const ODD = [
  [0.33, 0.05, -0.85],
  [0.55, 0.08, 0.55],
];

/** A generated signal that resembles a heartbeat, at 100 samples per second. */
export class Heartbeat {
  static rate = 100;
  #noise = noise(11);
  #at = 0;
  #beat = this.#nextBeat();
  #wanted = false;

  #nextBeat() {
    return { length: 84 + 4 * this.#noise(), height: 1 + 0.06 * this.#noise(), waves: WAVES };
  }

  /** Makes the next beat abnormal. */
  inject() {
    this.#wanted = true;
  }

  next() {
    if (++this.#at >= this.#beat.length) {
      this.#at -= this.#beat.length;
      this.#beat = this.#nextBeat();
      if (this.#wanted) Object.assign(this.#beat, { waves: ODD, length: 70 });
      this.#wanted = false;
    }
    const phase = this.#at / this.#beat.length;
    let value = 0;
    for (const [when, width, height] of this.#beat.waves) value += height * Math.exp(-(((phase - when) / width) ** 2) / 2);
    return this.#beat.height * value + 0.015 * this.#noise();
  }

  /** Returns `n` samples at once. */
  async record(n) {
    return Float32Array.from({ length: n }, () => this.next());
  }

  /** Fraction of a sample left over from the last `take`. */
  #owed = 0;
  take(ms) {
    this.#owed += Math.min(200, ms) * (Heartbeat.rate / 1000);
    const n = Math.floor(this.#owed);
    this.#owed -= n;
    return Array.from({ length: n }, () => this.next());
  }

  stop() {}
}

/** Base of the sensors: queues samples until they are taken. */
class Sensor {
  waiting = [];
  #boost = 0;

  push(value) {
    this.waiting.push(value + (this.#boost-- > 0 ? 3 * (this.#boost % 2) * (Math.abs(value) + 0.1) : 0));
  }

  inject() {
    this.#boost = 20;
  }

  /** Takes the queued samples, but at most the last 200, because a page in the background does not take any. */
  take() {
    return this.waiting.splice(0).slice(-200);
  }

  /** Waits for `n` samples. Calls `heard` with the number received so far. */
  async record(n, heard, signal) {
    const began = performance.now();
    while (this.waiting.length < n) {
      if (signal.aborted) throw new WgruError('aborted', 'stopped');
      if (!this.waiting.length && performance.now() - began > 4000) throw new WgruError('unsupported', 'no samples arrived: this device may not have the sensor');
      heard(this.waiting.length);
      await new Promise((done) => setTimeout(done, 100));
    }
    return Float32Array.from(this.waiting.splice(0));
  }
}

/** Magnitude of the acceleration of the device. */
export class Motion extends Sensor {
  static rate = 60;
  #listener = ({ accelerationIncludingGravity: a }) => a?.x != null && this.push(Math.hypot(a.x, a.y, a.z));

  static async open() {
    if (typeof DeviceMotionEvent === 'undefined') throw new WgruError('unsupported', 'this browser does not report device motion');
    // Some browsers ask the user, and only in response to a click.
    if ((await DeviceMotionEvent.requestPermission?.()) === 'denied') throw new WgruError('unsupported', 'access to the motion sensors was denied');
    const motion = new Motion();
    addEventListener('devicemotion', motion.#listener);
    return motion;
  }

  stop() {
    removeEventListener('devicemotion', this.#listener);
  }
}

/** Loudness at the microphone: the natural logarithm of the RMS. */
export class Microphone extends Sensor {
  static rate = 50;

  static async open() {
    if (!navigator.mediaDevices) throw new WgruError('unsupported', 'the microphone is not available on this page');
    const sound = await navigator.mediaDevices.getUserMedia({ audio: { autoGainControl: false, noiseSuppression: false } });
    const microphone = new Microphone();
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(sound).connect(analyser);
    const wave = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(wave);
      microphone.push(Math.log(Math.sqrt(wave.reduce((sum, v) => sum + v * v, 0) / wave.length) + 1e-5));
    }, 1000 / Microphone.rate);
    microphone.stop = () => {
      clearInterval(timer);
      sound.getTracks().forEach((track) => track.stop());
      context.close();
    };
    return microphone;
  }
}

export const SOURCES = {
  ecg: { rate: Heartbeat.rate, open: async () => new Heartbeat() },
  motion: Motion,
  microphone: Microphone,
};
