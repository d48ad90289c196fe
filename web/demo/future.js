// The forecast beyond the last row of a table, as a chart and as a table.
import { painter, plot } from './chart.js';
import { continued, short } from './dates.js';
import { figure } from './ui.js';

/** Returns a function that shows a forecast in the panel `ui`: `show(data, {point, radii})`, or nothing without one. */
export function future(ui) {
  let shown;

  const repaint = painter(ui.chart('future'), (context, width, height, colors) => {
    if (!shown) return;
    const { past, labels, point, low, high } = shown;
    // The line and the band begin at the last measured value.
    const before = Array(past.length - 1).fill(NaN);
    const from = (values) => [...before, past.at(-1), ...values];
    const count = labels.length;
    const lines = [
      { values: past, color: 'ink', width: 1.5 },
      { values: from(point), color: 'accent', width: 2 },
    ];
    const bands = [{ low: from(low), high: from(high), color: 'accent' }];
    const label = (i) => short(labels[i], labels[i - 1] ?? labels[i + 1]);
    const { x } = plot(context, { right: width - 4, bottom: height - 26 }, colors, { lines, bands, count, label });
    context.strokeStyle = colors.quiet;
    context.setLineDash([3, 4]);
    context.beginPath();
    context.moveTo(x(past.length - 1), 6);
    context.lineTo(x(past.length - 1), height - 26);
    context.stroke();
    context.setLineDash([]);
  });

  return (data, forecast) => {
    shown = undefined;
    const body = ui.part('future').querySelector('tbody');
    body.replaceChildren();
    ui.part('future').hidden = !forecast;
    repaint();
    if (!forecast) return;
    const { table, values, horizon } = data;
    const { point, radii } = forecast;
    const kept = Math.min(values.length, Math.max(30, 3 * horizon));
    const dates = table.labels && continued(table.labels, horizon);
    const row = (i) => (dates && i < table.rows ? table.labels[i] : `row ${i + 1}`);
    const next = dates ?? point.map((_, h) => row(table.rows + h));
    const [low, high] = [-1, 1].map((sign) => point.map((v, h) => v + sign * radii[h]));
    const measured = Array.from({ length: kept }, (_, i) => row(table.rows - kept + i));
    shown = { past: values.slice(-kept), labels: [...measured, ...next], point, low, high };
    for (const [h, label] of next.entries()) {
      const line = body.insertRow();
      const head = Object.assign(document.createElement('th'), { scope: 'row', textContent: label });
      line.append(head);
      for (const value of [point[h], low[h], high[h]]) line.insertCell().textContent = figure(value);
    }
  };
}
