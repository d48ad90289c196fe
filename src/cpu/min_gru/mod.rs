//! Vectorized [`MinGruSequence`] and its backward pass. One loop over the steps fuses gates, recurrence and padding,
//! sixteen units at a time, without intermediate buffers. It does not use chunks, which only serve to keep a GPU busy.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

mod backward;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;

use super::simd::{LANES, Lanes, exp};
use super::thread_pool::ThreadPool;
use crate::kernels::MinGruSequence;
use crate::math::SIGMOID_LOW;

/// Maximum number of columns per task. A column is one unit of one sequence and direction. Columns are independent,
/// so this number does not affect the results.
const COLUMNS: usize = 32 * LANES;
/// Elements below which a second thread costs more than it saves. For logarithms, a quarter of this.
const PARALLEL: usize = 1 << 16;

/// Calls `task` for ranges of the columns of each direction, on several threads if the work is large enough.
fn over_columns(pool: &ThreadPool, p: &MinGruSequence, task: impl Fn(Part) + Sync) {
    let [directions, slot] = [p.directions as usize, p.batch as usize * p.hidden as usize];
    let each = (directions * slot).div_ceil(pool.threads()).next_multiple_of(LANES).min(COLUMNS);
    let of_one = slot.div_ceil(each);
    let part = |i: usize| {
        let first = i % of_one * each;
        task(Part { d: i / of_one, columns: first..slot.min(first + each) });
    };
    let parts = directions * of_one;
    if p.words()[0] << (2 * p.log) < PARALLEL { (0..parts).for_each(part) } else { pool.over(parts, part) }
}

/// A range of columns of one direction.
#[derive(Clone)]
struct Part {
    d: usize,
    columns: Range<usize>,
}

/// Position of a step in its sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Past the sequence's length.
    Past,
    /// The first step of the direction: the state before it is the initial state.
    First,
    Later,
}

/// Columns of one step that have the same kind and are contiguous in every buffer.
struct Stretch {
    columns: Range<usize>,
    kind: Kind,
    /// Index of the first column in `[steps, batch, directions, hidden]`.
    output: usize,
}

/// Iterator over the stretches of `columns` at time `t`.
struct Stretches<'a> {
    p: &'a MinGruSequence,
    lengths: &'a [u32],
    d: usize,
    t: usize,
    columns: Range<usize>,
    row: usize,
}

impl<'a> Stretches<'a> {
    fn new(p: &'a MinGruSequence, lengths: &'a [u32], part: &Part, t: usize) -> Self {
        let (row, columns) = (part.columns.start / p.hidden as usize, part.columns.clone());
        Self { p, lengths, d: part.d, t, columns, row }
    }

    fn kind(&self, row: usize) -> Kind {
        let (t, length) = (self.t, self.lengths[row].min(self.p.steps) as usize);
        let first = if self.p.order().is_reverse(self.d) { length.wrapping_sub(1) } else { 0 };
        match t < length {
            false => Kind::Past,
            true if t == first => Kind::First,
            true => Kind::Later,
        }
    }
}

impl Iterator for Stretches<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        if self.columns.is_empty() {
            return None;
        }
        let [batch, directions, hidden] = [self.p.batch, self.p.directions, self.p.hidden].map(|n| n as usize);
        let (start, row, kind) = (self.columns.start, self.row, self.kind(self.row));
        let output = ((self.t * batch + row) * directions + self.d) * hidden + start - row * hidden;
        self.row += 1;
        // With two directions, the output of the other direction lies between the rows.
        while directions == 1 && self.row * hidden < self.columns.end && self.kind(self.row) == kind {
            self.row += 1;
        }
        self.columns.start = self.columns.end.min(self.row * hidden);
        Some(Stretch { columns: start..self.columns.start, kind, output })
    }
}

/// Returns `σ(k)` and `σ(−k)`, computed with one exponential.
#[inline(always)]
unsafe fn gate<V: Lanes>(k: V) -> (V, V) {
    // SAFETY: the caller makes sure that the CPU supports V's instructions.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let minus = zero.sub(k.abs());
        let e = exp(minus);
        let large = one.div(one.add(e));
        let small = minus.where_below(V::splat(SIGMOID_LOW), zero, e.mul(large));
        (k.where_below(zero, small, large), k.where_below(zero, large, small))
    }
}
