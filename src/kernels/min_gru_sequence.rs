//! All steps of a minimal GRU, and the parameters and index arithmetic shared by its kernels

use std::ops::Range;

use super::scan::Arithmetic;
use super::time::Order;
use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, countable, linear_groups, params, shader, words};
use crate::math::{at_least_low, exp_stable, sigmoid};

params! {
    /// Computes the states of a minimal GRU from its pre-activations `k` and `v`, chunk by chunk:
    ///
    /// ```text
    /// h' = a·h + b    a = 1 − z    b = z·v    z = σ(k)
    /// ```
    ///
    /// With `log`, it runs on logarithms, and `b = z·g(v)` with `g(v) = v + ½` for `v ≥ 0`, else `σ(v)`. Past a
    /// sequence's length, the state is unchanged and `y` is 0.
    ///
    /// Reads `kv` `[directions, 2, steps, batch, hidden]`, `lengths` `[batch]` (u32) and `carry` `[chunks, directions,
    /// batch, hidden]`: first `h0`, then the states after all chunks but the last, as logarithms with `log`. Writes `y`
    /// `[steps, batch, directions, hidden]` and `h_n` `[directions, batch, hidden]`.
    pub struct MinGruSequence {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences.
        pub batch: u32,
        /// H, units of the state.
        pub hidden: u32,
        /// D, one or two.
        pub directions: u32,
        /// 0: the second of two directions runs from the last step to the first. 1: the first direction does. 2: none
        /// does.
        pub reverse: u32,
        /// 1: positive candidates, computed on logarithms.
        pub log: u32,
        /// Steps per invocation.
        pub chunk: u32,
    }
}

/// One unit of one sequence and direction, and the steps of one chunk in the order of the traversal.
#[derive(Clone)]
pub(crate) struct Place {
    pub column: usize,
    pub d: usize,
    pub row: usize,
    unit: usize,
    pub steps: Range<usize>,
}

impl MinGruSequence {
    /// The checks shared by all four kernels.
    pub(crate) fn check_extents(&self, op: &'static str) -> Result<()> {
        let Self { steps, batch, hidden, directions, reverse, log, chunk } = *self;
        let extents = [("steps", steps), ("batch", batch), ("hidden", hidden), ("directions", directions)];
        at_least_one(op, extents)?;
        at_least_one(op, [("chunk", chunk)])?;
        at_most(op, [("directions", directions, 2), ("reverse", reverse, 2), ("log", log, 1)])?;
        addressable(op, "chunk", chunk, &[(steps, 1)])?;
        countable(op, "steps", &[2, directions, steps, batch, hidden])
    }

    /// Number of chunks that the steps are split into.
    pub fn chunks(&self) -> usize {
        self.steps.div_ceil(self.chunk) as usize
    }

    /// Number of independent recurrences.
    pub fn width(&self) -> usize {
        [self.directions, self.batch, self.hidden].map(|n| n as usize).iter().product()
    }

    /// Words of `y`, and of one state per chunk.
    pub(crate) fn words(&self) -> [usize; 2] {
        [self.steps as usize, self.chunks()].map(|n| n * self.width())
    }

    pub(crate) fn order(&self) -> Order {
        Order { steps: self.steps as usize, reverse: self.reverse }
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        Arithmetic { log: self.log == 1 }
    }

    pub(crate) fn place_of(&self, i: usize) -> Place {
        let [width, batch, hidden] = [self.width(), self.batch as usize, self.hidden as usize];
        let (column, first) = (i % width, i / width * self.chunk as usize);
        let row = column / hidden;
        let steps = first..(first + self.chunk as usize).min(self.steps as usize);
        Place { column, d: row / batch, row: row % batch, unit: column % hidden, steps }
    }

    /// Index into `kv`. Gate 0 is `k`, gate 1 is `v`.
    pub(crate) fn kv_at(&self, p: &Place, gate: usize, t: usize) -> usize {
        let [steps, batch, hidden] = [self.steps, self.batch, self.hidden].map(|n| n as usize);
        (((2 * p.d + gate) * steps + t) * batch + p.row) * hidden + p.unit
    }

    /// Index into `[steps, batch, directions, hidden]`.
    pub(crate) fn output_at(&self, p: &Place, t: usize) -> usize {
        let [batch, directions, hidden] = [self.batch, self.directions, self.hidden].map(|n| n as usize);
        ((t * batch + p.row) * directions + p.d) * hidden + p.unit
    }

    /// The factor `a` and the summand `b` of a step, as logarithms with `log`.
    pub(crate) fn terms(&self, k: f32, v: f32) -> [f32; 2] {
        match self.log {
            1 => [at_least_low(log_sigmoid(-k)), at_least_low(log_sigmoid(k) + log_g(v))],
            _ => [sigmoid(-k), sigmoid(k) * v],
        }
    }

    fn shown(&self, state: f32) -> f32 {
        if self.log == 1 { exp_stable(state) } else { state }
    }
}

/// `log g(v)`
fn log_g(v: f32) -> f32 {
    if v >= 0.0 { (v + 0.5).ln() } else { log_sigmoid(v) }
}

/// `log(1 + e)` for `e` in `[0, 1]`. Uses the series for small `e`: `1 + e` would round `e` away, and the errors of
/// all steps would accumulate.
fn log_1p(e: f32) -> f32 {
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * (0.2 - e / 6.0)))));
    if e < 0.0625 { series } else { (1.0 + e).ln() }
}

// Not inlined, for the same reason as `at_least_low`: in browsers, its inlined minimum would lose NaN.
#[cfg_attr(target_arch = "wasm32", inline(never))]
fn log_sigmoid(v: f32) -> f32 {
    (if v >= 0.0 { 0.0 } else { v }) - log_1p((-v.abs()).exp())
}

impl Kernel<3, 2> for MinGruSequence {
    shader!(
        "min_gru_sequence",
        [
            "common/linear", "common/activation", "common/low", "common/nan", "common/time", "common/min_gru",
            "common/min_gru_terms", "common/recurrence"
        ],
        [kv, lengths: u32, carry] -> [y, h_n]
    );

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.chunk.min(self.steps).into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.words()[1])
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let [all, carry] = self.words();
        ([2 * all, self.batch as usize, carry], [all, self.width()])
    }

    fn run(&self, [kv, lengths, carry]: [&[f32]; 3], [y, h_n]: [&mut [f32]; 2]) {
        let (lengths, order, of) = (words(lengths), self.order(), self.arithmetic());
        for (i, &before) in carry[..self.words()[1]].iter().enumerate() {
            let p = self.place_of(i);
            let mut state = if p.steps.start == 0 { of.first_state(before) } else { before };
            for step in p.steps.clone() {
                let t = order.time_of(p.d, step);
                let mut out = 0.0;
                if t < lengths[p.row] as usize {
                    let [a, b] = self.terms(kv[self.kv_at(&p, 0, t)], kv[self.kv_at(&p, 1, t)]);
                    state = of.plus(of.times(a, state), b);
                    out = self.shown(state);
                }
                y[self.output_at(&p, t)] = out;
            }
            if p.steps.end == self.steps as usize {
                h_n[p.column] = self.shown(state);
            }
        }
    }
}
