//! Gradient of [`LayerNorm`](super::LayerNorm)

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader};

params! {
    /// `dx = s·(g − Σ g / width − x̂·Σ g·x̂ / width)` with `g = dy·weight` and `x̂ = (x − μ)·s`; and `dw = dy·x̂`, each
    /// row's contribution to the gradient of its group's weights.
    ///
    /// Reads `x` and `dy` `[rows, width]`, `weight` `[groups, width]` and `stats` `[rows, 2]` (`μ` and `s`); writes
    /// `dx` and `dw` `[rows, width]`. The gradient of the weights is the sum of `dw`, and that of the biases the sum of
    /// `dy`.
    pub struct LayerNormBackward {
        /// Independent rows.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// Number of weight sets; rows use them in rotation.
        pub groups: u32,
    }
}

impl Kernel<4, 2> for LayerNormBackward {
    shader!("layer_norm_backward", ["common/linear"], [x, weight, stats, dy] -> [dx, dw]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width), ("groups", self.groups)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, 2), (2, 1)])?;
        addressable(Self::NAME, "groups", 0, &[(self.groups, self.width), (self.width, 1)])
    }

    fn loops(&self) -> u64 {
        2 * u64::from(self.width)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.rows as usize)
    }

    fn lens(&self) -> ([usize; 4], [usize; 2]) {
        let [rows, width, groups] = [self.rows, self.width, self.groups].map(|n| n as usize);
        ([rows * width, groups * width, 2 * rows, rows * width], [rows * width; 2])
    }

    fn run(&self, [x, weight, stats, dy]: [&[f32]; 4], [dx, dw]: [&mut [f32]; 2]) {
        let [width, groups] = [self.width, self.groups].map(|n| n as usize);
        for row in 0..self.rows as usize {
            let first = row * width;
            let group = row % groups * width;
            let (mean, scale) = (stats[2 * row], stats[2 * row + 1]);
            let (mut plain, mut along) = (0.0, 0.0);
            for i in 0..width {
                let unit = (x[first + i] - mean) * scale;
                let g = dy[first + i] * weight[group + i];
                plain += g;
                along += g * unit;
                dw[first + i] = dy[first + i] * unit;
            }
            plain /= width as f32;
            along /= width as f32;
            for i in 0..width {
                let unit = (x[first + i] - mean) * scale;
                dx[first + i] = scale * (dy[first + i] * weight[group + i] - plain - unit * along);
            }
        }
    }
}
