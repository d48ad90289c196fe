//! One step of the chain plan

use super::marks::leave;
use super::fused::Fused;
use super::recurrent::{self, recurrent_kernel};
use super::weight_dtype::{WeightDtype, word_bindings};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, Text, at_least_one, words};
use crate::math::{sigmoid, tanh_stable};

recurrent_kernel! {
    /// Step `step` of all directions: the recurrent product of all gates and the cell in one dispatch. If the reset
    /// gate of a GRU acts before the product, a step takes two: `half` 0 computes `r`, `z` and `c`, and `half` 1 the
    /// rest from them. They pass through `saved`, so `save` must be 1.
    ///
    /// Reads `x`, `packed` and `marks`; reads slot `before` of `state` and writes slot `after`, writes its step of
    /// `y`, and of `saved` when `save` is 1. Shapes and equations: [`kernels::fused`](super::fused).
    RecurrentStep<C, W>
}

impl<const C: usize, W: WeightDtype> Kernel<3, 3> for RecurrentStep<C, W> {
    const NAME: &'static str = recurrent::step::<W>(C).0;
    const WGSL: &'static [&'static str] = recurrent::step::<W>(C).1;
    const VARIANTS: &'static [Text] = &[recurrent::step_split::<W>(C)];
    const READS: [&'static str; 3] = ["x", "packed", "marks"];
    const WRITES: [&'static str; 3] = ["state", "y", "saved"];
    const INDICES: &'static [&'static str] = word_bindings::<W>();
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, C, self.0.steps.saturating_sub(1))?;
        if self.0.is_reset_before() { at_least_one(Self::NAME, [("save", self.0.save)]) } else { Ok(()) }
    }

    fn variant(&self) -> usize {
        self.0.shader as usize
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 3], [usize; 3]) {
        self.0.forward_lens(W::depth(self.0.hidden as usize))
    }

    fn loops(&self) -> u64 {
        self.0.product_loops()
    }

    fn work(&self) -> u64 {
        self.0.half_work()
    }

    fn run(&self, reads: [&[f32]; 3], writes: [&mut [f32]; 3]) {
        let weights = Weights { depth: W::depth(self.0.hidden as usize), part: self.0.part(false), product: W::product };
        step(&self.0, weights, reads, writes);
    }
}

/// How to read the packed weights.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// Rows of a packed block.
    pub depth: usize,
    /// Terms of a part of a sum.
    pub part: usize,
    /// [`WeightDtype::product`]
    pub product: fn(&[f32], [usize; 2], &[f32], usize) -> f32,
}

/// Runs one step, or one half of it.
pub(super) fn step(
    p: &Fused,
    Weights { depth, part, product }: Weights,
    [x, packed, marks]: [&[f32]; 3],
    [state, y, saved]: [&mut [f32]; 3],
) {
    let (h, batch, cell) = (p.hidden as usize, p.batch as usize, p.cell());
    for d in 0..p.directions as usize {
        let Some(step) = p.range(d, 1).next() else { continue };
        let t = p.time_of(d, step);
        for (row, &mark) in words(marks)[t * batch..][..batch].iter().enumerate() {
            let [from, to] = [p.before(d, t), p.after(d, t)].map(|slot| p.state_at(d, slot, row));
            let first = p.state_at(d, p.before(d, p.time_of(d, 0)), row);
            let (at_x, at) = (p.gates_at(d, t, row, cell.gates()), p.gates_at(d, t, row, cell.saved()));
            for unit in 0..h {
                let u = &packed[p.packed_at(d, unit, [depth, cell.gates()])..];
                let x = |gate: usize| x[at_x + gate * h + unit];
                let a = |gate: usize| product(u, [cell.gates(), gate], &state[from..from + h], part);
                let old = state[from + unit];
                let (fresh, kept) = match cell {
                    Cell::Gru => {
                        let (r, z, c) = (sigmoid(x(0) + a(0)), sigmoid(x(1) + a(1)), a(2));
                        let n = tanh_stable(x(2) + r * c);
                        ([Some(n + z * (old - n)), None], [Some(r), Some(z), Some(n), Some(c), None])
                    }
                    Cell::GruResetBefore if p.half == 0 => {
                        let (r, z) = (sigmoid(x(0) + a(0)), sigmoid(x(1) + a(1)));
                        ([None, None], [Some(r), Some(z), None, Some(r * old), None])
                    }
                    Cell::GruResetBefore => {
                        let n = tanh_stable(x(2) + product(u, [3, 2], &saved[at + 3 * h..at + 4 * h], part));
                        let z = saved[at + h + unit];
                        ([Some(n + z * (old - n)), None], [None, None, Some(n), None, None])
                    }
                    Cell::Lstm => {
                        let (i, f) = (sigmoid(x(0) + a(0)), sigmoid(x(1) + a(1)));
                        let (g, o) = (tanh_stable(x(2) + a(2)), sigmoid(x(3) + a(3)));
                        let c = f * state[from + h + unit] + i * g;
                        let s = tanh_stable(c);
                        ([Some(o * s), Some(c)], [i, f, g, o, s].map(Some))
                    }
                    Cell::Rnn | Cell::RnnRelu => {
                        let v = x(0) + a(0);
                        let relu = if v < 0.0 { 0.0 } else { v };
                        let h = if cell == Cell::RnnRelu { relu } else { tanh_stable(v) };
                        ([Some(h), None], [Some(h), None, None, None, None])
                    }
                };
                for (part, fresh) in fresh.into_iter().enumerate() {
                    let (Some(fresh), i) = (fresh, part * h + unit) else { continue };
                    let (shown, next) = leave(mark, p.is_reverse(d), state[from + i], fresh, state[first + i]);
                    state[to + i] = next;
                    if part == 0 {
                        y[p.output_at(d, t, row) + unit] = shown;
                    }
                }
                for (part, v) in kept.into_iter().enumerate() {
                    if let (Some(v), 1) = (v, p.save) {
                        saved[at + part * h + unit] = v;
                    }
                }
            }
        }
    }
}
