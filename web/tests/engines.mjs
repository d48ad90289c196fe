// Browsers for the tests. The environment variable ENGINE selects one: chromium (the default), firefox or webkit.
export const ENGINE = process.env.ENGINE ?? 'chromium';
const NAMES = { chromium: 'Chromium', firefox: 'Firefox', webkit: 'WebKit' };
if (!(ENGINE in NAMES)) throw new Error(`ENGINE=${ENGINE}: expected ${Object.keys(NAMES).join(', ')}`);
/** Name of the selected engine. */
export const NAME = NAMES[ENGINE];

/** Starts the selected browser with a new profile. `webgpu: false` disables WebGPU; `args` are more arguments, for Chromium. */
export async function browser({ webgpu = true, args = [] } = {}) {
  const module = await import(`./engines/${ENGINE}.mjs`);
  return module[ENGINE]({ webgpu, args });
}

const ONLY_CHROMIUM = {
  tracing: 'only Chromium reports how long each task took',
  gpuCrash: 'only Chromium can be told to end its GPU process',
  files: 'only the driver of Chromium chooses several files and collects downloads',
};
/** What each engine lacks, of `features.mjs` and of what the tests control, with the reason that skipped tests show. */
const LACKING = {
  chromium: {},
  firefox: ONLY_CHROMIUM,
  webkit: {
    ...ONLY_CHROMIUM,
    webgpu: 'WebKitGTK has no WebGPU',
    relaxedSimd: 'JavaScriptCore has no relaxed SIMD',
    jspi: 'JavaScriptCore has no JSPI',
    transferableStreams: 'WebKit does not transfer streams',
    roles: 'WebKitGTK has other roles and names for the same elements',
  },
};
export const LACKS = LACKING[ENGINE];
