//! One step of stochastic gradient descent, as `torch.optim.SGD` defines it

use super::TrainingStatus;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};

params! {
    /// `g = grad + λ·w`, `v = μ·v + (1 − τ)·g` (`v = g` at the first step), `w −= lr·v`; with Nesterov
    /// `w −= lr·(g + μ·v)`, without momentum `w −= lr·g`.
    ///
    /// Reads `grad` `[len]`; updates `w` `[len]` and `v` (`[len]` with momentum, else unused). `guard` and `status`
    /// work as in [`Adam`](super::Adam).
    pub struct Sgd {
        /// Elements.
        pub len: u32,
        /// Learning rate.
        pub lr: f32,
        /// μ
        pub momentum: f32,
        /// τ
        pub dampening: f32,
        /// λ
        pub weight_decay: f32,
        /// 1: Nesterov's momentum.
        pub nesterov: u32,
        /// 1: this is the first step.
        pub first: u32,
        /// Index in `status` of this parameter's flag; 0 disables the guard, and `status` is unused.
        pub guard: u32,
    }
}

impl Kernel<1, 3> for Sgd {
    shader!("sgd", ["common/linear", "common/finite"], [grad] -> [w, v, status: u32]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        TrainingStatus::check_guard(Self::NAME, self.guard)
    }

    fn lens(&self) -> ([usize; 1], [usize; 3]) {
        let (len, status) = (self.len as usize, if self.guard == 0 { 0 } else { self.guard as usize + 1 });
        ([len], [len, if self.momentum == 0.0 { 0 } else { len }, status])
    }

    fn run(&self, [grad]: [&[f32]; 1], [w, v, status]: [&mut [f32]; 3]) {
        if !TrainingStatus::goes_on(self.guard, status) {
            return;
        }
        let (guarded, mut failed) = (self.guard != 0, false);
        for i in 0..self.len as usize {
            let (mut g, mut speed) = (grad[i] + self.weight_decay * w[i], 0.0);
            if self.momentum != 0.0 {
                speed = if self.first == 1 { g } else { self.momentum * v[i] + (1.0 - self.dampening) * g };
                g = if self.nesterov == 1 { g + self.momentum * speed } else { speed };
            }
            let next = w[i] - self.lr * g;
            let is_kept = guarded && !(next.is_finite() && speed.is_finite());
            failed |= is_kept;
            if !is_kept {
                w[i] = next;
                if self.momentum != 0.0 {
                    v[i] = speed;
                }
            }
        }
        if failed {
            status[self.guard as usize] = f32::from_bits(1);
        }
    }
}
