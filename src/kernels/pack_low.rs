//! Packs the recurrent matrix in a low-precision format for the step kernels

use half::{bf16, f16};

use super::fused::{BLOCK, MOST_LAYERS};
use super::weight_dtype::WeightDtype;
use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, at_most, countable, linear_groups, params, wgsl};

params! {
    /// [`Pack`](super::Pack) in a low-precision format: [`WeightDtype`].
    ///
    /// ```text
    /// f16, bf16:  round to nearest even; scale 1      int8:  round(U / s), s = max_k |U| / 127
    /// ```
    ///
    /// A row with a weight that is not finite, or out of range for f16, gets the scale NaN, which propagates to the
    /// output.
    ///
    /// Reads `u` `[gates, hidden, hidden]` and `bias` `[gates, hidden]`; writes its direction of `packed`
    /// `[D, ⌈H/16⌉, ⌈H/IN_WORD⌉ + 2, G, 16]`.
    pub struct PackLow {
        /// H
        pub hidden: u32,
        /// G
        pub gates: u32,
        /// The direction, or layer, to write.
        pub direction: u32,
        /// [`WeightDtype::FORMAT`] of a format other than `f32`.
        pub format: u32,
    }
}

impl PackLow {
    /// Packs `hidden` units of direction `direction` as `W`.
    pub fn new<W: WeightDtype>(hidden: usize, gates: usize, direction: usize) -> Self {
        let [hidden, gates, direction, format] = [hidden, gates, direction, W::FORMAT].map(|n| n as u32);
        Self { hidden, gates, direction, format }
    }

    fn in_word(&self) -> usize {
        if self.format == i8::FORMAT as u32 { i8::IN_WORD } else { f16::IN_WORD }
    }

    /// Words from one row of a block to the next.
    fn row(&self) -> usize {
        self.gates as usize * BLOCK
    }

    /// Words of one direction.
    fn len(&self) -> usize {
        let h = self.hidden as usize;
        h.div_ceil(BLOCK) * (h.div_ceil(self.in_word()) + 2) * self.row()
    }

    /// Returns the bits of a weight, and their number.
    fn bits(&self, v: f32, top: f32) -> (u32, usize) {
        match self.format {
            1 => (f16::from_f32(v).to_bits().into(), 16),
            2 => (bf16::from_f32(v).to_bits().into(), 16),
            _ if top < 1e-37 => (0, 8),
            _ => (((v / top * 127.0).round_ties_even() as i8 as u8).into(), 8),
        }
    }
}

impl Kernel<2, 1> for PackLow {
    const NAME: &'static str = "pack_low";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "pack_low");
    const READS: [&'static str; 2] = ["u", "bias"];
    const WRITES: [&'static str; 1] = ["packed"];
    const INDICES: &'static [&'static str] = &["packed"];
    const ADDRESSES: bool = false;

    fn loops(&self) -> u64 {
        // Two passes over a row, and one over its words.
        3 * u64::from(self.hidden) + 8
    }

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("hidden", self.hidden), ("gates", self.gates), ("format", self.format)])?;
        at_most(Self::NAME, [("hidden", self.hidden, 1 << 14), ("gates", self.gates, 4)])?;
        at_most(Self::NAME, [("direction", self.direction, MOST_LAYERS - 1), ("format", self.format, i8::FORMAT)])?;
        countable(Self::NAME, "direction", &[self.direction + 1, self.len() as u32])
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups((self.hidden as usize).div_ceil(BLOCK) * self.row())
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [h, gates] = [self.hidden, self.gates].map(|n| n as usize);
        ([gates * h * h, gates * h], [(self.direction as usize + 1) * self.len()])
    }

    fn run(&self, [u, bias]: [&[f32]; 2], [packed]: [&mut [f32]; 1]) {
        let (h, in_word) = (self.hidden as usize, self.in_word());
        let (words, all) = (h.div_ceil(in_word), self.row());
        let packed: &mut [u32] = bytemuck::cast_slice_mut(&mut packed[self.direction as usize * self.len()..]);
        for i in 0..h.div_ceil(BLOCK) * all {
            let (unit, gate) = (i / all * BLOCK + i % BLOCK, i % all / BLOCK);
            let to = i / all * (words + 2) * all + i % all;
            let row = if unit < h { &u[(gate * h + unit) * h..][..h] } else { &[] };
            let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
            let is_kept = row.iter().all(|v| v.is_finite()) && (self.format != 1 || f16::from_f32(top).is_finite());
            for word in 0..words {
                let weights = row.iter().skip(word * in_word).take(in_word).enumerate();
                packed[to + word * all] = weights.fold(0, |all, (i, &v)| {
                    let (bits, count) = self.bits(v, top);
                    all | bits << (count * i)
                });
            }
            packed[to + words * all] = if unit < h { bias[gate * h + unit].to_bits() } else { 0 };
            let scale = if self.format == 3 { top / 127.0 } else { 1.0 };
            packed[to + (words + 1) * all] = if is_kept { scale } else { f32::NAN }.to_bits();
        }
    }
}
