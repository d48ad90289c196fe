import { boundStreamOf } from '../dist/js/worklet-onnx.js';

registerProcessor(
  'model',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions }) {
      super();
      try {
        this.stream = boundStreamOf(processorOptions);
      } catch (error) {
        this.port.postMessage(String(error.stack ?? error));
      }
    }
    process([[input]], [[output]]) {
      if (!input || !this.stream) return true;
      this.stream.inputs.x.set(input.subarray(0, 4));
      output.set(Object.values(this.stream.run())[0].subarray(0, 1));
      return true;
    }
  },
);
