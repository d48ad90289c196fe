//! `out[o, s, i] = scale · Σ_{a in chunk s} f(x[o, a, i])`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, countable, linear_groups, params, shader};

params! {
    /// `out[o, s, i] = scale · Σ_{a in chunk s} f(x[o, a, i])`, `f(v) = v` or `v²`; plus `out` if `accumulate`.
    ///
    /// Reads `x` `[outer, axis, inner]`; writes `out` `[outer, ⌈axis / chunk⌉, inner]`. One invocation sums one chunk
    /// in order, so the result is deterministic; a long axis takes a second pass over the chunks.
    pub struct Sum {
        /// Axes before the summed one, as one extent.
        pub outer: u32,
        /// Extent of the summed axis.
        pub axis: u32,
        /// Axes after the summed one, as one extent.
        pub inner: u32,
        /// Elements that one invocation adds.
        pub chunk: u32,
        /// Factor on the sum.
        pub scale: f32,
        /// 1: sum of squares.
        pub square: u32,
        /// 1: add to the current content of `out`.
        pub accumulate: u32,
        /// First element of `out`.
        pub offset: u32,
    }
}

impl Sum {
    /// Number of partial sums along the axis.
    pub fn chunks(&self) -> usize {
        self.axis.div_ceil(self.chunk) as usize
    }

    /// Sums along a single axis. Interleaves several chunks, since the additions within one chunk depend on each other.
    fn run_flat(&self, x: &[f32], out: &mut [f32]) {
        const SIDE: usize = 8;
        let (axis, chunk) = (self.axis as usize, self.chunk.min(self.axis) as usize);
        let term = |v: f32| if self.square == 1 { v * v } else { v };
        for (group, out) in out.chunks_mut(SIDE).enumerate() {
            let parts: [&[f32]; SIDE] = std::array::from_fn(|i| {
                let first = ((group * SIDE + i) * chunk).min(axis);
                &x[first..(first + chunk).min(axis)]
            });
            let shortest = parts.iter().map(|part| part.len()).min().unwrap_or(0);
            let mut totals = [0.0f32; SIDE];
            for a in 0..shortest {
                for (total, part) in totals.iter_mut().zip(parts) {
                    *total += term(part[a]);
                }
            }
            for (total, part) in totals.iter_mut().zip(parts) {
                part[shortest..].iter().for_each(|&v| *total += term(v));
            }
            for (out, total) in out.iter_mut().zip(totals) {
                *out = total * self.scale + if self.accumulate == 1 { *out } else { 0.0 };
            }
        }
    }

    fn sums(&self) -> usize {
        self.outer as usize * self.chunks() * self.inner as usize
    }
}

impl Kernel<1, 1> for Sum {
    shader!("sum", ["common/linear"], [x] -> [out]);

    fn check(&self) -> Result<()> {
        let Self { outer, axis, inner, chunk, .. } = *self;
        at_least_one(Self::NAME, [("outer", outer), ("axis", axis), ("inner", inner), ("chunk", chunk)])?;
        countable(Self::NAME, "outer", &[outer, axis, inner])?;
        addressable(Self::NAME, "offset", self.offset, &[(outer * (axis.div_ceil(chunk)) * inner, 1)])
    }

    fn loops(&self) -> u64 {
        self.chunk.min(self.axis).into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.sums())
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        let [outer, axis, inner] = [self.outer, self.axis, self.inner].map(|n| n as usize);
        ([outer * axis * inner], [self.offset as usize + self.sums()])
    }

    fn run(&self, [x]: [&[f32]; 1], [out]: [&mut [f32]; 1]) {
        let [axis, inner, chunk] = [self.axis, self.inner, self.chunk.min(self.axis)].map(|n| n as usize);
        let chunks = self.chunks();
        if inner == 1 && self.outer == 1 {
            return self.run_flat(x, &mut out[self.offset as usize..][..chunks]);
        }
        // Adds up in `out`, unless it holds what is added to.
        let mut kept = vec![0.0f32; if self.accumulate == 1 { inner } else { 0 }];
        for (part, out) in out[self.offset as usize..][..self.sums()].chunks_exact_mut(inner).enumerate() {
            let (o, first) = (part / chunks, part % chunks * chunk);
            let totals = if self.accumulate == 1 { &mut kept[..] } else { &mut *out };
            totals.fill(0.0);
            let end = (first + chunk).min(axis);
            for row in x[(o * axis + first) * inner..(o * axis + end) * inner].chunks_exact(inner) {
                match self.square {
                    1 => totals.iter_mut().zip(row).for_each(|(total, &v)| *total += v * v),
                    _ => totals.iter_mut().zip(row).for_each(|(total, &v)| *total += v),
                }
            }
            match self.accumulate {
                1 => out.iter_mut().zip(&kept).for_each(|(out, total)| *out += total * self.scale),
                _ => out.iter_mut().for_each(|total| *total = *total * self.scale + 0.0),
            }
        }
    }
}
