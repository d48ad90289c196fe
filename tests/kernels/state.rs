//! The state update and its backward pass, with marks of every kind, zoneout and recurrent dropout.

use wgru::Device;
use wgru::kernels::{StateUpdate, StateUpdateBackward};

use crate::common::{assert_close, fill, mix, relative_error};
use crate::reference::elementwise::threefry;
use crate::reference::wide;
use crate::{buffer, indices, on_every_backend, poison, read};

/// A few products of values near 1.
const UPDATE: f64 = 4e-7;
/// A backward run over up to five steps.
const BACK: f64 = 1e-6;

on_every_backend![
    state_update_matches_its_definition,
    state_update_writes_its_step_only,
    state_update_backward_matches_differences_of_whole_runs,
    state_update_comparison_rejects_other_noise,
];

const ZONE_KEY: [u32; 2] = [0x1234_5678, 0x9abc_def0];
const DROP_KEY: [u32; 2] = [77, 0xffff_0001];

/// Steps, batch, out, rest of the state, directions, reverse.
const SHAPES: [[u32; 6]; 5] =
    [[1, 1, 1, 0, 1, 0], [5, 3, 2, 3, 1, 1], [4, 5, 17, 0, 2, 0], [3, 9, 20, 33, 2, 0], [5, 67, 1, 1, 1, 0]];

#[derive(Clone, Copy, Debug)]
struct Case {
    p: StateUpdate,
}

/// Zoneout probability of the output and of the rest, whether zoneout draws, and recurrent dropout probability.
const NOISE: [(f32, f32, bool, f32); 6] = [
    (0.0, 0.0, false, 0.0),
    (0.3, 0.0, true, 0.0),
    (0.2, 0.6, true, 0.4),
    (0.2, 0.6, false, 0.0),
    (0.0, 0.0, false, 0.5),
    (0.0, 0.3, true, 0.1),
];

fn cases() -> Vec<Case> {
    let below = |share: f32| (share as f64 * 4_294_967_296.0) as u32;
    let case = |[steps, batch, out, rest, directions, reverse]: [u32; 6], (zone_h, zone_c, draws, drop)| Case {
        p: StateUpdate {
            steps,
            batch,
            out,
            width: out + rest,
            directions,
            reverse,
            step: 0,
            draws: draws as u32,
            zone_h,
            zone_c,
            zone_h_below: below(zone_h),
            zone_c_below: below(zone_c),
            zone_low: ZONE_KEY[0],
            zone_high: ZONE_KEY[1],
            drops: (drop > 0.0) as u32,
            drop_below: below(drop),
            drop_scale: 1.0 / (1.0 - drop),
            drop_low: DROP_KEY[0],
            drop_high: DROP_KEY[1],
        },
    };
    SHAPES.into_iter().flat_map(|shape| NOISE.map(|noise| case(shape, noise))).collect()
}

/// A run of `[D][B]` sequences with states of `width`, all in f64.
struct Run {
    /// The states by slot, the output, and the input of the recurrent product.
    state: Vec<f64>,
    y: Vec<f64>,
    dropped: Vec<f64>,
}

impl Case {
    /// Steps, batch, out, width, directions.
    fn size(&self) -> [usize; 5] {
        let p = &self.p;
        [p.steps, p.batch, p.out, p.width, p.directions].map(|n| n as usize)
    }

    fn is_reverse(&self, d: usize) -> bool {
        d == 1 || self.p.reverse == 1
    }

    /// All 64 combinations of bits, in mixed order.
    fn marks(&self) -> Vec<u32> {
        (0..self.p.steps * self.p.batch).map(|i| mix(i + 3) % 64).collect()
    }

    fn times(&self, d: usize) -> Vec<usize> {
        let steps = self.size()[0];
        if self.is_reverse(d) { (0..steps).rev().collect() } else { (0..steps).collect() }
    }

    fn at_state(&self, d: usize, slot: usize, row: usize) -> usize {
        let [steps, batch, _, width, _] = self.size();
        ((d * (steps + 1) + slot) * batch + row) * width
    }

    /// Weight of the fresh value.
    fn share(&self, d: usize, t: usize, row: usize, j: usize) -> f64 {
        let [steps, batch, out, width, _] = self.size();
        let zone = if j < out { self.p.zone_h } else { self.p.zone_c };
        if self.p.draws == 0 {
            return 1.0 - zone as f64;
        }
        let word = threefry(ZONE_KEY, [(((d * steps + t) * batch + row) * width + j) as u32, 0]);
        if (word as f64) < zone as f64 * 4_294_967_296.0 { 0.0 } else { 1.0 }
    }

    /// Dropout factor of the state in the recurrent product's input.
    fn through(&self, d: usize, row: usize, j: usize) -> f64 {
        let [_, batch, out, ..] = self.size();
        let kept = threefry(DROP_KEY, [((d * batch + row) * out + j) as u32, 0]) >= self.p.drop_below;
        if self.p.drops == 0 { 1.0 } else { kept as u32 as f64 * self.p.drop_scale as f64 }
    }

    /// Computes the definition, sequence by sequence, from the initial states `[D, B, width]`. `fresh(s, i, seen)` is
    /// the fresh value of element `i` of `[D, B, width]` in step `s` (in processing order), given the value `seen` by
    /// the recurrent product.
    fn run(&self, first: &[f64], fresh: impl Fn(usize, usize, f64) -> f64) -> Run {
        let [steps, batch, out, width, directions] = self.size();
        let marks = self.marks();
        let mut done = Run {
            state: vec![f64::NAN; directions * (steps + 1) * batch * width],
            y: vec![f64::NAN; steps * batch * directions * out],
            dropped: vec![f64::NAN; directions * (steps + 1) * batch * out],
        };
        for (i, &own_first) in first.iter().enumerate() {
            let (d, row, j) = (i / width / batch, i / width % batch, i % width);
            let times = self.times(d);
            let slots = |t: usize| if self.is_reverse(d) { [t + 1, t] } else { [t, t + 1] };
            let mut h = own_first;
            done.state[self.at_state(d, slots(times[0])[0], row) + j] = h;
            for (step, &t) in times.iter().enumerate() {
                let mark = marks[t * batch + row];
                let [resets, repeats] = if self.is_reverse(d) { [4, 16] } else { [2, 8] };
                let seen = if j < out { h * self.through(d, row, j) } else { 0.0 };
                if mark & 1 != 0 {
                    let k = self.share(d, t, row, j);
                    h = (1.0 - k) * h + k * fresh(step, i, seen);
                }
                let shown = if mark & (1 | repeats) != 0 { h } else { 0.0 };
                if mark & resets != 0 {
                    h = if mark & 32 != 0 { own_first } else { 0.0 };
                }
                let slot = slots(t)[1];
                done.state[self.at_state(d, slot, row) + j] = h;
                if j < out {
                    done.y[((t * batch + row) * directions + d) * out + j] = shown;
                    let at = self.at_state(d, slot, row) / width * out + j;
                    done.dropped[at] = h * self.through(d, row, j);
                }
            }
        }
        done
    }

    fn first(&self) -> Vec<f32> {
        let [_, batch, _, width, directions] = self.size();
        fill(1, directions * batch * width, 0.9)
    }

    /// The cell's result in step `step`, independent of its input.
    fn fresh(&self, step: usize) -> Vec<f32> {
        fill(10 + step as u32, self.first().len(), 0.9)
    }

    /// `state`, `y`, `dropped` after the first `count` steps.
    fn forward(&self, device: &Device, count: usize) -> [Vec<f32>; 3] {
        let [steps, batch, out, width, directions] = self.size();
        let mut start = vec![f32::NAN; directions * (steps + 1) * batch * width];
        let one = batch * width;
        for d in 0..directions {
            let slot = if self.is_reverse(d) { steps } else { 0 };
            start[self.at_state(d, slot, 0)..][..one].copy_from_slice(&self.first()[d * one..][..one]);
        }
        let marks = indices(device, &self.marks());
        let dropped = if self.p.drops == 1 { directions * (steps + 1) * batch * out } else { 0 };
        let (y, dropped) = (poison(device, steps * batch * directions * out), poison(device, dropped));
        let state = buffer(device, &start);
        for step in 0..count {
            let kernel = StateUpdate { step: step as u32, ..self.p };
            device.run(&kernel, [&marks, &buffer(device, &self.fresh(step))], [&state, &y, &dropped]).expect("run");
        }
        [&state, &y, &dropped].map(read)
    }
}

fn state_update_matches_its_definition(device: &Device) {
    for case in cases() {
        let [steps, batch, out, _, directions] = case.size();
        let [state, y, dropped] = case.forward(device, steps);
        let want = case.run(&wide(&case.first()), |step, i, _| case.fresh(step)[i] as f64);
        assert_close(&format!("state of {case:?}"), &state, &want.state, UPDATE);
        assert_close(&format!("y of {case:?}"), &y, &want.y, UPDATE);
        if case.p.drops == 1 {
            // The kernel never writes the slot of the initial state.
            let first = |d: usize| if case.is_reverse(d) { steps } else { 0 };
            let unwritten = |i: &usize| i / out / batch % (steps + 1) == first(i / out / batch / (steps + 1));
            let (skipped, kept): (Vec<usize>, Vec<usize>) = (0..dropped.len()).partition(unwritten);
            assert_eq!(skipped.len(), directions * batch * out);
            assert!(skipped.iter().all(|&i| dropped[i].is_nan()), "{case:?}");
            let got: Vec<f32> = kept.iter().map(|&i| dropped[i]).collect();
            let want: Vec<f64> = kept.iter().map(|&i| want.dropped[i]).collect();
            assert_close(&format!("dropped of {case:?}"), &got, &want, UPDATE);
        }
    }
}

fn state_update_writes_its_step_only(device: &Device) {
    for case in cases().into_iter().filter(|case| case.p.steps > 2) {
        let [steps, batch, out, width, directions] = case.size();
        let [state, y, dropped] = case.forward(device, 1);
        let (late, last) = (
            |d: usize| case.times(d)[1..].to_vec(),
            |d: usize, t: usize| {
                if case.is_reverse(d) { t } else { t + 1 }
            },
        );
        for d in 0..directions {
            for t in late(d) {
                let at = case.at_state(d, last(d, t), 0);
                assert!(state[at..at + batch * width].iter().all(|v| v.is_nan()), "{case:?}");
                let outputs = (0..batch * out).map(|i| y[((t * batch + i / out) * directions + d) * out + i % out]);
                assert!(outputs.into_iter().all(|v| v.is_nan()), "{case:?}");
                if case.p.drops == 1 {
                    assert!(dropped[at / width * out..][..batch * out].iter().all(|v| v.is_nan()), "{case:?}");
                }
            }
            assert!(!y[case.times(d)[0] * batch * directions * out + d * out].is_nan(), "{steps}");
        }
    }
}

/// The run is linear in the initial states, in the fresh values and, through `w·seen`, in the input of the recurrent
/// product. Unit vectors would suffice, but differences of a scalar are shorter. `w` is an arbitrary factor per
/// element.
fn state_update_backward_matches_differences_of_whole_runs(device: &Device) {
    for case in cases() {
        let [steps, batch, out, width, directions] = case.size();
        let (one, marks) = (directions * batch * width, case.marks());
        let w = wide(&fill(5, one, 0.8));
        let (dy, dh_n) = (fill(6, steps * batch * directions * out, 1.0), fill(7, one, 1.0));
        let fresh: Vec<Vec<f64>> = (0..steps).map(|step| wide(&case.fresh(step))).collect();
        let inputs = [vec![wide(&case.first())], fresh].concat();
        let run = |v: &[Vec<f64>]| case.run(&v[0], |step, i, seen| v[step + 1][i] + w[i] * seen);
        let loss_of = |done: &Run, i: usize| -> f64 {
            // Elements are independent, so the loss of one element depends only on its own state and outputs.
            let (d, row, j) = (i / width / batch, i / width % batch, i % width);
            let slot = if case.is_reverse(d) { 0 } else { steps };
            let at = |t: usize| ((t * batch + row) * directions + d) * out + j;
            let outputs: f64 = if j < out { (0..steps).map(|t| done.y[at(t)] * dy[at(t)] as f64).sum() } else { 0.0 };
            outputs + done.state[case.at_state(d, slot, row) + j] * dh_n[i] as f64
        };
        // One central difference moves all elements of an input at once.
        let want: Vec<Vec<f64>> = (0..=steps)
            .map(|k| {
                let moved = |by: f64| {
                    let mut v = inputs.clone();
                    v[k].iter_mut().for_each(|x| *x += by);
                    run(&v)
                };
                let (above, below) = (moved(1e-3), moved(-1e-3));
                (0..one).map(|i| (loss_of(&above, i) - loss_of(&below, i)) / 2e-3).collect()
            })
            .collect();

        let (marks, dy) = (indices(device, &marks), buffer(device, &dy));
        let carry = buffer(device, &[&dh_n[..], &vec![0.0; one]].concat());
        let mut q = poison(device, 0);
        for step in 0..=steps {
            let kernel = StateUpdateBackward(StateUpdate { step: step as u32, ..case.p });
            let d_fresh = poison(device, one);
            device.run(&kernel, [&marks, &dy, &q], [&d_fresh, &carry]).expect("run");
            let d_fresh = read(&d_fresh);
            if step == steps {
                assert!(d_fresh.iter().all(|v| v.is_nan()), "the last call leaves d_fresh alone");
                break;
            }
            let what = format!("d_fresh of step {step} from the end of {case:?}");
            let want = &want[steps - step];
            let (got, want): (Vec<f32>, Vec<f64>) =
                (d_fresh.iter().copied().chain([1.0]).collect(), want.iter().copied().chain([1.0]).collect());
            assert_close(&what, &got, &want, BACK);
            // The product's part of dh: w times the gradients of the fresh values, in the columns that the product
            // sees.
            let columns = (0..one).filter(|i| i % width < out);
            let values: Vec<f32> = columns.map(|i| (w[i] * d_fresh[i] as f64) as f32).collect();
            q = buffer(device, &values);
        }
        let carry = read(&carry);
        let total: Vec<f32> = (0..one).map(|i| carry[i] + carry[one + i]).collect();
        assert_close(&format!("gradient of the first state of {case:?}"), &total, &want[0], BACK);
    }
}

/// Negative control: different draws are rejected.
fn state_update_comparison_rejects_other_noise(device: &Device) {
    // Zoneout on the rest of the state has no effect unless there is a rest.
    let draws = |p: &StateUpdate| p.draws == 1 && (p.zone_h > 0.0 || p.width > p.out);
    for case in cases().into_iter().filter(|case| case.p.batch > 2 && draws(&case.p)) {
        let steps = case.size()[0];
        let [state, ..] = case.forward(device, steps);
        let mean = Case { p: StateUpdate { draws: 0, ..case.p } };
        let want = mean.run(&wide(&case.first()), |step, i, _| case.fresh(step)[i] as f64);
        assert!(relative_error(&state, &want.state) > 1000.0 * UPDATE, "{case:?}");
    }
}
