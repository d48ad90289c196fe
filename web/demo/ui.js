// Helpers of all panels: access to their elements, formatted numbers and errors.

/** Returns the elements of the panel `id`, by their names in the page. */
export function panel(id) {
  const root = document.getElementById(id);
  const part = (kind) => (name) => root.querySelector(`[data-${kind}="${name}"]`);
  const [control, chart, saying, value] = ['control', 'chart', 'say', 'value'].map(part);
  const error = root.querySelector('[data-error]');
  return {
    root,
    control,
    chart,
    say: (name, text) => (saying(name).textContent = text),
    part: saying,
    /** Shows a measured number, and also stores the number as `data-number`. */
    put(name, number, text = figure(number)) {
      const element = value(name);
      element.textContent = text;
      element.dataset.number = number ?? '';
    },
    /** Runs `work`, and shows any error with its code. Returns whether it succeeded. */
    async attempt(work) {
      error.textContent = '';
      root.setAttribute('aria-busy', 'true');
      try {
        await work();
        return true;
      } catch (thrown) {
        error.textContent = described(thrown);
        return false;
      } finally {
        root.removeAttribute('aria-busy');
      }
    },
  };
}

export const described = (error) => `${error.code ?? error.name}: ${error.message}`;

/** Whether `error` comes from aborting `signal`. The code is `freed` if the device was freed too. */
export const stopped = (error, signal) => error.code === 'aborted' || (signal.aborted && error.code === 'freed');

/** Formats a number with three significant digits, without trailing zeros. */
export function figure(number) {
  if (number === null || number === undefined) return '–';
  if (number === 0) return '0';
  const size = Math.abs(number);
  return size < 1e-3 || size >= 1e6 ? number.toExponential(1) : Number(number.toPrecision(3)).toLocaleString('en');
}

/** Formats milliseconds. */
export const duration = (ms) => (ms < 1 ? `${figure(ms * 1000)} µs` : ms < 1000 ? `${figure(ms)} ms` : `${figure(ms / 1000)} s`);

/** Calls `take` with the files that are chosen in `label`. */
export function choosable(label, take) {
  const input = label.querySelector('input');
  input.addEventListener('change', () => {
    const files = [...input.files];
    input.value = '';
    take(files);
  });
}

/** Calls `take` with the files that are dropped on `area`. */
export function drops(area, take) {
  const over = (on) => (event) => {
    event.preventDefault();
    area.classList.toggle('over', on);
  };
  area.addEventListener('dragover', over(true));
  area.addEventListener('dragleave', over(false));
  area.addEventListener('drop', (event) => {
    over(false)(event);
    take([...event.dataTransfer.files]);
  });
}

/** Calls `take` with the file that is dropped on `label` or chosen in it. */
export function droppable(label, take) {
  const first = ([file]) => file && take(file);
  choosable(label, first);
  drops(label, first);
}

/** Fills a `dl` with names and texts. */
export function facts(list, entries) {
  list.replaceChildren(
    ...entries.map(([name, text]) => {
      const row = document.createElement('div');
      row.append(document.createElement('dt'), document.createElement('dd'));
      [row.firstChild.textContent, row.lastChild.textContent] = [name, text];
      return row;
    }),
  );
}

/** Returns a generator of random numbers from -1 to 1, reproducible by `seed`. */
export function noise(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
