// The part of steps.mjs that runs in the page.
import { open } from '/dist/js/index.js';

/** Returns, for each cell and number of units, the nanoseconds of a step in each round: of single steps, and in blocks. */
export async function steps({ units, rounds, seconds, peer }) {
  const device = await open({ device: 'cpu' });
  const cells = ['gru', 'lstm'];
  const parts = [];
  const other = peer && (await WebAssembly.compile(Uint8Array.from(atob(peer), (c) => c.charCodeAt(0))));
  for (const cell of cells) {
    for (const hidden of units) {
      const network = await device.create({ cell, input: 1, hidden, outputs: 1, steps: 'every', seed: 1 });
      parts.push(await network.streamParts());
    }
  }
  const context = new OfflineAudioContext(1, 128, 48000);
  await context.audioWorklet.addModule('/steps-worklet.mjs');
  const node = new AudioWorkletNode(context, 'steps', { processorOptions: { parts, rounds, seconds, units, other } });
  const told = new Promise((done, failed) => {
    node.port.onmessage = ({ data }) => (data.error ? failed(new Error(data.error)) : done(data.times));
  });
  node.connect(context.destination);
  await context.startRendering();
  const times = await told;
  return Object.fromEntries(cells.map((cell, i) => [cell.toUpperCase(), times.slice(i * units.length, (i + 1) * units.length)]));
}
