//! Parameters and index arithmetic that the GRU kernels share; the twin of `shaders/common/gru.wgsl`.
//!
//! | buffer | shape | content |
//! | --- | --- | --- |
//! | `x` | `[D, T, B, 3H]` | `W·x + b_ih` of all steps |
//! | `packed` | `[D, ⌈H/16⌉, H + 1, 3, 16]` | `U` by blocks of 16 units, the last row `b_hh`: [`GruPack`](super::GruPack) |
//! | `marks` | `[T, B]` u32 | what each step is: [`marks`](super::marks) |
//! | `state` | `[D, T + 1, B, H]` | the state between the steps; direction `d` reads slot `before(d, t)`, writes `after(d, t)` |
//! | `y` | `[T, B, D·H]` | the output, 0 on steps that do not count |
//! | `saved` | `[D, T, B, 4H]` | `r, z, n` and `c`: `U_n·h + b_hn` (reset after) or `r⊙h` (reset before) |
//! | `carry` | `[2, D, B, H]` | `dh` between the steps; what resets pass to the first state |
//! | `d_gates` | `[D, T, B, 4H]` | `δr, δz, δn` and `δn⊙r`, at the pre-activations |
//!
//! Equations, with gates in PyTorch's order r, z, n:
//!
//! ```text
//! r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    h' = n + z⊙(h − n)
//! reset after:   n = tanh(x_n + r⊙(U_n·h + d_n))
//! reset before:  n = tanh(x_n + U_n·(r⊙h) + d_n)
//! ```

use super::time::Order;
use crate::error::Result;
use crate::kernel::{addressable, at_least_one, at_most, params};

/// Gates of a GRU, in PyTorch's order: reset, update, candidate.
pub const GATES: usize = 3;
/// Values kept of each unit and step.
pub const SAVED: usize = 4;
/// Units of a block of packed weights.
pub const BLOCK: usize = 16;

params! {
    /// What every GRU kernel knows of the run.
    pub struct Gru {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences processed together.
        pub batch: u32,
        /// H, units of the hidden state.
        pub hidden: u32,
        /// D, 1 or 2.
        pub directions: u32,
        /// 1: the only direction runs from the last step to the first.
        pub reverse: u32,
        /// The step of a chain, counted as the direction goes.
        pub step: u32,
        /// 1: the reset gate acts before the recurrent product.
        pub reset_before: u32,
        /// 1: keep the gates for backward.
        pub save: u32,
    }
}

impl Gru {
    /// What every GRU kernel asks of its parameters; a chain has steps up to `last`.
    pub(crate) fn check(&self, op: &'static str, last: u32) -> Result<()> {
        let Self { steps, batch, hidden, directions, .. } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("hidden", hidden), ("directions", directions)])?;
        at_most(op, [("directions", directions, 2), ("hidden", hidden, 1 << 14), ("step", self.step, last as usize)])?;
        let flags = [("reverse", self.reverse, 1), ("reset_before", self.reset_before, 1), ("save", self.save, 1)];
        at_most(op, flags)?;
        at_most(op, [("reverse", self.reverse * (directions - 1), 0)])?;
        // The largest buffer: `saved`, and `state` with one slot more.
        let (row, slot) = (4 * hidden, u64::from(batch) * 4 * u64::from(hidden));
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let slots = (steps.saturating_add(1)).saturating_mul(directions);
        addressable(op, "steps", 0, &[(slots.saturating_add(1), slot), (batch, row), (row, 1)])
    }

    /// The order of time.
    pub fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse == 1 }
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
        ((d * (self.steps as usize + 1) + slot) * self.batch as usize + row) * self.hidden as usize
    }

    /// First element of a row of `x` (`gates` = 3), `saved` or `d_gates` (`gates` = 4).
    pub fn gates_at(&self, d: usize, t: usize, row: usize, gates: usize) -> usize {
        ((d * self.steps as usize + t) * self.batch as usize + row) * gates * self.hidden as usize
    }

    /// First element of a direction's row of `y`.
    pub fn output_at(&self, d: usize, t: usize, row: usize) -> usize {
        ((t * self.batch as usize + row) * self.directions as usize + d) * self.hidden as usize
    }

    /// First weight of a unit in a packed matrix whose blocks have `depth` rows.
    pub fn packed_at(&self, d: usize, unit: usize, depth: usize) -> usize {
        (d * self.blocks() + unit / BLOCK) * depth * GATES * BLOCK + unit % BLOCK
    }

    /// Blocks of packed weights.
    pub fn blocks(&self) -> usize {
        (self.hidden as usize).div_ceil(BLOCK)
    }

    /// Words of `x`.
    pub fn x_len(&self) -> usize {
        self.rows() * GATES * self.hidden as usize
    }

    /// Words of `state`.
    pub fn state_len(&self) -> usize {
        self.directions as usize * (self.steps as usize + 1) * self.batch as usize * self.hidden as usize
    }

    /// Words of `y`.
    pub fn output_len(&self) -> usize {
        self.rows() * self.hidden as usize
    }

    /// Words of `saved` and of `d_gates`.
    pub fn saved_len(&self) -> usize {
        self.rows() * SAVED * self.hidden as usize
    }

    /// Words of `carry`.
    pub fn carry_len(&self) -> usize {
        2 * self.directions as usize * self.batch as usize * self.hidden as usize
    }

    /// Words of `marks`.
    pub fn marks_len(&self) -> usize {
        self.steps as usize * self.batch as usize
    }

    /// Words of the packed recurrent matrix whose blocks have `depth` rows.
    pub fn packed_len(&self, depth: usize) -> usize {
        self.directions as usize * self.blocks() * depth * GATES * BLOCK
    }

    /// Workgroups of 64 of one step of the chain: units, rows by four, directions.
    pub fn step_groups(&self) -> [u32; 3] {
        [self.hidden.div_ceil(64), self.batch.div_ceil(4), self.directions]
    }

    /// Multiply-adds of the recurrent product of one step.
    pub(crate) fn step_work(&self) -> u64 {
        let [batch, hidden, directions] = [self.batch, self.hidden, self.directions].map(u64::from);
        batch.saturating_mul(GATES as u64 * hidden * hidden * directions)
    }

    fn rows(&self) -> usize {
        self.directions as usize * self.steps as usize * self.batch as usize
    }
}

/// Declares a kernel whose parameters are [`Gru`].
macro_rules! gru_kernel {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name(pub $crate::kernels::Gru);

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [(&'static str, &'static str)] =
                <$crate::kernels::Gru as $crate::kernel::Params>::FIELDS;
        }
    };
}
pub(crate) use gru_kernel;

/// `Σ_k weights[k, gate]·v[k]` of one unit: `weights` starts at the unit's first weight, a row of it is 48 long.
pub(crate) fn dot(weights: &[f32], gate: usize, v: &[f32]) -> f32 {
    v.iter().enumerate().map(|(k, v)| weights[k * GATES * BLOCK + gate * BLOCK] * v).sum()
}
