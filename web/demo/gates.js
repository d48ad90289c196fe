// Panel 2: the gates of a GRU while it learns to remember a number.
import { device, leave, persist, train } from './device.js';
import { gauge, painter, plot } from './chart.js';
import { duration, noise, panel, stopped } from './ui.js';

const ui = panel('gates');
const [STEPS, HIDDEN, EXAMPLES, EPOCHS] = [40, 16, 384, 60];

/** Generates sequences of numbers and marks. The target is the number at the last mark. */
function task(examples, seed) {
  const next = noise(seed);
  const x = new Float32Array(examples * STEPS * 2);
  const y = new Float32Array(examples * STEPS);
  for (let e = 0; e < examples; e++) {
    let held = 0;
    for (let t = 0; t < STEPS; t++) {
      const at = e * STEPS + t;
      const mark = t === 0 || next() > 0.7;
      x[2 * at] = next();
      x[2 * at + 1] = mark ? 1 : 0;
      if (mark) held = x[2 * at];
      y[at] = held;
    }
  }
  return { x, dims: [examples, STEPS, 2], y };
}

const examples = task(EXAMPLES, 1);
let [shown, seed] = [task(1, 1000), 1000];
let network, owner, run, abort, learning;
let epochs = 0;

const repaint = painter(ui.chart('gates'), (context, width, height, colors) => {
  const [left, right] = [44, width - 4];
  const strip = 128;
  // Each cell is one step. Lines pass through the middle of the cells.
  const half = (right - left) / STEPS / 2;
  const lines = [
    { values: shown.y, color: 'ink', width: 1.5 },
    { values: run?.output.data ?? [], color: 'accent', width: 2 },
  ];
  for (let t = 0; t < STEPS; t++) {
    if (!shown.x[2 * t + 1]) continue;
    context.fillStyle = colors.line;
    context.fillRect(left + 2 * half * t, 6, 2 * half, strip - 6);
  }
  plot(context, { left: left + half, right: right - half, bottom: strip }, colors, { lines, count: STEPS, range: [-1.15, 1.15] });
  if (!run) return;
  const [layer] = run.gates;
  const kinds = [
    { name: 'update', title: 'update gate' },
    { name: 'reset', title: 'reset gate', hue: 'violet' },
    { name: 'candidate' },
  ];
  const room = (height - strip) / kinds.length;
  kinds.forEach((kind, i) => {
    const top = strip + room * i;
    gauge(context, { left, top, right, bottom: top + room }, colors, { ...kind, values: layer[kind.name].data, steps: STEPS, units: HIDDEN });
  });
});

/** Ensures that there is a network on the current device. */
async function settle() {
  if (network && owner === device()) return;
  network = undefined;
  owner = device();
  network = await owner.create({ input: 2, hidden: HIDDEN, outputs: 1, steps: 'every', seed: 7 });
  epochs = 0;
  ui.put('epochs', 0);
  ui.put('loss', null);
  ui.put('time', null);
  ui.say('progress', '');
}

async function look() {
  const of = network;
  const seen = await persist(() => of.run(shown.x, shown.dims, { gates: true }));
  if (of !== network) return;
  run = seen;
  repaint();
}

/** Shows the gates of the network, which is untrained on a new device. */
export const begin = () =>
  ui.attempt(async () => {
    await learning;
    await settle();
    await look();
  });

async function learn() {
  const { signal } = (abort = new AbortController());
  ui.control('train').disabled = true;
  ui.control('stop').disabled = false;
  await ui.attempt(async () => {
    try {
      await settle();
      ui.say('progress', '');
      for (const end = epochs + EPOCHS; epochs < end && !signal.aborted; ) {
        const began = performance.now();
        const { loss } = await train(network, examples, { epochs: 1, batch: 32, rate: 0.01, clipNorm: 1, seed: epochs, signal });
        epochs++;
        const time = performance.now() - began;
        await look();
        ui.put('epochs', epochs);
        ui.put('loss', loss[0]);
        ui.put('time', time, duration(time));
      }
      ui.say('progress', signal.aborted ? 'Stopped.' : 'Trained.');
    } catch (error) {
      if (!stopped(error, signal)) throw error;
      ui.say('progress', 'Stopped.');
    }
  });
  ui.control('train').disabled = false;
  ui.control('stop').disabled = true;
}

export function start() {
  const stop = () => abort?.abort();
  ui.control('train').addEventListener('click', () => (learning = learn()));
  ui.control('stop').addEventListener('click', stop);
  leave.addEventListener('leave', stop);
  ui.control('again').addEventListener('click', async () => {
    stop();
    await learning;
    network?.free();
    network = undefined;
    await begin();
  });
  ui.control('other').addEventListener('click', () =>
    ui.attempt(async () => {
      shown = task(1, ++seed);
      await look();
    }),
  );
}
