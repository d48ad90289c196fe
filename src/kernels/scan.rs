//! A first-order recurrence over time, in parallel chunks; with its parameters and arithmetic, the twin of
//! `shaders/common/scan.wgsl`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, linear_groups, params, wgsl};
use crate::math::{LOW, at_least_low, exp_stable};

params! {
    /// The states of a first-order recurrence, chunk by chunk, each from the state that the chunk before it reached:
    ///
    /// ```text
    /// h_i = a_i·h_{i−1} + b_i        i as the direction goes; with `lag`, a_{i−1} in place of a_i, and 1 before all
    /// ```
    ///
    /// With `log`, `a`, `b`, `carry` and `h` are logarithms; `h` is not with `exp`, and `h0` never is.
    /// Reads `a` and `b` `[steps, width]`, `h0` `[width]` and `carry` `[chunks, width]`, the states after the chunks
    /// (the last is not read); writes `h` `[steps, width]`. One chunk is the sequential recurrence.
    pub struct Scan {
        /// T, steps.
        pub steps: u32,
        /// Independent recurrences.
        pub width: u32,
        /// Steps that one invocation takes.
        pub chunk: u32,
        /// 1: from the last step to the first.
        pub reverse: u32,
        /// 1: a step takes the factor of the one before it.
        pub lag: u32,
        /// 1: as logarithms, −1e30 for the logarithm of 0.
        pub log: u32,
        /// 1: write `e^h`.
        pub exp: u32,
    }
}

impl Scan {
    /// What both kernels ask of their parameters.
    pub(crate) fn check_extents(&self, op: &'static str) -> Result<()> {
        let Self { steps, width, chunk, reverse, lag, log, exp } = *self;
        at_least_one(op, [("steps", steps), ("width", width), ("chunk", chunk)])?;
        at_most(op, [("reverse", reverse, 1), ("lag", lag, 1), ("log", log, 1), ("exp", exp, log as usize)])?;
        addressable(op, "chunk", chunk, &[(steps, 1)])?;
        addressable(op, "steps", 0, &[(steps, width), (width, 1)])
    }

    /// Parts into which the steps are cut.
    pub fn chunks(&self) -> usize {
        self.steps.div_ceil(self.chunk) as usize
    }

    /// Words of `a`, `b` and `h`, and of `carry`.
    pub(crate) fn words(&self) -> [usize; 2] {
        [self.steps as usize, self.chunks()].map(|rows| rows * self.width as usize)
    }

    /// The steps of a chunk.
    pub(crate) fn steps_of(&self, chunk: usize) -> std::ops::Range<usize> {
        let first = chunk * self.chunk as usize;
        first..(first + self.chunk as usize).min(self.steps as usize)
    }

    /// First element of the row of the `i`-th step.
    pub(crate) fn row_of(&self, i: usize) -> usize {
        (if self.reverse == 1 { self.steps as usize - 1 - i } else { i }) * self.width as usize
    }

    /// The factors of the `i`-th step; `None` stands for 1.
    pub(crate) fn factors<'a>(&self, a: &'a [f32], i: usize) -> Option<&'a [f32]> {
        let from = if self.lag == 1 { i.checked_sub(1)? } else { i };
        Some(&a[self.row_of(from)..][..self.width as usize])
    }

    pub(crate) fn times(&self, x: f32, y: f32) -> f32 {
        match self.log {
            1 => at_least_low(x + y),
            _ => x * y,
        }
    }

    pub(crate) fn plus(&self, x: f32, y: f32) -> f32 {
        if self.log == 1 { log_add(x, y) } else { x + y }
    }

    pub(crate) fn zero(&self) -> f32 {
        if self.log == 1 { LOW } else { 0.0 }
    }

    pub(crate) fn one(&self) -> f32 {
        if self.log == 1 { 0.0 } else { 1.0 }
    }

    pub(crate) fn first_state(&self, v: f32) -> f32 {
        match self.log {
            1 if v == 0.0 => LOW,
            1 => v.ln(),
            _ => v,
        }
    }
}

/// `log(e^x + e^y)`
fn log_add(x: f32, y: f32) -> f32 {
    (if y > x { y } else { x }) + (1.0 + (-(x - y).abs()).exp()).ln()
}

impl Kernel<4, 1> for Scan {
    const NAME: &'static str = "scan";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "common/activation", "common/low", "common/nan", "common/scan", "scan");
    const READS: [&'static str; 4] = ["a", "b", "h0", "carry"];
    const WRITES: [&'static str; 1] = ["h"];

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.chunk.min(self.steps).into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.words()[1])
    }

    fn lens(&self) -> ([usize; 4], [usize; 1]) {
        let ([all, carry], width) = (self.words(), self.width as usize);
        ([all, all, width, carry - width], [all])
    }

    fn run(&self, [a, b, h0, carry]: [&[f32]; 4], [h]: [&mut [f32]; 1]) {
        let width = self.width as usize;
        for chunk in 0..self.chunks() {
            let mut state: Vec<f32> = match chunk {
                0 => h0[..width].iter().map(|&v| self.first_state(v)).collect(),
                _ => carry[(chunk - 1) * width..][..width].to_vec(),
            };
            for step in self.steps_of(chunk) {
                let (row, factors) = (self.row_of(step), self.factors(a, step));
                let rows = h[row..][..width].iter_mut().zip(&b[row..][..width]);
                for (column, (state, (h, &b))) in state.iter_mut().zip(rows).enumerate() {
                    let factor = factors.map_or(self.one(), |a| a[column]);
                    *state = self.plus(self.times(factor, *state), b);
                    *h = if self.exp == 1 { exp_stable(*state) } else { *state };
                }
            }
        }
    }
}
