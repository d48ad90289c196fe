//! Fast paths of [`RecurrentSequence`](crate::kernels::RecurrentSequence) and its backward kernel. They process blocks
//! of 16 units: one load of `h` serves all gates of a block, whose sums stay in registers, and the epilogue of the
//! product computes the cell.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

mod backward;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;

use super::simd::{LANES, Lanes, unrolled, zeros};
use super::thread_pool::ThreadPool;
use crate::kernel::IS_LEAN;
use crate::kernels::Fused;
use crate::kernels::fused::BLOCK;

/// Rows of the widest group. The batch is split only at multiples of it, so that results do not depend on the split.
pub const GROUP: usize = 8;
/// Maximum number of rows that one thread runs through all steps, so that their data fits in its caches along with the
/// weights.
const ROWS: usize = 32;
/// Number of multiplications below which a second thread costs more than it saves.
const PARALLEL: usize = 1 << 21;

/// Runs `task` for every direction and every row. Several groups of rows or directions are distributed over the
/// threads; a single one splits the units of each step instead. Small runs use only the calling thread.
fn over_rows(pool: &ThreadPool, p: &Fused, task: impl Fn(usize, Range<usize>, StepThreads) + Sync) {
    let (batch, count) = (p.batch as usize, p.count as usize);
    // At the start and end of a wavefront, some layers have no steps.
    let running = || (0..p.directions as usize).filter(|&d| !p.range(d, count).is_empty());
    let directions = running().count();
    // Groups as large as the number of threads allows, because a step reads its weights once per group.
    let rows = (batch * directions).div_ceil(pool.threads()).next_multiple_of(GROUP).clamp(GROUP, ROWS);
    let groups = batch.div_ceil(rows);
    let tasks = groups * directions;
    let hidden = p.hidden as usize;
    let work = [hidden, hidden, batch, count, directions].into_iter().fold(p.cell().gates(), usize::saturating_mul);
    let run = |i: usize, threads: StepThreads| {
        let first = i % groups * rows;
        let d = running().nth(i / groups).expect("as many as were counted");
        task(d, first..batch.min(first + rows), threads);
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

/// Returns the first unit of each block of `units`. Alternates the direction every step, so that the cache still holds
/// the last weights read.
fn blocks(units: Range<usize>, step: usize) -> impl Iterator<Item = usize> {
    let count = units.len().div_ceil(BLOCK);
    (0..count).map(move |i| units.start + BLOCK * if step % 2 == 1 { count - 1 - i } else { i })
}

/// Threads that run one step: those of a pool, or only the calling one.
#[derive(Clone, Copy)]
struct StepThreads<'a>(Option<&'a ThreadPool>);

impl StepThreads<'_> {
    /// Runs `task` for all units, in ranges of whole blocks. Each unit takes `work` multiplications.
    fn share(self, hidden: usize, work: usize, task: impl Fn(Range<usize>) + Sync) {
        match self.0 {
            None => task(0..hidden),
            Some(pool) => pool.share(hidden.div_ceil(BLOCK), work * hidden, &|blocks: Range<usize>| {
                task(blocks.start * BLOCK..hidden.min(blocks.end * BLOCK));
            }),
        }
    }
}

/// Splits `$count` rows into groups of the given sizes, largest first, and calls `$f::<V, M>(…)` for each, so that no
/// row is padding. Skips sizes whose sums of `gates` gates do not fit in registers.
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

/// Returns the size of the largest group of rows whose sums of `gates` gates fit in registers.
const fn most_rows<V: Lanes>(gates: usize) -> usize {
    match (V::SUMS, gates) {
        (16.., 4) => 4,
        (16.., _) => 8,
        (6.., 1..4) => 2,
        (6.., _) => 1,
        // One gate at a time.
        _ => 2,
    }
}

/// `sum[gate][row] += weights[gate]·v[row][k]`, where `weights` are those of `k`.
#[inline(always)]
unsafe fn accumulate<V: Lanes, const G: usize, const M: usize>(
    sum: &mut [[V; M]; G],
    weights: *const f32,
    v: [*const f32; M],
    k: usize,
) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        if const { G == 1 || V::SUMS < 6 } {
            let mut row = [0.0; M];
            unrolled!(m < M, { row[m] = *v[m].add(k) });
            unrolled!(g < G, { V::add_products(&mut sum[g], weights.add(g * BLOCK), row) });
            return;
        }
        let mut w: [V; G] = zeros();
        unrolled!(g < G, { w[g] = V::load(weights.add(g * BLOCK)) });
        unrolled!(m < M, {
            let v = V::splat(*v[m].add(k));
            unrolled!(g < G, { sum[g][m] = w[g].fma(v, sum[g][m]) });
        });
    }
}

/// A block of a packed matrix.
#[derive(Clone, Copy)]
struct Weights {
    /// First weight.
    at: *const f32,
    /// Floats from one `k` to the next.
    row: usize,
    /// Number of `k`.
    depth: usize,
    /// Whether a bias row follows the last `k`.
    bias: bool,
}

/// `acc[gate][row] = Σ_k weights[k, gate]·v[row][k]`, plus the bias.
#[inline(always)]
unsafe fn product<V: Lanes, const G: usize, const M: usize>(weights: Weights, v: [*const f32; M]) -> [[V; M]; G] {
    let room = V::SUMS.min(12);
    if V::SUMS < 6 {
        // SAFETY: the caller upholds the same contract.
        unsafe {
            let mut all: [[V; M]; G] = zeros();
            // One row takes two or three gates at a time: it then reads large matrices in fewer passes.
            if const { M == 1 && G == 3 && !IS_LEAN } {
                return gate_sums(weights, v);
            }
            if const { M == 1 && G.is_multiple_of(2) && !IS_LEAN } {
                for gate in (0..G).step_by(2) {
                    let weights = Weights { at: weights.at.add(gate * BLOCK), ..weights };
                    [all[gate], all[gate + 1]] = gate_sums(weights, v);
                }
                return all;
            }
            for (gate, all) in all.iter_mut().enumerate() {
                let weights = Weights { at: weights.at.add(gate * BLOCK), ..weights };
                [*all] = gate_sums(weights, v);
            }
            return all;
        }
    }
    // If there are few sums, splits each into several, so that successive multiply-adds do not wait for each other.
    // SAFETY: the caller upholds the same contract.
    unsafe {
        match room / (M * G) {
            0 | 1 => sums::<V, G, M, 1>(weights, v),
            2 | 3 => sums::<V, G, M, 2>(weights, v),
            4..8 => sums::<V, G, M, 4>(weights, v),
            _ => sums::<V, G, M, 8>(weights, v),
        }
    }
}

/// The sums of one gate, or of one row. Not inlined, because every copy adds to the size of browser builds.
#[inline(never)]
unsafe fn gate_sums<V: Lanes, const G: usize, const M: usize>(weights: Weights, v: [*const f32; M]) -> [[V; M]; G] {
    // SAFETY: the caller upholds the same contract.
    unsafe { if const { M * G == 1 } { sums::<V, G, M, 2>(weights, v) } else { sums::<V, G, M, 1>(weights, v) } }
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
        let mut sums: [[[V; M]; G]; U] = zeros();
        if bias {
            unrolled!(g < G, { sums[0][g] = [V::load(at.add(depth * row + g * BLOCK)); M] });
        }
        let mut k = 0;
        // With few sums, the loop overhead matters, so this unrolls twice.
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
