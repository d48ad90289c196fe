//! `y[i] = x[i]·m(i)`, with a mask that is identical on the CPU and the GPU

use crate::kernel::{Kernel, params, shader};
use crate::rng::threefry;

params! {
    /// `y[i] = x[i]·m(i)`, `m(i) = scale` where `Threefry(key, (i, 0)) ≥ threshold`, else 0.
    ///
    /// Reads `x`, writes `y`, both `[len]`. The mask depends only on the key, so the backward pass runs the same kernel
    /// on `dy`.
    pub struct Dropout {
        /// Elements.
        pub len: u32,
        /// Low word of the key.
        pub key_low: u32,
        /// High word of the key.
        pub key_high: u32,
        /// `p·2³²`, with `p` the probability that an element becomes 0.
        pub threshold: u32,
        /// `1 / (1 − p)`.
        pub scale: f32,
    }
}

impl Kernel<1, 1> for Dropout {
    shader!("dropout", ["common/linear", "common/threefry"], [x] -> [y]);

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.len as usize], [self.len as usize])
    }

    fn run(&self, [x]: [&[f32]; 1], [y]: [&mut [f32]; 1]) {
        for i in 0..self.len {
            let [word, _] = threefry([self.key_low, self.key_high], [i, 0]);
            y[i as usize] = if word >= self.threshold { x[i as usize] * self.scale } else { 0.0 };
        }
    }
}
