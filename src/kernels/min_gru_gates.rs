//! The factors and summands of a minimal GRU

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, linear_groups, params, wgsl, words};
use crate::math::{LOW, at_least_low, sigmoid};

params! {
    /// The recurrence of a minimal GRU, `h' = a·h + b`, from its pre-activations:
    ///
    /// ```text
    /// z = σ(k)    a = 1 − z    b = z·v
    /// ```
    ///
    /// or with `log` the logarithms of `a` and of `z·g(v)`, `g(v) = v + ½` for `v ≥ 0`, else `σ(v)`.
    /// Reads `k` and `v` `[steps, batch, hidden]` and `lengths` `[batch]` (u32); writes `a` and `b` of the same shape.
    /// A step past a sequence's length keeps the state.
    pub struct MinGruGates {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences.
        pub batch: u32,
        /// H, units of the state.
        pub hidden: u32,
        /// 1: from the last step to the first.
        pub reverse: u32,
        /// 1: positive candidates, in logarithms.
        pub log: u32,
    }
}

impl MinGruGates {
    /// What both kernels ask of their parameters.
    pub(crate) fn check_extents(&self, op: &'static str) -> Result<()> {
        let Self { steps, batch, hidden, reverse, log } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("hidden", hidden)])?;
        at_most(op, [("reverse", reverse, 1), ("log", log, 1)])?;
        addressable(op, "steps", 0, &[(steps, batch.saturating_mul(hidden)), (batch, hidden), (hidden, 1)])
    }

    /// Words of a state, and of all.
    pub(crate) fn words(&self) -> [usize; 2] {
        let slot = self.batch as usize * self.hidden as usize;
        [slot, self.steps as usize * slot]
    }

    /// Whether element `i` belongs to a step within its sequence's length.
    pub(crate) fn is_valid(&self, lengths: &[f32], i: usize) -> bool {
        let (row, batch) = (i / self.hidden as usize, self.batch as usize);
        row / batch < words(lengths)[row % batch] as usize
    }
}

/// `log g(v)`
fn log_g(v: f32) -> f32 {
    if v >= 0.0 { (v + 0.5).ln() } else { log_sigmoid(v) }
}

/// `log(1 + e)`, `e` in `[0, 1]`: the series where `1 + e` would round `e` away, step after step.
fn log_1p(e: f32) -> f32 {
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * (0.2 - e / 6.0)))));
    if e < 0.0625 { series } else { (1.0 + e).ln() }
}

fn log_sigmoid(v: f32) -> f32 {
    (if v >= 0.0 { 0.0 } else { v }) - log_1p((-v.abs()).exp())
}

impl Kernel<3, 2> for MinGruGates {
    const NAME: &'static str = "min_gru_gates";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "common/activation", "common/low", "min_gru_gates");
    const READS: [&'static str; 3] = ["k", "v", "lengths"];
    const WRITES: [&'static str; 2] = ["a", "b"];
    const INDICES: &'static [&'static str] = &["lengths"];

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.words()[1])
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let [_, all] = self.words();
        ([all, all, self.batch as usize], [all, all])
    }

    fn run(&self, [k, v, lengths]: [&[f32]; 3], [a, b]: [&mut [f32]; 2]) {
        for i in 0..self.words()[1] {
            (a[i], b[i]) = match (self.is_valid(lengths, i), self.log) {
                (false, 1) => (0.0, LOW),
                (false, _) => (1.0, 0.0),
                (true, 1) => (at_least_low(log_sigmoid(-k[i])), at_least_low(log_sigmoid(k[i]) + log_g(v[i]))),
                (true, _) => (sigmoid(-k[i]), sigmoid(k[i]) * v[i]),
            };
        }
    }
}
