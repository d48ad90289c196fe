// Tests of the package and of the page, and what they need beside WebAssembly and workers. An engine that lacks it
// cannot run them: `engines.mjs` lists what each engine lacks.
export const NEEDS = {
  // package.test.mjs
  webgpuAndCpuAgree: 'webgpu',
  trainsOnWebgpu: 'webgpu',
  survivesALostDevice: 'webgpu',
  noAdapter: 'webgpu',
  runsDuringTrainingOnWebgpu: 'webgpu',
  worklet: 'audioWorklets',
  boundStreamInAWorklet: 'audioWorklets',
  droppedModelsAreFreed: 'gc',
  droppedDevicesEndTheirWorkers: 'gc',
  // demo.test.mjs
  parity: 'webgpu',
  lost: 'gpuCrash',
  denoise: 'files',
  denoiseModelFiles: 'files',
  denoiseFiles: 'files',
  denoiseCancel: 'files',
  denoiseKeyboard: 'files',
  denoiseWorklet: 'files',
  denoiseSpectrogram: 'files',
  denoisePictures: 'files',
  denoiseNoMicrophone: 'files',
  denoisePublished: 'files',
  denoiseMicrophone: 'files',
};
