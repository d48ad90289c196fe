//! Packs the recurrent matrix into blocks of 16 units for the fused kernels

use super::fused::{BLOCK, MOST_LAYERS};
use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, at_most, countable, linear_groups, params, wgsl};

params! {
    /// `packed[d, block, k, gate, lane] = U[gate·H + unit, k]`, with `unit = 16·block + lane`; row `k = K` holds
    /// `b_hh`. Transposed: `U[gate·K + k, unit]`, without a bias row. Units past `H` are 0.
    ///
    /// Reads `u` `[gates, hidden, depth]` (transposed: `[gates, depth, hidden]`) and `bias` `[gates, hidden]` (unread
    /// when transposed). Writes its direction of `packed`: `[D, ⌈H/16⌉, K + 1, gates, 16]`,
    /// transposed `[D, ⌈H/16⌉, K, gates, 16]`.
    pub struct Pack {
        /// H
        pub hidden: u32,
        /// G
        pub gates: u32,
        /// K
        pub depth: u32,
        /// The direction, or layer, to write.
        pub direction: u32,
        /// 1: for the product with `Uᵀ` in the backward pass.
        pub transposed: u32,
    }
}

impl Pack {
    /// Number of blocks, rows per block, and words per row.
    pub(crate) fn extent(&self) -> [usize; 3] {
        let rows = self.depth as usize + 1 - self.transposed as usize;
        [(self.hidden as usize).div_ceil(BLOCK), rows, self.gates as usize * BLOCK]
    }
}

impl Kernel<2, 1> for Pack {
    const NAME: &'static str = "pack";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "pack");
    const READS: [&'static str; 2] = ["u", "bias"];
    const WRITES: [&'static str; 1] = ["packed"];

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("hidden", self.hidden), ("gates", self.gates), ("depth", self.depth)])?;
        at_most(
            Self::NAME,
            [("hidden", self.hidden, 1 << 14), ("gates", self.gates, 4), ("depth", self.depth, 1 << 16)],
        )?;
        at_most(Self::NAME, [("direction", self.direction, MOST_LAYERS - 1), ("transposed", self.transposed, 1)])?;
        countable(Self::NAME, "depth", &[self.gates, self.hidden, self.depth])?;
        let [blocks, rows, row] = self.extent().map(|n| n as u32);
        countable(Self::NAME, "direction", &[self.direction + 1, blocks, rows, row])
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.extent().iter().product())
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [h, gates, depth] = [self.hidden, self.gates, self.depth].map(|n| n as usize);
        let bias = if self.transposed == 1 { 0 } else { gates * h };
        ([gates * h * depth, bias], [(self.direction as usize + 1) * self.extent().iter().product::<usize>()])
    }

    fn run(&self, [u, bias]: [&[f32]; 2], [packed]: [&mut [f32]; 1]) {
        let [h, gates, depth] = [self.hidden, self.gates, self.depth].map(|n| n as usize);
        let [blocks, rows, row] = self.extent();
        let packed = &mut packed[self.direction as usize * blocks * rows * row..];
        for block in 0..blocks {
            for k in 0..rows {
                for gate in 0..gates {
                    let lanes = &mut packed[((block * rows + k) * gates + gate) * BLOCK..][..BLOCK];
                    for (lane, v) in lanes.iter_mut().enumerate() {
                        let unit = block * BLOCK + lane;
                        *v = match () {
                            () if unit >= h => 0.0,
                            () if k == depth => bias[gate * h + unit],
                            () if self.transposed == 1 => u[(gate * depth + k) * h + unit],
                            () => u[(gate * h + unit) * depth + k],
                        };
                    }
                }
            }
        }
    }
}
