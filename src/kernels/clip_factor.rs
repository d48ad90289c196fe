//! Scale factor of gradient clipping by norm

use crate::kernel::{Kernel, params, shader};

params! {
    /// `factor = min(1, max_norm / (norm + 1e-6))`, or 1 if the norm is not finite: one NaN gradient must not make all
    /// others NaN, and one that overflows must not set them to 0. Reads `norm` `[1]`, writes `factor` `[1]`.
    pub struct ClipFactor {
        /// The largest norm that is not scaled down.
        pub max_norm: f32,
    }
}

impl Kernel<1, 1> for ClipFactor {
    shader!("clip_factor", ["common/linear", "common/finite"], [norm] -> [factor]);

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([1], [1])
    }

    fn run(&self, [norm]: [&[f32]; 1], [factor]: [&mut [f32]; 1]) {
        factor[0] = if norm[0].is_finite() { (self.max_norm / (norm[0] + 1e-6)).min(1.0) } else { 1.0 };
    }
}
