//! `y[b, q, :] = softmax(x[b, q, :])` over the keys that `keep[b, :]` selects

use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, countable, linear_groups, params, shader, words};

params! {
    /// `y = e^(x − max) / Σ e^(x − max)` over the kept elements of each row, and 0 elsewhere; a row without kept
    /// elements is all 0.
    ///
    /// Reads `x` `[batch, rows, width]` and `keep` `[batch, width]` (u32, nonzero to keep), writes `y` shaped like `x`.
    /// Elements that are not kept are never read, so they may be NaN. [`SoftmaxBackward`](super::SoftmaxBackward) also
    /// computes its gradient.
    pub struct MaskedSoftmax {
        /// Number of masks.
        pub batch: u32,
        /// Rows that share a mask.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
    }
}

impl Kernel<2, 1> for MaskedSoftmax {
    shader!("masked_softmax", ["common/linear", "common/nan"], [x, keep: u32] -> [y]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("batch", self.batch), ("rows", self.rows), ("width", self.width)])?;
        countable(Self::NAME, "rows", &[self.batch, self.rows, self.width])
    }

    fn loops(&self) -> u64 {
        3 * u64::from(self.width)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.batch as usize * self.rows as usize)
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [batch, rows, width] = [self.batch, self.rows, self.width].map(|n| n as usize);
        ([batch * rows * width, batch * width], [batch * rows * width])
    }

    fn run(&self, [x, keep]: [&[f32]; 2], [y]: [&mut [f32]; 1]) {
        let [batch, rows, width] = [self.batch, self.rows, self.width].map(|n| n as usize);
        for row in 0..batch * rows {
            let first = row * width;
            let keep = &words(keep)[row / rows * width..][..width];
            let mut top: Option<f32> = None;
            let mut total = 0.0;
            for i in (0..width).filter(|&i| keep[i] != 0) {
                let v = x[first + i];
                top = Some(top.map_or(v, |top| if v > top { v } else { top }));
            }
            let top = top.unwrap_or(0.0);
            for i in (0..width).filter(|&i| keep[i] != 0) {
                total += (x[first + i] - top).exp();
            }
            for i in 0..width {
                y[first + i] = if keep[i] != 0 { (x[first + i] - top).exp() / total } else { 0.0 };
            }
        }
    }
}
