//! The recurrent matrix by blocks of 16 units, as the step kernels read it

use super::gru::{BLOCK, GATES};
use crate::error::Result;
use crate::kernel::{Kernel, at_least_one, at_most, linear_groups, params, wgsl};

params! {
    /// `packed[d, block, k, gate, lane] = U[gate·H + unit, k]`, `unit = 16·block + lane`; the row `k = H` holds `b_hh`.
    /// Transposed: `U[gate·H + k, unit]`, and no row for the bias. Units past `H` are 0.
    ///
    /// Reads `u` `[3, hidden, hidden]` and `bias` `[3, hidden]` (unread when transposed); writes its direction of
    /// `packed` `[D, ⌈H/16⌉, H + 1, 3, 16]`, transposed `[D, ⌈H/16⌉, H, 3, 16]`.
    pub struct GruPack {
        /// H
        pub hidden: u32,
        /// The direction written.
        pub direction: u32,
        /// 1: for the product with `Uᵀ` in backward.
        pub transposed: u32,
    }
}

impl GruPack {
    fn extent(&self) -> [usize; 2] {
        [(self.hidden as usize).div_ceil(BLOCK), self.hidden as usize + 1 - self.transposed as usize]
    }
}

impl Kernel<2, 1> for GruPack {
    const NAME: &'static str = "gru_pack";
    const WGSL: &'static str = wgsl!("common/linear", "gru_pack");
    const READS: [&'static str; 2] = ["u", "bias"];
    const WRITES: [&'static str; 1] = ["packed"];

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("hidden", self.hidden)])?;
        at_most(Self::NAME, [("hidden", self.hidden, 1 << 14), ("direction", self.direction, 1), ("transposed", self.transposed, 1)])
    }

    fn groups(&self) -> [u32; 3] {
        let [blocks, depth] = self.extent();
        linear_groups(blocks * depth * GATES * BLOCK)
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let h = self.hidden as usize;
        let [blocks, depth] = self.extent();
        let bias = if self.transposed == 1 { 0 } else { GATES * h };
        ([GATES * h * h, bias], [(self.direction as usize + 1) * blocks * depth * GATES * BLOCK])
    }

    fn run(&self, [u, bias]: [&[f32]; 2], [packed]: [&mut [f32]; 1]) {
        let h = self.hidden as usize;
        let [blocks, depth] = self.extent();
        let packed = &mut packed[self.direction as usize * blocks * depth * GATES * BLOCK..];
        for block in 0..blocks {
            for k in 0..depth {
                for gate in 0..GATES {
                    let lanes = &mut packed[((block * depth + k) * GATES + gate) * BLOCK..][..BLOCK];
                    for (lane, v) in lanes.iter_mut().enumerate() {
                        let unit = block * BLOCK + lane;
                        *v = match () {
                            () if unit >= h => 0.0,
                            () if k == h => bias[gate * h + unit],
                            () if self.transposed == 1 => u[(gate * h + k) * h + unit],
                            () => u[(gate * h + unit) * h + k],
                        };
                    }
                }
            }
        }
    }
}
