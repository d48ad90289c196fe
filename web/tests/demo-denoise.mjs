// Tests of the panel that denoises: with small models made here, and with the published ones of WGRU_DATA.
import { readFileSync, readdirSync } from 'node:fs';
import { noise } from '../demo/ui.js';
import { encoded } from '../demo/wav.js';
import { MINUTES, assert, out, visit } from './page.mjs';
import { tasks } from './tasks.mjs';
import { masked, onnx, rising, scaled } from './tiny-onnx.mjs';

const RATE = 16_000;
const BINS = [1, 257, 1, 2];
const random = (length, size = 0.3) => Float32Array.from({ length }, noise(4)).map((v) => size * v);
const wav = (name, samples) => ({ name, mimeType: 'audio/wav', buffer: Buffer.from(encoded(samples, RATE)) });
const model = (name, buffer) => ({ name, mimeType: 'application/octet-stream', buffer });
/** A model whose output has another size than its input. */
const unlike = onnx({ inputs: { x: BINS }, outputs: { y: [1] }, constants: { one: 1, two: 2 }, nodes: [['Add', ['one', 'two'], 'y']] });
/** Reads the samples of a WAV file with a header of 44 bytes. */
const samplesOf = (file) => Float32Array.from({ length: (file.length - 44) / 2 }, (_, i) => file.readInt16LE(44 + 2 * i) / 32768);
const farthest = (a, b) => {
  assert(a.length === b.length && a.length > 0, `lengths ${a.length}, ${b.length}`);
  return a.reduce((worst, v, i) => Math.max(worst, Number.isNaN(v - b[i]) ? Infinity : Math.abs(v - b[i])), 0);
};

/** Opens the page. */
async function open(context, look) {
  const seen = await visit(context, 'cpu', look);
  const { page } = seen;
  const give = (kind, files) => page.setInputFiles(`#denoise [data-control=${kind}] input`, files);
  const read = async (kind, files, text) => {
    await give(kind, files);
    await page.waitForFunction(([k, t]) => document.querySelector(`#denoise [data-say=${k}]`).textContent.includes(t), [kind, text]);
    await page.waitForFunction(() => !document.querySelector('#denoise[aria-busy]'));
  };
  /** Denoises the recording, and returns the samples of the download. */
  const denoised = async () => {
    await seen.press('denoise', 'start');
    await page.waitForSelector('#denoise [data-control=download]:not([hidden])', { timeout: 5 * MINUTES });
    const [download] = await Promise.all([page.waitForEvent('download'), seen.press('denoise', 'download')]);
    return { name: download.suggestedFilename(), samples: samplesOf(readFileSync(await download.path())) };
  };
  const disabled = (name) => page.isDisabled(`#denoise [data-control=${name}]`);
  /** Counts the colors inside the axes of a spectrogram. */
  const inside = (chart) =>
    page.$eval(`#denoise [data-chart=${chart}]`, (canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0.3 * canvas.width, 0.3 * canvas.height, 0.5 * canvas.width, 0.3 * canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });
  const painted = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return { ...seen, give, read, denoised, disabled, inside, painted };
}

/** Prepares models in the page, and stores them as `window[name]` for `denoiserOf`. */
const load = ({ page }, name, files) =>
  page.evaluate(
    async ([name, files]) => {
      const [{ open }, { prepared }] = await Promise.all([import('/dist/js/index.js'), import('/demo/denoisers.js')]);
      const device = await open({ device: 'cpu', worker: false });
      const model = { networks: [] };
      for (const file of files) {
        const { kind, place, network } = await prepared(await device.loadOnnx(Uint8Array.from(atob(file), (c) => c.charCodeAt(0))));
        model.kind = kind;
        model.networks[place] = network;
      }
      window[name] = model;
    },
    [name, files.map((file) => Buffer.from(file).toString('base64'))],
  );

/** The largest difference between the worklet and `denoise`, of `seconds` of noise; and the delay of the worklet. */
const worklet = ({ page }, name, seconds) =>
  page.evaluate(
    async ([name, seconds, rate]) => {
      const [{ BLOCK, denoiseNode }, { Blocks, denoise, denoiserOf }, { noise }, { boundStreamOf }] = await Promise.all(
        ['/demo/denoise-microphone.js', '/demo/denoisers.js', '/demo/ui.js', '/dist/js/worklet-onnx.js'].map((url) => import(url)),
      );
      const context = new OfflineAudioContext(1, Math.ceil((seconds * rate) / BLOCK) * BLOCK, rate);
      const sound = context.createBuffer(1, context.length, rate);
      const samples = sound.getChannelData(0);
      const next = noise(6);
      samples.forEach((_, i) => (samples[i] = 0.1 * next() * (1 + Math.sin(i / 3000))));
      const node = await denoiseNode(context, window[name]);
      let failed;
      const heard = [];
      node.port.onmessage = ({ data }) => (data.error ? (failed = data.error.message) : data.before && heard.push(data));
      const source = new AudioBufferSourceNode(context, { buffer: sound });
      source.connect(node).connect(context.destination);
      source.start();
      const got = (await context.startRendering()).getChannelData(0);
      await new Promise((done) => setTimeout(done, 100));
      if (failed) throw new Error(failed);
      const denoiser = denoiserOf(window[name], boundStreamOf);
      const want = new Float32Array(samples.length);
      for (const _ of denoise(denoiser, samples, want));
      const { delay } = new Blocks(denoiser, BLOCK);
      denoiser.free();
      const far = (a, b) => a.reduce((worst, v, i) => Math.max(worst, Math.abs(v - b[i])), a.length === b.length && a.every(Number.isFinite) ? 0 : Infinity);
      const joined = (key) => Float32Array.from(heard.flatMap((message) => [...message[key]]));
      const [before, after] = [joined('before'), joined('after')];
      return {
        delay,
        worst: far(got.subarray(delay), want.subarray(0, want.length - delay)),
        loudest: want.reduce((max, v) => Math.max(max, Math.abs(v)), 0),
        changed: far(samples, want),
        sent: before.length / samples.length,
        told: Math.max(far(before, samples.subarray(0, before.length)), far(after, got.subarray(0, after.length))),
      };
    },
    [name, seconds, RATE],
  );

const data = process.env.WGRU_DATA;
const MODELS = {
  dtln: ['real/breizhn_DTLN/model_2.onnx', 'real/breizhn_DTLN/model_1.onnx'],
  gtcrn: ['real/Xiaobin-Rong_gtcrn/gtcrn_simple.onnx'],
  nsnet2: ['models/nsnet2/nsnet2-20ms-baseline.onnx'],
};

/** Ten digits of one speaker at 16 kHz, with pauses. */
function speech() {
  const folder = `${data}/speech/fsdd`;
  const files = readdirSync(folder).filter((name) => /^\d_jackson_7\.wav$/.test(name)).sort();
  assert(files.length === 10, `ten recordings: ${files}`);
  const slow = Float32Array.from(files.flatMap((file) => [...samplesOf(readFileSync(`${folder}/${file}`)), ...new Float32Array(1600)]));
  // Twice as many samples, by a windowed sinc function: the recordings have 8 kHz.
  const [reach, fast] = [32, new Float32Array(2 * slow.length)];
  const weight = (t) => (Math.sin(Math.PI * t) / (Math.PI * t)) * Math.cos((Math.PI * t) / (2 * reach)) ** 2;
  for (let n = 0; n < slow.length; n++) {
    fast[2 * n] = slow[n];
    for (let i = 1 - reach; i <= reach; i++) fast[2 * n + 1] += (slow[n + i] ?? 0) * weight(i - 0.5);
  }
  return fast;
}

/** The scale-invariant ratio of signal to distortion in decibels, as `examples/denoise` computes it. */
function ratio(estimate, target) {
  const centered = (x) => {
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    return Float64Array.from(x, (v) => v - mean);
  };
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const [x, s] = [centered(estimate), centered(target)];
  const alpha = dot(x, s) / dot(s, s);
  const distortion = x.map((v, i) => alpha * s[i] - v);
  return 10 * Math.log10((alpha * alpha * dot(s, s)) / dot(distortion, distortion));
}

/** Adds noise whose energy is 5 dB below that of the speech. It has the band of the recordings, up to 4 kHz. */
function noisy(clean) {
  const next = noise(9);
  const slow = Float32Array.from({ length: clean.length / 2 }, () => next() + next() + next());
  const added = clean.map((_, i) => (i % 2 ? (slow[(i - 1) / 2] + (slow[(i + 1) / 2] ?? 0)) / 2 : slow[i / 2]));
  const energy = (x) => x.reduce((sum, v) => sum + v * v, 0);
  const gain = Math.sqrt((energy(clean) / energy(added)) * 10 ** -0.5);
  return clean.map((v, i) => v + gain * added[i]);
}

export const denoise = {
  /** A model of a known gain: the download, the players, the pictures and the numbers are right, and nothing blocks. */
  async denoise(context) {
    const seen = await open(context);
    const { page } = seen;
    assert((await seen.disabled('start')) && (await seen.disabled('cancel')) && (await page.isHidden('#denoise [data-say=result]')), 'nothing to do yet');
    const ended = await tasks(page);
    const samples = random(6 * RATE + 77);
    await seen.read('recording', wav('a room.wav', samples), 'a room.wav, 6 s.');
    assert(await seen.disabled('start'), 'no model yet');
    await seen.painted();
    assert((await seen.inside('before')) > 20 && (await seen.inside('after')) === 1, 'only the recording is drawn');
    await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'GTCRN (half.onnx).');
    assert((await page.getAttribute('#denoise [data-control=play-after]', 'src')) === null, 'nothing denoised yet');
    const { name, samples: got } = await seen.denoised();
    assert(name === 'a room-gtcrn.wav', name);
    const worst = farthest(got, samplesOf(wav('', samples).buffer).map((v) => v / 2));
    assert(worst <= 1.6 / 32768, `half of the recording: ${worst}`);
    await seen.painted();
    assert((await seen.inside('after')) > 20, 'the result is drawn');
    assert((await seen.number('denoise', 'factor')) > 0 && (await seen.number('denoise', 'delay')) === 256, 'the numbers');
    const lengths = await page.$$eval('#denoise audio', (all) => Promise.all(all.map((a) => (a.readyState ? a.duration : new Promise((done) => (a.onloadedmetadata = () => done(a.duration)))))));
    assert(lengths.every((seconds) => Math.abs(seconds - samples.length / RATE) < 0.01), `both players have the sound: ${lengths}`);
    const task = await ended();
    await seen.calm('denoised');
    assert(task.count > 50 && task.own <= 50, `never unresponsive over 50 ms: ${task.own} of ${task.count} tasks`);
    return `largest difference ${worst}; longest of ${task.count} tasks ${task.own.toFixed(0)} ms of its own`;
  },

  /** States start anew with every run; two files make one model; another model replaces it. */
  async denoiseModelFiles(context) {
    const seen = await open(context);
    const samples = random(2 * RATE);
    await seen.read('recording', wav('noise.wav', samples), 'noise.wav');
    await seen.read('model', model('rising.onnx', rising(BINS, 0.005)), 'rising.onnx');
    const one = await seen.denoised();
    const loudness = (from, to) => Math.sqrt(one.samples.subarray(from, to).reduce((sum, v) => sum + v * v, 0) / (to - from));
    const [early, late] = [loudness(0, RATE / 2), loudness(1.5 * RATE, 2 * RATE)];
    assert(late > 4 * early && early > 0, `the state rises from frame to frame: ${early}, ${late}`);
    await seen.press('denoise', 'start');
    await seen.has('#denoise [data-control=download]:not([hidden])');
    const two = await seen.denoised();
    assert(farthest(one.samples, two.samples) === 0, 'the state starts anew');

    await seen.read('model', model('blocks.onnx', scaled([1, 1, 512], 0.25)), 'DTLN needs two files. Found blocks.onnx. Add model_1.onnx.');
    assert((await seen.disabled('start')) && (await seen.disabled('listen')), 'one half is no model');
    await seen.read('model', model('mask.onnx', masked([1, 1, 257], 0.5)), 'DTLN (mask.onnx and blocks.onnx).');
    const dtln = await seen.denoised();
    const worst = farthest(dtln.samples, samplesOf(wav('', samples).buffer).map((v) => v / 2));
    assert(dtln.name === 'noise-dtln.wav' && worst <= 1.6 / 32768, `${dtln.name}: ${worst}`);
    await seen.read('model', model('gain.onnx', masked([1, 1, 161], 0.25)), 'nsnet2 (gain.onnx).');
    const quarter = await seen.denoised();
    assert(farthest(quarter.samples, samplesOf(wav('', samples).buffer).map((v) => v / 4)) <= 1.6 / 32768, 'a quarter');
    // Both halves at once, in any order.
    await seen.read('model', [model('b.onnx', scaled([1, 1, 512], 0.25)), model('a.onnx', masked([1, 1, 257], 1))], 'DTLN (a.onnx and b.onnx).');
    await seen.calm('model files');
  },

  /** Dropped files are read like chosen ones. Files that are neither are errors, and what was there stays. */
  async denoiseFiles(context) {
    const seen = await open(context);
    const { page } = seen;
    const error = () => seen.text('#denoise [data-error]');
    const files = [model('half.onnx', scaled(BINS, 0.5)), wav('speech.wav', random(RATE))];
    await page.evaluate((files) => {
      const dataTransfer = new DataTransfer();
      for (const { name, base64 } of files) dataTransfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
      const send = (type) => document.querySelector('#denoise h2').dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
      send('dragover');
      window.marked = document.querySelector('#denoise').classList.contains('over');
      send('drop');
    }, files.map(({ name, buffer }) => ({ name, base64: buffer.toString('base64') })));
    await seen.has('#denoise [data-control=start]:enabled');
    assert(await page.evaluate(() => window.marked && !document.querySelector('#denoise').classList.contains('over')), 'the panel is marked while files are over it');
    for (const [kind, file, code, word] of [
      ['model', model('odd.onnx', scaled([1, 3, 7], 1)), 'format: odd.onnx:', 'x [1,3,7]'],
      ['model', model('text.onnx', Buffer.from('nothing')), 'format: text.onnx:', ''],
      ['recording', { name: 'words.txt', mimeType: 'text/plain', buffer: Buffer.from('words') }, 'format: words.txt:', 'WAV'],
      ['recording', wav('long.wav', new Float32Array(10.1 * 60 * RATE)), 'value: long.wav:', '10 minutes'],
      ['model', model('unlike.onnx', unlike), '', ''],
    ]) {
      await seen.give(kind, file);
      await seen.said('denoise', code ? `${file.name} was not read.` : 'Ready.');
      if (code) assert((await error()).startsWith(code) && (await error()).includes(word), `${file.name}: ${await error()}`);
    }
    // The size of an output is known when the model runs.
    await seen.press('denoise', 'start');
    await seen.said('denoise', 'The recording was not denoised.');
    assert((await error()).startsWith('shape: the first output'), await error());
    await seen.read('model', files[0], 'half.onnx');
    await seen.denoised();
    assert(await page.isVisible('#denoise [data-say=result]'), 'works after errors');
    await seen.calm('files');
  },

  /** A run can be cancelled, and another one started. */
  async denoiseCancel(context) {
    const seen = await open(context);
    await seen.read('recording', wav('long.wav', random(540 * RATE)), 'long.wav, 540 s.');
    await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'half.onnx');
    const ended = await tasks(seen.page);
    await seen.press('denoise', 'start');
    await seen.page.waitForFunction(() => document.querySelector('#denoise progress').value > 0.01);
    assert((await seen.disabled('start')) && !(await seen.disabled('cancel')), 'only Cancel can be used');
    await seen.press('denoise', 'cancel');
    await seen.said('denoise', 'Cancelled.');
    const share = await seen.page.$eval('#denoise progress', (bar) => bar.value);
    assert(share < 1 && (await seen.page.isHidden('#denoise progress')) && (await seen.page.isHidden('#denoise [data-control=download]')), `cancelled at ${share}`);
    const task = await ended();
    assert(task.own <= 50, `never unresponsive over 50 ms: ${task.own} of ${task.count} tasks`);
    await seen.read('recording', wav('short.wav', random(RATE)), 'short.wav');
    assert((await seen.denoised()).samples.length === RATE, 'denoised after that');
    await seen.calm('cancelled');
    return `cancelled at ${(100 * share).toFixed(0)} %; longest task ${task.own.toFixed(0)} ms of its own`;
  },

  /** Operates the panel by keyboard: labels, the order of the focus, start and cancel. */
  async denoiseKeyboard(context) {
    const seen = await open(context);
    const { page } = seen;
    const panel = page.locator('#denoise');
    await seen.read('recording', wav('speech.wav', random(120 * RATE)), 'speech.wav');
    await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'half.onnx');
    for (const [role, name] of [['button', 'Choose the files of a model'], ['button', 'Choose a recording'], ['button', 'Denoise'], ['button', 'Cancel'], ['button', 'Start microphone'], ['checkbox', 'Play the result (use headphones)'], ['img', 'Spectrogram of the recording'], ['img', 'Spectrogram of the denoised recording']])
      assert((await panel.getByRole(role, { name, exact: true }).count()) === 1, `a ${role} named ${name}`);
    assert((await panel.getByRole('status').count()) === 1, 'one place for announcements');
    assert((await panel.locator('audio[aria-label]').count()) === 2, 'the players are named');
    await page.focus('#denoise [data-control=model] input');
    const order = [];
    for (let i = 0; i < 3; i++) {
      order.push(await page.evaluate(() => document.activeElement.dataset.control ?? document.activeElement.parentElement.dataset.control));
      await page.keyboard.press('Tab');
    }
    assert(order.join() === 'model,recording,start', `the order of the focus: ${order}`);
    await page.focus('#denoise [data-control=start]');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#denoise progress').value > 0.01);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await seen.said('denoise', 'Cancelled.');
    await seen.calm('by keyboard');
  },

  /** The audio worklet gives the samples of a recording, later by its delay. */
  async denoiseWorklet(context) {
    const seen = await open(context);
    const notes = [];
    const all = { rising: [rising(BINS, 0.01)], halves: [scaled([1, 1, 512], 0.25), masked([1, 1, 257], 0.5)], gains: [masked([1, 1, 161], 0.5)] };
    if (data) for (const [name, files] of Object.entries(MODELS)) all[name] = files.map((file) => readFileSync(`${data}/${file}`));
    else notes.push('SKIPPED the published models: WGRU_DATA is not set');
    for (const [name, files] of Object.entries(all)) {
      await load(seen, name, files);
      const { delay, worst, loudest, changed, sent, told } = await worklet(seen, name, 2);
      assert(loudest > 1e-3 && changed > 1e-3, `${name} makes another sound: ${loudest}, ${changed}`);
      assert(worst === 0, `${name}: the same samples ${delay} later, not ${worst} apart`);
      assert(sent > 0.9 && told === 0, `${name}: the page hears both sounds: ${sent} of them, ${told} apart`);
      notes.push(`${name} ${delay} samples later`);
    }
    await seen.calm('a worklet');
    return notes.join(', ');
  },

  /** A running spectrogram moves to the left; with reduced motion, it is overwritten from the left. */
  async denoiseSpectrogram(context) {
    for (const [reducedMotion, want] of [['no-preference', [2, 3, 4, 5]], ['reduce', [4, 5, 2, 3]]]) {
      const seen = await open(context, { reducedMotion });
      // Six columns on a canvas of four: each has a level of its own, and thus a color.
      const got = await seen.page.evaluate(async () => {
        const [{ Spectrogram }, { ROWS }] = await Promise.all([import('/demo/spectrogram.js'), import('/demo/levels.js')]);
        const canvas = Object.assign(document.createElement('canvas'), { height: 120 });
        document.body.replaceChildren(canvas);
        const picture = new Spectrogram(canvas, { top: 8, running: true });
        picture.clear({ columns: 4, seconds: 1, range: [0, 6] });
        const colors = [];
        const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const pixel = (share, y = 0.5) => canvas.getContext('2d').getImageData(44 + (canvas.width - 48) * share, y * canvas.height, 1, 1).data.join();
        for (let column = 0; column < 6; column++) {
          // The upper half of the frequencies is silent.
          picture.push(Float32Array.from({ length: ROWS }, (_, row) => (row < ROWS / 2 ? column : 0)));
          if (column < 4) {
            await frame();
            colors.push(pixel(column / 4 + 0.125, 0.7));
          }
        }
        await frame();
        const at = [0, 1, 2, 3].map((i) => pixel(i / 4 + 0.125, 0.7));
        return { known: colors, at, above: new Set([0, 1, 2, 3].map((i) => pixel(i / 4 + 0.125, 0.3))).size };
      });
      assert(new Set(got.known).size === 4 && new Set(got.at).size === 4 && got.above === 1, `colors by level, low frequencies below: ${JSON.stringify(got)}`);
      const place = (column) => got.at.indexOf(got.known[column]);
      assert([2, 3].every((column) => place(column) === want.indexOf(column)), `${reducedMotion}: ${JSON.stringify(got)}`);
      assert([4, 5].every((column) => !got.known.includes(got.at[want.indexOf(column)])), `${reducedMotion}: new columns`);
    }
  },

  /** Takes screenshots in the dark scheme and at the size of a phone. */
  async denoisePictures(context) {
    for (const [name, look] of [['dark', { colorScheme: 'dark' }], ['phone', { width: 360, height: 780 }]]) {
      const seen = await open(context, look);
      const sweep = random(4 * RATE, 0.01).map((v, i) => v + 0.3 * Math.sin(2 * Math.PI * 900 * (i / RATE) ** 2));
      await seen.read('recording', wav('a rather long name of a recording from somewhere.wav', sweep), '4 s.');
      await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'half.onnx');
      await seen.denoised();
      await seen.painted();
      const wide = await seen.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert(wide <= 0, `${name}: ${wide} px are cut off at the right`);
      await seen.page.locator('#denoise').screenshot({ path: `${out}/denoise-${name}.png` });
      await seen.calm(name);
    }
  },

  /** Without a microphone, the panel says so. */
  async denoiseNoMicrophone(context) {
    const seen = await open(context);
    await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'half.onnx');
    assert((await seen.text('#denoise [data-say=microphone]')) === 'No microphone was found.', await seen.text('#denoise [data-say=microphone]'));
    assert((await seen.disabled('listen')) && (await seen.disabled('mute')), 'the microphone cannot be started');
    await seen.calm('no microphone');
  },

  /** The published models remove noise from speech. */
  async denoisePublished(context) {
    if (!data) return 'SKIPPED: WGRU_DATA is not set';
    const seen = await open(context);
    const clean = speech();
    const mixed = noisy(clean);
    const before = ratio(mixed, clean);
    assert(Math.abs(before - 5) < 0.3, `speech at 5 dB: ${before}`);
    const ended = await tasks(seen.page);
    await seen.read('recording', wav('digits.wav', mixed), 'digits.wav');
    const notes = [];
    for (const [kind, least] of [['dtln', 6], ['gtcrn', 6], ['nsnet2', 1]]) {
      await seen.read('model', MODELS[kind].map((file) => `${data}/${file}`), `${{ dtln: 'DTLN', gtcrn: 'GTCRN', nsnet2: 'nsnet2' }[kind]} (`);
      const { samples } = await seen.denoised();
      const after = ratio(samples, clean);
      assert(after - before >= least, `${kind}: ${before} dB before, ${after} dB after`);
      notes.push(`${kind} ${after.toFixed(2)} dB, real-time factor ${(await seen.number('denoise', 'factor')).toFixed(2)}`);
    }
    const task = await ended();
    await seen.painted();
    await seen.page.locator('#denoise').screenshot({ path: `${out}/denoise.png` });
    await seen.calm('published models');
    assert(task.own <= 50, `never unresponsive over 50 ms: ${task.own} of ${task.count} tasks`);
    return `${before.toFixed(2)} dB before; ${notes.join(', ')}; longest of ${task.count} tasks ${task.own.toFixed(0)} ms of its own`;
  },
};

/** Arguments of a browser with a simulated microphone, which beeps every second. */
export const withMicrophone = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

/** The microphone is drawn, measured and stopped. */
export async function denoiseMicrophone(context) {
  const seen = await open(context, { colorScheme: 'dark' });
  const { page } = seen;
  assert((await seen.disabled('listen')) && (await seen.text('#denoise [data-say=microphone]')).includes('needs a model'), 'a model is needed');
  await seen.read('model', model('half.onnx', scaled(BINS, 0.5)), 'half.onnx');
  assert((await seen.text('#denoise [data-say=microphone]')).includes('asks for permission'), 'says that permission is needed');
  await seen.press('denoise', 'listen');
  await seen.said('denoise', 'Listening with GTCRN.');
  await seen.has('#denoise [data-value=live-after][data-number]:not([data-number=""])');
  // The mean power of all measurements of 4 s: the delay of the model moves a part of a beep to the next measurement.
  const [before, after] = await page.evaluate(async () => {
    const values = ['before', 'after'].map((name) => document.querySelector(`#denoise [data-value=live-${name}]`));
    const powers = [0, 0];
    let count = 0;
    const observer = new MutationObserver(() => {
      values.forEach((value, i) => (powers[i] += 10 ** (Number(value.dataset.number) / 10)));
      count += 1;
    });
    for (const value of values) observer.observe(value, { attributes: true });
    await new Promise((done) => setTimeout(done, 4000));
    return powers.map((power) => 10 * Math.log10(power / count));
  });
  assert(before > -40 && Math.abs(before - after - 6.02) < 2, `half as loud: ${before} dB, ${after} dB`);
  await seen.painted();
  assert((await seen.inside('live-before')) > 20 && (await seen.inside('live-after')) > 20, 'both spectrograms are drawn');
  assert((await seen.number('denoise', 'live-delay')) === 384, 'the delay of GTCRN in blocks of 128');
  assert((await seen.number('denoise', 'live-factor')) >= 0, 'a real-time factor');
  await page.check('#denoise [data-control=play]');
  await page.locator('#denoise').screenshot({ path: `${out}/denoise-microphone.png` });
  await seen.press('denoise', 'mute');
  await seen.said('denoise', 'The microphone stopped.');
  assert(!(await seen.disabled('listen')) && (await seen.disabled('mute')), 'it can be started again');
  await seen.calm('the microphone');

  const error = () => seen.text('#denoise [data-error]');
  await seen.read('model', model('unlike.onnx', unlike), 'unlike.onnx');
  await seen.press('denoise', 'listen');
  await seen.said('denoise', 'The microphone did not start.');
  assert((await error()).startsWith('shape: the first output') && !(await seen.disabled('listen')), `an error in the worklet: ${await error()}`);
  await page.evaluate(() => (navigator.mediaDevices.getUserMedia = async () => Promise.reject(new DOMException('no', 'NotAllowedError'))));
  await seen.press('denoise', 'listen');
  await seen.said('denoise', 'The microphone did not start.');
  await page.waitForFunction(() => document.querySelector('#denoise [data-error]').textContent.startsWith('unsupported: access to the microphone was denied'));
  assert(!(await seen.disabled('listen')) && !seen.errors.length, `it can be tried again: ${seen.errors}`);
  return `${before.toFixed(1)} dB and ${after.toFixed(1)} dB`;
}
