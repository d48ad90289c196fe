//! `out[i] = value`

use crate::kernel::{Kernel, linear_groups, params, wgsl};

params! {
    /// `out[i] = value`; writes `out` `[len]`.
    pub struct Fill {
        /// Elements.
        pub len: u32,
        /// The value.
        pub value: f32,
    }
}

impl Kernel<0, 1> for Fill {
    const NAME: &'static str = "fill";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "fill");
    const READS: [&'static str; 0] = [];
    const WRITES: [&'static str; 1] = ["out"];

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.len as usize)
    }

    fn lens(&self) -> ([usize; 0], [usize; 1]) {
        ([], [self.len as usize])
    }

    fn run(&self, []: [&[f32]; 0], [out]: [&mut [f32]; 1]) {
        out[..self.len as usize].fill(self.value);
    }
}
