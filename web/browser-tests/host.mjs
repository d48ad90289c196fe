// The page that hosts the tests: calls the exported tests of a module one by one.

// Imports of the modules.

let wake = () => {}, woken = false;

// A test waits by suspending its call. This needs exports to be called through `WebAssembly.promising`, and a browser
// with JavaScript Promise Integration (JSPI). Without it, tests that wait are skipped.
const hasJspi = 'Suspending' in WebAssembly;
let waits;
async function resumed() {
  if (!woken) await new Promise(done => wake = done);
  woken = false;
}
function giveUp() {
  waits = true;
  throw new Error('waits, which needs JSPI');
}
export const suspend = hasJspi ? new WebAssembly.Suspending(resumed) : giveUp;
const callable = hasJspi ? WebAssembly.promising : f => f;

export function resume() {
  woken = true;
  wake();
}

let wasm, message;

export function panicked(text, len) {
  message = new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, text, len));
}

// Counts WebGPU calls. A test named for the GPU that opens no device is a failure, and so is a run without any
// submission.
const counts = { opened: 0, submitted: 0 };
function count(type, method, what) {
  const original = type.prototype[method];
  type.prototype[method] = function (...args) {
    counts[what] += 1;
    return original.apply(this, args);
  };
}
if (globalThis.GPUAdapter) {
  count(GPUAdapter, 'requestDevice', 'opened');
  count(GPUQueue, 'submit', 'submitted');
}

export async function adapter() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error('no WebGPU adapter');
  const { vendor, architecture, device, description } = adapter.info;
  return [vendor, architecture, device, description].filter(part => part).join(' ');
}

let instances = 0, name, module;

// The glue module holds the state of its instance, so a new instance needs a new copy of the glue.
async function instantiate() {
  const glue = await import(`./modules/${name}.js?${instances++}`);
  wasm = await glue.default({ module_or_path: module });
}

// Loads a module, and returns the titles of its tests.
export async function load(named) {
  name = named;
  module = await WebAssembly.compileStreaming(fetch(`modules/${name}_bg.wasm`));
  await instantiate();
  return Object.keys(wasm).filter(e => e.startsWith('test ')).map(e => e.slice(5)).sort();
}

export const onGpu = title => /(^|[:_])gpu($|[:_])/.test(title.split(' panics ')[0]);

// Runs one test of the module.
export async function run(title) {
  const [test, expected] = title.split(' panics ');
  const before = { ...counts }, start = performance.now();
  let error;
  message = undefined;
  waits = woken = false;
  try {
    await callable(wasm[`test ${title}`])();
    if (expected !== undefined) error = `did not panic with ${expected}`;
    else if (onGpu(title) && counts.opened === before.opened) error = 'opened no WebGPU device';
  } catch (trap) {
    if (expected === undefined || !message?.includes(expected)) error = message ?? `${trap}\n${trap.stack}`;
    // The state of a module that trapped is undefined: replace it.
    await instantiate();
  }
  return { test, error, waits, ms: performance.now() - start, submitted: counts.submitted - before.submitted };
}
