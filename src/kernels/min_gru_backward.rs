//! The gradients of a minimal GRU's pre-activations

use super::MinGruGates;
use crate::error::Result;
use crate::kernel::{Kernel, Params, linear_groups, wgsl};
use crate::math::sigmoid;

/// From the gradients of the states, with what comes back through the steps after them:
///
/// ```text
/// dv = dh·z·c'(v)    dk = dh·(c(v) − h_before)·z·(1 − z)        z = σ(k)
/// ```
///
/// `c(v) = v`, or with `log` `g(v) = v + ½` for `v ≥ 0`, else `σ(v)`. Reads `k`, `v`, `lengths` `[batch]` (u32), `h0`
/// `[batch, hidden]`, the states `h` and `dh`; writes `dk` and `dv`, 0 past a sequence's length. All others
/// `[steps, batch, hidden]`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MinGruBackward(pub MinGruGates);

impl Params for MinGruBackward {
    const FIELDS: &'static [(&'static str, &'static str)] = MinGruGates::FIELDS;
}

impl Kernel<6, 2> for MinGruBackward {
    const NAME: &'static str = "min_gru_backward";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "common/activation", "min_gru_backward");
    const READS: [&'static str; 6] = ["k", "v", "lengths", "h0", "h", "dh"];
    const WRITES: [&'static str; 2] = ["dk", "dv"];
    const INDICES: &'static [&'static str] = &["lengths"];

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.words()[1])
    }

    fn lens(&self) -> ([usize; 6], [usize; 2]) {
        let [slot, all] = self.0.words();
        ([all, all, self.0.batch as usize, slot, all, all], [all, all])
    }

    fn run(&self, [k, v, lengths, h0, h, dh]: [&[f32]; 6], [dk, dv]: [&mut [f32]; 2]) {
        let (p, [slot, all]) = (&self.0, self.0.words());
        let reverse = p.reverse == 1;
        let first = if reverse { p.steps as usize - 1 } else { 0 };
        for i in 0..all {
            if !p.is_valid(lengths, i) {
                (dk[i], dv[i]) = (0.0, 0.0);
                continue;
            }
            let before = match i / slot == first {
                true => h0[i % slot],
                false => h[if reverse { i + slot } else { i - slot }],
            };
            let z = sigmoid(k[i]);
            let (candidate, slope) = match (p.log, v[i] >= 0.0) {
                (1, true) => (v[i] + 0.5, 1.0),
                (1, false) => (sigmoid(v[i]), sigmoid(v[i]) * sigmoid(-v[i])),
                _ => (v[i], 1.0),
            };
            dv[i] = dh[i] * z * slope;
            dk[i] = dh[i] * (candidate - before) * z * sigmoid(-k[i]);
        }
    }
}
