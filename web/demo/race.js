// Panel 3: three cells race on a memory task, with their gates.
import { GUESS, LEARNED, adding } from './adding.js';
import { gauge, painter, plot } from './chart.js';
import { device, leave } from './device.js';
import { CELLS, ROUND, ROUNDS, Race } from './racers.js';
import { duration, figure, panel, stopped } from './ui.js';

const ui = panel('race');
const reduced = matchMedia('(prefers-reduced-motion: reduce)');
/** Seeds of the sequences whose gates are shown. */
let exampleSeed = 2e6;
let race, example, abort, learning;
/** The last look at each cell. */
let runs = [];

const repaintCurves = painter(ui.chart('curves'), (context, width, height, colors) => {
  const curves = race?.racers.map(({ cell, curve }) => ({ values: curve, color: CELLS[cell].color, width: 2 })) ?? [];
  const count = Math.max(10, race?.rounds ?? 0);
  const level = (value, color) => ({ values: Array(count).fill(value), color, dash: [5, 4], width: 1 });
  const values = curves.flatMap((curve) => curve.values);
  const range = [Math.min(LEARNED / 3, ...values) / 1.2, Math.max(2 * GUESS, ...values) * 1.2];
  const lines = [level(LEARNED, 'rose'), level(GUESS, 'quiet'), ...curves];
  const label = (i) => `${(i + 1) * ROUND} updates`;
  plot(context, { left: 52, right: width - 4, bottom: height - 26 }, colors, { lines, count, range, label, log: true });
});

const repaints = Object.entries(CELLS).map(([cell, { gates }], place) =>
  painter(ui.chart(cell), (context, width, height, colors) => {
    const run = runs[place];
    if (!run) return;
    const [left, right, room] = [1, width - 1, height / gates.length];
    const [layer] = run.gates;
    const steps = example.dims[1];
    gates.forEach((name, i) => {
      const values = layer[name].data;
      const area = { left, right, top: room * i, bottom: room * (i + 1) - 2 };
      gauge(context, area, colors, { name, title: name === 'state' ? name : `${name} gate`, values, steps, units: values.length / steps });
    });
    context.fillStyle = colors.rose;
    for (let t = 0; t < steps; t++)
      if (example.x[2 * t + 1]) context.fillRect(left + ((right - left) * (t + 0.5)) / steps - 0.75, 0, 1.5, height);
  }),
);

const settings = () => {
  const seed = ui.control('seed').valueAsNumber;
  if (!Number.isInteger(seed) || seed < 0 || seed > 9999) throw Object.assign(new Error('Seed: expected a whole number from 0 to 9999'), { code: 'value' });
  return { steps: Number(ui.control('steps').value), equal: ui.control('equal').querySelector(':checked').value, seed };
};

const list = new Intl.ListFormat('en');
const names = (racers) => list.format(racers.map(({ cell }) => `the ${CELLS[cell].name}`));
const updates = (rounds) => `${(rounds * ROUND).toLocaleString('en')} updates`;

/** Says in which order the cells learned the task. */
function verdict({ racers, learned, isOver }) {
  const first = learned.filter(({ reached }) => reached === learned[0].reached);
  const said = learned.length ? [`${names(first)} learned the task first, after ${updates(learned[0].reached)}.`] : [];
  for (const racer of learned.slice(first.length)) said.push(`${names([racer])} followed after ${updates(racer.reached)}.`);
  const others = racers.filter((racer) => !learned.includes(racer));
  if (isOver && others.length) said.push(`${names(others)} did not learn it in ${updates(ROUNDS)}.`);
  return said.map((sentence) => sentence[0].toUpperCase() + sentence.slice(1)).join(' ');
}

/** Shows the standings. */
function report() {
  const body = ui.root.querySelector('.standings tbody');
  body.replaceChildren();
  for (const { cell, network, curve, reached, reachedTime } of race.racers) {
    const row = body.insertRow();
    const { name, color } = CELLS[cell];
    const { hidden, parameters } = network.info;
    const error = curve.at(-1) ?? null;
    Object.assign(row.dataset, { cell, units: hidden, weights: parameters, error: error ?? '', reached: reached ? reached * ROUND : '' });
    row.append(Object.assign(document.createElement('th'), { scope: 'row', className: `key ${color}`, textContent: name }));
    const learned = reached ? `after ${reached * ROUND}, ${duration(reachedTime)}` : '–';
    for (const text of [hidden, parameters.toLocaleString('en'), race.rounds * ROUND, figure(error), learned]) row.insertCell().textContent = text;
  }
  repaintCurves();
}

async function look() {
  const of = race;
  if (!of) return;
  const next = example ?? adding(1, of.steps, exampleSeed);
  const seen = await of.look(next);
  if (of !== race) return;
  [example, runs] = [next, seen];
  const { y } = example;
  of.racers.forEach(({ cell }, i) => ui.say(cell, `answers ${seen[i].output.data[0].toFixed(2)}; the sum is ${y[0].toFixed(2)}`));
  repaints.forEach((repaint) => repaint());
}

/** Opens a race with the chosen settings. */
async function open() {
  const chosen = settings();
  abort?.abort();
  await learning;
  ui.control('start').disabled = true;
  race?.free();
  race = undefined;
  race = await Race.open(device(), chosen);
  [example, runs] = [undefined, []];
  for (const name of ['verdict', 'progress']) ui.say(name, '');
  ui.control('start').disabled = false;
  report();
  await look();
}

/** Ends the race, and shows the untrained cells of the next one. Races are opened one at a time. */
let queue = Promise.resolve();
export const begin = () => (queue = queue.then(() => ui.attempt(open)));

async function run() {
  const { signal } = (abort = new AbortController());
  ui.control('start').disabled = true;
  ui.control('stop').disabled = false;
  await ui.attempt(async () => {
    let looked;
    try {
      while (!signal.aborted && !race.isOver) {
        const news = await race.round();
        report();
        if (news || race.isOver) ui.say('verdict', verdict(race));
        const time = race.racers.reduce((sum, racer) => sum + racer.time, 0);
        ui.say('progress', `${updates(race.rounds)} of each cell, ${duration(time)} of training`);
        looked = race.rounds;
        if (!reduced.matches) await look();
      }
      if (reduced.matches && looked) await look();
      ui.say('progress', `${race.isOver ? 'Finished' : 'Stopped'} after ${updates(race.rounds)} of each cell.`);
    } catch (error) {
      if (!stopped(error, signal)) throw error;
      ui.say('progress', 'Stopped.');
    }
  });
  ui.control('start').disabled = race.isOver;
  ui.control('stop').disabled = true;
}

/** Stops after the round in progress, so that all cells keep the same number of updates. */
function stop() {
  ui.control('stop').disabled = true;
  abort?.abort();
}

export function start() {
  ui.control('start').addEventListener('click', () => (learning = run()));
  ui.control('stop').addEventListener('click', stop);
  leave.addEventListener('leave', () => abort?.abort());
  for (const name of ['again', 'steps', 'equal', 'seed']) ui.control(name).addEventListener(name === 'again' ? 'click' : 'change', begin);
  ui.control('other').addEventListener('click', () =>
    ui.attempt(async () => {
      exampleSeed++;
      example = undefined;
      await look();
    }),
  );
}
