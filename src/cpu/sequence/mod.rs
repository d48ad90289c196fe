//! [`GruSequence`](crate::kernels::GruSequence), [`CellSequence`](crate::kernels::CellSequence) and their backwards by
//! packed blocks: 16 units at a time, all gates of one load of `h` in registers, the cell in the epilogue.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

mod backward;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;

use super::simd::{LANES, Lanes, unrolled};
use super::thread_pool::ThreadPool;
use crate::kernels::Plain;
use crate::kernels::plain::BLOCK;

/// Rows that the widest group has: the batch is cut at multiples of it alone, so that the numbers do not depend on how.
pub const GROUP: usize = 8;
/// Most rows that one thread takes through all steps: what it keeps of them is to stay in its caches beside the weights.
const ROWS: usize = 32;
/// Multiplications of a whole run below which a second thread costs more than it brings.
const PARALLEL: usize = 1 << 21;

/// Runs `task` of a direction and some rows for all of them: over threads where there are several, else with a pool for
/// the units of each step.
fn over_rows(pool: &ThreadPool, p: &Plain, task: impl Fn(usize, Range<usize>, StepThreads) + Sync) {
    let (batch, count) = (p.batch as usize, p.count as usize);
    // Those that have steps to run: of layers one behind the other, not all have at the start and at the end.
    let running: Vec<usize> = (0..p.directions as usize).filter(|&d| !p.range(d, count).is_empty()).collect();
    let directions = running.len();
    // As many as there are for each thread: the weights of a step are then read once for all of them.
    let rows = (batch * directions).div_ceil(pool.threads()).next_multiple_of(GROUP).clamp(GROUP, ROWS);
    let groups = batch.div_ceil(rows);
    let tasks = groups * directions;
    let hidden = p.hidden as usize;
    let work = [hidden, hidden, batch, count, directions].into_iter().fold(p.cell().gates(), usize::saturating_mul);
    let run = |i: usize, threads: StepThreads| {
        let first = i % groups * rows;
        task(running[i / groups], first..batch.min(first + rows), threads);
    };
    if work < PARALLEL {
        (0..tasks).for_each(|i| run(i, StepThreads(None)));
    } else if tasks == 1 {
        pool.wake();
        run(0, StepThreads(Some(pool)));
    } else {
        pool.over(tasks, |i| run(i, StepThreads(None)));
    }
}

/// The first units of the blocks of `units`; every other step begins with the last, whose weights the step before it left in
/// the cache.
fn blocks(units: Range<usize>, step: usize) -> impl Iterator<Item = usize> {
    let count = units.len().div_ceil(BLOCK);
    (0..count).map(move |i| units.start + BLOCK * if step % 2 == 1 { count - 1 - i } else { i })
}

/// Who does one step: a pool, or this thread alone.
#[derive(Clone, Copy)]
struct StepThreads<'a>(Option<&'a ThreadPool>);

impl StepThreads<'_> {
    /// Runs `task` for all units, in ranges of whole blocks; a unit takes `work` multiplications.
    fn share(self, hidden: usize, work: usize, task: impl Fn(Range<usize>) + Sync) {
        match self.0 {
            None => task(0..hidden),
            Some(pool) => pool.share(hidden.div_ceil(BLOCK), work * hidden, &|blocks: Range<usize>| {
                task(blocks.start * BLOCK..hidden.min(blocks.end * BLOCK));
            }),
        }
    }
}

/// Calls `$f::<V, M>(…)` for groups of these numbers of rows, so that none is computed for nothing; none larger than
/// those whose sums of `gates` gates fit in registers.
macro_rules! by_groups {
    ($count:expr, $gates:literal, [$($size:literal)*], |$done:ident| $f:ident::<$v:ident> $args:tt) => {{
        let mut $done = 0;
        $(while const { $size <= $crate::cpu::sequence::most_rows::<$v>($gates) } && $count - $done >= $size {
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
        (6.., 1..4) => 2,
        (6.., _) => 1,
        // One gate after the other.
        _ => 2,
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
        if G == 1 {
            let mut row = [0.0; M];
            unrolled!(m < M, { row[m] = *v[m].add(k) });
            return V::add_products(&mut sum[0], weights, row);
        }
        let mut w = [V::splat(0.0); G];
        unrolled!(g < G, { w[g] = V::load(weights.add(g * BLOCK)) });
        unrolled!(m < M, {
            let v = V::splat(*v[m].add(k));
            unrolled!(g < G, { sum[g][m] = w[g].fma(v, sum[g][m]) });
        });
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
    if V::SUMS < 6 {
        // SAFETY: as the caller's.
        unsafe {
            let mut all = [[V::splat(0.0); M]; G];
            for (gate, all) in all.iter_mut().enumerate() {
                let weights = Weights { at: weights.at.add(gate * BLOCK), ..weights };
                [*all] = gate_sums(weights, v);
            }
            return all;
        }
    }
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

/// The sums of one gate. A function of its own, not part of all that call it: browsers download each copy.
#[inline(never)]
unsafe fn gate_sums<V: Lanes, const M: usize>(weights: Weights, v: [*const f32; M]) -> [[V; M]; 1] {
    // SAFETY: as the caller's.
    unsafe { if const { M == 1 } { sums::<V, 1, M, 2>(weights, v) } else { sums::<V, 1, M, 1>(weights, v) } }
}

#[inline(always)]
unsafe fn sums<V: Lanes, const G: usize, const M: usize, const U: usize>(
    Weights { at, row, depth, bias }: Weights,
    v: [*const f32; M],
) -> [[V; M]; G] {
    // SAFETY: weights hold [depth (+ 1), row] from the gate on, each v depth floats.
    unsafe {
        let mut rows = [std::ptr::null(); M];
        unrolled!(m < M, { rows[m] = v[m] });
        let mut sums = [[[V::splat(0.0); M]; G]; U];
        if bias {
            unrolled!(g < G, { sums[0][g] = [V::load(at.add(depth * row + g * BLOCK)); M] });
        }
        let mut k = 0;
        // Where there are few sums, what turns the loop costs as much as some of them.
        while V::SUMS < 6 && k + 2 * U <= depth {
            unrolled!(u < U, { accumulate(&mut sums[u], at.add((k + u) * row), rows, k + u) });
            k += U;
            unrolled!(u < U, { accumulate(&mut sums[u], at.add((k + u) * row), rows, k + u) });
            k += U;
        }
        while V::SUMS >= 6 && k + U <= depth {
            unrolled!(u < U, { accumulate(&mut sums[u], at.add((k + u) * row), rows, k + u) });
            k += U;
        }
        while k < depth {
            accumulate(&mut sums[0], at.add(k * row), rows, k);
            k += 1;
        }
        let mut all = sums[0];
        unrolled!(u < U, {
            if u > 0 {
                unrolled!(g < G, { unrolled!(m < M, { all[g][m] = all[g][m].add(sums[u][g][m]) }) });
            }
        });
        all
    }
}

fn covers<const N: usize>(has: [&[f32]; N], needs: [usize; N]) -> bool {
    has.iter().zip(needs).all(|(has, need)| has.len() >= need)
}

const _: () = assert!(LANES == BLOCK, "a block of packed weights is one vector of each gate");
