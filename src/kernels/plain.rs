//! Parameters and index arithmetic of the fused kernels; the twin of `shaders/common/plain.wgsl`.
//!
//! `G` gates make a cell; a state is `S` vectors of `H`: `h`, for the LSTM `h` and `c`. Of a GRU:
//!
//! | buffer | shape | content |
//! | --- | --- | --- |
//! | `x` | `[D, T, B, 3H]` | `W·x + b_ih` of all steps |
//! | `packed` | `[D, ⌈H/16⌉, H + 1, 3, 16]` | `U` by blocks of 16 units, the last row `b_hh`: [`Pack`](super::Pack) |
//! | `marks` | `[T, B]` u32 | what each step is: [`marks`](super::marks) |
//! | `state` | `[D, T + 1, B, H]` | the state between the steps; direction `d` reads slot `before(d, t)`, writes `after(d, t)` |
//! | `y` | `[T, B, D·H]` | the output, 0 on steps that do not count |
//! | `saved` | `[D, T, B, 4H]` | `r, z, n` and `c`: `U_n·h + b_hn` (reset after) or `r⊙h` (reset before) |
//! | `carry` | `[2, D, B, H]` | `dh` between the steps; what resets pass to the first state |
//! | `d_gates` | `[D, T, B, 4H]` | `δr, δz, δn` and `δn⊙r`, at the pre-activations |
//!
//! For an LSTM 3 becomes 4 (gates i, f, g, o), a state `2H`, a row of `saved` `5H` (`i, f, g, o` and `tanh(c)`); for a simple
//! layer 3 becomes 1 and a row of `saved` or `d_gates` `H`. Their transposed matrices have one gate of depth `G·H`.
//!
//! Equations of a GRU, with gates in PyTorch's order r, z, n:
//!
//! ```text
//! r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    h' = n + z⊙(h − n)
//! reset after:   n = tanh(x_n + r⊙(U_n·h + d_n))
//! reset before:  n = tanh(x_n + U_n·(r⊙h) + d_n)
//! ```

use std::ops::Range;

use super::time::Order;
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::kernel::{MOST_LOOPS, addressable, at_least_one, at_most, countable, params};

/// Units of a block of packed weights.
pub const BLOCK: usize = 16;
/// Floats of one `k` of a GRU's packed block.
pub(crate) const GRU_ROW: usize = 3 * BLOCK;

/// [`Plain::reverse`] where all directions run forward.
pub(crate) const FORWARD: u32 = 2;
/// Layers that one dispatch takes at most.
pub(crate) const MOST_LAYERS: usize = 64;

params! {
    /// What every fused kernel knows of the run.
    pub struct Plain {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences processed together.
        pub batch: u32,
        /// H, units of the hidden state.
        pub hidden: u32,
        /// D, 1 or 2; where all run forward, more.
        pub directions: u32,
        /// 1: the only direction runs from the last step to the first; 2: all run forward.
        pub reverse: u32,
        /// The step of a chain, or the first of a dispatch of several, counted as the direction goes.
        pub step: u32,
        /// Steps of a dispatch, where it may have several.
        pub count: u32,
        /// Where all directions run forward, the steps by which each is behind the one before it: then they are layers,
        /// and those before have finished what it reads.
        pub lag: u32,
        /// The number of a [`Cell`](crate::Cell).
        pub cell: u32,
        /// 1: keep the gates for backward.
        pub save: u32,
    }
}

impl Plain {
    /// What every fused kernel of these cells asks of its parameters; a chain has steps up to `last`.
    pub(crate) fn check(&self, op: &'static str, cells: &[Cell], last: u32) -> Result<()> {
        let Self { steps, batch, hidden, directions, .. } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("hidden", hidden), ("directions", directions)])?;
        at_most(op, [("reverse", self.reverse, FORWARD as usize), ("save", self.save, 1)])?;
        let is_forward = self.reverse == FORWARD;
        let most = if is_forward { MOST_LAYERS } else { 2 };
        at_most(op, [("directions", directions, most), ("lag", self.lag, if is_forward { 1 << 20 } else { 0 })])?;
        if self.reverse == 1 && directions > 1 {
            return Err(Error::value(op, "reverse", "at most 0 with two directions", self.reverse));
        }
        let last = u64::from(last) + u64::from(directions - 1) * u64::from(self.lag);
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        at_most(op, [("hidden", hidden, 1 << 14), ("step", self.step, last)])?;
        // Their sums are 32 bits wide.
        at_most(op, [("step", self.step, 1 << 30), ("count", self.count, 1 << 30)])?;
        if !cells.iter().any(|cell| *cell as u32 == self.cell) {
            return Err(Error::value(op, "cell", format!("the number of one of {cells:?}"), self.cell));
        }
        // The largest buffer: `saved`, and `state` with one slot more.
        let (row, slot) = (5 * hidden, u64::from(batch) * 5 * u64::from(hidden));
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let slots = (steps.saturating_add(1)).saturating_mul(directions);
        addressable(op, "steps", 0, &[(slots.saturating_add(1), slot), (batch, row), (row, 1)])?;
        // Of fewer bits, a block may have two rows more than `k`.
        let (blocks, row) = (self.blocks() as u32, (self.cell().gates() * BLOCK) as u32);
        countable(op, "hidden", &[directions, blocks, hidden + 2, row])
    }

    /// The cell; the number was checked.
    pub fn cell(&self) -> Cell {
        Cell::ALL[(self.cell as usize).min(Cell::ALL.len() - 1)]
    }

    /// Whether the reset gate of a GRU acts before the recurrent product.
    pub fn is_reset_before(&self) -> bool {
        self.cell() == Cell::GruResetBefore
    }

    /// Width of a state.
    pub fn width(&self) -> usize {
        self.cell().states() * self.hidden as usize
    }

    /// Refuses what the shaders of whole sequences have no room for.
    pub(crate) fn check_room(&self, op: &'static str) -> Result<()> {
        let (needed, allowed) = (self.hidden.into(), super::GruSequence::MAX_HIDDEN as u64);
        if needed <= allowed {
            return Ok(());
        }
        Err(Error::Limit { op, limit: "hidden size of the whole-sequence plan", needed, allowed })
    }

    /// Iterations of one invocation's loops in a dispatch of whole steps, at most.
    pub(crate) fn loops(&self) -> u64 {
        u64::from(self.count) * self.step_loops()
    }

    /// The same of one step: for each of the units that an invocation has, a product of every gate's depth (of fewer bits,
    /// within each word too), and stores of four rows.
    fn step_loops(&self) -> u64 {
        let (units, depth) = (u64::from(self.hidden.div_ceil(128)), u64::from(self.hidden) + 4);
        let products = if self.cell().is_gru() { 4 } else { self.cell().gates() as u64 + 1 };
        units * (products * depth + 48) + 4
    }

    /// Steps that a dispatch of whole steps may have: drivers may end loops that go on for longer without a word.
    pub(crate) fn most_steps(&self) -> usize {
        (MOST_LOOPS / self.step_loops()).max(1) as usize
    }

    /// As [`check`](Self::check), for backward, which goes through one layer at a time.
    pub(crate) fn check_backward(&self, op: &'static str, cells: &[Cell], last: u32) -> Result<()> {
        at_most(op, [("reverse", self.reverse, 1)])?;
        self.check(op, cells, last)
    }

    /// The order of time.
    pub fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse }
    }

    /// The steps of direction `d` that are in a dispatch of `count` steps.
    pub fn range(&self, d: usize, count: usize) -> Range<usize> {
        let (step, behind) = (self.step as usize, d * self.lag as usize);
        let own = |step: usize| step.saturating_sub(behind).min(self.steps as usize);
        own(step)..own(step + count)
    }

    /// Whether direction `d` runs from the last step to the first.
    pub fn is_reverse(&self, d: usize) -> bool {
        self.order().is_reverse(d)
    }

    /// Time of the `step`-th step of direction `d`.
    pub fn time_of(&self, d: usize, step: usize) -> usize {
        self.order().time_of(d, step)
    }

    /// Slot of `state` that direction `d` reads at time `t`.
    pub fn before(&self, d: usize, t: usize) -> usize {
        self.order().before(d, t)
    }

    /// Slot of `state` that direction `d` writes at time `t`.
    pub fn after(&self, d: usize, t: usize) -> usize {
        self.order().after(d, t)
    }

    /// First element of a row of `state`.
    pub fn state_at(&self, d: usize, slot: usize, row: usize) -> usize {
        ((d * (self.steps as usize + 1) + slot) * self.batch as usize + row) * self.width()
    }

    /// First element of a row of `x`, `saved` or `d_gates`, which has `gates` vectors.
    pub fn gates_at(&self, d: usize, t: usize, row: usize, gates: usize) -> usize {
        ((d * self.steps as usize + t) * self.batch as usize + row) * gates * self.hidden as usize
    }

    /// First element of a direction's row of `y`.
    pub fn output_at(&self, d: usize, t: usize, row: usize) -> usize {
        ((t * self.batch as usize + row) * self.directions as usize + d) * self.hidden as usize
    }

    /// First weight of a unit in a packed matrix whose blocks have `depth` rows of `gates`.
    pub fn packed_at(&self, d: usize, unit: usize, [depth, gates]: [usize; 2]) -> usize {
        (d * self.blocks() + unit / BLOCK) * depth * gates * BLOCK + unit % BLOCK
    }

    /// Rows and gates of a packed block: as forward reads it, or backward.
    pub fn extent(&self, transposed: bool) -> [usize; 2] {
        let (h, gates) = (self.hidden as usize, self.cell().gates());
        match (transposed, self.cell()) {
            (false, _) => [h + 1, gates],
            (true, Cell::Gru | Cell::GruResetBefore) => [h, gates],
            // The gates' gradients are neighbours: one deep product.
            (true, _) => [gates * h, 1],
        }
    }

    /// Blocks of packed weights.
    pub fn blocks(&self) -> usize {
        (self.hidden as usize).div_ceil(BLOCK)
    }

    /// Words of `x`.
    pub fn x_len(&self) -> usize {
        self.rows() * self.cell().gates() * self.hidden as usize
    }

    /// Words of `state`.
    pub fn state_len(&self) -> usize {
        self.directions as usize * (self.steps as usize + 1) * self.batch as usize * self.width()
    }

    /// Words of `y`.
    pub fn output_len(&self) -> usize {
        self.rows() * self.hidden as usize
    }

    /// Words of `saved`.
    pub fn saved_len(&self) -> usize {
        self.rows() * self.cell().saved() * self.hidden as usize
    }

    /// Words of `d_gates`.
    pub fn d_gates_len(&self) -> usize {
        self.rows() * self.cell().gradients() * self.hidden as usize
    }

    /// Words of `carry`.
    pub fn carry_len(&self) -> usize {
        2 * self.directions as usize * self.batch as usize * self.width()
    }

    /// Words of `marks`.
    pub fn marks_len(&self) -> usize {
        self.steps as usize * self.batch as usize
    }

    /// Words of the packed recurrent matrix whose blocks have `depth` rows of `gates`.
    pub fn packed_len(&self, [depth, gates]: [usize; 2]) -> usize {
        self.directions as usize * self.blocks() * depth * gates * BLOCK
    }

    /// Workgroups of 64 of one step of the chain: units, rows by four, directions.
    pub fn step_groups(&self) -> [u32; 3] {
        [self.hidden.div_ceil(64), self.batch.div_ceil(4), self.directions]
    }

    /// Multiply-adds of the recurrent product of one step.
    pub(crate) fn step_work(&self) -> u64 {
        let [batch, hidden, directions] = [self.batch, self.hidden, self.directions].map(u64::from);
        batch.saturating_mul(self.cell().gates() as u64 * hidden * hidden * directions)
    }

    fn rows(&self) -> usize {
        self.directions as usize * self.steps as usize * self.batch as usize
    }
}

/// Declares a kernel whose parameters are [`Plain`].
macro_rules! plain_kernel {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name(pub $crate::kernels::Plain);

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [(&'static str, &'static str)] =
                <$crate::kernels::Plain as $crate::kernel::Params>::FIELDS;
        }
    };
}
pub(crate) use plain_kernel;

/// `Σ_k weights[k, gate]·v[k]` of one unit: `weights` starts at the unit's first weight, a row of it has `gates`.
pub(crate) fn dot(weights: &[f32], gates: usize, gate: usize, v: &[f32]) -> f32 {
    v.iter().enumerate().map(|(k, v)| weights[(k * gates + gate) * BLOCK] * v).sum()
}
