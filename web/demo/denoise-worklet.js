// Audio worklet of the panel `denoise`: removes noise from its input, and sends both sounds to the page.
import { boundStreamOf } from '../dist/js/worklet-onnx.js';
import { Blocks, denoiserOf } from './denoisers.js';

/** Samples in a message to the page. */
const SENT = 1024;

registerProcessor(
  'denoise',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { model, block } }) {
      super();
      this.silence = new Float32Array(block);
      this.filled = this.busy = 0;
      this.begin();
      try {
        this.blocks = new Blocks(denoiserOf(model, boundStreamOf), block);
        this.port.postMessage({ delay: this.blocks.delay });
      } catch (error) {
        this.port.postMessage({ error: { code: error.code ?? 'internal', message: error.message } });
      }
    }

    /** Starts a message: its buffers go to the page with it. */
    begin() {
      [this.input, this.output] = [new Float32Array(SENT), new Float32Array(SENT)];
    }

    process([[input]], [[output]]) {
      if (!this.blocks) return false;
      // An input that is not connected has no channel.
      const heard = input ?? this.silence;
      // Worklets have no finer clock. Its rounding cancels out over many blocks.
      const began = Date.now();
      this.blocks.process(heard, output);
      this.busy += Date.now() - began;
      this.input.set(heard, this.filled);
      this.output.set(output, this.filled);
      this.filled += heard.length;
      if (this.filled < SENT) return true;
      const { input: before, output: after, busy } = this;
      this.port.postMessage({ before, after, busy }, [before.buffer, after.buffer]);
      this.filled = this.busy = 0;
      this.begin();
      return true;
    }
  },
);
