// Tests the page in `demo/` in a browser.  ENGINE=… node tests/demo.test.mjs [name…] WGRU_DATA=FOLDER also tests it with
// FOLDER/models/nsnet2/*.onnx, FOLDER/forecast/ETTh1.csv, and the models and recordings that demo-denoise.mjs names.
// Screenshots are written to web/out.
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { denoise, denoiseMicrophone, withMicrophone } from './demo-denoise.mjs';
import { forecast } from './demo-forecast.mjs';
import { race } from './demo-race.mjs';
import { LACKS, NAME, browser } from './engines.mjs';
import { NEEDS } from './needs.mjs';
import { assert, out, server, visit } from './page.mjs';
import { responsive, tasks } from './tasks.mjs';

/** Gives a file to the panel `model`. Returns the largest difference between the devices. */
async function drop({ page, said }, path) {
  await page.setInputFiles('#model input[type=file]', path);
  await said('model', `Measured ${basename(path)}.`);
  return Number(await page.getAttribute('#model [data-say="parity"]', 'data-number'));
}

const golden = fileURLToPath(new URL('../../tests/golden/torch_gru.safetensors', import.meta.url));

const tests = {
  ...denoise,
  ...forecast,
  ...race,

  /** Runs every panel on the CPU. No task may block the page for more than 50 ms. */
  async cpu(context) {
    const seen = await visit(context, 'cpu');
    const { page, number, press, said, drawn } = seen;
    const ended = await tasks(page);
    await press('forecast', 'train');
    await said('forecast', 'Trained');
    const [gru, persistence, seasonal] = [await number('forecast', 'gru'), await number('forecast', 'persistence'), await number('forecast', 'seasonal')];
    assert(gru > 0 && gru < persistence && gru < seasonal, `better than naive: ${gru}, ${persistence}, ${seasonal}`);
    assert((await drawn('forecast', 'forecast')) > 20 && (await drawn('forecast', 'loss')) > 20, 'charts are drawn');

    const before = await drawn('gates', 'gates');
    await press('gates', 'train');
    await said('gates', 'Trained');
    const late = await number('gates', 'loss');
    // Always predicting 0 would give a loss of 1/3, because the targets are uniform in [-1, 1].
    assert(late < 0.03, `the gates learn: ${late}`);
    assert(before > 50 && (await drawn('gates', 'gates')) > 50, 'heat maps are drawn');

    await press('live', 'start');
    await said('live', 'Threshold');
    await page.waitForFunction(() => Number(document.querySelector('#live [data-value=samples]').dataset.number) > 400);
    assert((await number('live', 'flags')) === 0, 'normal signal is not flagged');
    assert((await number('live', 'micros')) > 0, 'a step is timed');
    await press('live', 'inject');
    await page.waitForFunction(() => Number(document.querySelector('#live [data-value=flags]').dataset.number) > 0, null, { timeout: 20_000 });
    assert((await drawn('live', 'signal')) > 20 && (await drawn('live', 'score')) > 20, 'the stream is drawn');
    const micros = await number('live', 'micros');
    const task = await ended();
    await page.screenshot({ path: `${out}/desktop-light.png`, fullPage: true });
    await press('live', 'stop');
    await said('live', 'Stopped.');
    await seen.calm('on the CPU');
    const lengths = responsive(task, 1000);
    return `RMSE ${gru.toFixed(2)} against ${persistence.toFixed(2)} and ${seasonal.toFixed(2)}; loss of the gates ${late.toFixed(4)}; ${micros.toFixed(1)} µs a frame; ${lengths}, ${await seen.longest()} by the long-task observer`;
  },

  /** The forecast can be stopped, and its column changed. */
  async stops(context) {
    const seen = await visit(context, 'cpu');
    await seen.press('forecast', 'train');
    await seen.has('#forecast [data-value=loss][data-number]:not([data-number=""])');
    await seen.press('forecast', 'stop');
    await seen.said('forecast', 'Stopped');
    assert((await seen.number('forecast', 'gru')) > 0, 'the stopped network forecasts');
    await seen.page.selectOption('#forecast select', { label: 'wind' });
    await seen.has('#forecast [data-value=gru][data-number=""]');
    await seen.calm('stopped');
  },

  /** Invalid tables and models show an error with its code. */
  async badFiles(context) {
    const seen = await visit(context, 'cpu');
    const file = (name, text) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });
    await seen.page.setInputFiles('#forecast input[type=file]', file('words.csv', 'a,b\nc,d\n'));
    await seen.has('#forecast [data-error]:not(:empty)');
    assert((await seen.text('#forecast [data-error]')).startsWith('format:'), 'the error code for a table');
    await seen.page.setInputFiles('#model input[type=file]', file('no.safetensors', 'nothing'));
    await seen.said('model', 'The model did not run');
    assert((await seen.text('#model [data-error]')).startsWith('format:'), 'the error code for a model');
    const rows = Array.from({ length: 400 }, (_, i) => `${i},${Math.sin(i / 4) + 2}`).join('\n');
    await seen.page.setInputFiles('#forecast input[type=file]', file('wave.csv', `time,value\n${rows}`));
    await seen.page.selectOption('#forecast select', { label: 'value' });
    assert((await seen.text('#forecast [data-say=series]')).startsWith('wave.csv: 400 rows'), 'a valid table is read');
    await seen.press('forecast', 'train');
    await seen.said('forecast', 'Trained');
    assert(!seen.errors.length, `no console errors: ${seen.errors}`);
  },

  /** Runs a model on both devices. */
  async parity(context) {
    const seen = await visit(context, 'cpu');
    await seen.press('model', 'sample');
    await seen.said('model', 'Measured sample.safetensors.');
    const rows = await seen.page.$$eval('#model tbody tr', (all) => all.map((tr) => [tr.dataset.kind, tr.dataset.number > 0, tr.lastChild.textContent]));
    assert(rows.length === 2 && rows.every(([, timed, test]) => timed && test.startsWith('largest error')), `both devices reproduce PyTorch's run: ${rows}`);
    const worst = await drop(seen, golden);
    assert(worst > 0 && worst < 1e-5, `WebGPU and CPU agree: ${worst}`);
    let note = `sample ${rows.map(([kind, , test]) => `${kind} ${test}`).join(', ')}; GRU ${worst}`;
    if (process.env.WGRU_DATA) {
      const folder = `${process.env.WGRU_DATA}/models/nsnet2`;
      const onnx = readdirSync(folder).find((name) => name.endsWith('.onnx'));
      const apart = await drop(seen, `${folder}/${onnx}`);
      assert(apart > 0 && apart < 1e-4, `${onnx}: WebGPU and CPU agree: ${apart}`);
      note += `, ${onnx} ${apart}`;
    }
    await seen.calm('a model');
    return note;
  },

  /** Switching the device stops training in progress; new training runs use the new device. */
  async switches(context) {
    const seen = await visit(context, 'cpu');
    await seen.press('forecast', 'train');
    await seen.press('gates', 'train');
    await seen.press('race', 'start');
    await seen.press('live', 'start');
    await seen.has('#forecast [data-value=loss][data-number]:not([data-number=""])');
    await seen.page.check('#device input[value=auto]', { force: true });
    await seen.has('#gates [data-control=train]:enabled');
    await seen.has('#race [data-control=start]:enabled');
    await seen.said('live', 'Stopped');
    await seen.has('#forecast [data-control=train]:enabled');
    await seen.has('#device:not([aria-busy])');
    await seen.press('forecast', 'train');
    await seen.said('forecast', 'Trained');
    await seen.press('gates', 'train');
    await seen.page.waitForFunction(() => Number(document.querySelector('#gates [data-value=epochs]').dataset.number) >= 2);
    await seen.press('gates', 'again');
    await seen.page.waitForFunction(() => document.querySelector('#gates [data-value=epochs]').dataset.number === '0');
    await seen.calm('switched');
  },

  /** Motion: without a sensor an error, and then with simulated events. */
  async motion(context) {
    const seen = await visit(context, 'cpu');
    await seen.page.selectOption('#live select', 'motion');
    await seen.press('live', 'start');
    await seen.has('#live [data-error]:not(:empty)');
    assert((await seen.text('#live [data-error]')).startsWith('unsupported:'), 'the code for a missing sensor');
    await seen.page.evaluate(() => {
      // WebKitGTK has no such events.
      globalThis.DeviceMotionEvent ??= Event;
      let at = 0;
      setInterval(() => {
        const accelerationIncludingGravity = { x: Math.sin(at++ / 9), y: 0, z: 9.8 + Math.cos(at / 5) + Math.sin(at * at) / 20 };
        dispatchEvent(Object.assign(new Event('devicemotion'), { accelerationIncludingGravity }));
      }, 5);
    });
    await seen.press('live', 'start');
    await seen.said('live', 'Threshold');
    await seen.page.waitForFunction(() => Number(document.querySelector('#live [data-value=samples]').dataset.number) > 200);
    await seen.press('live', 'inject');
    await seen.page.waitForFunction(() => Number(document.querySelector('#live [data-value=flags]').dataset.number) > 0);
    await seen.press('live', 'stop');
    await seen.said('live', 'Stopped');
    await seen.calm('motion');
  },

  /** A table of 17,420 rows does not block the page. */
  async largeTable(context) {
    if (!process.env.WGRU_DATA) return 'SKIPPED: WGRU_DATA is not set';
    const seen = await visit(context, 'cpu');
    const ended = await tasks(seen.page);
    await seen.page.setInputFiles('#forecast input[type=file]', `${process.env.WGRU_DATA}/forecast/ETTh1.csv`);
    await seen.page.waitForFunction(() => document.querySelector('#forecast [data-say=series]').textContent.startsWith('ETTh1.csv: 17420 rows'));
    await seen.page.selectOption('#forecast select', { label: 'OT' });
    await seen.page.waitForFunction(() => document.querySelector('#forecast [data-say=series]').textContent.startsWith('ETTh1.csv: 17420 rows'));
    await seen.press('forecast', 'train');
    await seen.has('#forecast [data-value=loss][data-number]:not([data-number=""])');
    await seen.press('forecast', 'stop');
    await seen.said('forecast', 'Stopped');
    const task = await ended();
    await seen.calm('a large table');
    return responsive(task);
  },

  /** Trains on WebGPU, loses the device, and continues. */
  async lost(context) {
    const seen = await visit(context, 'webgpu');
    const { page } = seen;
    assert((await page.getAttribute('#device', 'data-kind')) === 'webgpu', 'on WebGPU');
    await seen.press('gates', 'train');
    const epochs = (n) => page.waitForFunction((m) => Number(document.querySelector('#gates [data-value=epochs]').dataset.number) >= m, n);
    await epochs(1);
    const session = await page.context().browser()?.newBrowserCDPSession() ?? (await page.context().newCDPSession(page));
    await session.send('Browser.crashGpuProcess').catch(() => {});
    await seen.has('#device[data-state=lost]');
    await seen.has('#device[data-state=ready]');
    const note = await seen.text('#device [data-device=note]');
    assert(note.startsWith('Restored'), `the note reports the restored device: ${note}`);
    const at = await seen.number('gates', 'epochs');
    await epochs(at + 1);
    await seen.press('gates', 'stop');
    await seen.said('gates', 'Stopped');
    return note;
  },

  /** Operates the device switch and a panel by keyboard. */
  async keyboard(context) {
    const seen = await visit(context, 'auto');
    await seen.page.focus('#device input[value=auto]');
    await seen.page.keyboard.press('ArrowLeft');
    await seen.page.waitForFunction(() => document.querySelector('#device [data-device=kind]').textContent === 'CPU' && !document.querySelector('#device[aria-busy]'));
    // The forecast may be trained before the keys for Stop arrive; the gates train for longer.
    await seen.page.focus('#gates [data-control=train]');
    await seen.page.keyboard.press('Enter');
    await seen.page.waitForFunction(() => Number(document.querySelector('#gates [data-value=epochs]').dataset.number) >= 1);
    await seen.page.keyboard.press('Tab');
    await seen.page.keyboard.press('Space');
    await seen.said('gates', 'Stopped');
    await seen.calm('by keyboard');
  },

  /** Takes screenshots in the dark scheme and at the size of a phone. */
  async pictures(context) {
    for (const [name, look] of [['desktop-dark', { colorScheme: 'dark' }], ['phone', { width: 360, height: 780 }]]) {
      const seen = await visit(context, 'cpu', look);
      await seen.press('forecast', 'train');
      await seen.said('forecast', 'Trained');
      await drop(seen, golden);
      await seen.page.selectOption('#race [data-control=steps]', '30');
      await seen.has('#race [data-control=start]:enabled');
      await seen.press('race', 'start');
      await seen.has('#race tr[data-cell=gru]:not([data-reached=""])');
      await seen.press('race', 'stop');
      await seen.said('race', 'Stopped');
      const wide = await seen.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert(wide <= 0, `${name}: ${wide} px are cut off at the right`);
      const scrolled = await seen.page.$$eval('.scroll', (all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.closest('section').id));
      assert(!scrolled.length, `${name}: tables that need scrolling in ${scrolled}`);
      await seen.page.screenshot({ path: `${out}/${name}.png`, fullPage: true });
      await seen.calm(name);
    }
  },
};

/** Runs in a browser without WebGPU. */
async function withoutWebgpu(context) {
  const seen = await visit(context, 'auto');
  assert(await seen.page.evaluate(async () => !(await navigator.gpu?.requestAdapter())), 'the browser has no adapter');
  assert((await seen.page.getAttribute('#device', 'data-kind')) === 'cpu', 'on the CPU');
  const reason = await seen.text('#device [data-device=reason]');
  await drop(seen, golden);
  const times = await seen.page.$$eval('#model tbody tr', (all) => all.map((tr) => Number(tr.dataset.number)));
  assert(times.length === 1 && times[0] > 0, `a run on the CPU is timed: ${times}`);
  assert(/no-adapter|No other device/.test(await seen.text('#model [data-say=parity]')), 'reports that there is no other device');
  await seen.page.check('#device input[value=webgpu]', { force: true });
  await seen.has('#device [data-error]:not(:empty)');
  const told = await seen.text('#device [data-error]');
  assert(told.startsWith('no-adapter:'), `the code: ${told}`);
  await seen.press('forecast', 'train');
  await seen.said('forecast', 'Trained');
  assert(!seen.errors.length, `no console errors: ${seen.errors}`);
  return reason;
}

const wanted = process.argv.slice(2);
let [failed, skipped] = [0, 0];
async function all(options, named) {
  const chosen = Object.entries(named).filter(([name]) => !wanted.length || wanted.includes(name));
  if (!chosen.length) return;
  const { context, close } = await browser(options);
  try {
    for (const [name, test] of chosen) {
      const lack = LACKS[NEEDS[name]];
      if (lack) {
        skipped++;
        console.log(`SKIPPED ${name}: ${NAME}: ${lack}`);
        continue;
      }
      const [began, before] = [performance.now(), context.pages()];
      let note;
      try {
        note = await test(context);
      } catch (error) {
        failed++;
        note = `FAILED ${error.stack}`;
        await context.pages().at(-1)?.screenshot({ path: `${out}/failed-${name}.png`, fullPage: true }).catch(() => {});
      }
      if (note?.startsWith('SKIPPED')) skipped++;
      console.log(`${/^(FAILED|SKIPPED)/.test(note) ? '' : 'ok     '}${name} (${((performance.now() - began) / 1000).toFixed(1)} s)${note ? `: ${note}` : ''}`);
      await Promise.all(context.pages().filter((page) => !before.includes(page)).map((page) => page.close()));
    }
  } finally {
    await close();
  }
}
await all({}, tests);
await all({ webgpu: false }, { withoutWebgpu });
await all({ args: withMicrophone }, { denoiseMicrophone });
server.close();
if (skipped) console.log(`${skipped} skipped`);
if (failed) {
  console.error(`${failed} failed`);
  process.exit(1);
}
