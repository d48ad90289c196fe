// Panel 3: three cells race on a memory task, with their gates.
import { GUESS, LEARNED, adding } from './adding.js';
import { gauge, painter, plot } from './chart.js';
import { device, leave } from './device.js';
import { CELLS, EPOCHS, Race, UPDATES } from './racers.js';
import { duration, figure, panel, stopped } from './ui.js';

const ui = panel('race');
const reduced = matchMedia('(prefers-reduced-motion: reduce)');
/** Seeds of the sequences whose gates are shown. */
let exampleSeed = 2e6;
let race, example, abort, learning;
/** The last run of each cell on the example. */
let runs = {};

const repaintCurves = painter(ui.chart('curves'), (context, width, height, colors) => {
  const curves = race?.racers.map(({ cell, curve }) => ({ values: curve, color: CELLS[cell].color, width: 2 })) ?? [];
  const count = Math.max(10, ...(race?.racers.map(({ curve }) => curve.length) ?? []));
  const level = (value, color) => ({ values: Array(count).fill(value), color, dash: [5, 4], width: 1 });
  const values = curves.flatMap((curve) => curve.values);
  const range = [Math.min(LEARNED / 3, ...values) / 1.2, Math.max(2 * GUESS, ...values) * 1.2];
  const lines = [level(LEARNED, 'rose'), level(GUESS, 'quiet'), ...curves];
  const label = (i) => `${(i + 1) * UPDATES} updates`;
  plot(context, { left: 52, right: width - 4, bottom: height - 26 }, colors, { lines, count, range, label, log: true });
});

const draw = (cell, { gates }) =>
  painter(ui.chart(cell), (context, width, height, colors) => {
    const run = runs[cell];
    if (!run) return;
    const [left, right, room] = [1, width - 1, height / gates.length];
    const [layer] = run.gates;
    const steps = example.dims[1];
    gates.forEach((name, i) => {
      const values = layer[name].data;
      const area = { left, right, top: room * i, bottom: room * (i + 1) - 2 };
      const map = gauge(context, area, colors, { name, title: name === 'state' ? name : `${name} gate`, values, steps, units: values.length / steps });
      context.fillStyle = colors.rose;
      for (let t = 0; t < steps; t++)
        if (example.x[2 * t + 1]) context.fillRect(left + ((right - left) * (t + 0.5)) / steps - 0.75, map - 4, 1.5, area.bottom - map + 4);
    });
  });
const repaints = Object.fromEntries(Object.entries(CELLS).map(([cell, kind]) => [cell, draw(cell, kind)]));

const settings = () => {
  const seed = ui.control('seed').valueAsNumber;
  if (!Number.isInteger(seed) || seed < 0 || seed > 9999) throw Object.assign(new Error('Seed: expected a whole number from 0 to 9999'), { code: 'value' });
  return { steps: Number(ui.control('steps').value), equal: ui.control('equal').querySelector(':checked').value, seed };
};

const list = new Intl.ListFormat('en');
const names = (racers) => list.format(racers.map(({ cell }) => `the ${CELLS[cell].name}`));
const updates = (n) => `${n.toLocaleString('en')} updates`;

/** Says in which order the cells learned the task, and at the end which ones did not. */
function verdict({ racers, learned }, isOver) {
  const said = learned.map((racer, i) => `${names([racer])} ${i ? 'followed' : 'learned the task first,'} after ${updates(racer.reached)}.`);
  const others = racers.filter((racer) => !learned.includes(racer));
  if (isOver && others.length) said.push(`${names(others)} did not learn it in ${updates(EPOCHS * UPDATES)}.`);
  return said.map((sentence) => sentence[0].toUpperCase() + sentence.slice(1)).join(' ');
}

/** Shows the standings. */
function report() {
  const body = ui.root.querySelector('.standings tbody');
  body.replaceChildren();
  for (const racer of race.racers) {
    const row = body.insertRow();
    const { cell, curve, reached, time } = racer;
    const { name, color } = CELLS[cell];
    const { hidden, parameters } = racer.network.info;
    const error = curve.at(-1) ?? null;
    Object.assign(row.dataset, { cell, units: hidden, weights: parameters, updates: racer.updates, mse: error ?? '', reached: reached ?? '' });
    row.append(Object.assign(document.createElement('th'), { scope: 'row', className: `key ${color}`, textContent: name }));
    const learned = reached ? `at ${reached}, ${duration(time)}` : '–';
    for (const text of [hidden, parameters.toLocaleString('en'), racer.updates, figure(error), learned]) row.insertCell().textContent = text;
  }
  repaintCurves();
}

/** Shows the gates of a cell on the example. */
async function look(racer) {
  const [of, on] = [race, example];
  const seen = await of.look(racer, on);
  if (of !== race || on !== example) return;
  runs[racer.cell] = seen;
  ui.say(racer.cell, `answers ${seen.output.data[0].toFixed(2)}; the sum is ${on.y[0].toFixed(2)}`);
  repaints[racer.cell]();
}

async function lookAtAll() {
  if (!race) return;
  example = adding(1, race.steps, exampleSeed);
  await Promise.all(race.racers.map(look));
}

/** Opens a race with the chosen settings, and shows its untrained cells. */
async function open() {
  const chosen = settings();
  abort?.abort();
  await learning;
  ui.control('start').disabled = true;
  race?.free();
  race = undefined;
  race = await Race.open(device(), chosen);
  runs = {};
  for (const name of ['verdict', 'progress']) ui.say(name, '');
  ui.control('start').disabled = false;
  report();
  await lookAtAll();
}

/** Ends the race, and opens the next one. Races are opened one at a time. */
let queue = Promise.resolve();
export const begin = () => (queue = queue.then(() => ui.attempt(open)));

async function run() {
  const { signal } = (abort = new AbortController());
  ui.control('start').disabled = true;
  ui.control('stop').disabled = false;
  await ui.attempt(async () => {
    const [of, looking] = [race, new Set()];
    const heard = (racer) => {
      report();
      if (racer.reached === racer.updates) ui.say('verdict', verdict(of));
      ui.say('progress', `${Math.max(...of.racers.map((one) => one.curve.length))} of ${EPOCHS} epochs`);
      // A heat map that changes all the time is motion. A cell whose last run has not ended yet is not run again.
      if (reduced.matches || looking.has(racer)) return;
      looking.add(racer);
      look(racer).catch(() => {}).finally(() => looking.delete(racer));
    };
    let how = 'Stopped';
    try {
      await of.run(signal, heard);
      how = 'Finished';
      ui.say('verdict', verdict(of, true));
    } catch (error) {
      abort.abort();
      if (!stopped(error, signal)) throw error;
    }
    ui.say('progress', `${how}.`);
    await Promise.all(of.racers.map(look)).catch((error) => {
      if (error.code !== 'freed') throw error;
    });
  });
  ui.control('start').disabled = false;
  ui.control('stop').disabled = true;
}

export function start() {
  ui.control('start').addEventListener('click', async () => {
    // Training cannot be continued with the state of its optimizer, so every start is a new race.
    if (race.isStarted) await begin();
    if (race) learning = run();
  });
  ui.control('stop').addEventListener('click', () => abort?.abort());
  leave.addEventListener('leave', () => abort?.abort());
  ui.control('again').addEventListener('click', begin);
  for (const name of ['steps', 'equal', 'seed']) ui.control(name).addEventListener('change', begin);
  ui.control('other').addEventListener('click', () =>
    ui.attempt(() => {
      exampleSeed++;
      return lookAtAll();
    }),
  );
}
