//! Parameters and index arithmetic of the fused kernels; the twin of `shaders/common/fused.wgsl`.
//!
//! A cell has `G` gates. A state consists of `S` vectors of `H`: `h`, for the LSTM `h` and `c`; `width` is `S·H`.
//!
//! | buffer | shape | content |
//! | --- | --- | --- |
//! | `x` | `[D, T, B, G·H]` | `W·x + b_ih` of all steps |
//! | `packed` | `[D, ⌈H/16⌉, H + 1, G, 16]` | blocks of 16 units: `U`, then a row of `b_hh`: [`Pack`](super::Pack) |
//! | `marks` | `[T, B]` u32 | bits that describe each step: [`marks`](super::marks) |
//! | `state` | `[D, T + 1, B, width]` | states between steps; `d` reads slot `before(d, t)` and writes `after(d, t)` |
//! | `y` | `[T, B, D·H]` | output; 0 on masked steps, unless they repeat the state |
//! | `saved` | `[D, T, B, saved]` | what the backward pass needs of a step |
//! | `carry` | `[2, D, B, width]` | `dh` between the steps; then the gradients that resets pass to the initial state |
//! | `d_gates` | `[D, T, B, gradients]` | gradients of the pre-activations |
//!
//! | cell | gates | `saved`, vectors of `H` | `d_gates`, vectors of `H` |
//! | --- | --- | --- | --- |
//! | GRU | r, z, n | `r, z, n` and `c`: `U_n·h + b_hn` (reset after) or `r⊙h` (reset before) | `δr, δz, δn`, `δn⊙r` |
//! | LSTM | i, f, g, o | `i, f, g, o, tanh(c')` | `δi, δf, δg, δo` |
//! | simple | one | `h'` | `δ` |
//!
//! The transposed matrices of LSTM and simple cells have one gate of depth `G·H`.
//!
//! ```text
//! v_g = x_g + U_g·h + d_g
//! GRU:     r = σ(v_r)    z = σ(v_z)    h' = n + z⊙(h − n)
//!          reset after:   n = tanh(x_n + r⊙(U_n·h + d_n))
//!          reset before:  n = tanh(x_n + U_n·(r⊙h) + d_n)
//! LSTM:    i = σ(v_i)    f = σ(v_f)    g = tanh(v_g)    o = σ(v_o)    c' = f⊙c + i⊙g    h' = o⊙tanh(c')
//! simple:  h' = tanh(v), or max(v, 0)
//! ```

use std::ops::Range;

use super::time::Order;
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::kernel::{MOST_LOOPS, addressable, at_least_one, at_most, countable, params};

/// Number of units per block of packed weights.
pub const BLOCK: usize = 16;
/// Number of floats per `k` in a packed block of a GRU.
pub(crate) const GRU_ROW: usize = 3 * BLOCK;

/// Value of [`Fused::reverse`] if all directions run forward.
pub(crate) const FORWARD: u32 = 2;
/// Maximum number of layers in one dispatch.
pub(crate) const MOST_LAYERS: usize = 64;

/// Kinds of cells, which share a kernel: the GRU with its reset gate after the product.
pub const GRU: usize = 0;
/// The GRU with its reset gate before the product.
pub const GRU_RESET_BEFORE: usize = 1;
/// The LSTM.
pub const LSTM: usize = 2;
/// The simple cells.
pub const RNN: usize = 3;

/// Evaluates `$run` with the constant `$kind` set to the kind of `$cell`.
macro_rules! by_kind {
    ($cell:expr, $kind:ident => $run:expr) => {
        match $cell {
            $crate::cell::Cell::Gru => $crate::kernels::fused::by_kind!(GRU, $kind, $run),
            $crate::cell::Cell::GruResetBefore => $crate::kernels::fused::by_kind!(GRU_RESET_BEFORE, $kind, $run),
            $crate::cell::Cell::Lstm => $crate::kernels::fused::by_kind!(LSTM, $kind, $run),
            $crate::cell::Cell::Rnn | $crate::cell::Cell::RnnRelu => {
                $crate::kernels::fused::by_kind!(RNN, $kind, $run)
            }
        }
    };
    ($value:ident, $kind:ident, $run:expr) => {{
        const $kind: usize = $crate::kernels::fused::$value;
        $run
    }};
}
pub(crate) use by_kind;

params! {
    /// Parameters of all fused kernels.
    pub struct Fused {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences processed together.
        pub batch: u32,
        /// H, units of the hidden state.
        pub hidden: u32,
        /// D: 1 or 2; more if all directions run forward.
        pub directions: u32,
        /// 1: the only direction runs from the last step to the first. 2: all directions run forward.
        pub reverse: u32,
        /// The step of this dispatch, or the first of several, counted in the order of the direction.
        pub step: u32,
        /// Number of steps of a dispatch that can have several.
        pub count: u32,
        /// Number of steps by which each direction trails the one before it, if all run forward. The directions are
        /// then layers of a wavefront, and the layer before has finished the steps that this one reads.
        pub lag: u32,
        /// Number of a [`Cell`].
        pub cell: u32,
        /// 1: save the gates for the backward pass.
        pub save: u32,
        /// 1: the second half of a step of the chain, if the reset gate of a GRU acts before the product.
        pub half: u32,
        /// Which of its shaders runs a kernel: [`PLAIN`](Self::PLAIN) or [`SPLIT`](Self::SPLIT).
        pub shader: u32,
    }
}

impl Fused {
    /// Largest hidden size of the whole-sequence kernels on a GPU: their states fit WebGPU's default 16 KiB of
    /// workgroup memory.
    pub const ROOM: usize = 256;

    /// The shader in which a lane computes the whole sums of its units.
    pub const PLAIN: u32 = 0;
    /// The shader in which lanes share the sums over `k`. A lane adds [`part`](Self::part) terms, and the sums of the
    /// parts are added in order.
    pub const SPLIT: u32 = 1;
    /// Number of parts of a sum in a step of the chain.
    const PARTS: usize = 16;
    /// Number of lanes that share the sums of all units in a step of the whole plan.
    const LANES: usize = 256;

    /// Checks the parameters of a fused kernel of the cells of this kind. `step` may be at most `last`, plus the lag of
    /// the last direction.
    pub(crate) fn check(&self, op: &'static str, kind: usize, last: u32) -> Result<()> {
        let Self { steps, batch, hidden, directions, .. } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("hidden", hidden), ("directions", directions)])?;
        at_most(op, [("reverse", self.reverse, FORWARD as usize), ("save", self.save, 1)])?;
        at_most(op, [("half", self.half, (kind == GRU_RESET_BEFORE) as usize)])?;
        at_most(op, [("shader", self.shader, Self::SPLIT as usize)])?;
        let is_forward = self.reverse == FORWARD;
        let most = if is_forward { MOST_LAYERS } else { 2 };
        at_most(op, [("directions", directions, most), ("lag", self.lag, if is_forward { 1 << 20 } else { 0 })])?;
        if self.reverse == 1 && directions > 1 {
            return Err(Error::value(op, "reverse", "0 with two directions", self.reverse));
        }
        let last = u64::from(last) + u64::from(directions - 1) * u64::from(self.lag);
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        at_most(op, [("hidden", hidden, 1 << 14), ("step", self.step, last)])?;
        // Shaders add these two as u32.
        at_most(op, [("step", self.step, 1 << 30), ("count", self.count, 1 << 30)])?;
        let cells = if kind == RNN { &Cell::ALL[RNN..] } else { &Cell::ALL[kind..=kind] };
        if !cells.iter().any(|cell| *cell as u32 == self.cell) {
            return Err(Error::value(op, "cell", format!("the number of one of {cells:?}"), self.cell));
        }
        // Covers the largest buffers: `saved`, and `state`, which has one more slot.
        let (row, slot) = (5 * hidden, u64::from(batch) * 5 * u64::from(hidden));
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let slots = (steps.saturating_add(1)).saturating_mul(directions);
        addressable(op, "steps", 0, &[(slots.saturating_add(1), slot), (batch, row), (row, 1)])?;
        // In low-precision formats, a block can have two rows more than `hidden`.
        let (blocks, row) = (self.blocks() as u32, (self.cell().gates() * BLOCK) as u32);
        countable(op, "hidden", &[directions, blocks, hidden + 2, row])
    }

    /// Returns the cell.
    pub fn cell(&self) -> Cell {
        Cell::ALL[(self.cell as usize).min(Cell::ALL.len() - 1)]
    }

    /// Whether the reset gate of a GRU acts before the recurrent product.
    pub fn is_reset_before(&self) -> bool {
        self.cell() == Cell::GruResetBefore
    }

    /// Returns the number of dispatches of a step of the chain.
    pub fn halves(&self) -> u32 {
        1 + self.is_reset_before() as u32
    }

    /// Returns the width of a state.
    pub fn width(&self) -> usize {
        self.cell().states() * self.hidden as usize
    }

    /// Checks that the state fits in the workgroup memory of the whole-sequence shaders.
    pub(crate) fn check_room(&self, op: &'static str) -> Result<()> {
        let (needed, allowed) = (self.hidden.into(), Self::ROOM as u64);
        if needed <= allowed {
            return Ok(());
        }
        Err(Error::Limit { op, limit: "hidden size of the whole-sequence plan", needed, allowed })
    }

    /// Returns the number of terms of a sum over `k` that a lane adds, in the whole plan or in a step of the chain.
    pub(crate) fn part(&self, whole: bool) -> usize {
        let hidden = self.hidden as usize;
        match (self.shader, whole) {
            (Self::PLAIN, _) => hidden,
            (_, true) => self.width_of_units().pow(2) / Self::LANES,
            (_, false) => hidden.div_ceil(4 * Self::PARTS) * 4,
        }
    }

    /// Number of lanes of a part in the whole plan with split sums.
    fn width_of_units(&self) -> usize {
        (self.hidden as usize).next_power_of_two().clamp(64, Self::LANES)
    }

    /// Returns an upper bound for the loop iterations of one invocation in a dispatch of `count` steps.
    pub(crate) fn loops(&self) -> u64 {
        u64::from(self.count) * self.step_loops()
    }

    /// Like [`loops`](Self::loops), for one step: the sums of each half, four `k` at a time, the remainder, and the
    /// loops that store four rows.
    fn step_loops(&self) -> u64 {
        let units = if self.shader == Self::PLAIN { u64::from(self.hidden.div_ceil(128)) } else { 1 };
        units * (u64::from(self.halves()) * (self.part(true) as u64 / 4 + 3) + 48) + 4
    }

    /// Like [`step_loops`](Self::step_loops), for one half of one unit in a step of the chain.
    pub(crate) fn product_loops(&self) -> u64 {
        self.part(false) as u64 / 4 + 40
    }

    /// Returns the maximum number of steps per dispatch. Drivers may silently end loops that run for longer.
    pub(crate) fn most_steps(&self) -> usize {
        (MOST_LOOPS / self.step_loops()).max(1) as usize
    }

    /// Like [`check`](Self::check), for the backward pass, which handles one layer at a time.
    pub(crate) fn check_backward(&self, op: &'static str, kind: usize, last: u32) -> Result<()> {
        at_most(op, [("reverse", self.reverse, 1)])?;
        self.check(op, kind, last)
    }

    /// Returns the order in which the directions process time.
    pub fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse }
    }

    /// Returns the steps of direction `d` that a dispatch of `count` steps runs. May be empty.
    pub fn range(&self, d: usize, count: usize) -> Range<usize> {
        let (step, behind) = (self.step as usize, d * self.lag as usize);
        let own = |step: usize| step.saturating_sub(behind).min(self.steps as usize);
        own(step)..own(step + count)
    }

    /// Whether direction `d` runs from the last step to the first.
    pub fn is_reverse(&self, d: usize) -> bool {
        self.order().is_reverse(d)
    }

    /// Returns the time of the `step`-th step of direction `d`.
    pub fn time_of(&self, d: usize, step: usize) -> usize {
        self.order().time_of(d, step)
    }

    /// Returns the slot of `state` that direction `d` reads at time `t`.
    pub fn before(&self, d: usize, t: usize) -> usize {
        self.order().before(d, t)
    }

    /// Returns the slot of `state` that direction `d` writes at time `t`.
    pub fn after(&self, d: usize, t: usize) -> usize {
        self.order().after(d, t)
    }

    /// Returns the index of the first element of a row of `state`.
    pub fn state_at(&self, d: usize, slot: usize, row: usize) -> usize {
        ((d * (self.steps as usize + 1) + slot) * self.batch as usize + row) * self.width()
    }

    /// Returns the index of the first element of a row of `x`, `saved` or `d_gates` with `gates` vectors of `H`.
    pub fn gates_at(&self, d: usize, t: usize, row: usize, gates: usize) -> usize {
        ((d * self.steps as usize + t) * self.batch as usize + row) * gates * self.hidden as usize
    }

    /// Returns the index of the first element of a row of `y` that belongs to direction `d`.
    pub fn output_at(&self, d: usize, t: usize, row: usize) -> usize {
        ((t * self.batch as usize + row) * self.directions as usize + d) * self.hidden as usize
    }

    /// Returns the index of the first weight of a unit in a packed matrix with `depth` rows of `gates` per block.
    pub fn packed_at(&self, d: usize, unit: usize, [depth, gates]: [usize; 2]) -> usize {
        (d * self.blocks() + unit / BLOCK) * depth * gates * BLOCK + unit % BLOCK
    }

    /// Returns the rows and gates of a block of the packed matrix, or of the transposed one for the backward pass.
    pub fn extent(&self, transposed: bool) -> [usize; 2] {
        let (h, gates) = (self.hidden as usize, self.cell().gates());
        match (transposed, self.cell()) {
            (false, _) => [h + 1, gates],
            (true, Cell::Gru | Cell::GruResetBefore) => [h, gates],
            // The gradients of a row's gates are contiguous, so one deep product covers all of them.
            (true, _) => [gates * h, 1],
        }
    }

    /// Returns the number of blocks of packed weights.
    pub fn blocks(&self) -> usize {
        (self.hidden as usize).div_ceil(BLOCK)
    }

    /// Returns the length of `x` in words.
    pub fn x_len(&self) -> usize {
        self.rows() * self.cell().gates() * self.hidden as usize
    }

    /// Returns the length of `state` in words.
    pub fn state_len(&self) -> usize {
        self.directions as usize * (self.steps as usize + 1) * self.batch as usize * self.width()
    }

    /// Returns the length of `y` in words.
    pub fn output_len(&self) -> usize {
        self.rows() * self.hidden as usize
    }

    /// Returns the length of `saved` in words.
    pub fn saved_len(&self) -> usize {
        self.rows() * self.cell().saved() * self.hidden as usize
    }

    /// Returns the length of `d_gates` in words.
    pub fn d_gates_len(&self) -> usize {
        self.rows() * self.cell().gradients() * self.hidden as usize
    }

    /// Returns the length of `carry` in words.
    pub fn carry_len(&self) -> usize {
        2 * self.directions as usize * self.batch as usize * self.width()
    }

    /// Returns the length of `marks` in words.
    pub fn marks_len(&self) -> usize {
        self.steps as usize * self.batch as usize
    }

    /// Returns the length of a packed matrix with `depth` rows of `gates` per block, in words.
    pub fn packed_len(&self, [depth, gates]: [usize; 2]) -> usize {
        self.directions as usize * self.blocks() * depth * gates * BLOCK
    }

    /// Returns the lengths of the buffers of a forward kernel, whose packed matrix has `depth` rows per block.
    pub(crate) fn forward_lens(&self, depth: usize) -> ([usize; 3], [usize; 3]) {
        let packed = self.packed_len([depth, self.cell().gates()]);
        let saved = if self.save == 1 { self.saved_len() } else { 0 };
        ([self.x_len(), packed, self.marks_len()], [self.state_len(), self.output_len(), saved])
    }

    /// Returns the lengths of the buffers of a backward kernel.
    pub(crate) fn backward_lens(&self) -> ([usize; 5], [usize; 2]) {
        let packed = self.packed_len(self.extent(true));
        let reads = [packed, self.marks_len(), self.state_len(), self.saved_len(), self.output_len()];
        (reads, [self.d_gates_len(), self.carry_len()])
    }

    /// Returns the workgroups of one step of the chain: units by 64 or 16, rows by 4, directions.
    pub(crate) fn step_groups(&self) -> [u32; 3] {
        let units = if self.shader == Self::PLAIN { 64 } else { BLOCK as u32 };
        [self.hidden.div_ceil(units), self.batch.div_ceil(4), self.directions]
    }

    /// Returns the number of multiply-adds of the recurrent product of one step.
    pub(crate) fn step_work(&self) -> u64 {
        self.product_work(self.cell().gates())
    }

    /// Returns the number of multiply-adds of one dispatch of the chain: those of one half, if there are two.
    pub(crate) fn half_work(&self) -> u64 {
        self.product_work(match (self.is_reset_before(), self.half) {
            (true, 0) => self.cell().gates() - 1,
            (true, _) => 1,
            (false, _) => self.cell().gates(),
        })
    }

    fn product_work(&self, gates: usize) -> u64 {
        let [batch, hidden, directions] = [self.batch, self.hidden, self.directions].map(u64::from);
        batch.saturating_mul(gates as u64 * hidden * hidden * directions)
    }

    fn rows(&self) -> usize {
        self.directions as usize * self.steps as usize * self.batch as usize
    }
}

/// Returns `Σ_k weights[k, gate]·v[k]` of one unit. `weights` starts at the unit's first weight, with `gates` per row.
pub(crate) fn dot(weights: &[f32], gates: usize, gate: usize, v: &[f32]) -> f32 {
    v.iter().enumerate().map(|(k, v)| weights[(k * gates + gate) * BLOCK] * v).sum()
}
