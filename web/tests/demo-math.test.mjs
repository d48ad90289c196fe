// Tests the parts of the page that compute without a browser: intervals, dates and the task of the race.
//   node tests/demo-math.test.mjs
import assert from 'node:assert/strict';
import test from 'node:test';
import { GUESS, adding } from '../demo/adding.js';
import { continued, short } from '../demo/dates.js';
import { coverage, errors, radii, radius } from '../demo/intervals.js';
import { noise } from '../demo/ui.js';

test('the radius is the k-th smallest absolute error, as in the Rust library', () => {
  // The example of `SplitConformal`: residuals of 0.1 to 1.9, of which 90 % takes the 18th.
  const residuals = Array.from({ length: 19 }, (_, i) => (i % 2 ? -1 : 1) * 0.1 * (i + 1)).reverse();
  assert.ok(Math.abs(radius(residuals, 0.9) - 1.8) < 1e-12);
  // Nine residuals are the fewest for 90 %.
  assert.equal(radius([5, 1, 4, -9, 2, 3, 8, 7, 6], 0.9), 9);
  assert.equal(radius([5, 1, 4, -9, 2, 3, 8, 7], 0.9), Infinity);
  assert.equal(radius([], 0.9), Infinity);
});

test('errors are those of rows before the end, by horizon', () => {
  const values = [0, 10, 20, 30, 40];
  // Origins at the rows 2, 3 and 4, each with forecasts of two rows.
  const forecasts = [19, 28, 27, 36, 35, 44];
  assert.deepEqual(errors(forecasts, 2, values, 2, 5), [[1, 3, 5], [2, 4]]);
  assert.deepEqual(errors(forecasts, 2, values, 2, 4), [[1, 3], [2]]);
  assert.deepEqual(errors(forecasts, 2, values, 2, 2), [[], []]);
});

test('intervals cover the wanted share of new values, at each horizon', () => {
  const next = noise(3);
  const draw = (n, size) => Array.from({ length: n }, () => size * (next() + next() + next()));
  const both = (n) => [draw(n, 1), draw(n, 4)];
  for (const share of [0.5, 0.9]) {
    const found = radii(both(4000), share);
    assert.ok(found[1] > 3 * found[0], `wider at the second horizon: ${found}`);
    const [near, far] = both(4000);
    for (const covered of [coverage([near], [found[0]]), coverage([far], [found[1]]), coverage([near, far], found)])
      assert.ok(Math.abs(covered - share) < 0.02, `${covered} of ${share}`);
  }
});

test('a horizon with few errors uses those of all', () => {
  const many = Array.from({ length: 40 }, (_, i) => i + 1);
  const [own, pooled] = radii([many, [100, 200]], 0.9);
  assert.equal(own, radius(many, 0.9));
  assert.equal(pooled, radius([...many, 100, 200], 0.9));
  assert.equal(coverage([[], []], [1, 1]), null);
  assert.equal(coverage([[1, -3], [2]], [2, 2]), 2 / 3);
});

const days = (first, count, step = 1) => Array.from({ length: count }, (_, i) => new Date(Date.parse(first) + i * step * 86.4e6).toISOString().slice(0, 10));

test('dates continue in the format of the last one', () => {
  const hours = Array.from({ length: 48 }, (_, i) => new Date(Date.UTC(2018, 5, 25, i)).toISOString());
  for (const [labels, next] of [
    [days('2015-12-01', 31), ['2016-01-01', '2016-01-02']],
    // A daily table over the end of February in a leap year, and one with a missing day.
    [days('2024-02-01', 28), ['2024-02-29', '2024-03-01']],
    [[...days('2015-03-01', 10), ...days('2015-03-12', 10)], ['2015-03-22', '2015-03-23']],
    [days('2015-01-05', 30, 7), ['2015-08-03', '2015-08-10']],
    [hours.map((at) => at.slice(0, 19).replace('T', ' ')), ['2018-06-27 00:00:00', '2018-06-27 01:00:00']],
    [hours.map((at) => at.slice(0, 16)), ['2018-06-27T00:00', '2018-06-27T01:00']],
    // Hours over the change to daylight saving time.
    [['2024-03-31 00:00', '2024-03-31 01:00'], ['2024-03-31 02:00', '2024-03-31 03:00']],
    [['1960-10', '1960-11', '1960-12'], ['1961-01', '1961-02']],
    [['1949-10-01', '1949-11-01', '1949-12-01'], ['1950-01-01', '1950-02-01']],
    [['2023-11-30', '2023-12-31', '2024-01-31'], ['2024-02-29', '2024-03-31']],
    [['2023-12-30', '2024-01-30', '2024-02-29'], ['2024-03-30', '2024-04-30']],
    [['2022-01-01', '2022-04-01', '2022-07-01', '2022-10-01'], ['2023-01-01', '2023-04-01']],
    [['2021-07-01', '2022-07-01', '2023-07-01'], ['2024-07-01', '2025-07-01']],
  ])
    assert.deepEqual(continued(labels, 2), next, labels.at(-1));
});

test('labels that are not ascending dates are not continued', () => {
  for (const labels of [['a', 'b'], ['1', '2'], ['2020-01-01'], [], ['2020-01-02', '2020-01-01'], ['2020-01-01', '2020-01-01'], ['01/02/2020', '01/03/2020']])
    assert.equal(continued(labels, 2), null, labels.join());
  assert.equal(continued(['2020-01-01', '2020-13-45'], 1), null);
});

test('labels of an axis have a time where there are several rows a day', () => {
  assert.equal(short('2015-12-31', '2015-12-30'), '2015-12-31');
  assert.equal(short('2018-06-26 19:00:00', '2018-06-26 18:00:00'), '06-26 19:00');
  assert.equal(short('row 12', undefined), 'row 12');
});

test('the target of the adding problem is the sum of the two marked numbers', () => {
  for (const steps of [3, 30]) {
    const { x, dims, y } = adding(500, steps, 7);
    assert.deepEqual([dims, x.length, y.length], [[500, steps, 2], 1000 * steps, 500]);
    for (let e = 0; e < 500; e++) {
      const of = (t) => x.subarray(2 * (e * steps + t), 2 * (e * steps + t) + 2);
      const marks = Array.from({ length: steps }, (_, t) => t).filter((t) => of(t)[1] === 1);
      assert.ok(marks.length === 2 && marks[0] < steps >> 1 && marks[1] >= steps >> 1, `marks ${marks}`);
      assert.equal(y[e], Math.fround(of(marks[0])[0] + of(marks[1])[0]));
    }
  }
  const { y } = adding(4000, 30, 1);
  const error = y.reduce((sum, v) => sum + (v - 1) ** 2, 0) / y.length;
  assert.ok(Math.abs(error - GUESS) < 0.01, `always answering 1 has the error ${error}`);
  assert.deepEqual(adding(3, 30, 1), adding(3, 30, 1));
  assert.notDeepEqual(adding(3, 30, 1).x, adding(3, 30, 2).x);
});
