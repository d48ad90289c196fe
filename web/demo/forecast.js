// Panel 1: a forecaster that is trained in the page and compared with two naive forecasts.
import { device, leave, persist, train } from './device.js';
import { painter, plot } from './chart.js';
import { naive, read, rmse, split, windows } from './series.js';
import { droppable, duration, figure, panel, stopped } from './ui.js';

const ui = panel('forecast');
/** The last trained network, as file bytes. */
export let trained;

let table, data, baselines, forecast, abort;
let history = { loss: [], validation: [] };

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
    { values: forecast?.slice(-count) ?? [], color: 'accent', width: 2 },
  ];
  plot(context, { right: width - 4, bottom: height - 26 }, colors, { lines, count, label });
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

/** Selects the column `target`, and shows the naive forecasts. */
async function choose(target) {
  abort?.abort();
  data = await split(table, target);
  baselines = naive(data);
  [forecast, history] = [undefined, { loss: [], validation: [] }];
  ui.put('gru', null);
  ui.put('loss', null);
  ui.put('validation', null);
  ui.put('persistence', rmse(baselines.persistence, baselines.measured));
  ui.put('seasonal', baselines.seasonal && rmse(baselines.seasonal, baselines.measured));
  const cycle = data.period ? `a cycle of ${figure(data.period)} rows` : 'no cycle found';
  const cut = table.cut ? ` (the most recent; ${table.cut} older rows are skipped)` : '';
  ui.say('series', `${table.name}: ${table.rows} rows${cut}, ${cycle}. Rows for training: ${data.learned}, validation: ${data.validation}, test: the last ${data.test}.`);
  ui.say('unit', 'RMSE on held-out rows');
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
    await choose(target);
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
    const examples = await windows(of, 0, of.learned);
    const validation = await windows(of, of.learned, border);
    const test = await windows(of, border, border + of.test);
    const network = await on.create({ input: examples.dims[2], hidden: 24, outputs: 1, seed: 1 });
    history = { loss: [], validation: [] };
    /** Forecasts with the current weights, and shows the result. */
    const look = async () => {
      const { output } = await persist(() => network.run(test.x, test.dims));
      const { values, scale } = of;
      forecast = Array.from(output.data, (change, i) => values[border + i - 1] + change * scale.deviation);
      ui.put('gru', rmse(forecast, baselines.measured));
      repaint();
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
  ui.control('column').addEventListener('change', (event) => ui.attempt(() => choose(Number(event.target.value))));
  droppable(ui.control('drop'), async (file) => take(file.name, await file.text()));
  return ui.attempt(async () => {
    const answer = await fetch(new URL('./data/seattle-weather.csv', import.meta.url));
    await take('Seattle weather, 2012–2015', await answer.text());
  });
}
