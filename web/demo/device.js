// The device that the panels compute on, and the page section for it.
import { WgruError, open } from '../dist/js/index.js';
import { described, facts, figure } from './ui.js';

const root = document.getElementById('device');
const part = (name) => root.querySelector(`[data-device="${name}"]`);
const error = root.querySelector('[data-error]');
const megabytes = (bytes) => `${figure(bytes / 2 ** 20)} MB`;
const called = { webgpu: 'WebGPU', cpu: 'CPU' };

/** Dispatches `leave` before a device is freed, so that work on it stops. */
export const leave = new EventTarget();

let current;
let shown;

/** Returns the open device. */
export function device() {
  if (!current) throw new WgruError('no-adapter', 'no device is open: choose one above');
  return current;
}

/** Shows the state of `device`, if it is still in use. Its kind may have changed after a fault. */
function refresh(device, lost) {
  if (device !== current) return;
  const { info } = device;
  if (lost) {
    part('note').textContent = `Lost: ${described(lost)}. The next call opens a new device.`;
    root.dataset.state = 'lost';
    return;
  }
  if (root.dataset.state === 'lost' && info !== shown)
    part('note').textContent = `Restored on ${called[info.kind]}, with the weights of about a second before.`;
  shown = info;
  root.dataset.state = 'ready';
  root.dataset.kind = info.kind;
  part('kind').textContent = called[info.kind];
  part('name').textContent = info.name;
  part('reason').textContent = `Reason: ${info.reason}`;
  const { adapter } = info;
  facts(part('facts'), [
    ['Runs in', info.worker ? 'a worker' : 'the main thread'],
    ['WebAssembly', info.build === 'plain' ? 'without SIMD' : info.build === 'relaxed' ? 'relaxed SIMD' : 'SIMD'],
    ...(adapter
      ? [
          ['Adapter', adapter.name],
          ['Kind', adapter.software ? 'software' : 'hardware'],
          ['Largest buffer', megabytes(adapter.maxBuffer)],
          ['Workgroup memory', `${figure(adapter.workgroupMemory / 1024)} KB`],
        ]
      : []),
  ]);
}

/** Opens the device `choice`. If that fails, the previous device stays in use. */
async function choose(choice, changed) {
  error.textContent = '';
  part('note').textContent = '';
  root.setAttribute('aria-busy', 'true');
  const before = current;
  try {
    current = await open({ device: choice });
    shown = undefined;
    refresh(current);
    leave.dispatchEvent(new Event('leave'));
    before?.free();
    await changed();
  } catch (thrown) {
    error.textContent = described(thrown);
    part('reason').textContent = before ? 'The previous device stays in use.' : '';
  } finally {
    root.removeAttribute('aria-busy');
  }
}

/** Opens the first device and listens to the switch. `changed` is called after every new device. */
export async function start(changed) {
  const switches = [...root.querySelectorAll('[name=device]')];
  let chosen = new URLSearchParams(location.search).get('device') ?? 'auto';
  const show = () => switches.forEach((s) => (s.checked = s.value === chosen));
  for (const element of switches)
    element.addEventListener('change', async () => {
      const before = current;
      await choose(element.value, changed);
      if (current !== before) chosen = element.value;
      show();
    });
  show();
  await choose(chosen, changed);
}

/** Runs `work`, and repeats it on a new device after a device loss, up to three times. */
export async function persist(work) {
  const on = device();
  for (let losses = 0; ; ) {
    try {
      const result = await work();
      refresh(on);
      return result;
    } catch (thrown) {
      if (thrown.code !== 'device-lost') throw thrown;
      refresh(on, thrown);
      if (++losses > 3) throw thrown;
    }
  }
}

/** Trains. After a device loss, continues on a new device from the last weights that the package kept. */
export function train(network, examples, options) {
  const on = device();
  let left = options.epochs;
  const onEpoch = (epoch) => {
    left--;
    refresh(on);
    options.onEpoch?.(epoch);
  };
  return persist(() => network.train(examples, { ...options, epochs: Math.max(1, left), onEpoch }));
}
