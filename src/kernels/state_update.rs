//! State update after a recurrent cell

use super::marks::leave;
use super::time::Order;
use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, linear_groups, params, wgsl, words};
use crate::math::masked;
use crate::rng::threefry;

params! {
    /// Updates the state with the cell's new value `fresh`:
    ///
    /// ```text
    /// h' = h + k⊙(h̃ − h)      k: weight of the fresh value under zoneout, 1 without
    /// ```
    ///
    /// A masked step keeps `h`; `y` is `h'`, or 0 on a masked step; a reset restarts the state:
    /// [`marks`](super::marks). Zoneout draws `k` from {0, 1} during training; otherwise `k` is its mean, `1 − p`:
    /// Krueger et al., *Zoneout* (2016). `dropped` is the input of the next recurrent product under recurrent dropout,
    /// whose mask is the same at every step: Gal and Ghahramani, *A theoretically grounded application of dropout in
    /// RNNs* (2016).
    ///
    /// Reads `marks` `[T, B]` and `fresh` `[D, B, width]`; writes its slot of `state` `[D, T + 1, B, width]`, its step
    /// of `y` `[T, B, D·out]`, and its slot of `dropped` `[D, T + 1, B, out]` when `drops` is 1.
    pub struct StateUpdate {
        /// T
        pub steps: u32,
        /// B
        pub batch: u32,
        /// Width of the output.
        pub out: u32,
        /// Width of the state.
        pub width: u32,
        /// D, 1 or 2.
        pub directions: u32,
        /// 1: the only direction runs from the last step to the first.
        pub reverse: u32,
        /// Index of the step in processing order (backward: counted from the last step processed).
        pub step: u32,
        /// 1: zoneout draws a mask; 0: it uses the mean.
        pub draws: u32,
        /// Zoneout probability of the output's units: the probability that a unit keeps its value.
        pub zone_h: f32,
        /// Zoneout probability of the rest of the state.
        pub zone_c: f32,
        /// `zone_h·2³²`
        pub zone_h_below: u32,
        /// `zone_c·2³²`
        pub zone_c_below: u32,
        /// Low word of zoneout's key.
        pub zone_low: u32,
        /// High word of zoneout's key.
        pub zone_high: u32,
        /// 1: recurrent dropout.
        pub drops: u32,
        /// Dropout probability times 2³².
        pub drop_below: u32,
        /// `1 / (1 − p)`
        pub drop_scale: f32,
        /// Low word of the dropout key.
        pub drop_low: u32,
        /// High word of the dropout key.
        pub drop_high: u32,
    }
}

impl StateUpdate {
    pub(crate) fn check_extents(&self, op: &'static str, last: u32) -> Result<()> {
        let Self { steps, batch, out, width, directions, .. } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("out", out), ("directions", directions)])?;
        at_most(op, [("directions", directions, 2), ("width", width, 1 << 15), ("out", out, width as usize)])?;
        at_most(op, [("reverse", self.reverse, 1), ("draws", self.draws, 1), ("drops", self.drops, 1)])?;
        at_most(op, [("reverse", self.reverse * (directions - 1), 0), ("step", self.step, last as usize)])?;
        let slots = steps.saturating_add(1).saturating_mul(directions);
        let slot = u32::try_from(u64::from(batch) * u64::from(width)).unwrap_or(u32::MAX);
        addressable(op, "steps", 0, &[(slots.saturating_add(1), slot)])
    }

    /// The order of time.
    pub fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse }
    }

    /// Weight of the fresh value in element `i` of `[D, T, B, width]`, column `j`.
    pub(crate) fn keep(&self, i: usize, j: usize) -> f32 {
        let is_output = j < self.out as usize;
        let share = if is_output { self.zone_h } else { self.zone_c };
        if self.draws == 0 || share == 0.0 {
            return 1.0 - share;
        }
        let [word, _] = threefry([self.zone_low, self.zone_high], [i as u32, 0]);
        (word >= if is_output { self.zone_h_below } else { self.zone_c_below }) as u32 as f32
    }

    /// Dropout factor of element `i` of `[D, B, out]` in the recurrent product's input.
    pub(crate) fn through(&self, i: usize) -> f32 {
        if self.drops == 0 {
            return 1.0;
        }
        let [word, _] = threefry([self.drop_low, self.drop_high], [i as u32, 0]);
        if word >= self.drop_below { self.drop_scale } else { 0.0 }
    }

    /// Direction, row and column of each invocation.
    pub(crate) fn elements(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (batch, width) = (self.batch as usize, self.width as usize);
        (0..self.one()).map(move |i| (i / width / batch, i / width % batch, i % width))
    }

    /// Words of one state, over all directions.
    pub fn one(&self) -> usize {
        self.directions as usize * self.batch as usize * self.width as usize
    }

    /// First element of a direction's row of `y`.
    pub(crate) fn output_at(&self, d: usize, t: usize, row: usize) -> usize {
        ((t * self.batch as usize + row) * self.directions as usize + d) * self.out as usize
    }

    /// Words of `y`.
    pub(crate) fn output_len(&self) -> usize {
        self.steps as usize * self.batch as usize * self.directions as usize * self.out as usize
    }
}

impl Kernel<2, 3> for StateUpdate {
    const NAME: &'static str = "state_update";
    const WGSL: &'static [&'static str] = wgsl!(
        "common/linear",
        "common/threefry",
        "common/marks",
        "common/time",
        "common/mask",
        "common/update",
        "state_update"
    );
    const READS: [&'static str; 2] = ["marks", "fresh"];
    const WRITES: [&'static str; 3] = ["state", "y", "dropped"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME, self.steps.saturating_sub(1))
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.one())
    }

    fn lens(&self) -> ([usize; 2], [usize; 3]) {
        let (steps, rows) = (self.steps as usize, self.directions as usize * self.batch as usize);
        let dropped = if self.drops == 1 { rows * (steps + 1) * self.out as usize } else { 0 };
        ([steps * self.batch as usize, self.one()], [(steps + 1) * self.one(), self.output_len(), dropped])
    }

    fn run(&self, [marks, fresh]: [&[f32]; 2], [state, y, dropped]: [&mut [f32]; 3]) {
        let (steps, batch) = (self.steps as usize, self.batch as usize);
        let (out, width, order) = (self.out as usize, self.width as usize, self.order());
        let slot = |d: usize, slot: usize, row: usize| (d * (steps + 1) + slot) * batch + row;
        for (i, (d, row, j)) in self.elements().enumerate() {
            let t = order.time_of(d, self.step as usize);
            let mark = words(marks)[t * batch + row];
            let old = state[slot(d, order.before(d, t), row) * width + j];
            let k = self.keep(((d * steps + t) * batch + row) * width + j, j);
            let mixed = if k == 1.0 { fresh[i] } else { old + masked(fresh[i] - old, k) };
            let first = state[slot(d, order.before(d, order.time_of(d, 0)), row) * width + j];
            let (shown, next) = leave(mark, order.is_reverse(d), old, mixed, first);
            state[slot(d, order.after(d, t), row) * width + j] = next;
            if j >= out {
                continue;
            }
            y[self.output_at(d, t, row) + j] = shown;
            if self.drops == 1 {
                dropped[slot(d, order.after(d, t), row) * out + j] =
                    masked(next, self.through((d * batch + row) * out + j));
            }
        }
    }
}
