//! `y[r, :] = (x[r, :] − mean) / √(variance + ε) · weight + bias`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader};

params! {
    /// `y = x̂·weight + bias` with `x̂ = (x − μ)·s`, `μ` the mean of each row and `s = 1 / √(variance + ε)`, where
    /// `variance = Σ (x − μ)² / width`.
    ///
    /// Reads `x` `[rows, width]`, `weight` and `bias` `[groups, width]`: row `r` uses group `r % groups`. Writes `y`
    /// `[rows, width]` and `stats` `[rows, 2]`, which holds `μ` and `s` for the backward pass.
    pub struct LayerNorm {
        /// Independent rows.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// Number of weight sets; rows use them in rotation.
        pub groups: u32,
        /// ε, added to the variance.
        pub eps: f32,
    }
}

impl Kernel<3, 2> for LayerNorm {
    shader!("layer_norm", ["common/linear"], [x, weight, bias] -> [y, stats]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width), ("groups", self.groups)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, 2), (2, 1)])?;
        addressable(Self::NAME, "groups", 0, &[(self.groups, self.width), (self.width, 1)])
    }

    fn loops(&self) -> u64 {
        3 * u64::from(self.width)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.rows as usize)
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let [rows, width, groups] = [self.rows, self.width, self.groups].map(|n| n as usize);
        ([rows * width, groups * width, groups * width], [rows * width, 2 * rows])
    }

    fn run(&self, [x, weight, bias]: [&[f32]; 3], [y, stats]: [&mut [f32]; 2]) {
        let [width, groups] = [self.width, self.groups].map(|n| n as usize);
        for row in 0..self.rows as usize {
            let first = row * width;
            let group = row % groups * width;
            let x = &x[first..][..width];
            let mean = x.iter().sum::<f32>() / width as f32;
            let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            for (i, v) in x.iter().enumerate() {
                y[first + i] = (v - mean) * scale * weight[group + i] + bias[group + i];
            }
            stats[2 * row] = mean;
            stats[2 * row + 1] = scale;
        }
    }
}
