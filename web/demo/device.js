// The device that the panels compute on, and what the page says of it.
import { WgruError, open } from '../dist/js/index.js';
import { described, facts, figure } from './ui.js';

const root = document.getElementById('device');
const part = (name) => root.querySelector(`[data-device="${name}"]`);
const error = root.querySelector('[data-error]');
const megabytes = (bytes) => `${figure(bytes / 2 ** 20)} MB`;
const called = { webgpu: 'WebGPU', cpu: 'CPU' };

/** Tells of `leave` before a device is freed: work on it is to stop. */
export const leave = new EventTarget();

let current;
let shown;

/** The open device. */
export function device() {
  if (!current) throw new WgruError('no-adapter', 'no device is open: choose another one above');
  return current;
}

/** Shows what the device is now, if it is still in use: after a fault it may be another one. */
function refresh(device, lost) {
  if (device !== current) return;
  const { info } = device;
  if (lost) {
    part('note').textContent = `Lost: ${described(lost)}. The next call opens a device anew.`;
    root.dataset.state = 'lost';
    return;
  }
  if (root.dataset.state === 'lost' && info !== shown)
    part('note').textContent = `Restored on ${called[info.kind]}, with every weight of the last epoch.`;
  shown = info;
  root.dataset.state = 'ready';
  root.dataset.kind = info.kind;
  part('kind').textContent = called[info.kind];
  part('name').textContent = info.name;
  part('reason').textContent = `Why: ${info.reason}`;
  const { adapter } = info;
  facts(part('facts'), [
    ['Work is done in', info.worker ? 'a worker of its own' : 'this thread'],
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

/** Opens the device of `choice`; where that fails, the one before stays. */
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
    part('reason').textContent = before ? 'The device before stays.' : '';
  } finally {
    root.removeAttribute('aria-busy');
  }
}

/** Opens the first device and listens to the switch; `changed` hears of every new one. */
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

/** Does `work`, and does it again on a new device when the one before is lost. */
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

/** Trains; when the device is lost, goes on from the weights of the last epoch, on a new one. */
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
