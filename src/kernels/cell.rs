//! Parameters and index arithmetic that the cell kernels share; the twin of `shaders/common/cell.wgsl`.
//!
//! A step of the plan *steps* consists of the recurrent product, the cell ([`RnnCell`](super::RnnCell),
//! [`GruCell`](super::GruCell), [`LstmCell`](super::LstmCell)), and the update of the state
//! ([`StateUpdate`](super::StateUpdate)). Cells do not handle masks, resets or zoneout; the update does not handle
//! gates. `G` is the number of gates: 1, 3 or 4.
//!
//! | buffer | shape | content |
//! | --- | --- | --- |
//! | `x` | `[D, T, B, G·H]` | `W·x + b_ih` of all steps |
//! | `rec` | `[D, B, G·H]` | `U·h + b_hh` of this step |
//! | `state` | `[D, T + 1, B, width]` | the states between the steps: `h`, for the LSTM `h` and `c` |
//! | `fresh` | `[D, B, width]` | the state that the cell computes |
//! | `saved` | `[D, T, B, row]` | values of the gates, then their slopes; one step unless `save` |
//! | `d_fresh`, `d_out` | `[D, B, width]` | gradients of `fresh`, and of its output before a projection |
//! | `d_gates` | `[D, T, B, row]` | gradients of the pre-activations |
//! | `carry` | `[2, D, B, width]` | see [`StateUpdateBackward`](super::StateUpdateBackward) |

use super::time::Order;
use crate::error::{Error, Result};
use crate::kernel::{addressable, at_least_one, at_most, params};
use crate::math::{activate, slope};

params! {
    /// Parameters of all cell kernels.
    pub struct CellStep {
        /// Activation of each gate, by number.
        pub kinds: [u32; 4],
        /// Their α.
        pub alphas: [f32; 4],
        /// Their β.
        pub betas: [f32; 4],
        /// Activation of the LSTM's cell state, by number.
        pub out_kind: u32,
        /// Its α.
        pub out_alpha: f32,
        /// Its β.
        pub out_beta: f32,
        /// Bound of the pre-activations; 0 for none.
        pub clip: f32,
        /// T
        pub steps: u32,
        /// B
        pub batch: u32,
        /// H
        pub hidden: u32,
        /// D, 1 or 2.
        pub directions: u32,
        /// 1: the only direction runs from the last step to the first.
        pub reverse: u32,
        /// The step, counted in the order of the direction (backward: from the direction's last step).
        pub step: u32,
        /// Width of the output: H, or that of the projection.
        pub out: u32,
        /// Width of the state: `out`, plus H for the LSTM's cell state.
        pub width: u32,
        /// Words of a row of `saved`.
        pub saved_row: u32,
        /// Words of a row of `d_gates`.
        pub gates_row: u32,
        /// 1: `saved` holds every step, with all values for the backward pass. 0: only this step, with the values that
        /// other kernels of the step read.
        pub save: u32,
        /// 0: the whole step. 1 and 2: its halves, if the reset gate acts before the product.
        pub half: u32,
        /// 1: `f = 1 − i`.
        pub coupled: u32,
        /// 1: the gates read the cell state.
        pub peephole: u32,
        /// Words from one row of `d_out` to the next.
        pub d_out_row: u32,
    }
}

impl CellStep {
    /// Checks the parameters. A row of `saved` and of `d_gates` needs at least this many vectors of `H`.
    pub(crate) fn check_rows(&self, op: &'static str, saved: u32, d_gates: u32) -> Result<()> {
        let Self { steps, batch, hidden, directions, out, width, .. } = *self;
        at_least_one(
            op,
            [("steps", steps), ("batch", batch), ("hidden", hidden), ("directions", directions), ("out", out)],
        )?;
        at_most(op, [("directions", directions, 2), ("hidden", hidden, 1 << 14), ("out", out, 1 << 14)])?;
        at_most(op, [("step", self.step, steps as usize - 1), ("width", width, 1 << 15), ("half", self.half, 2)])?;
        let flags = [
            ("reverse", self.reverse, 1),
            ("save", self.save, 1),
            ("coupled", self.coupled, 1),
            ("peephole", self.peephole, 1),
        ];
        at_most(op, flags)?;
        at_most(op, [("reverse", self.reverse * (directions - 1), 0), ("out", out, width as usize)])?;
        at_most(op, self.kinds.map(|kind| ("kinds", kind, 10)))?;
        at_most(op, [("saved_row", saved * hidden, self.saved_row as usize), ("saved_row", self.saved_row, 1 << 18)])?;
        at_most(
            op,
            [("gates_row", d_gates * hidden, self.gates_row as usize), ("gates_row", self.gates_row, 1 << 18)],
        )?;
        if self.clip.is_nan() || self.clip < 0.0 {
            return Err(Error::value(op, "clip", "0 for none, or above", self.clip));
        }
        at_most(op, [("out_kind", self.out_kind, 10), ("d_out_row", self.d_out_row, 1 << 15)])?;
        let row = self.saved_row.max(self.gates_row).max(width).max(self.d_out_row);
        let slots = steps.saturating_add(1).saturating_mul(directions);
        let slot = u32::try_from(u64::from(batch) * u64::from(row)).unwrap_or(u32::MAX);
        addressable(op, "steps", 0, &[(slots.saturating_add(1), slot)])
    }

    /// Checks that the state has room for `h` and `c`.
    pub(crate) fn check_width(&self, op: &'static str) -> Result<()> {
        at_most(op, [("out + hidden", self.out + self.hidden, self.width as usize)])
    }

    /// Returns the order in which the directions process time.
    pub fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse }
    }

    fn is_beyond(&self, v: f32) -> bool {
        self.clip > 0.0 && v.abs() > self.clip
    }

    pub(crate) fn clipped(&self, v: f32) -> f32 {
        if self.is_beyond(v) { self.clip.copysign(v) } else { v }
    }

    pub(crate) fn gate(&self, g: usize, v: f32) -> f32 {
        activate(self.kinds[g], self.alphas[g], self.betas[g], v)
    }

    /// Returns the derivative of `y = gate(g, clipped(v))` with respect to `v`.
    pub(crate) fn gate_slope(&self, g: usize, v: f32, y: f32) -> f32 {
        if self.is_beyond(v) { 0.0 } else { slope(self.kinds[g], self.alphas[g], self.betas[g], v, y) }
    }

    /// Returns the index of the first element of a row of `saved`.
    pub fn saved_at(&self, d: usize, t: usize, row: usize) -> usize {
        let slots = if self.save == 1 { self.steps as usize } else { 1 };
        ((d * slots + t.min(slots - 1)) * self.batch as usize + row) * self.saved_row as usize
    }

    /// Returns the index of the first element of a row of `d_gates`.
    pub fn d_gates_at(&self, d: usize, t: usize, row: usize) -> usize {
        ((d * self.steps as usize + t) * self.batch as usize + row) * self.gates_row as usize
    }

    /// Returns the index of the first element of a row of `state`.
    pub fn state_at(&self, d: usize, slot: usize, row: usize) -> usize {
        ((d * (self.steps as usize + 1) + slot) * self.batch as usize + row) * self.width as usize
    }

    /// Returns the length of `saved` in words.
    pub fn saved_len(&self) -> usize {
        let slots = if self.save == 1 { self.steps as usize } else { 1 };
        self.rows() * slots * self.saved_row as usize
    }

    /// Returns the length of `d_gates` in words.
    pub fn d_gates_len(&self) -> usize {
        self.rows() * self.steps as usize * self.gates_row as usize
    }

    /// Returns the length of `state` in words.
    pub fn state_len(&self) -> usize {
        self.rows() * (self.steps as usize + 1) * self.width as usize
    }

    /// Returns the length of `marks` in words.
    pub fn marks_len(&self) -> usize {
        self.steps as usize * self.batch as usize
    }

    /// Returns the number of rows of one step in all directions.
    pub fn rows(&self) -> usize {
        self.directions as usize * self.batch as usize
    }

    /// Iterates over the direction, row and unit of each invocation.
    pub(crate) fn units(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (batch, hidden) = (self.batch as usize, self.hidden as usize);
        (0..self.rows() * hidden).map(move |i| (i / hidden / batch, i / hidden % batch, i % hidden))
    }
}
