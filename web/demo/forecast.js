// Panel 1: a forecaster that is trained in the page, compared with two naive forecasts, and continued beyond the table
// with intervals.
import { device, leave, persist, train } from './device.js';
import { painter, plot } from './chart.js';
import { future } from './future.js';
import { coverage, errors, radii } from './intervals.js';
import { naive, read, rmse, split, windows } from './series.js';
import { droppable, duration, figure, panel, stopped } from './ui.js';

const ui = panel('forecast');
/** Share of the values that the intervals should cover. */
const SHARE = 0.9;
const percent = (share) => `${(100 * share).toFixed(0)} %`;
/** The last trained network, as file bytes. */
export let trained;

let table, data, baselines, forecast, abort;
let history = { loss: [], validation: [] };
const showFuture = future(ui);

const repaint = painter(ui.chart('forecast'), (context, width, height, colors) => {
  if (!baselines) return;
  // Show only as many of the last rows as the width can resolve.
  const count = Math.min(data.test, Math.round(width / 4));
  const first = data.table.rows - count;
  const label = (i) => (table.labels ? table.labels[first + i].slice(0, 10) : `row ${first + i + 1}`);
  const lines = [
    { values: baselines.seasonal?.slice(-count) ?? [], color: 'violet', alpha: 0.55, width: 1 },
    { values: baselines.persistence.slice(-count), color: 'amber', alpha: 0.55, width: 1 },
    { values: baselines.measured.slice(-count), color: 'ink', width: 1.5 },
    { values: forecast?.next.slice(-count) ?? [], color: 'accent', width: 2 },
  ];
  const [low, high] = [-1, 1].map((sign) => forecast?.next.slice(-count).map((v) => v + sign * forecast.radii[0]));
  const bands = forecast ? [{ low, high, color: 'accent' }] : [];
  plot(context, { right: width - 4, bottom: height - 26 }, colors, { lines, bands, count, label });
});

const repaintLoss = painter(ui.chart('loss'), (context, width, height, colors) => {
  const lines = [
    { values: history.loss, color: 'accent', width: 2 },
    { values: history.validation, color: 'amber', width: 2 },
  ];
  const count = Math.max(2, history.loss.length);
  const range = history.loss.length ? undefined : [0, 1];
  plot(context, { right: width - 4, bottom: height - 26 }, colors, { lines, count, range, label: (i) => `epoch ${i + 1}` });
});

/** Reads the chosen column and horizon, and shows the naive forecasts. */
async function choose() {
  abort?.abort();
  data = await split(table, Number(ui.control('column').value), Number(ui.control('horizon').value));
  baselines = naive(data);
  [forecast, history] = [undefined, { loss: [], validation: [] }];
  showFuture();
  for (const name of ['gru', 'coverage']) ui.put(name, null);
  ui.put('loss', null);
  ui.put('validation', null);
  ui.put('persistence', rmse(baselines.persistence, baselines.measured));
  ui.put('seasonal', baselines.seasonal && rmse(baselines.seasonal, baselines.measured));
  const cycle = data.period ? `a cycle of ${figure(data.period)} rows` : 'no cycle found';
  const cut = table.cut ? ` (the most recent; ${table.cut} older rows are skipped)` : '';
  ui.say('series', `${table.name}: ${table.rows} rows${cut}, ${cycle}. Rows for training: ${data.learned}, validation: ${data.validation}, test: the last ${data.test}.`);
  ui.say('unit', 'RMSE one row ahead, on held-out rows');
  ui.say('coverage', '');
  ui.say('progress', '');
  repaint();
  repaintLoss();
}

async function take(name, text) {
  await ui.attempt(async () => {
    table = await read(name, text);
    const select = ui.control('column');
    select.replaceChildren(...table.columns.map((c, i) => new Option(c.name, i)));
    const target = Math.max(0, table.columns.findIndex((c) => c.name === 'temp_max'));
    select.value = target;
    await choose();
  });
}

async function learn() {
  const stop = (abort = new AbortController());
  const of = data;
  const running = (on) => {
    ui.control('train').disabled = on;
    ui.control('stop').disabled = !on;
  };
  running(true);
  await ui.attempt(async () => {
    const [on, began] = [device(), performance.now()];
    const border = of.learned + of.validation;
    // All targets of a part are rows of this part.
    const examples = await windows(of, 0, of.learned - of.horizon + 1);
    const validation = await windows(of, of.learned, border - of.horizon + 1);
    const network = await on.create({ input: examples.dims[2], hidden: 24, outputs: of.horizon, seed: 1 });
    history = { loss: [], validation: [] };
    /** Forecasts with the current weights, calibrates intervals on the validation rows, and shows the result. */
    const look = async () => {
      const { table, values, scale, horizon } = of;
      const seen = await windows(of, of.learned, table.rows + 1);
      const { output } = await persist(() => network.run(seen.x, seen.dims));
      const forecasts = Array.from(output.data, (change, i) => values[of.learned + Math.floor(i / horizon) - 1] + change * scale.deviation);
      const tested = forecasts.slice(of.validation * horizon);
      const calibrated = radii(errors(forecasts, horizon, values, of.learned, border), SHARE);
      const held = errors(tested, horizon, values, border, table.rows);
      forecast = { next: tested.filter((_, i) => i % horizon === 0).slice(0, of.test), radii: calibrated };
      ui.put('gru', rmse(forecast.next, baselines.measured));
      const covered = coverage(held, calibrated);
      ui.put('coverage', covered, percent(covered));
      const [first, last] = [0, horizon - 1].map((h) => percent(coverage([held[h]], [calibrated[h]])));
      ui.say('coverage', `The intervals are calibrated on the validation rows. Of the held-out rows, they cover ${first} one row ahead and ${last} ${horizon} rows ahead; the goal is ${percent(SHARE)}.`);
      repaint();
      showFuture(of, { point: tested.slice(-horizon), radii: calibrated });
    };
    try {
      const epochs = 40;
      const onEpoch = ({ loss, validation }) => {
        history.loss.push(loss);
        history.validation.push(validation);
        ui.put('loss', loss);
        ui.put('validation', validation);
        ui.say('progress', `epoch ${history.loss.length} of at most ${epochs}, ${duration(performance.now() - began)}`);
        repaintLoss();
      };
      let how = 'Stopped';
      try {
        const options = { epochs, batch: 32, rate: 0.005, weightDecay: 1e-4, clipNorm: 1, patience: 8, seed: 1 };
        const { bestEpoch } = await train(network, examples, { ...options, validation, onEpoch, signal: stop.signal });
        how = `Trained (best epoch: ${bestEpoch + 1})`;
      } catch (error) {
        if (!stopped(error, stop.signal)) throw error;
      }
      // The column or the device changed meanwhile: discard the result.
      if (of !== data || on !== device()) return;
      const time = performance.now() - began;
      await look();
      trained = await network.save();
      ui.root.dispatchEvent(new CustomEvent('trained'));
      ui.say('progress', `${how}: ${history.loss.length} epochs, ${figure(network.info.parameters)} weights, ${duration(time)} on ${on.info.name}.`);
    } finally {
      network.free();
    }
  });
  running(false);
}

export function start() {
  ui.control('train').addEventListener('click', learn);
  ui.control('stop').addEventListener('click', () => abort?.abort());
  leave.addEventListener('leave', () => abort?.abort());
  for (const name of ['column', 'horizon']) ui.control(name).addEventListener('change', () => ui.attempt(choose));
  droppable(ui.control('drop'), async (file) => take(file.name, await file.text()));
  return ui.attempt(async () => {
    const answer = await fetch(new URL('./data/seattle-weather.csv', import.meta.url));
    await take('Seattle weather, 2012–2015', await answer.text());
  });
}
