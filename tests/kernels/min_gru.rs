//! The kernels of the minimal GRU over all steps, in one chunk or several, forward and backward.

use wgru::Device;
use wgru::kernel::Kernel;
use wgru::kernels::{MinGruChunks, MinGruChunksBackward, MinGruSequence, MinGruSequenceBackward, Scan};

use crate::common::{assert_close, fill};
use crate::reference::min_gru::step;
use crate::reference::wide;
use crate::{buffer, indices, on_every_backend, run};

/// A few roundings per step; old errors fade.
const STATE: f64 = 1e-6;
/// A pre-activation of −30 lets in 1e-13 of a candidate; accurate to the few ulp that WGSL allows `exp`.
const GATE: f64 = 4e-6;
/// Differences of f64 states, accurate to 1e-9, and a few roundings per step.
const GRADIENT: f64 = 2e-6;

on_every_backend![
    scan_matches_the_sequential_recurrence,
    scan_takes_zeros_as_logarithms,
    min_gru_matches_f64,
    min_gru_is_accurate_for_nearly_closed_gates,
    min_gru_backward_matches_differences,
    min_gru_and_scan_propagate_nan,
];

fn scan_matches_the_sequential_recurrence(device: &Device) {
    for [steps, width] in [[1, 1], [5, 3], [67, 5], [40, 67], [3, 130]] {
        let len = steps * width;
        let [a, b] = [1, 2].map(|stream| fill(stream, len, 1.0));
        let h0: Vec<f32> = fill(3, width, 1.0).iter().map(|v| v.abs()).collect();
        let sequential = |a: &[f64], b: &[f64]| -> Vec<f64> {
            let mut h: Vec<f64> = Vec::new();
            for i in 0..len {
                let before = if i < width { f64::from(h0[i]) } else { h[i - width] };
                h.push(a[i] * before + b[i]);
            }
            h
        };
        let p = Scan { steps: steps as u32, width: width as u32, log: 0 };
        let [h] = run(device, &p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &h0)]);
        assert_close(&format!("{p:?}"), &h, &sequential(&wide(&a), &wide(&b)), STATE);

        let p = Scan { log: 1, ..p };
        let a: Vec<f32> = a.iter().map(|v| 4.0 * v - 4.0).collect();
        let exp = |v: &[f32]| -> Vec<f64> { v.iter().map(|&v| f64::from(v).exp()).collect() };
        let want: Vec<f64> = sequential(&exp(&a), &exp(&b)).iter().map(|v| v.ln()).collect();
        let [h] = run(device, &p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &h0)]);
        assert_close(&format!("{p:?}"), &h, &want, STATE);
    }
}

/// The logarithm of an initial state of 0 is −1e30; a negative one has none.
fn scan_takes_zeros_as_logarithms(device: &Device) {
    let p = Scan { steps: 4, width: 3, log: 1 };
    let (keep, none) = (buffer(device, &[0.0; 12]), buffer(device, &[-1e30; 12]));
    let [h] = run(device, &p, [&keep, &none, &buffer(device, &[0.0, 3.0, -1.0])]);
    for row in h.chunks(3) {
        assert!(row[0] == -1e30 && (row[1] - 3f32.ln()).abs() < 3e-7 && row[2].is_nan(), "{h:?}");
    }
}

/// Sequence 0 is full, sequence 1 empty, and the others are shorter.
fn lengths(p: &MinGruSequence) -> Vec<u32> {
    (0..p.batch).map(|b| if b == 1 { 0 } else { p.steps.saturating_sub(b) }).collect()
}

/// Every option, with one chunk and with several, of which the last may be shorter.
fn kernels() -> Vec<MinGruSequence> {
    let mut all = Vec::new();
    for [steps, batch, hidden] in [[1, 1, 1], [4, 3, 2], [9, 2, 67], [13, 4, 16]] {
        for (directions, reverse) in [(1, 2), (1, 1), (2, 0)] {
            for log in [0, 1] {
                for chunk in [1, 4, steps] {
                    all.push(MinGruSequence { steps, batch, hidden, directions, reverse, log, chunk });
                }
            }
        }
    }
    all
}

/// Returns the states before each chunk, as the second pass takes them: `first`, then the results of the chunks' maps.
fn carry(device: &Device, p: &MinGruSequence, log: u32, first: &[f32], [a_all, b_all]: [Vec<f32>; 2]) -> Vec<f32> {
    if p.chunks() == 1 {
        return first.to_vec();
    }
    let scan = Scan { steps: p.chunks() as u32 - 1, width: p.width() as u32, log };
    let [after] = run(device, &scan, [&buffer(device, &a_all), &buffer(device, &b_all), &buffer(device, first)]);
    [first, &after].concat()
}

fn forward(device: &Device, p: &MinGruSequence, kv: &[f32], lengths: &[u32], h0: &[f32]) -> [Vec<f32>; 2] {
    let (kv, lengths) = (buffer(device, kv), indices(device, lengths));
    let carry = carry(device, p, p.log, h0, run(device, &MinGruChunks(*p), [&kv, &lengths]));
    run(device, p, [&kv, &lengths, &buffer(device, &carry)])
}

/// Visits the steps of one column in f64: calls `f(index in y, index of k, index of v)` in processing order.
fn steps_of(p: &MinGruSequence, lengths: &[u32], column: usize, mut f: impl FnMut(usize, usize, usize)) {
    let [steps, batch, hidden] = [p.steps, p.batch, p.hidden].map(|n| n as usize);
    let (d, row, unit) = (column / hidden / batch, column / hidden % batch, column % hidden);
    let length = lengths[row] as usize;
    for i in 0..length {
        let t = if d as u32 + p.reverse == 1 { length - 1 - i } else { i };
        let place = |gate: usize| (((2 * d + gate) * steps + t) * batch + row) * hidden + unit;
        f(((t * batch + row) * p.directions as usize + d) * hidden + unit, place(0), place(1));
    }
}

fn first_states(p: &MinGruSequence) -> Vec<f32> {
    // Away from 0, which has no logarithm.
    fill(3, p.width(), 0.9).iter().map(|v| if p.log == 1 { v.abs() + 0.05 } else { *v }).collect()
}

fn min_gru_matches_f64(device: &Device) {
    for p in kernels() {
        let (lengths, h0) = (lengths(&p), first_states(&p));
        let ([len, ..], [all, _]) = p.lens();
        let kv = fill(1, len, 4.0);
        let [y, h_n] = forward(device, &p, &kv, &lengths, &h0);
        let (mut want_y, mut want_h) = (vec![0.0; all], wide(&h0));
        for (column, state) in want_h.iter_mut().enumerate() {
            steps_of(&p, &lengths, column, |at, k, v| {
                *state = step(*state, f64::from(kv[k]), f64::from(kv[v]), p.log == 1);
                want_y[at] = *state;
            });
        }
        assert_close(&format!("y of {p:?}"), &y, &want_y, STATE);
        assert_close(&format!("h_n of {p:?}"), &h_n, &want_h, STATE);
    }
}

/// Values far below 1 keep their relative accuracy: neither z nor 1 − z is rounded to 0 or 1.
fn min_gru_is_accurate_for_nearly_closed_gates(device: &Device) {
    // The reference's own functions are accurate to an absolute error of 1e-16, which is too much for tiny values.
    let logistic = |v: f64| 1.0 / (1.0 + (-v).exp());
    let step = |h: f64, k: f64, v: f64, positive: bool| {
        let candidate = match (positive, v >= 0.0) {
            (false, _) => v,
            (true, true) => v + 0.5,
            (true, false) => logistic(v),
        };
        h * logistic(-k) + candidate * logistic(k)
    };
    for log in [0, 1] {
        let p = MinGruSequence { steps: 1, batch: 1, hidden: 4, directions: 1, reverse: 2, log, chunk: 1 };
        let (k, v, h0) = ([-30.0, 30.0, -30.0, 30.0], [3.0, 3.0, -40.0, -40.0], [0.0, 1.0, 0.0, 0.0]);
        let [y, _] = forward(device, &p, &[k, v].concat(), &[1], &h0);
        for i in 0..4 {
            let want = step(f64::from(h0[i]), f64::from(k[i]), f64::from(v[i]), log == 1);
            assert!((f64::from(y[i]) - want).abs() <= GATE * want.abs(), "{log}: {} for {want}", y[i]);
        }
        // A gate that is open by 1 − 1e-13 keeps 1e-13 of the old state.
        let [y, _] = forward(device, &p, &[[30.0; 4], [-87.0; 4]].concat(), &[1], &[1e20; 4]);
        let want = step(1e20, 30.0, -87.0, log == 1);
        assert!(y.iter().all(|y| (f64::from(*y) - want).abs() <= 2.0 * GATE * want.abs()), "{log}: {y:?} for {want}");
    }
}

fn min_gru_backward_matches_differences(device: &Device) {
    for p in kernels() {
        let (lengths, h0) = (lengths(&p), first_states(&p));
        let ([len, ..], [all, _]) = p.lens();
        let (kv, mut dy, d_last) = (fill(1, len, 3.0), fill(5, all, 1.0), fill(6, p.width(), 1.0));
        let [y, _] = forward(device, &p, &kv, &lengths, &h0);
        let (mut want, mut want_h0, mut seen) = (vec![0.0; len], vec![0.0; h0.len()], vec![false; all]);
        for column in 0..h0.len() {
            let mut places = Vec::new();
            steps_of(&p, &lengths, column, |at, k, v| places.push([at, k, v]));
            places.iter().for_each(|place| seen[place[0]] = true);
            // The loss with one input moved: an element of `kv`, or the initial state if `None`.
            let loss = |moved: Option<usize>, by: f64| {
                let of = |i: usize| f64::from(kv[i]) + if moved == Some(i) { by } else { 0.0 };
                let mut state = f64::from(h0[column]) + if moved.is_none() { by } else { 0.0 };
                let mut sum = 0.0;
                for [at, k, v] in &places {
                    state = step(state, of(*k), of(*v), p.log == 1);
                    sum += state * f64::from(dy[*at]);
                }
                sum + state * f64::from(d_last[column])
            };
            let slope = |moved: Option<usize>| (loss(moved, 1e-5) - loss(moved, -1e-5)) / 2e-5;
            want_h0[column] = slope(None);
            for [_, k, v] in &places {
                (want[*k], want[*v]) = (slope(Some(*k)), slope(Some(*v)));
            }
        }
        // Gradients of padded steps must not be read.
        dy.iter_mut().zip(&seen).filter(|(_, seen)| !**seen).for_each(|(dy, _)| *dy = f32::NAN);
        let [kv, h0, y, dy] = [&kv, &h0, &y, &dy].map(|v| buffer(device, v));
        let lengths = indices(device, &lengths);
        let terms = run(device, &MinGruChunksBackward(p), [&kv, &lengths, &dy]);
        let carry = buffer(device, &carry(device, &p, 0, &d_last, terms));
        let [d_kv, d_h0] = run(device, &MinGruSequenceBackward(p), [&kv, &lengths, &h0, &y, &dy, &carry]);
        assert_close(&format!("d_kv of {p:?}"), &d_kv, &want, GRADIENT);
        assert_close(&format!("d_h0 of {p:?}"), &d_h0, &want_h0, GRADIENT);
    }
}

fn min_gru_and_scan_propagate_nan(device: &Device) {
    const NAN: f32 = f32::NAN;
    for log in [0, 1] {
        for poisoned in 0..2 {
            let mut terms = [[-0.5; 12], [-0.5; 12]];
            terms[poisoned][2 * 2 + 1] = NAN;
            let [a, b] = terms.map(|v| buffer(device, &v));
            let [h] = run(device, &Scan { steps: 6, width: 2, log }, [&a, &b, &buffer(device, &[0.5; 2])]);
            let want: Vec<bool> = (0..12).map(|i| i % 2 == 1 && i / 2 >= 2).collect();
            assert_eq!(h.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), want, "log {log}");
        }
        for chunk in [2, 5] {
            let p = MinGruSequence { steps: 5, batch: 1, hidden: 2, directions: 1, reverse: 2, log, chunk };
            for poisoned in [4, 14] {
                let mut kv = [0.5; 20];
                kv[poisoned] = NAN;
                let [y, h_n] = forward(device, &p, &kv, &[5], &[0.5; 2]);
                let want: Vec<bool> = (0..10).map(|i| i % 2 == 0 && i >= 4).collect();
                assert_eq!(y.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), want, "{p:?}");
                assert!(h_n[0].is_nan() && !h_n[1].is_nan(), "{p:?}");
                let [kv, ones, two] = [&kv[..], &[0.5; 10], &[0.5; 2]].map(|v| buffer(device, v));
                let lengths = indices(device, &[5]);
                let terms = run(device, &MinGruChunksBackward(p), [&kv, &lengths, &ones]);
                let carry = buffer(device, &carry(device, &p, 0, &[0.5; 2], terms));
                let [d_kv, d_h0] = run(device, &MinGruSequenceBackward(p), [&kv, &lengths, &two, &ones, &ones, &carry]);
                assert!(d_kv[4].is_nan() && !d_kv[5].is_nan() && !d_h0[1].is_nan(), "{p:?}: {d_kv:?}");
                // A NaN gate also makes the gradient of the initial state NaN.
                assert_eq!(d_h0[0].is_nan(), poisoned == 4, "{p:?}: {d_h0:?}");
            }
        }
    }
}
