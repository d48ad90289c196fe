// Reads tables of numbers, and cuts them into windows for training.
import { WgruError } from '../dist/js/index.js';

const ROWS = 20_000;
const fail = (message) => {
  throw new WgruError('format', message);
};
/** Yields to the event loop. */
const turn = () => new Promise((done) => setTimeout(done));

function cells(line, separator) {
  if (!line.includes('"')) return line.split(separator);
  const out = [''];
  let quoted = false;
  for (const c of line) {
    if (c === '"') quoted = !quoted;
    else if (c === separator && !quoted) out.push('');
    else out[out.length - 1] += c;
  }
  return out;
}

const number = (cell) => (cell === undefined || cell.trim() === '' ? NaN : Number(cell));

/**
 * Returns the number of rows per cycle, from the dates of the first two rows or else from the highest peak of the
 * autocorrelation; `null` if there is none.
 */
function cycle(labels, values) {
  const step = (Date.parse(labels?.[1]) - Date.parse(labels?.[0])) / 3.6e6;
  if (step > 0 && step <= 1) return 24 / step;
  if (step === 24) return 365.25;
  if (step > 24 * 27 && step < 24 * 32) return 12;
  const kept = values.slice(-3000);
  const mean = kept.reduce((a, b) => a + b) / kept.length;
  const like = (lag) => {
    let [sum, all] = [0, 0];
    for (let i = lag; i < kept.length; i++) [sum, all] = [sum + (kept[i] - mean) * (kept[i - lag] - mean), all + (kept[i] - mean) ** 2];
    return sum / all;
  };
  const likes = Array.from({ length: Math.min(1000, kept.length >> 1) }, (_, lag) => like(lag));
  let best = 0;
  for (let lag = 2; lag < likes.length - 1; lag++)
    if (likes[lag] > likes[lag - 1] && likes[lag] >= likes[lag + 1] && likes[lag] > Math.max(0.2, likes[best] * (best ? 1 : 0))) best = lag;
  return best || null;
}

/** Reads the numeric columns of a CSV file. */
export async function read(name, text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  if (lines.length < 2) fail(`${name}: expected rows of numbers, got ${lines.length} lines`);
  const separator = [',', ';', '\t'].toSorted((a, b) => lines[0].split(b).length - lines[0].split(a).length)[0];
  const first = cells(lines[0], separator);
  const headed = first.some((cell) => Number.isNaN(number(cell)));
  const body = lines.slice(headed ? 1 : 0).slice(-ROWS);
  const columns = first.map((cell, i) => ({ name: headed ? cell.trim() : `column ${i + 1}`, values: [], missing: 0 }));
  const texts = [];
  for (let i = 0; i < body.length; i++) {
    if (i % 1000 === 999) await turn();
    const row = cells(body[i], separator);
    texts.push(row[0]);
    for (const [c, column] of columns.entries()) {
      const value = number(row[c]);
      if (!Number.isFinite(value)) column.missing++;
      // Fill a gap with the value before it.
      column.values.push(Number.isFinite(value) ? value : (column.values.at(-1) ?? NaN));
    }
  }
  const numeric = columns.filter((c) => c.missing < body.length / 20 && c.values.every(Number.isFinite));
  if (!numeric.length) fail(`${name}: expected a column of numbers, got none`);
  if (body.length < 120) fail(`${name}: expected 120 rows or more, got ${body.length}`);
  const labels = numeric.includes(columns[0]) ? null : texts;
  const varying = numeric.filter((c) => c.values.some((v) => v !== c.values[0]));
  if (!varying.length) fail(`${name}: expected a column that varies`);
  return { name, columns: varying, labels, rows: body.length, cut: lines.length - (headed ? 1 : 0) - body.length };
}

/** Returns the mean and standard deviation of the first `n` values. */
export function moments(values, n = values.length) {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) sum += values[i];
  const mean = sum / n;
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / n) || 1 };
}

/**
 * Splits a table into training, validation and test rows. Normalizes every column by its training rows. The horizon is
 * `ahead` rows, or fewer in a short table.
 */
export async function split(table, target, ahead) {
  const { rows } = table;
  const test = Math.min(365, Math.floor(rows / 5));
  const main = table.columns[target];
  const eighth = Math.floor((rows - test) / 8);
  const period = cycle(table.labels, main.values.slice(0, rows - test - eighth));
  // Intervals are calibrated on the validation rows: with a whole cycle, they know the errors of all its parts.
  const validation = Math.max(eighth, period && period <= rows / 4 ? Math.round(period) : 0);
  const learned = rows - test - validation;
  const others = table.columns.filter((c) => c !== main).slice(0, 7);
  const inputs = [];
  for (const column of [main, ...others]) {
    await turn();
    // The logarithm spreads a heavy-tailed column, such as rain, more evenly.
    const sorted = column.values.slice(0, learned).sort((a, b) => a - b);
    const heavy = column !== main && sorted[0] >= 0 && moments(sorted).mean > 2 * sorted[learned >> 1];
    const values = heavy ? column.values.map(Math.log1p) : column.values;
    const scale = moments(values, learned);
    inputs.push(values.map((v) => (v - scale.mean) / scale.deviation));
  }
  await turn();
  const scale = moments(main.values, learned);
  const [window, horizon] = [Math.min(20, learned >> 2), Math.min(ahead, validation >> 1)];
  return { table, target: main.name, values: main.values, inputs, scale, period, learned, validation, test, window, horizon };
}

/**
 * Creates the windows that precede the rows `[from, to)`. Their features are the target minus its last value, the other
 * columns, and the phase of the cycle. The targets are the changes to the next `horizon` rows, NaN beyond the last row.
 */
export async function windows({ inputs, period, window, horizon }, from, to) {
  const width = inputs.length + (period ? 2 : 0);
  const start = Math.max(from, window);
  const x = new Float32Array((to - start) * window * width);
  const y = new Float32Array((to - start) * horizon);
  let at = 0;
  for (let origin = start; origin < to; origin++) {
    if (origin % 500 === 0) await turn();
    const last = inputs[0][origin - 1];
    for (let row = origin - window; row < origin; row++) {
      x[at++] = inputs[0][row] - last;
      for (let c = 1; c < inputs.length; c++) x[at++] = inputs[c][row];
      if (period) {
        x[at++] = Math.sin((2 * Math.PI * (row + 1)) / period);
        x[at++] = Math.cos((2 * Math.PI * (row + 1)) / period);
      }
    }
    for (let h = 0; h < horizon; h++) y[(origin - start) * horizon + h] = inputs[0][origin + h] - last;
  }
  return { x, dims: [to - start, window, width], y };
}

/** Naive forecasts of the test rows: the value of the previous row, and the value one cycle earlier. */
export function naive({ values, period, learned, validation, test }) {
  const first = learned + validation;
  const back = (lag) => Array.from({ length: test }, (_, i) => values[first + i - lag]);
  return { measured: back(0), persistence: back(1), seasonal: period && Math.round(period) <= first ? back(Math.round(period)) : null };
}

/** Root mean squared error. */
export const rmse = (a, b) => Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0) / a.length);
