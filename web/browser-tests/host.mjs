// The page that hosts the tests: calls the exports of a module that are tests, one by one, and says what came of them.

// What the modules import.

let wake = () => {}, woken = false;

// A test waits by suspending itself: its export is called through `WebAssembly.promising`, below.
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

// A test that is named for the GPU and opens no device, or the run as a whole where none works on it, tests something
// else than it says.
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

// The glue keeps its instance's state, so a new instance takes a new copy of it.
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
    // A module that trapped is left as it fell.
    await instantiate(name, module);
  }
  return { test, error, ms: performance.now() - start, submitted: counts.submitted - before.submitted };
}

// Runs the tests of module `name` whose names include `only.only`, with `only.cpu` without those named for the GPU;
// `report` gets each result.
export async function runAll(name, only, report) {
  const module = await WebAssembly.compileStreaming(fetch(`modules/${name}_bg.wasm`));
  await instantiate(name, module);
  const titles = Object.keys(wasm).filter(e => e.startsWith('test ')).map(e => e.slice(5)).sort();
  for (const title of titles) {
    if (title.includes(only.only) && !(only.cpu && onGpu.test(title))) await report(await run(name, module, title));
  }
}
