//! `dst[dst_offset + i·dst_strides] = src[src_offset + i·src_strides]` for every index `i` of `dims`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader};

params! {
    /// Strided copy of up to four axes; implements transposes, slices, concatenations and broadcasts.
    ///
    /// Reads `src` and writes `dst` wherever the strides reach; leaves the rest of `dst` unchanged.
    pub struct Copy {
        /// Extents copied, outermost first.
        pub dims: [u32; 4],
        /// Elements from one index of `src` to the next, per axis; 0 repeats.
        pub src_strides: [u32; 4],
        /// Elements from one index of `dst` to the next, per axis.
        pub dst_strides: [u32; 4],
        /// First element of `src`.
        pub src_offset: u32,
        /// First element of `dst`.
        pub dst_offset: u32,
    }
}

impl Copy {
    fn reach(&self, offset: u32, strides: [u32; 4]) -> usize {
        offset as usize + (0..4).map(|a| (self.dims[a] as usize - 1) * strides[a] as usize).sum::<usize>() + 1
    }
}

impl Kernel<1, 1> for Copy {
    shader!("copy", ["common/linear"], [src] -> [dst]);

    fn check(&self) -> Result<()> {
        let [x, y, z, w] = self.dims;
        at_least_one(Self::NAME, [("dims", x), ("dims", y), ("dims", z), ("dims", w)])?;
        addressable(
            Self::NAME,
            "dims",
            0,
            &[(x, 1), (y, x), (z, x.saturating_mul(y)), (w, x.saturating_mul(y).saturating_mul(z))],
        )?;
        let steps = |strides: [u32; 4]| [0, 1, 2, 3].map(|a| (self.dims[a], strides[a]));
        addressable(Self::NAME, "src_strides", self.src_offset, &steps(self.src_strides))?;
        addressable(Self::NAME, "dst_strides", self.dst_offset, &steps(self.dst_strides))
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.dims.iter().map(|&d| d as usize).product())
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.reach(self.src_offset, self.src_strides)], [self.reach(self.dst_offset, self.dst_strides)])
    }

    fn run(&self, [src]: [&[f32]; 1], [dst]: [&mut [f32]; 1]) {
        let at = |index: [u32; 3], strides: [u32; 4]| (0..3).map(|a| (index[a] * strides[a]) as usize).sum::<usize>();
        let [d0, d1, d2, d3] = self.dims;
        for x in 0..d0 {
            for y in 0..d1 {
                for z in 0..d2 {
                    let from = self.src_offset as usize + at([x, y, z], self.src_strides);
                    let to = self.dst_offset as usize + at([x, y, z], self.dst_strides);
                    let (step_from, step_to) = (self.src_strides[3] as usize, self.dst_strides[3] as usize);
                    if (step_from, step_to) == (1, 1) {
                        dst[to..to + d3 as usize].copy_from_slice(&src[from..from + d3 as usize]);
                        continue;
                    }
                    if (step_from, step_to) == (0, 1) {
                        dst[to..to + d3 as usize].fill(src[from]);
                        continue;
                    }
                    for w in 0..d3 as usize {
                        dst[to + w * step_to] = src[from + w * step_from];
                    }
                }
            }
        }
    }
}
