// Tests the parts of the panel `denoise` that compute without a browser: transforms, framing, levels and WAV files.
//   node tests/demo-sound.test.mjs
import assert from 'node:assert/strict';
import test from 'node:test';
import { Blocks, KINDS, denoise, denoiserOf, recognized } from '../demo/denoisers.js';
import { Levels, ROWS, SILENCE, energy, layout, loudness } from '../demo/levels.js';
import { Fft, Stft, rootHann } from '../demo/stft.js';
import { noise } from '../demo/ui.js';
import { encoded } from '../demo/wav.js';

const random = (length, seed = 1) => Float32Array.from({ length }, noise(seed));
const farthest = (a, b) => {
  assert.ok(a.length === b.length && a.length > 0, `lengths ${a.length}, ${b.length}`);
  return a.reduce((worst, v, i) => Math.max(worst, Number.isNaN(v - b[i]) ? Infinity : Math.abs(v - b[i])), 0);
};

/** The bins of a transform, by its definition. */
function direct(re, im, sign) {
  const size = re.length;
  return Array.from({ length: size }, (_, k) => {
    let [a, b] = [0, 0];
    for (let t = 0; t < size; t++) {
      const angle = (sign * 2 * Math.PI * ((k * t) % size)) / size;
      a += re[t] * Math.cos(angle) - im[t] * Math.sin(angle);
      b += re[t] * Math.sin(angle) + im[t] * Math.cos(angle);
    }
    return [a, b];
  });
}

test('the fast transform matches the definition, in both directions', () => {
  for (const size of [1, 2, 3, 4, 5, 7, 8, 12, 45, 320, 512]) {
    const fft = new Fft(size);
    for (const [inverse, sign] of [[false, -1], [true, 1]]) {
      const [re, im] = [Float64Array.from(random(size, 2)), Float64Array.from(random(size, 3))];
      const want = direct(re, im, sign);
      fft.run(re, im, inverse);
      const worst = Math.max(farthest(re, want.map(([a]) => a)), farthest(im, want.map(([, b]) => b)));
      assert.ok(worst <= 1e-11, `size ${size}, sign ${sign}: ${worst}`);
    }
  }
});

test('unchanged spectra give the delayed input', () => {
  const hann = Float64Array.from({ length: 320 }, (_, i) => Math.sin((Math.PI * i) / 319));
  for (const [window, hop] of [[rootHann(512), 256], [rootHann(512), 128], [new Float64Array(512).fill(1), 128], [hann, 160]]) {
    const stft = new Stft(window, hop);
    const [input, output] = [random(20 * hop), new Float32Array(20 * hop).fill(NaN)];
    for (let at = 0; at < input.length; at += hop) {
      stft.analyze(input.subarray(at, at + hop));
      stft.synthesize(output.subarray(at, at + hop));
    }
    assert.equal(stft.delay, window.length - hop);
    const worst = farthest(output.subarray(stft.delay), input.subarray(0, input.length - stft.delay));
    assert.ok(worst <= 1e-6, `hop ${hop}: ${worst}`);
    assert.ok(output.subarray(0, stft.delay).every((v) => Math.abs(v) <= 1e-6), `hop ${hop}: silence before the delay`);
  }
});

/** Networks that compute `y = of(x)`, and record their inputs. */
const fakes = (kind, ...functions) => {
  const heard = functions.map(() => []);
  const networks = functions.map((of, i) => ({ parts: { of, i }, input: 'x', output: 'y' }));
  const bind = ({ of, i }) => {
    const length = KINDS[kind].frames[i].reduce((a, b) => a * b);
    const [x, y] = [new Float32Array(length).fill(NaN), new Float32Array(length).fill(NaN)];
    return {
      inputs: { x },
      outputs: { y },
      run() {
        heard[i].push(Float32Array.from(x));
        y.set(x.map(of));
      },
      free() {},
    };
  };
  return { denoiser: denoiserOf({ kind, networks }, bind), heard };
};

/** Networks that change nothing but the volume. Of the blocks of DTLN, four overlap, and they are only added. */
const scaling = {
  dtln: (gain) => fakes('dtln', () => 1, (v) => (gain * v) / 4),
  gtcrn: (gain) => fakes('gtcrn', (v) => gain * v),
  nsnet2: (gain) => fakes('nsnet2', () => gain),
};
const whole = (denoiser, samples) => {
  const output = new Float32Array(samples.length).fill(NaN);
  let done = 0;
  for (const now of denoise(denoiser, samples, output)) {
    assert.ok(now >= done && now <= samples.length);
    done = now;
  }
  assert.equal(done, samples.length);
  return output;
};

test('every model frames sound so that a gain is a gain, without delay, at any length', () => {
  for (const [kind, make] of Object.entries(scaling))
    for (const length of [1, 100, 512, 5000]) {
      const samples = random(length);
      for (const gain of [1, 0.25]) {
        const worst = farthest(whole(make(gain).denoiser, samples), samples.map((v) => gain * v));
        assert.ok(worst <= 1e-6, `${kind}, ${length} samples, gain ${gain}: ${worst}`);
      }
    }
});

test('a mask of DTLN and a gain of nsnet2 scale the spectrum; the gain is limited', () => {
  const samples = random(4000);
  const { denoiser } = fakes('dtln', () => 0.5, (v) => v / 4);
  assert.ok(farthest(whole(denoiser, samples), samples.map((v) => v / 2)) <= 1e-6);
  assert.ok(farthest(whole(scaling.nsnet2(7).denoiser, samples), samples) <= 1e-6);
  assert.ok(farthest(whole(scaling.nsnet2(-1).denoiser, samples), samples.map((v) => 1e-4 * v)) <= 1e-6);
});

test('the features are those of the models', () => {
  const samples = random(2048);
  const features = {
    dtln: (re, im) => [Math.hypot(re, im)],
    gtcrn: (re, im) => [re, im],
    nsnet2: (re, im) => [Math.log10(Math.max(1e-12, re * re + im * im))],
  };
  const windows = { dtln: () => 1, gtcrn: (i) => Math.sin((Math.PI * i) / 512), nsnet2: (i) => Math.sin((Math.PI * i) / 319) };
  for (const [kind, of] of Object.entries(features)) {
    const { denoiser, heard } = scaling[kind](1);
    for (const _ of denoise(denoiser, samples, new Float32Array(samples.length)));
    const size = denoiser.hop + denoiser.delay;
    // The fifth frame ends after as many hops.
    const window = Float64Array.from({ length: size }, (_, i) => samples[5 * denoiser.hop - size + i] * windows[kind](i));
    const want = direct(window, new Float64Array(size), -1).slice(0, size / 2 + 1).flatMap(([re, im]) => of(re, im));
    const worst = farthest(heard[0][4], want);
    assert.ok(worst <= 1e-4, `${kind}: ${worst}`);
    if (kind === 'dtln') assert.ok(farthest(heard[1][4], window) <= 1e-5, 'the second network of DTLN reads the samples');
  }
});

test('blocks of any length give the same sound, with a constant delay', () => {
  const samples = random(12_800);
  for (const [kind, make] of Object.entries(scaling))
    for (const length of [128, 64, 100, 441]) {
      const { denoiser } = make(1);
      const blocks = new Blocks(denoiser, length);
      const output = new Float32Array(Math.floor(samples.length / length) * length);
      for (let at = 0; at < output.length; at += length) blocks.process(samples.subarray(at, at + length), output.subarray(at, at + length));
      const { delay } = blocks;
      assert.ok(delay >= denoiser.delay && delay < denoiser.delay + denoiser.hop, `${kind}: a delay of ${delay}`);
      const worst = farthest(output.subarray(delay), samples.subarray(0, output.length - delay));
      assert.ok(worst <= 1e-6, `${kind}, blocks of ${length}: ${worst}`);
    }
  // One block of an audio worklet is a frame of DTLN.
  assert.equal(new Blocks(scaling.dtln(1).denoiser, 128).delay, 384);
});

test('models are recognized by the extents of their first input', () => {
  const info = (dims, type = 'float32') => ({ inputs: [{ name: 'a', dims, type }, { name: 'b', dims: [1], type }] });
  for (const [dims, kind, place] of [
    [[1, 1, 257], 'dtln', 0],
    [[1, 1, 512], 'dtln', 1],
    [['batch', null, 512], 'dtln', 1],
    [[1, 257, 1, 2], 'gtcrn', 0],
    [['batch_size', 'frames', 161], 'nsnet2', 0],
  ])
    assert.deepEqual(recognized(info(dims)), { kind, place }, dims.join());
  for (const dims of [[1, 1, 256], [2, 1, 257], [1, 1, 257, 1], [257], [1, 257, 2], null]) assert.equal(recognized(info(dims)), null, String(dims));
  assert.equal(recognized(info([1, 1, 257], 'int64')), null);
  assert.equal(recognized({ inputs: [] }), null);
});

test('a network with an output of another size is refused, and the others are freed', () => {
  let freed = 0;
  const bind = (length) => ({ inputs: { x: new Float32Array(4) }, outputs: { y: new Float32Array(length) }, free: () => freed++ });
  const networks = [4, 5].map((parts) => ({ parts, input: 'x', output: 'y' }));
  assert.throws(() => denoiserOf({ kind: 'dtln', networks }, bind), { code: 'shape' });
  assert.equal(freed, 2);
});

test('a sine has the level of its amplitude in the row of its frequency', () => {
  const rate = 16_000;
  const sine = (hertz, amplitude) => Float32Array.from({ length: rate }, (_, i) => amplitude * Math.sin((2 * Math.PI * hertz * i) / rate));
  for (const [hertz, amplitude, level] of [[1000, 1, 0], [3000, 0.1, -20]]) {
    const levels = new Levels({ hop: 128, pool: 2 }).push(sine(hertz, amplitude));
    assert.equal(levels.length, ROWS * Math.floor(rate / 256));
    const column = levels.subarray(ROWS * 30, ROWS * 31);
    const loudest = column.indexOf(Math.max(...column));
    assert.equal(loudest, Math.floor((hertz / (rate / 2)) * ROWS));
    assert.ok(Math.abs(column[loudest] - level) < 0.1, `${hertz} Hz: ${column[loudest]} dB`);
    assert.ok(column[ROWS - 20] < level - 60, 'silence elsewhere');
    assert.ok(Math.abs(loudness(energy(sine(hertz, amplitude)) / rate) - (level - 3.01)) < 0.01);
  }
  assert.ok(new Levels({ hop: 512, pool: 1 }).push(new Float32Array(1024)).every((v) => v === SILENCE));
  assert.equal(loudness(energy(new Float32Array(9))), SILENCE);
});

test('levels do not depend on the pieces in which the sound arrives', () => {
  const samples = random(9000);
  const shape = { hop: 128, pool: 3 };
  const once = new Levels(shape).push(samples);
  const levels = new Levels(shape);
  const pieces = [];
  for (let at = 0, length = 1; at < samples.length; at += length, length = (length * 7) % 501) pieces.push(...levels.push(samples.subarray(at, at + length)));
  assert.deepEqual(pieces, [...once]);
  assert.equal(once.length, ROWS * Math.floor(9000 / 384));
});

test('a layout covers a sound of any length', () => {
  for (const length of [1, 1000, 160_000, 1_000_000, 9_600_000]) {
    const { hop, pool, columns } = layout(length);
    assert.ok(hop <= 512 && columns <= 800 && columns * hop * pool >= length && (columns - 1) * hop * pool < length, `${length}: ${hop} ${pool} ${columns}`);
  }
});

test('WAV files have the header and the samples', () => {
  const bytes = encoded(Float32Array.of(0, 0.5, -1, 1, 2, -3, 1 / 32768), 16_000);
  const file = Buffer.from(bytes);
  assert.equal(file.length, 44 + 14);
  assert.equal(file.toString('latin1', 0, 4) + file.toString('latin1', 8, 16) + file.toString('latin1', 36, 40), 'RIFFWAVEfmt data');
  assert.deepEqual([4, 16, 24, 28, 40].map((at) => file.readUInt32LE(at)), [file.length - 8, 16, 16_000, 32_000, 14]);
  assert.deepEqual([20, 22, 32, 34].map((at) => file.readUInt16LE(at)), [1, 1, 2, 16]);
  assert.deepEqual(Array.from({ length: 7 }, (_, i) => file.readInt16LE(44 + 2 * i)), [0, 16384, -32768, 32767, 32767, -32768, 1]);
});
