// Spectrograms on canvases, in the colors of the style sheet.
import { painter, ticks } from './chart.js';
import { ROWS } from './levels.js';

/** Colors from low to high levels; their lightness is monotonic in both color schemes. */
const SCALE = ['card', 'accent', 'ink'];
const SHADES = 256;
const reduced = matchMedia('(prefers-reduced-motion: reduce)');

/** Returns the color of every shade, as bytes. */
function shades(colors) {
  const stops = SCALE.map((name) => [1, 3, 5].map((at) => parseInt(colors[name].slice(at, at + 2), 16)));
  return Array.from({ length: SHADES }, (_, shade) => {
    const place = (shade / (SHADES - 1)) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    return stops[from].map((low, c) => low + (stops[from + 1][c] - low) * (place - from));
  });
}

/**
 * A spectrogram that grows by columns of levels. After the last column, a `running` one continues at the first: the
 * picture moves to the left, or with reduced motion is overwritten from the left.
 */
export class Spectrogram {
  #stage = document.createElement('canvas');
  #levels = new Float32Array(0);
  #columns = 1;
  #count = 0;
  #painted = 0;
  #seconds = 1;
  #range = [-100, -30];
  #colors;
  #shades;

  /** `top`: the highest frequency, in kHz. */
  constructor(canvas, { top, running = false }) {
    [this.top, this.running] = [top, running];
    this.clear({ columns: 1, seconds: 1 });
    this.repaint = painter(canvas, (...given) => this.#draw(...given));
  }

  /** Removes the picture. `seconds`: the time of all columns; `range`: levels of the first and last color. */
  clear({ columns, seconds, range = this.#range }) {
    this.#levels = new Float32Array(columns * ROWS);
    [this.#columns, this.#seconds, this.#range] = [columns, seconds, range];
    [this.#count, this.#painted] = [0, 0];
    [this.#stage.width, this.#stage.height] = [columns, ROWS];
    this.repaint?.();
  }

  /** Appends columns of levels `[columns, ROWS]`. */
  push(levels) {
    const last = this.#count + levels.length / ROWS;
    for (let at = 0; this.#count < last; this.#count++, at += ROWS) {
      if (this.#count >= this.#columns && !this.running) break;
      this.#levels.set(levels.subarray(at, at + ROWS), ROWS * (this.#count % this.#columns));
    }
    this.repaint();
  }

  /** Paints the columns that were added since the last time. */
  #paint() {
    const brush = this.#stage.getContext('2d');
    const image = brush.createImageData(1, ROWS);
    const [low, high] = this.#range;
    for (let c = Math.max(this.#painted, this.#count - this.#columns); c < this.#count; c++) {
      const place = c % this.#columns;
      for (let row = 0; row < ROWS; row++) {
        const share = (this.#levels[place * ROWS + row] - low) / (high - low);
        const color = this.#shades[Math.round((SHADES - 1) * Math.min(1, Math.max(0, share)))];
        const at = 4 * (ROWS - 1 - row);
        [image.data[at], image.data[at + 1], image.data[at + 2], image.data[at + 3]] = [color[0], color[1], color[2], 255];
      }
      brush.putImageData(image, place, 0);
    }
    this.#painted = this.#count;
  }

  #draw(context, width, height, colors) {
    if (colors !== this.#colors) {
      [this.#colors, this.#shades, this.#painted] = [colors, shades(colors), 0];
    }
    this.#paint();
    const [left, top, right, bottom] = [44, 8, width - 4, height - (this.running ? 8 : 26)];
    const across = (right - left) / this.#columns;
    const next = this.#count % this.#columns;
    const full = this.running && this.#count >= this.#columns;
    // The column at the left edge.
    const first = full && !reduced.matches ? next : 0;
    const part = (from, to, x) => to > from && context.drawImage(this.#stage, from, 0, to - from, ROWS, x, top, (to - from) * across, bottom - top);
    part(first, this.#columns, left);
    part(0, first, left + (this.#columns - first) * across);
    if (full && reduced.matches) {
      context.fillStyle = colors.rose;
      context.fillRect(left + next * across, top, 2, bottom - top);
    }

    context.strokeStyle = colors.line;
    context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
    context.fillStyle = colors.quiet;
    [context.textAlign, context.textBaseline] = ['right', 'middle'];
    for (const khz of ticks(0, this.top)) {
      const y = bottom - ((bottom - top) * khz) / this.top;
      context.fillText(`${khz}${khz === this.top ? ' kHz' : ''}`, left - 6, Math.max(top + 4, y));
    }
    if (this.running) return;
    [context.textAlign, context.textBaseline] = ['center', 'top'];
    for (const second of ticks(0, this.#seconds)) {
      const x = left + ((right - left) * second) / this.#seconds;
      if (x < right - 12) context.fillText(`${Number(second.toPrecision(3))} s`, x, bottom + 8);
    }
  }
}
