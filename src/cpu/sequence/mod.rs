//! [`GruSequence`](crate::kernels::GruSequence), [`CellSequence`](crate::kernels::CellSequence) and their backwards by
//! packed blocks: 16 units at a time, all gates of one load of `h` in registers, the cell in the epilogue.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

mod backward;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;

use super::simd::{LANES, Lanes};
use super::team::Team;
use crate::kernels::Plain;
use crate::kernels::plain::BLOCK;

/// Rows of the batch that one thread takes at a time; fixed, so that the work is cut alike for any number of threads.
const ROWS: usize = 8;
/// Multiplications of a whole run below which a second thread costs more than it brings.
const PARALLEL: usize = 1 << 21;
/// Weights of a unit's gates, of all steps' worth of units, that are worth a thread.
const SHARED: usize = 48 * 3;

/// Runs `task` of a direction and up to [`ROWS`] rows for all of them: over threads where there are several, else with
/// a team for the units of each step.
fn over_rows(team: &Team, p: &Plain, task: impl Fn(usize, usize, Crew) + Sync) {
    let groups = (p.batch as usize).div_ceil(ROWS);
    let tasks = groups * p.directions as usize;
    let gates = p.cell().gates();
    let work = gates * (p.hidden as usize).pow(2) * p.batch as usize * p.steps as usize * p.directions as usize;
    let run = |i: usize, crew: Crew| task(i / groups, i % groups * ROWS, crew);
    let most = gates * p.hidden as usize / SHARED;
    if work < PARALLEL || tasks == 1 && most < 2 {
        (0..tasks).for_each(|i| run(i, Crew(None)));
    } else if tasks == 1 {
        team.wake(most);
        run(0, Crew(Some((team, most))));
    } else {
        team.over(tasks, |i| run(i, Crew(None)));
    }
}

/// Who does one step: up to so many of a team, or this thread alone.
#[derive(Clone, Copy)]
struct Crew<'a>(Option<(&'a Team, usize)>);

impl Crew<'_> {
    /// Runs `task` for all units, in ranges of whole blocks.
    fn share(self, hidden: usize, task: impl Fn(Range<usize>) + Sync) {
        match self.0 {
            None => task(0..hidden),
            Some((team, most)) => team.share(hidden.div_ceil(BLOCK), most, &|blocks: Range<usize>| {
                task(blocks.start * BLOCK..hidden.min(blocks.end * BLOCK));
            }),
        }
    }
}

/// Calls `$f::<V, M>(…)` for groups of these numbers of rows, so that none is computed for nothing; none larger than
/// `most`, whose sums fit in registers.
macro_rules! by_groups {
    ($count:expr, $most:expr, [$($size:literal)*], |$done:ident| $f:ident::<$v:ident> $args:tt) => {{
        let mut $done = 0;
        $(while $count - $done >= $size && $size <= $most {
            $f::<$v, $size> $args;
            $done += $size;
        })*
    }};
}
use by_groups;

/// The largest group of rows whose sums of `gates` gates fit in registers.
const fn most_rows<V: Lanes>(gates: usize) -> usize {
    match (V::SUMS, gates) {
        (16.., 4) => 4,
        (16.., _) => 8,
        (6.., 1..4) | (_, 1) => 2,
        _ => 1,
    }
}

/// `sum[gate][row] += weights[gate]·v[row][k]`, `weights` those of `k`.
#[inline(always)]
unsafe fn accumulate<V: Lanes, const G: usize, const M: usize>(
    sum: &mut [[V; M]; G],
    weights: *const f32,
    v: [*const f32; M],
    k: usize,
) {
    // SAFETY: as the caller's.
    unsafe {
        let mut w = [V::splat(0.0); G];
        for (g, w) in w.iter_mut().enumerate() {
            *w = V::load(weights.add(g * BLOCK));
        }
        for (m, v) in v.iter().enumerate() {
            let v = V::splat(*v.add(k));
            for (sum, w) in sum.iter_mut().zip(&w) {
                sum[m] = w.fma(v, sum[m]);
            }
        }
    }
}

/// A matrix block: its first weight, the floats from one `k` to the next, and how many there are.
#[derive(Clone, Copy)]
struct Weights {
    at: *const f32,
    row: usize,
    depth: usize,
    /// The row after the last is the bias.
    bias: bool,
}

/// `acc[gate][row] = Σ_k weights[k, gate]·v[row][k]`, plus the bias.
#[inline(always)]
unsafe fn product<V: Lanes, const G: usize, const M: usize>(weights: Weights, v: [*const f32; M]) -> [[V; M]; G] {
    let room = V::SUMS.min(12);
    // Several sums of each where there are few, so that the multipliers need not wait for one.
    // SAFETY: as the caller's.
    unsafe {
        match room / (M * G) {
            0 | 1 => sums::<V, G, M, 1>(weights, v),
            2 | 3 => sums::<V, G, M, 2>(weights, v),
            4..8 => sums::<V, G, M, 4>(weights, v),
            _ => sums::<V, G, M, 8>(weights, v),
        }
    }
}

#[inline(always)]
unsafe fn sums<V: Lanes, const G: usize, const M: usize, const U: usize>(
    Weights { at, row, depth, bias }: Weights,
    v: [*const f32; M],
) -> [[V; M]; G] {
    // SAFETY: weights hold [depth (+ 1), row] from the gate on, each v depth floats.
    unsafe {
        let mut sums = [[[V::splat(0.0); M]; G]; U];
        if bias {
            for (g, sum) in sums[0].iter_mut().enumerate() {
                *sum = [V::load(at.add(depth * row + g * BLOCK)); M];
            }
        }
        let whole = depth - depth % U;
        for k in (0..whole).step_by(U) {
            for (u, sum) in sums.iter_mut().enumerate() {
                accumulate(sum, at.add((k + u) * row), v, k + u);
            }
        }
        for k in whole..depth {
            accumulate(&mut sums[0], at.add(k * row), v, k);
        }
        let mut all = sums[0];
        for part in &sums[1..] {
            for (all, part) in all.iter_mut().zip(part) {
                for (all, part) in all.iter_mut().zip(part) {
                    *all = all.add(*part);
                }
            }
        }
        all
    }
}

fn covers<const N: usize>(has: [&[f32]; N], needs: [usize; N]) -> bool {
    has.iter().zip(needs).all(|(has, need)| has.len() >= need)
}

const _: () = assert!(LANES == BLOCK, "a block of packed weights is one vector of each gate");
