//! `value[o, s, i] = max_{a in chunk s} x[o, a, i]`, or the minimum, and its position

use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, at_most, countable, params, shader, words};

params! {
    /// `value[o, s, i] = max_{a in chunk s} x[o, a, i]`, or the minimum; `index[o, s, i]` is the position `a` it came
    /// from. On ties, the first element wins. NaN counts as greater and as less than every number.
    ///
    /// Reads `x` `[outer, axis, inner]`, and `at` (u32) of the same shape if `mapped`; writes `value` and `index`
    /// (u32) `[outer, ⌈axis / chunk⌉, inner]`. A long axis takes further passes over the values of the chunks, with
    /// `at` the positions that they came from.
    pub struct Extreme {
        /// Product of the extents before the reduced axis.
        pub outer: u32,
        /// Extent of the reduced axis.
        pub axis: u32,
        /// Product of the extents after the reduced axis.
        pub inner: u32,
        /// Elements compared by one invocation.
        pub chunk: u32,
        /// 1: minimum.
        pub least: u32,
        /// 1: `index` is taken from `at` instead of counting along the axis.
        pub mapped: u32,
    }
}

impl Extreme {
    /// Number of chunks along the axis.
    pub fn chunks(&self) -> usize {
        self.axis.div_ceil(self.chunk) as usize
    }

    fn values(&self) -> usize {
        self.outer as usize * self.chunks() * self.inner as usize
    }

    /// Whether `v` replaces `best`, which comes before it.
    fn beats(&self, v: f32, best: f32) -> bool {
        !best.is_nan() && (v.is_nan() || if self.least == 1 { v < best } else { v > best })
    }
}

impl Kernel<2, 2> for Extreme {
    shader!("extreme", ["common/linear", "common/nan"], [x, at: u32] -> [value, index: u32]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        let Self { outer, axis, inner, chunk, .. } = *self;
        at_least_one(Self::NAME, [("outer", outer), ("axis", axis), ("inner", inner), ("chunk", chunk)])?;
        at_most(Self::NAME, [("least", self.least, 1), ("mapped", self.mapped, 1)])?;
        countable(Self::NAME, "outer", &[outer, axis, inner])
    }

    fn loops(&self) -> u64 {
        self.chunk.min(self.axis).into()
    }

    fn lens(&self) -> ([usize; 2], [usize; 2]) {
        let [outer, axis, inner] = [self.outer, self.axis, self.inner].map(|n| n as usize);
        let all = outer * axis * inner;
        ([all, if self.mapped == 1 { all } else { 0 }], [self.values(); 2])
    }

    fn run(&self, [x, at]: [&[f32]; 2], [value, index]: [&mut [f32]; 2]) {
        let [axis, inner, chunk] = [self.axis, self.inner, self.chunk.min(self.axis)].map(|n| n as usize);
        let (chunks, index) = (self.chunks(), bytemuck::cast_slice_mut::<f32, u32>(index));
        let parts = value.chunks_exact_mut(inner).zip(index.chunks_exact_mut(inner));
        for (part, (value, index)) in parts.enumerate().take(self.outer as usize * chunks) {
            let (o, first) = (part / chunks, part % chunks * chunk);
            let row = |a: usize| (o * axis + a) * inner..(o * axis + a + 1) * inner;
            value.copy_from_slice(&x[row(first)]);
            index.fill(first as u32);
            for a in first + 1..(first + chunk).min(axis) {
                for ((best, index), &v) in value.iter_mut().zip(index.iter_mut()).zip(&x[row(a)]) {
                    if self.beats(v, *best) {
                        (*best, *index) = (v, a as u32);
                    }
                }
            }
            if self.mapped == 1 {
                for (i, index) in index.iter_mut().enumerate() {
                    *index = words(at)[(o * axis + *index as usize) * inner + i];
                }
            }
        }
    }
}
