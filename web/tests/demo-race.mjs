// Tests of the panel in which three cells race.
import { LACKS } from './engines.mjs';
import { MINUTES, assert, visit } from './page.mjs';
import { responsive, tasks } from './tasks.mjs';

const CELLS = ['gru', 'lstm', 'rnn'];

/** Opens the page, and chooses the number of steps of the race. */
async function open(context, look, steps = '30') {
  const seen = await visit(context, 'cpu', look);
  const { page } = seen;
  await page.selectOption('#race [data-control=steps]', steps);
  await page.waitForFunction(() => !document.querySelector('#race[aria-busy]'));
  /** The rows of the standings, as objects of numbers. */
  const standings = () =>
    page.$$eval('#race .standings tbody tr', (all) =>
      Object.fromEntries(
        all.map(({ dataset: { cell, ...numbers } }) => [cell, Object.fromEntries(Object.entries(numbers).map(([name, text]) => [name, text && Number(text)]))]),
      ),
    );
  /** Waits until every cell has made `n` updates. */
  const updates = (n) =>
    page.waitForFunction((m) => [...document.querySelectorAll('#race .standings tbody tr')].every((tr) => Number(tr.dataset.updates) >= m), n, { timeout: 5 * MINUTES });
  /** Waits until the panel shows a new race. */
  const fresh = () => page.waitForFunction(() => !document.querySelector('#race[aria-busy]') && [...document.querySelectorAll('#race .standings tbody tr')].every((tr) => tr.dataset.updates === '0'));
  /** A number that changes with the pixels of a canvas. */
  const pixels = (chart) =>
    page.$eval(`#race [data-chart="${chart}"]`, (canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Uint32Array(data.buffer).reduce((hash, pixel) => (Math.imul(hash, 31) + pixel) | 0, 0);
    });
  const stop = async () => {
    await seen.press('race', 'stop');
    await seen.said('race', 'Stopped.');
    await page.waitForFunction(() => !document.querySelector('#race[aria-busy]'));
  };
  return { ...seen, standings, updates, fresh, pixels, stop };
}

export const race = {
  /** A cell learns the task, while the page stays responsive, and the gates change. */
  async race(context) {
    const seen = await open(context);
    for (const cell of CELLS) assert((await seen.drawn('race', cell)) > 50, `the untrained ${cell} is drawn`);
    const before = await Promise.all(CELLS.map(seen.pixels));
    const ended = await tasks(seen.page);
    await seen.press('race', 'start');
    await seen.page.waitForFunction(() => document.querySelector('#race [data-say=verdict]').textContent.includes('learned the task first'), null, { timeout: 6 * MINUTES });
    await seen.stop();
    const task = await ended();
    const all = await seen.standings();
    const { gru, lstm, rnn } = all;
    // Turns take the same time, or one update if that takes longer; an update of the LSTM takes the longest.
    assert([lstm, rnn].every(({ updates }) => updates > gru.updates / 3 && updates < 8 * gru.updates), `no cell starves the others: ${CELLS.map((cell) => all[cell].updates)}`);
    const verdict = await seen.text('#race [data-say=verdict]');
    const first = CELLS.find((cell) => verdict.startsWith(`The ${cell.toUpperCase()} learned the task first, after ${all[cell].reached} updates.`));
    assert(first && all[first].reached > 0 && all[first].reached % 32 === 0, `the verdict names the first cell: ${verdict}`);
    assert(CELLS.every((cell) => all[cell].mse > 0 && all[cell].mse < 0.5), `errors: ${CELLS.map((cell) => all[cell].mse)}`);
    assert(gru.reached && gru.mse < 0.03 && gru.mse < rnn.mse, `the GRU is ahead of the RNN: ${gru.mse}, ${rnn.mse}`);
    const after = await Promise.all(CELLS.map(seen.pixels));
    assert(after.every((hash, i) => hash !== before[i]) && (await seen.drawn('race', 'curves')) > 20, 'the gates and the curves are drawn again');
    // The answer of a cell that has learned the task is near the sum.
    const [answer, sum] = (await seen.text(`#race [data-say=gru]`)).match(/-?\d+\.\d+/g).map(Number);
    assert(Math.abs(answer - sum) < 0.5, `the GRU answers ${answer}, the sum is ${sum}`);
    await seen.calm('a race');
    return `${verdict} Errors ${CELLS.map((cell) => `${cell} ${Number(all[cell].mse).toPrecision(2)}`).join(', ')}; ${responsive(task, 200)}, ${await seen.longest()} by the long-task observer`;
  },

  /** The same seed gives the same errors, and another seed gives others. */
  async raceRepeats(context) {
    const seen = await open(context);
    await seen.page.evaluate(() => {
      const rows = document.querySelector('#race .standings tbody');
      const note = () => [...rows.rows].forEach(({ dataset: { cell, updates, mse } }) => (window.seenErrors[`${cell} ${updates}`] = mse));
      new MutationObserver(note).observe(rows, { childList: true });
    });
    /** Races for two epochs or more, and returns the errors after the first two. */
    const errors = async () => {
      await seen.page.evaluate(() => (window.seenErrors = {}));
      await seen.press('race', 'start');
      await seen.page.waitForFunction((cells) => cells.every((cell) => window.seenErrors[`${cell} 64`]), CELLS, { timeout: 5 * MINUTES });
      await seen.stop();
      const found = await seen.page.evaluate(() => window.seenErrors);
      return CELLS.flatMap((cell) => [32, 64].map((n) => found[`${cell} ${n}`])).join(' ');
    };
    const one = await errors();
    assert(new Set(one.split(' ').map(Number).filter((error) => error > 0)).size === 6, `six errors: ${one}`);
    // Another start is another race from the beginning.
    const two = await errors();
    assert(one === two, `the same seed: ${one} and ${two}`);
    await seen.press('race', 'again');
    await seen.fresh();
    assert((await seen.text('#race [data-say=progress]')) === '', 'reset');
    await seen.page.fill('#race [data-control=seed]', '2');
    await seen.page.keyboard.press('Tab');
    await seen.fresh();
    const other = await errors();
    assert(new Set([...one.split(' '), ...other.split(' ')]).size === 12, `another seed: ${other}`);
    await seen.calm('repeated races');
    return one;
  },

  /** Settings open a new race; an invalid seed is an error. */
  async raceSettings(context) {
    const seen = await open(context);
    const units = await seen.standings();
    assert(CELLS.every((cell) => units[cell].units === units.gru.units), 'equal units');
    await seen.page.check('#race input[value=weights]', { force: true });
    await seen.page.waitForFunction((n) => Number(document.querySelector('#race tr[data-cell=rnn]')?.dataset.units) > n, units.rnn.units);
    const weights = await seen.standings();
    assert(CELLS.every((cell) => Math.abs(weights[cell].weights / weights.gru.weights - 1) < 0.05), `equal weights: ${CELLS.map((cell) => weights[cell].weights)}`);
    await seen.page.waitForFunction(() => !document.querySelector('#race[aria-busy]'));
    await seen.page.fill('#race [data-control=seed]', '-1');
    await seen.page.keyboard.press('Tab');
    await seen.has('#race [data-error]:not(:empty)');
    assert((await seen.text('#race [data-error]')).startsWith('value: Seed'), 'the error names the seed');
    await seen.page.fill('#race [data-control=seed]', '7');
    await seen.page.keyboard.press('Tab');
    await seen.has('#race [data-error]:empty');
    await seen.has('#race [data-control=start]:enabled');
    const before = await seen.pixels('lstm');
    await seen.press('race', 'other');
    await seen.page.waitForFunction(() => !document.querySelector('#race[aria-busy]'));
    await seen.page.evaluate(() => new Promise(requestAnimationFrame));
    await seen.page.evaluate(() => new Promise(requestAnimationFrame));
    assert((await seen.pixels('lstm')) !== before, 'another sequence has other gates');
    await seen.calm('settings');
    return CELLS.map((cell) => `${cell} ${weights[cell].units} units ${weights[cell].weights} weights`).join(', ');
  },

  /** Operates the panel by keyboard: labels, the order of the focus, start and stop. */
  async raceKeyboard(context) {
    const seen = await open(context);
    const { page } = seen;
    const panel = page.locator('#race');
    if (!('roles' in LACKS)) {
      for (const [role, name] of [['combobox', 'Steps'], ['radio', 'Equal units'], ['spinbutton', 'Seed'], ['button', 'Start'], ['button', 'Stop'], ['button', 'Another sequence']])
        assert((await panel.getByRole(role, { name, exact: true }).count()) === 1, `a ${role} named ${name}`);
      assert((await panel.getByRole('status').count()) === 1, 'one place for announcements');
    }
    await page.focus('#race [data-control=steps]');
    const order = [];
    for (let i = 0; i < 6; i++) {
      order.push(await page.evaluate(() => document.activeElement.dataset.control ?? document.activeElement.name));
      await page.keyboard.press('Tab');
    }
    assert(order.join() === 'steps,equal,seed,start,again,other', `the order of the focus: ${order}`);
    await page.focus('#race [data-control=start]');
    await page.keyboard.press('Enter');
    await seen.updates(32);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await seen.said('race', 'Stopped.');
    await page.focus('#race input[name=equal]:checked');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => document.querySelector('#race tr[data-cell=rnn]')?.dataset.units > 32);
    await seen.calm('the race by keyboard');
    return LACKS.roles && `roles not checked: ${LACKS.roles}`;
  },

  /** With reduced motion, the heat maps change only when the race pauses. */
  async raceReducedMotion(context) {
    const seen = await open(context, { reducedMotion: 'reduce' });
    // The page draws itself anew while its fonts and sizes settle.
    let [before, earlier] = [await seen.pixels('gru')];
    while (before !== earlier) {
      earlier = before;
      await new Promise((done) => setTimeout(done, 300));
      before = await seen.pixels('gru');
    }
    await seen.press('race', 'start');
    await seen.updates(32);
    assert((await seen.pixels('gru')) === before, 'no motion during the race');
    await seen.stop();
    await seen.page.waitForFunction(() => new Promise((done) => requestAnimationFrame(() => done(true))));
    assert((await seen.pixels('gru')) !== before, 'the gates are shown after it');
    await seen.calm('reduced motion');
  },
};
