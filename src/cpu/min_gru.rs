//! [`MinGruGates`] and [`MinGruBackward`] over sixteen lanes, and over threads where there are many elements.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use std::ops::Range;

use super::logarithm::{log, log_1p};
use super::simd::{Isa, LANES, Lanes, exp, for_each_isa, load_part, sigmoid, store_part};
use super::team::{Parts, Team};
use crate::kernel::{Kernel, words};
use crate::kernels::{MinGruBackward, MinGruGates};
use crate::math::LOW;

/// Elements that a thread takes at a time, at least. They are independent, so the results do not depend on it.
const PART: usize = 1 << 14;
/// Elements below which a second thread costs more than it brings; with logarithms, a quarter.
const PARALLEL: usize = 1 << 17;

/// Calls `task` for stretches of elements that all lie within their sequences' lengths, or all past them, and all have
/// their state before in the same buffer.
fn over_stretches(team: &Team, p: &MinGruGates, lengths: &[u32], task: impl Fn(Range<usize>, bool) + Sync) {
    let [batch, hidden, steps] = [p.batch, p.hidden, p.steps].map(|n| n as usize);
    let [slot, all] = p.words();
    let first = if p.reverse == 1 { steps - 1 } else { 0 };
    let of_steps = |range: Range<usize>| {
        let (mut start, mut was_valid) = (range.start * slot, false);
        for t in range.clone() {
            for (b, &length) in lengths[..batch].iter().enumerate() {
                let (at, is_valid) = (t * slot + b * hidden, t < length as usize);
                let is_cut = is_valid != was_valid || b == 0 && (t == first || t == first + 1);
                if is_cut && start < at {
                    task(start..at, was_valid);
                    start = at;
                }
                was_valid = is_valid;
            }
        }
        task(start..range.end * slot, was_valid);
    };
    let each = PART.div_ceil(slot);
    let parts = steps.div_ceil(each);
    let part = |i: usize| of_steps(i * each..steps.min((i + 1) * each));
    if all << (2 * p.log) < PARALLEL { (0..parts).for_each(part) } else { team.over(parts, part) }
}

#[derive(Clone, Copy)]
struct Gates<'a> {
    log: bool,
    k: &'a [f32],
    v: &'a [f32],
    a: *mut f32,
    b: *mut f32,
}

/// [`MinGruGates`]
pub fn gates(isa: Isa, team: &Team, p: &MinGruGates, [k, v, lengths]: [&[f32]; 3], [a, b]: [&mut [f32]; 2]) -> bool {
    let (reads, [len, _]) = p.lens();
    assert!(k.len() >= reads[0] && v.len() >= reads[1] && a.len() >= len && b.len() >= len);
    let (a, b, log) = (Parts::new(a), Parts::new(b), p.log == 1);
    over_stretches(team, p, words(lengths), |range, is_valid| {
        if is_valid {
            let run = Gates { log, k, v, a: a.as_ptr(), b: b.as_ptr() };
            for_each_isa!(isa, gates_of::<_>(run: Gates<'_>, range: Range<usize>));
            return;
        }
        // SAFETY: no other call has this stretch.
        let [a, b] = unsafe { [a.get(range.clone()), b.get(range)] };
        a.fill(if log { 0.0 } else { 1.0 });
        b.fill(if log { LOW } else { 0.0 });
    });
    true
}

#[inline(always)]
unsafe fn gates_of<V: Lanes>(run: Gates, range: Range<usize>) {
    for at in range.clone().step_by(LANES) {
        let n = LANES.min(range.end - at);
        // SAFETY: within the buffers, whose lengths were checked; no other call writes this stretch.
        unsafe {
            let k = load_part::<V>(run.k.as_ptr().add(at), n);
            let v = load_part::<V>(run.v.as_ptr().add(at), n);
            let minus = V::splat(0.0).sub(k);
            let (a, b) = if run.log { logarithms(k, minus, v) } else { (sigmoid(minus), sigmoid(k).mul(v)) };
            store_part(a, run.a.add(at), n);
            store_part(b, run.b.add(at), n);
        }
    }
}

/// `log σ(−k)` and `log σ(k) + log g(v)`. Without closures: they would not have the caller's instructions.
#[inline(always)]
unsafe fn logarithms<V: Lanes>(k: V, minus: V, v: V) -> (V, V) {
    // SAFETY: the caller runs where V's instructions exist.
    unsafe {
        let (zero, low) = (V::splat(0.0), V::splat(LOW));
        let (of_k, of_v) = (log_1p(exp(zero.sub(k.abs()))), log_1p(exp(zero.sub(v.abs()))));
        let log_g = v.where_below(zero, v.sub(of_v), log(v.add(V::splat(0.5))));
        let a = minus.where_below(zero, minus, zero).sub(of_k);
        let b = k.where_below(zero, k, zero).sub(of_k).add(log_g);
        (a.at_least(low), b.at_least(low))
    }
}

#[derive(Clone, Copy)]
struct Back<'a> {
    log: bool,
    k: &'a [f32],
    v: &'a [f32],
    dh: &'a [f32],
    /// The state before the first element of the stretch.
    before: *const f32,
    dk: *mut f32,
    dv: *mut f32,
}

/// [`MinGruBackward`]
pub fn backward(
    isa: Isa,
    team: &Team,
    kernel: &MinGruBackward,
    [k, v, lengths, h0, h, dh]: [&[f32]; 6],
    [dk, dv]: [&mut [f32]; 2],
) -> bool {
    let (p, [slot, all]) = (&kernel.0, kernel.0.words());
    assert!([k, v, h, dh].iter().all(|read| read.len() >= all) && h0.len() >= slot);
    assert!(dk.len() >= all && dv.len() >= all);
    let first = if p.reverse == 1 { all - slot } else { 0 };
    let (dk, dv, log) = (Parts::new(dk), Parts::new(dv), p.log == 1);
    over_stretches(team, p, words(lengths), |range, is_valid| {
        if is_valid {
            let before = match (range.start, p.reverse) {
                (at, _) if (first..first + slot).contains(&at) => h0[at - first..].as_ptr(),
                (at, 1) => h[at + slot..].as_ptr(),
                (at, _) => h[at - slot..].as_ptr(),
            };
            let run = Back { log, k, v, dh, before, dk: dk.as_ptr(), dv: dv.as_ptr() };
            for_each_isa!(isa, backward_of::<_>(run: Back<'_>, range: Range<usize>));
            return;
        }
        // SAFETY: no other call has this stretch.
        unsafe {
            dk.get(range.clone()).fill(0.0);
            dv.get(range).fill(0.0);
        }
    });
    true
}

#[inline(always)]
unsafe fn backward_of<V: Lanes>(run: Back, range: Range<usize>) {
    for at in range.clone().step_by(LANES) {
        let n = LANES.min(range.end - at);
        // SAFETY: within the buffers, whose lengths were checked; a stretch is within one step's states before, or
        // within those of the steps that follow each other. No other call writes it.
        unsafe {
            let k = load_part::<V>(run.k.as_ptr().add(at), n);
            let v = load_part::<V>(run.v.as_ptr().add(at), n);
            let dh = load_part::<V>(run.dh.as_ptr().add(at), n);
            let before = load_part::<V>(run.before.add(at - range.start), n);
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let (z, old) = (sigmoid(k), sigmoid(zero.sub(k)));
            let (mut candidate, mut dv) = (v, dh.mul(z));
            if run.log {
                let positive = sigmoid(v);
                candidate = v.where_below(zero, positive, v.add(V::splat(0.5)));
                // Asked so, NaN stays NaN: no number lies between this one and 0.
                let below = V::splat(-f32::from_bits(1));
                dv = dv.mul(below.where_below(v, one, positive.mul(sigmoid(zero.sub(v)))));
            }
            store_part(dv, run.dv.add(at), n);
            store_part(dh.mul(candidate.sub(before)).mul(z).mul(old), run.dk.add(at), n);
        }
    }
}
