// Line charts and heat maps on canvases, in the colors of the style sheet.

const dark = matchMedia('(prefers-color-scheme: dark)');
const names = ['paper', 'card', 'ink', 'quiet', 'line', 'accent', 'amber', 'violet', 'rose'];
let colors;
/** Returns the colors of the style sheet, read again after the color scheme changes. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  return (colors ??= Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])));
}

/** Opacity of bands; the legend in `style.css` has the same. */
const BAND = 0.22;

/** Calls `draw` in the next frame after `repaint()`, and whenever the canvas is resized or the color scheme changes. */
export function painter(canvas, draw) {
  const height = canvas.height;
  canvas.style.height = `${height}px`;
  let asked = 0;
  const paint = () => {
    asked = 0;
    const [width, ratio] = [canvas.clientWidth, devicePixelRatio];
    if (!width) return;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = '12px ui-sans-serif, system-ui, sans-serif';
    context.lineJoin = 'round';
    draw(context, width, height, palette());
  };
  const repaint = () => void (asked ||= requestAnimationFrame(paint));
  new ResizeObserver(repaint).observe(canvas);
  dark.addEventListener('change', () => {
    colors = undefined;
    repaint();
  });
  repaint();
  return repaint;
}

/** Returns round numbers that divide `[low, high]` into about four parts. */
export function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((m) => ten * m >= rough);
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) out.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return out;
}

const extent = (series) => {
  let [low, high] = [Infinity, -Infinity];
  for (const values of series)
    for (const v of values) if (Number.isFinite(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  return low <= high ? [low, high] : [0, 1];
};

/** Returns the runs `[from, to)` of positions where `holds(i)`. */
function runs(count, holds) {
  const out = [];
  for (let i = 0; i < count; i++) {
    if (!holds(i)) continue;
    if (out.at(-1)?.[1] === i) out.at(-1)[1]++;
    else out.push([i, i + 1]);
  }
  return out;
}

/**
 * Draws lines over a common axis. `lines`: `{values, color, width, dash, alpha}`, with gaps where a value is not
 * finite; `bands`: `{low, high, color}`, areas between two series; `count`: number of positions on the axis; `label(i)`:
 * text below position `i`; `range`: of the values; `log`: logarithmic value axis; `shade`: pairs of positions to shade
 * between. Returns the functions `x` and `y` from positions and values to places on the canvas.
 */
export function plot(context, { left = 44, top = 6, right, bottom }, colors, { lines, bands = [], count, label, range, log, shade = [] }) {
  const scale = log ? Math.log10 : (v) => v;
  let [low, high] = (range ?? extent([...lines.map(({ values }) => values), ...bands.flatMap(({ low, high }) => [low, high])])).map(scale);
  if (!range && !log) [low, high] = [low - (high - low) * 0.04, high + (high - low) * 0.04];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const x = (i) => left + ((right - left) * i) / Math.max(1, count - 1);
  const y = (v) => bottom - ((bottom - top) * (scale(v) - low)) / (high - low);

  context.fillStyle = colors.rose;
  context.globalAlpha = 0.16;
  for (const [from, to] of shade) context.fillRect(x(from), top, Math.max(2, x(to) - x(from)), bottom - top);
  context.globalAlpha = 1;

  context.strokeStyle = colors.line;
  context.fillStyle = colors.quiet;
  context.lineWidth = 1;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const tick of ticks(low, high)) {
    const at = Math.round(bottom - ((bottom - top) * (tick - low)) / (high - low)) + 0.5;
    context.beginPath();
    context.moveTo(left, at);
    context.lineTo(right, at);
    context.stroke();
    context.fillText(String(Number((log ? 10 ** tick : tick).toPrecision(2))), left - 8, at);
  }
  if (label) {
    context.textAlign = 'center';
    context.textBaseline = 'top';
    const parts = Math.max(1, Math.min(6, Math.floor((right - left) / 110)));
    for (let p = 0; p < parts; p++) {
      const i = Math.round(((p + 0.5) * (count - 1)) / parts);
      context.fillText(label(i), x(i), bottom + 8);
    }
  }
  for (const { low, high, color } of bands) {
    context.fillStyle = colors[color];
    context.globalAlpha = BAND;
    for (const [from, to] of runs(low.length, (i) => Number.isFinite(low[i]) && Number.isFinite(high[i]))) {
      context.beginPath();
      for (let i = from; i < to; i++) context.lineTo(x(i), y(high[i]));
      for (let i = to - 1; i >= from; i--) context.lineTo(x(i), y(low[i]));
      context.fill();
    }
    context.globalAlpha = 1;
  }
  for (const { values, color, width = 1.5, dash = [], alpha = 1 } of lines) {
    context.strokeStyle = colors[color];
    context.lineWidth = width;
    context.globalAlpha = alpha;
    context.setLineDash(dash);
    context.beginPath();
    let down = false;
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) down = false;
      else if (down) context.lineTo(x(i), y(values[i]));
      else {
        context.moveTo(x(i), y(values[i]));
        down = true;
      }
    }
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  return { x, y };
}

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const stage = document.createElement('canvas');

/** Draws `values` `[columns, rows]` as cells. `scale` lists the colors from `low` to `high`. */
function heat(context, { left, top, right, bottom }, colors, { values, columns, rows, low, high, scale }) {
  const stops = scale.map((name) => channels(colors[name]));
  [stage.width, stage.height] = [columns, rows];
  const brush = stage.getContext('2d');
  const image = brush.createImageData(columns, rows);
  for (let t = 0; t < columns; t++)
    for (let u = 0; u < rows; u++) {
      const place = Math.min(1, Math.max(0, (values[t * rows + u] - low) / (high - low))) * (stops.length - 1);
      const from = Math.min(stops.length - 2, Math.floor(place));
      const at = 4 * (u * columns + t);
      for (let c = 0; c < 3; c++) image.data[at + c] = stops[from][c] + (stops[from + 1][c] - stops[from][c]) * (place - from);
      image.data[at + 3] = 255;
    }
  brush.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(stage, left, top, right - left, bottom - top);
}

/** Height of the title of a `gauge`. */
const TITLE = 30;

/**
 * Draws the values `[steps, units]` of a gate: its name, a legend of the color scale, and a heat map below them. Gates
 * are shares; a candidate or a state is from -1 to 1. Returns the top of the heat map.
 */
export function gauge(context, { left, top, right, bottom }, colors, { name, title = name, values, steps, units, hue = 'accent' }) {
  const signed = name === 'candidate' || name === 'cell' || name === 'state';
  const [low, high, scale] = signed ? [-1, 1, ['amber', 'card', 'accent']] : [0, 1, ['card', hue]];
  const map = top + TITLE;
  context.fillStyle = colors.quiet;
  [context.textAlign, context.textBaseline] = ['left', 'bottom'];
  context.fillText(title, left, map - 6);
  const ramp = context.createLinearGradient(right - 90, 0, right - 30, 0);
  scale.forEach((color, s) => ramp.addColorStop(s / (scale.length - 1), colors[color]));
  context.fillStyle = ramp;
  context.fillRect(right - 90, map - 17, 60, 9);
  context.strokeStyle = colors.line;
  context.strokeRect(right - 90.5, map - 17.5, 61, 10);
  context.fillStyle = colors.quiet;
  context.textAlign = 'right';
  context.fillText(String(low), right - 96, map - 6);
  context.fillText(String(high), right - 12, map - 6);
  heat(context, { left, top: map, right, bottom }, colors, { values, columns: steps, rows: units, low, high, scale });
  context.strokeRect(left + 0.5, map + 0.5, right - left - 1, bottom - map - 1);
  return map;
}
