//! [`MinGruSequence`] and its backward pass in one go over the steps, sixteen units at a time: gates, recurrence and
//! padding without a buffer between them. Chunks only serve to keep a GPU busy.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

mod backward;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use forward::forward;

use super::simd::{LANES, Lanes, exp};
use super::team::Team;
use crate::kernels::MinGruSequence;
use crate::math::SIGMOID_LOW;

/// Columns that a thread takes at a time, at most: units of all sequences of a direction. They are independent, so the
/// results do not depend on it.
const COLUMNS: usize = 32 * LANES;
/// Elements below which a second thread costs more than it brings; of logarithms, a quarter.
const PARALLEL: usize = 1 << 16;

/// Calls `task` for parts of the columns of each direction.
fn over_columns(team: &Team, p: &MinGruSequence, task: impl Fn(Part) + Sync) {
    let [directions, slot] = [p.directions as usize, p.batch as usize * p.hidden as usize];
    let each = (directions * slot).div_ceil(team.threads()).next_multiple_of(LANES).min(COLUMNS);
    let of_one = slot.div_ceil(each);
    let part = |i: usize| {
        let first = i % of_one * each;
        task(Part { d: i / of_one, columns: first..slot.min(first + each) });
    };
    let parts = directions * of_one;
    if p.words()[0] << (2 * p.log) < PARALLEL { (0..parts).for_each(part) } else { team.over(parts, part) }
}

/// Columns of one direction.
#[derive(Clone)]
struct Part {
    d: usize,
    columns: Range<usize>,
}

/// Where a step stands in its sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Past the sequence's length.
    Past,
    /// The first step of the direction: the state before it is the first state.
    First,
    Later,
}

/// Columns of one step that are of one kind and without gaps in every buffer.
struct Stretch {
    columns: Range<usize>,
    kind: Kind,
    /// Where the first of them lies in `[steps, batch, directions, hidden]`.
    output: usize,
}

/// The stretches of `columns` at time `t`.
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
        // Of two directions, the output of the other lies between the rows.
        while directions == 1 && self.row * hidden < self.columns.end && self.kind(self.row) == kind {
            self.row += 1;
        }
        self.columns.start = self.columns.end.min(self.row * hidden);
        Some(Stretch { columns: start..self.columns.start, kind, output })
    }
}

/// `σ(k)` and `σ(−k)`, by one exponential.
#[inline(always)]
unsafe fn gate<V: Lanes>(k: V) -> (V, V) {
    // SAFETY: as above.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let minus = zero.sub(k.abs());
        let e = exp(minus);
        let large = one.div(one.add(e));
        let small = minus.where_below(V::splat(SIGMOID_LOW), zero, e.mul(large));
        (k.where_below(zero, small, large), k.where_below(zero, large, small))
    }
}
