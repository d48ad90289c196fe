//! Gradient of [`Extreme`](super::Extreme)

use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, countable, params, shader, words};

params! {
    /// `dx[o, a, i] = dy[o, i]` where `a = index[o, i]`, else 0.
    ///
    /// Reads `dy` and `index` (u32) `[outer, inner]`; writes `dx` `[outer, axis, inner]`.
    pub struct ExtremeBackward {
        /// Product of the extents before the reduced axis.
        pub outer: u32,
        /// Extent of the reduced axis.
        pub axis: u32,
        /// Product of the extents after the reduced axis.
        pub inner: u32,
    }
}

impl Kernel<2, 1> for ExtremeBackward {
    shader!("extreme_backward", ["common/linear"], [dy, index: u32] -> [dx]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        let Self { outer, axis, inner } = *self;
        at_least_one(Self::NAME, [("outer", outer), ("axis", axis), ("inner", inner)])?;
        countable(Self::NAME, "outer", &[outer, axis, inner])
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [outer, axis, inner] = [self.outer, self.axis, self.inner].map(|n| n as usize);
        ([outer * inner; 2], [outer * axis * inner])
    }

    fn run(&self, [dy, index]: [&[f32]; 2], [dx]: [&mut [f32]; 1]) {
        let [outer, axis, inner] = [self.outer, self.axis, self.inner].map(|n| n as usize);
        let index = words(index);
        for (row, dx) in dx.chunks_exact_mut(inner).enumerate().take(outer * axis) {
            let (first, a) = (row / axis * inner, (row % axis) as u32);
            for (i, dx) in dx.iter_mut().enumerate() {
                *dx = if index[first + i] == a { dy[first + i] } else { 0.0 };
            }
        }
    }
}
