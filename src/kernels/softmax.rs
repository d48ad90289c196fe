//! `y[r, :] = softmax(x[r, :])`, or its logarithm

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader};

params! {
    /// `y[r, :] = e^(x − max) / Σ e^(x − max)` over each row, or its logarithm.
    ///
    /// Reads `x`, writes `y`, both `[rows, width]`.
    pub struct Softmax {
        /// Independent rows.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// 1: log-softmax.
        pub log: u32,
    }
}

impl Kernel<1, 1> for Softmax {
    shader!("softmax", ["common/linear", "common/nan"], [x] -> [y]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])
    }

    fn loops(&self) -> u64 {
        3 * u64::from(self.width)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.rows as usize)
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        let len = self.rows as usize * self.width as usize;
        ([len], [len])
    }

    fn run(&self, [x]: [&[f32]; 1], [y]: [&mut [f32]; 1]) {
        let width = self.width as usize;
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).take(self.rows as usize) {
            let top = x[1..].iter().fold(x[0], |top, &v| if v > top { v } else { top });
            let total: f32 = x.iter().map(|v| (v - top).exp()).sum();
            for (y, v) in y.iter_mut().zip(x) {
                *y = if self.log == 1 { v - top - total.ln() } else { (v - top).exp() / total };
            }
        }
    }
}
