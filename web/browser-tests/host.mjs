// The page that hosts the tests: calls the exported tests of a module one by one, and reports their results.

// Imports of the modules.

let wake = () => {}, woken = false;

// A test waits by suspending its call. This needs exports to be called through `WebAssembly.promising`, below.
export const suspend = new WebAssembly.Suspending(async () => {
  if (!woken) await new Promise(done => wake = done);
  woken = false;
});

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

let instances = 0;

// The glue module holds the state of its instance, so a new instance needs a new copy of the glue.
async function instantiate(name, module) {
  const glue = await import(`./modules/${name}.js?${instances++}`);
  wasm = await glue.default({ module_or_path: module });
}

const onGpu = /(^|[:_])gpu($|[:_])/;

async function run(name, module, title) {
  const [test, expected] = title.split(' panics ');
  const before = { ...counts }, start = performance.now();
  let error;
  message = undefined;
  woken = false;
  try {
    await WebAssembly.promising(wasm[`test ${title}`])();
    if (expected !== undefined) error = `did not panic with ${expected}`;
    else if (onGpu.test(test) && counts.opened === before.opened) error = 'opened no WebGPU device';
  } catch (trap) {
    if (expected === undefined || !message?.includes(expected)) error = message ?? String(trap.stack);
    // The state of a module that trapped is undefined: replace it.
    await instantiate(name, module);
  }
  return { test, error, ms: performance.now() - start, submitted: counts.submitted - before.submitted };
}

// Runs the tests of module `name` whose names include `only.only`, and passes each result to `report`. `only.cpu`
// leaves out the tests named for the GPU.
export async function runAll(name, only, report) {
  const module = await WebAssembly.compileStreaming(fetch(`modules/${name}_bg.wasm`));
  await instantiate(name, module);
  const titles = Object.keys(wasm).filter(e => e.startsWith('test ')).map(e => e.slice(5)).sort();
  for (const title of titles) {
    if (title.includes(only.only) && !(only.cpu && onGpu.test(title))) await report(await run(name, module, title));
  }
}
