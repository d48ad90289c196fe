import { streamOf } from '../dist/js/worklet.js';

registerProcessor(
  'network',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions }) {
      super();
      try {
        this.stream = streamOf(processorOptions);
      } catch (error) {
        this.port.postMessage(String(error.stack ?? error));
      }
    }
    process([[input]], [[output]]) {
      if (input && this.stream) this.stream.process(input, output);
      return true;
    }
  },
);
