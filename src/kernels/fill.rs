//! `out[i] = value`

use crate::kernel::{Kernel, params, shader};

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
    shader!("fill", ["common/linear"], [] -> [out]);

    fn lens(&self) -> ([usize; 0], [usize; 1]) {
        ([], [self.len as usize])
    }

    fn run(&self, []: [&[f32]; 0], [out]: [&mut [f32]; 1]) {
        out[..self.len as usize].fill(self.value);
    }
}
