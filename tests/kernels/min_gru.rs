//! The scan of a first-order recurrence, and the gates of the minimal GRU around it.

use wgru::Device;
use wgru::kernels::{MinGruBackward, MinGruGates, Scan, ScanChunks};

use crate::common::{assert_close, fill};
use crate::reference::min_gru::{candidate, step};
use crate::{buffer, indices, on_every_backend, run};

/// A few roundings a step; what is old fades.
const STATE: f64 = 1e-6;
/// Relative to each value: `exp` of −30 within the units in the last place that WGSL allows, and `log(1 + e)`, which
/// rounds `e` from 1/16 on.
const GATE: f64 = 2e-6;
/// Differences of f64 states, exact to 1e-10, and a few roundings.
const GRADIENT: f64 = 1e-6;

on_every_backend![
    scan_matches_the_sequential_recurrence,
    scan_of_logarithms_matches_the_sequential_recurrence,
    scan_takes_zeros_as_logarithms,
    min_gru_gates_match_f64,
    min_gru_backward_matches_differences,
    min_gru_and_scan_pass_nan_on,
];

/// `[steps, width, chunk]`
const SIZES: [[usize; 3]; 6] = [[1, 1, 1], [5, 3, 5], [7, 2, 3], [67, 5, 8], [40, 67, 64], [3, 130, 1]];

fn scans() -> Vec<Scan> {
    let mut all = Vec::new();
    for size in SIZES {
        let [steps, width, chunk] = size.map(|n| n as u32);
        for (reverse, lag) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            all.push(Scan { steps, width, chunk, reverse, lag, log: 0, exp: 0 });
        }
    }
    all
}

/// The recurrence in f64, `[steps, width]`, and the states after each chunk.
fn sequential(p: &Scan, a: &[f64], b: &[f64], h0: &[f64]) -> [Vec<f64>; 2] {
    let (steps, width) = (p.steps as usize, p.width as usize);
    let (mut h, mut state, mut after) = (vec![0.0; steps * width], h0.to_vec(), Vec::new());
    let time = |i: usize| if p.reverse == 1 { steps - 1 - i } else { i };
    for i in 0..steps {
        for (column, state) in state.iter_mut().enumerate() {
            let factor = match (p.lag, i) {
                (0, _) => a[time(i) * width + column],
                (_, 0) => 1.0,
                _ => a[time(i - 1) * width + column],
            };
            *state = factor * *state + b[time(i) * width + column];
            h[time(i) * width + column] = *state;
        }
        if (i + 1) % p.chunk as usize == 0 || i + 1 == steps {
            after.extend(&state);
        }
    }
    [h, after]
}

/// The states, by way of the chunks where there are several.
fn scanned(device: &Device, p: &Scan, a: &[f32], b: &[f32], h0: &[f32]) -> [Vec<f32>; 2] {
    let [a, b, h0] = [a, b, h0].map(|v| buffer(device, v));
    let [a_all, b_all] = run(device, &ScanChunks(*p), [&a, &b]);
    let chunks = p.steps.div_ceil(p.chunk);
    let over = Scan { steps: chunks, chunk: chunks, reverse: 0, lag: 0, exp: 0, ..*p };
    let [carry] = run(device, &over, [&buffer(device, &a_all), &buffer(device, &b_all), &h0, &h0]);
    let [h] = run(device, p, [&a, &b, &h0, &buffer(device, &carry)]);
    [h, carry]
}

fn wide(values: &[f32]) -> Vec<f64> {
    crate::reference::wide(values)
}

fn scan_matches_the_sequential_recurrence(device: &Device) {
    for p in scans() {
        let (len, width) = ((p.steps * p.width) as usize, p.width as usize);
        let (a, b, h0) = (fill(1, len, 1.0), fill(2, len, 1.0), fill(3, width, 1.0));
        let [h, carry] = scanned(device, &p, &a, &b, &h0);
        let [want, after] = sequential(&p, &wide(&a), &wide(&b), &wide(&h0));
        assert_close(&format!("states of {p:?}"), &h, &want, STATE);
        assert_close(&format!("carry of {p:?}"), &carry, &after, STATE);
    }
}

fn scan_of_logarithms_matches_the_sequential_recurrence(device: &Device) {
    for p in scans() {
        let (len, width) = ((p.steps * p.width) as usize, p.width as usize);
        let (a, b) = (fill(1, len, 4.0), fill(2, len, 4.0));
        let a: Vec<f32> = a.iter().map(|v| v - 4.0).collect();
        let h0: Vec<f32> = fill(3, width, 1.0).iter().map(|v| v.abs()).collect();
        let exp = |v: &[f32]| -> Vec<f64> { v.iter().map(|&v| (v as f64).exp()).collect() };
        let [want, _] = sequential(&p, &exp(&a), &exp(&b), &wide(&h0));
        let [h, _] = scanned(device, &Scan { log: 1, exp: 1, ..p }, &a, &b, &h0);
        // Relative to each: numbers of all sizes are as exact.
        let ratio: Vec<f32> = h.iter().zip(&want).map(|(h, want)| (*h as f64 / want) as f32).collect();
        assert_close(&format!("states of {p:?}"), &ratio, &vec![1.0; len], 2.0 * STATE);
        let [log_h, _] = scanned(device, &Scan { log: 1, ..p }, &a, &b, &h0);
        let want: Vec<f64> = want.iter().map(|v| v.ln()).collect();
        assert_close(&format!("logarithms of {p:?}"), &log_h, &want, STATE);
    }
}

/// From 0, with factors and summands of 0, everything is 0; a negative first state has no logarithm.
fn scan_takes_zeros_as_logarithms(device: &Device) {
    let p = Scan { steps: 9, width: 2, chunk: 2, log: 1, exp: 1, ..Scan::default() };
    let none = [-1e30; 18];
    assert_eq!(scanned(device, &p, &none, &none, &[0.0, 3.0])[0], [0.0; 18]);
    let [h, _] = scanned(device, &p, &[0.0; 18], &none, &[0.0, 3.0]);
    let want: Vec<f64> = (0..18).map(|i| if i % 2 == 0 { 0.0 } else { 3.0 }).collect();
    assert_close("kept states", &h, &want, 3e-7);
    let [h, _] = scanned(device, &p, &[0.0; 18], &none, &[0.0, -1.0]);
    assert!(h.iter().enumerate().all(|(i, v)| v.is_nan() == (i % 2 == 1)), "{h:?}");
}

/// `[steps, batch, hidden]`; sequence 0 is whole, sequence 1 empty, the others shorter.
const STACKS: [[usize; 3]; 4] = [[1, 1, 1], [4, 3, 2], [9, 2, 67], [5, 4, 16]];

fn lengths([steps, batch, _]: [usize; 3]) -> Vec<u32> {
    (0..batch).map(|b| if b == 1 { 0 } else { steps.saturating_sub(b) as u32 }).collect()
}

fn stacks() -> Vec<([usize; 3], MinGruGates)> {
    let mut all = Vec::new();
    for size in STACKS {
        let [steps, batch, hidden] = size.map(|n| n as u32);
        for (reverse, log) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            all.push((size, MinGruGates { steps, batch, hidden, reverse, log }));
        }
    }
    all
}

fn min_gru_gates_match_f64(device: &Device) {
    for (size @ [_, batch, hidden], p) in stacks() {
        let len = size.iter().product();
        let (mut k, mut v) = (fill(1, len, 6.0), fill(2, len, 4.0));
        (k[0], v[0]) = (-30.0, -40.0); // 1 − z rounds to 1, but not its logarithm to 0
        let lengths = lengths(size);
        let [a, b] = run(device, &p, [&buffer(device, &k), &buffer(device, &v), &indices(device, &lengths)]);
        for i in 0..len {
            let (t, row) = (i / hidden / batch, i / hidden % batch);
            if t >= lengths[row] as usize {
                assert_eq!((a[i], b[i]), if p.log == 1 { (0.0, -1e30) } else { (1.0, 0.0) });
                continue;
            }
            let (k, v) = (k[i] as f64, v[i] as f64);
            let (old, new) = (1.0 / (1.0 + k.exp()), 1.0 / (1.0 + (-k).exp()));
            let want = match p.log {
                1 => [-k.exp().ln_1p(), new.ln() + candidate(v, true).ln()],
                _ => [old, new * v],
            };
            for (got, want) in [a[i], b[i]].into_iter().zip(want) {
                let near = want.abs().max(if p.log == 1 && got == b[i] { 1.0 } else { 0.0 });
                assert!((got as f64 - want).abs() <= GATE * near, "{p:?}: {got} for {want} of k {k}, v {v}");
            }
        }
    }
}

/// With `dh` the whole gradient of each state, that of a pre-activation is `dh` times what its own step does.
fn min_gru_backward_matches_differences(device: &Device) {
    for (size @ [steps, batch, hidden], p) in stacks() {
        let (len, slot) = (size.iter().product(), batch * hidden);
        let (k, v, h, dh) = (fill(1, len, 3.0), fill(2, len, 3.0), fill(4, len, 1.0), fill(5, len, 1.0));
        let (h0, lengths) = (fill(3, slot, 1.0), lengths(size));
        let [k_buffer, v_buffer, h0_buffer, h_buffer, dh_buffer] = [&k, &v, &h0, &h, &dh].map(|x| buffer(device, x));
        let reads = [&k_buffer, &v_buffer, &indices(device, &lengths), &h0_buffer, &h_buffer, &dh_buffer];
        let [dk, dv] = run(device, &MinGruBackward(p), reads);
        let (mut want_dk, mut want_dv) = (vec![0.0; len], vec![0.0; len]);
        for i in (0..len).filter(|i| i / slot < lengths[i / hidden % batch] as usize) {
            let before = match (p.reverse, i / slot) {
                (0, 0) => h0[i % slot],
                (0, _) => h[i - slot],
                (_, t) if t + 1 == steps => h0[i % slot],
                _ => h[i + slot],
            };
            let state = |k: f64, v: f64| dh[i] as f64 * step(before as f64, k, v, p.log == 1);
            let (k, v, d) = (k[i] as f64, v[i] as f64, 1e-5);
            want_dk[i] = (state(k + d, v) - state(k - d, v)) / (2.0 * d);
            want_dv[i] = (state(k, v + d) - state(k, v - d)) / (2.0 * d);
        }
        assert_close(&format!("dk of {p:?}"), &dk, &want_dk, GRADIENT);
        assert_close(&format!("dv of {p:?}"), &dv, &want_dv, GRADIENT);
    }
}

fn min_gru_and_scan_pass_nan_on(device: &Device) {
    const NAN: f32 = f32::NAN;
    for log in [0, 1] {
        let p = Scan { steps: 6, width: 2, chunk: 2, log, exp: log, ..Scan::default() };
        for poisoned in 0..2 {
            let mut terms = [[-0.5; 12], [-0.5; 12]];
            terms[poisoned][2 * 2 + 1] = NAN;
            let [h, _] = scanned(device, &p, &terms[0], &terms[1], &[0.5; 2]);
            let want: Vec<bool> = (0..12).map(|i| i % 2 == 1 && i / 2 >= 2).collect();
            assert_eq!(h.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), want, "log {log}");
        }
        let p = MinGruGates { steps: 1, batch: 1, hidden: 2, reverse: 0, log };
        let (nan, fine) = (buffer(device, &[NAN, 0.5]), buffer(device, &[0.5; 2]));
        let lengths = indices(device, &[1]);
        for [k, v] in [[&nan, &fine], [&fine, &nan]] {
            let [_, b] = run(device, &p, [k, v, &lengths]);
            assert!(b[0].is_nan() && !b[1].is_nan(), "{b:?}");
            let [dk, dv] = run(device, &MinGruBackward(p), [k, v, &lengths, &fine, &fine, &fine]);
            assert!(dk[0].is_nan() && !dk[1].is_nan() && !dv[1].is_nan(), "{dk:?}");
        }
    }
}
