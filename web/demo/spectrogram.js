// Spectrograms on canvases, in the colors of the style sheet.
import { painter, ticks } from './chart.js';
import { ROWS } from './levels.js';

/** Colors from low to high levels; their lightness is monotonic in both color schemes. */
const SCALE = ['card', 'accent', 'ink'];
const SHADES = 256;
const reduced = matchMedia('(prefers-reduced-motion: reduce)');

/** Returns the color of every shade, as pixels of an image. */
function shades(colors) {
  const stops = SCALE.map((name) => [1, 3, 5].map((at) => parseInt(colors[name].slice(at, at + 2), 16)));
  const bytes = Uint8ClampedArray.from({ length: 4 * SHADES }, (_, i) => {
    const channel = i % 4;
    if (channel === 3) return 255;
    const place = (Math.floor(i / 4) / (SHADES - 1)) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    return stops[from][channel] + (stops[from + 1][channel] - stops[from][channel]) * (place - from);
  });
  return new Uint32Array(bytes.buffer);
}

/**
 * A spectrogram that grows by columns of levels. After the last column, a `running` one continues at the first: the
 * picture moves to the left, or with reduced motion is overwritten from the left.
 */
export class Spectrogram {
  #stage = document.createElement('canvas');
  #brush = this.#stage.getContext('2d');
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
    const [columns, count] = [this.#columns, this.#count];
    for (let from = Math.max(this.#painted, count - columns); from < count; ) {
      const place = from % columns;
      const width = Math.min(count - from, columns - place);
      this.#brush.putImageData(this.#image(place, width), place, 0);
      from += width;
    }
    this.#painted = count;
  }

  /** Returns the picture of `width` columns from `place`. */
  #image(place, width) {
    const image = this.#brush.createImageData(width, ROWS);
    const pixels = new Uint32Array(image.data.buffer);
    const [low, high] = this.#range;
    for (let c = 0; c < width; c++)
      for (let row = 0; row < ROWS; row++) {
        const share = (this.#levels[(place + c) * ROWS + row] - low) / (high - low);
        pixels[(ROWS - 1 - row) * width + c] = this.#shades[Math.round((SHADES - 1) * Math.min(1, Math.max(0, share)))];
      }
    return image;
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
