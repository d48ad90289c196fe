//! First-order recurrence, on numbers or on their logarithms

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, linear_groups, loopable, params, shader};
use crate::math::{LOW, at_least_low};

params! {
    /// Computes the states of a first-order recurrence:
    ///
    /// ```text
    /// h_i = a_i·h_{i−1} + b_i
    /// ```
    ///
    /// Reads `a` and `b` `[steps, width]` and `h0` `[width]`; writes `h` `[steps, width]`. With `log`, `a`, `b` and `h`
    /// are logarithms, with −1e30 for log 0; `h0` is not.
    pub struct Scan {
        /// Steps.
        pub steps: u32,
        /// Independent recurrences.
        pub width: u32,
        /// 1: work on logarithms.
        pub log: u32,
    }
}

/// Arithmetic of a recurrence, on logarithms when `log`; the twin of `shaders/common/recurrence.wgsl`.
#[derive(Clone, Copy)]
pub(crate) struct Arithmetic {
    pub log: bool,
}

impl Arithmetic {
    pub fn times(self, x: f32, y: f32) -> f32 {
        if self.log { at_least_low(x + y) } else { x * y }
    }

    pub fn plus(self, x: f32, y: f32) -> f32 {
        if self.log { log_add(x, y) } else { x + y }
    }

    pub fn zero(self) -> f32 {
        if self.log { LOW } else { 0.0 }
    }

    pub fn one(self) -> f32 {
        if self.log { 0.0 } else { 1.0 }
    }

    /// Converts an initial state to the recurrence's representation.
    pub fn first_state(self, v: f32) -> f32 {
        match self.log {
            true if v == 0.0 => LOW,
            true => v.ln(),
            false => v,
        }
    }
}

/// `log(e^x + e^y)`
// Not inlined, for the same reason as `at_least_low`: in browsers, its inlined maximum would lose NaN.
#[cfg_attr(target_arch = "wasm32", inline(never))]
fn log_add(x: f32, y: f32) -> f32 {
    (if y > x { y } else { x }) + (1.0 + (-(x - y).abs()).exp()).ln()
}

impl Kernel<3, 1> for Scan {
    shader!("scan", ["common/linear", "common/low", "common/nan", "common/recurrence"], [a, b, h0] -> [h]);

    fn check(&self) -> Result<()> {
        let Self { steps, width, log } = *self;
        at_least_one(Self::NAME, [("steps", steps), ("width", width)])?;
        at_most(Self::NAME, [("log", log, 1)])?;
        loopable(Self::NAME, [("steps", steps)])?;
        addressable(Self::NAME, "steps", 0, &[(steps, width), (width, 1)])
    }

    fn loops(&self) -> u64 {
        self.steps.into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.width as usize)
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        let [steps, width] = [self.steps, self.width].map(|n| n as usize);
        ([steps * width, steps * width, width], [steps * width])
    }

    fn run(&self, [a, b, h0]: [&[f32]; 3], [h]: [&mut [f32]; 1]) {
        let (of, width) = (Arithmetic { log: self.log == 1 }, self.width as usize);
        for (column, &first) in h0[..width].iter().enumerate() {
            let mut state = of.first_state(first);
            for at in (column..self.steps as usize * width).step_by(width) {
                state = of.plus(of.times(a[at], state), b[at]);
                h[at] = state;
            }
        }
    }
}
