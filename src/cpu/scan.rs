//! [`Scan`] in one pass over the steps, sixteen recurrences at a time. Chunks only serve to keep a GPU busy.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use std::ops::Range;

use super::logarithm::{exp_stable, log_add};
use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, store_part};
use super::team::{Parts, Team};
use crate::kernel::Kernel;
use crate::kernels::Scan;
use crate::math::LOW;

/// Recurrences that a thread takes at a time. They are independent, so the results do not depend on it.
const COLUMNS: usize = 32 * LANES;
/// Elements below which a second thread costs more than it brings; of logarithms, a quarter.
const PARALLEL: usize = 1 << 17;

#[derive(Clone, Copy)]
struct Run<'a> {
    p: Scan,
    a: &'a [f32],
    b: &'a [f32],
    h0: &'a [f32],
    h: *mut f32,
}

/// [`Scan`]; false if it is cut into chunks.
pub fn run(isa: Isa, team: &Team, p: &Scan, [a, b, h0, _]: [&[f32]; 4], h: &mut [f32]) -> bool {
    if p.chunks() > 1 {
        return false;
    }
    let ([all, _, width, _], [len]) = p.lens();
    assert!(a.len() >= all && b.len() >= all && h0.len() >= width && h.len() >= len);
    let h = Parts::new(h);
    let part = |i: usize| {
        let columns = i * COLUMNS..width.min((i + 1) * COLUMNS);
        let run = Run { p: *p, a, b, h0, h: h.as_ptr() };
        // SAFETY: the lengths were checked; no other call has these columns.
        for_each_isa!(isa, take::<_>(run: Run<'_>, columns: Range<usize>));
    };
    let parts = width.div_ceil(COLUMNS);
    if all << (2 * p.log) < PARALLEL {
        (0..parts).for_each(part)
    } else {
        team.over(parts, part)
    }
    true
}

#[inline(always)]
unsafe fn take<V: Lanes>(run: Run, columns: Range<usize>) {
    let Run { p, a, b, h0, h } = run;
    let mut states = vec![0.0f32; columns.len().next_multiple_of(LANES)];
    for (state, &v) in states.iter_mut().zip(&h0[columns.clone()]) {
        *state = p.first_state(v);
    }
    for step in 0..p.steps as usize {
        let row = p.row_of(step) + columns.start;
        let factors = p.factors(a, step).map(|a| a[columns.start..].as_ptr());
        for first in (0..columns.len()).step_by(LANES) {
            let n = LANES.min(columns.len() - first);
            // SAFETY: rows of `width` floats, of which these columns are this call's; as many states, rounded up.
            unsafe {
                let at = states.as_mut_ptr().add(first);
                let factor = match factors {
                    Some(a) => load_part(a.add(first), n),
                    None => V::splat(p.one()),
                };
                let b = load_part::<V>(b.as_ptr().add(row + first), n);
                let (state, shown) = next(&p, factor, V::load(at), b);
                state.store(at);
                store_part(shown, h.add(row + first), n);
            }
        }
    }
}

/// The state after a step, and what is written of it.
#[inline(always)]
unsafe fn next<V: Lanes>(p: &Scan, factor: V, state: V, b: V) -> (V, V) {
    // SAFETY: the caller runs where V's instructions exist.
    unsafe {
        if p.log == 0 {
            let state = factor.fma(state, b);
            return (state, state);
        }
        let state = log_add(factor.add(state).at_least(V::splat(LOW)), b);
        (state, if p.exp == 1 { exp_stable(state) } else { state })
    }
}
