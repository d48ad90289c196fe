// The part of steps.mjs that runs in the worklet.
import { streamOf } from '/dist/js/worklet.js';

/** Steps between two looks at the clock. */
const STEPS = 2000;

/** Returns the nanoseconds of a step. */
function measured(stream, seconds) {
  let [steps, time] = [0, 0];
  const began = Date.now();
  while (time < 1000 * seconds) {
    for (let i = 0; i < STEPS; i++) {
      stream.frame[0] = (i & 63) / 64 - 0.5;
      stream.step();
    }
    steps += STEPS;
    time = Date.now() - began;
  }
  return (1e6 * time) / steps;
}

registerProcessor(
  'steps',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { parts, rounds, seconds } }) {
      super();
      try {
        const streams = parts.map(streamOf);
        const times = streams.map(() => []);
        // The first round warms up.
        for (let round = 0; round <= rounds; round++) {
          streams.forEach((stream, i) => {
            const time = measured(stream, seconds);
            if (round > 0) times[i].push(time);
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
