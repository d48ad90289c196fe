//! One step of Adam or AdamW, as `torch.optim` defines them

use super::TrainingStatus;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};

params! {
    /// `m = β1·m + (1 − β1)·g`, `v = β2·v + (1 − β2)·g²`, `w −= step_size·m / (√v / root2 + ε)`.
    ///
    /// AdamW (`decoupled`) first shrinks `w` by `1 − lr·λ`; Adam adds `λ·w` to the gradient instead.
    /// Reads `grad` `[len]`; updates `w`, `m` and `v`, all `[len]`. When `guard` is set, a non-finite total in `status`
    /// (see [`TrainingStatus`]) stops all updates, and an element with a non-finite update keeps its values and sets
    /// the flag `status[guard]`.
    /// Kingma, Ba: *Adam* (2015); Loshchilov, Hutter: *Decoupled weight decay regularization* (2019).
    pub struct Adam {
        /// Elements.
        pub len: u32,
        /// Learning rate.
        pub lr: f32,
        /// β1
        pub beta1: f32,
        /// β2
        pub beta2: f32,
        /// ε
        pub eps: f32,
        /// λ
        pub weight_decay: f32,
        /// 1: AdamW.
        pub decoupled: u32,
        /// `lr / (1 − β1^t)`
        pub step_size: f32,
        /// `√(1 − β2^t)`
        pub root2: f32,
        /// Index in `status` of this parameter's flag; 0 disables the guard, and `status` is unused.
        pub guard: u32,
    }
}

impl Kernel<1, 4> for Adam {
    shader!("adam", ["common/linear", "common/finite"], [grad] -> [w, m, v, status: u32]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        TrainingStatus::check_guard(Self::NAME, self.guard)
    }

    fn lens(&self) -> ([usize; 1], [usize; 4]) {
        let (len, status) = (self.len as usize, if self.guard == 0 { 0 } else { self.guard as usize + 1 });
        ([len], [len, len, len, status])
    }

    fn run(&self, [grad]: [&[f32]; 1], [w, m, v, status]: [&mut [f32]; 4]) {
        if !TrainingStatus::goes_on(self.guard, status) {
            return;
        }
        let (guarded, mut failed) = (self.guard != 0, false);
        for i in 0..self.len as usize {
            let (mut g, mut weight) = (grad[i], w[i]);
            if self.decoupled == 1 {
                weight *= 1.0 - self.lr * self.weight_decay;
            } else {
                g += self.weight_decay * weight;
            }
            let mean = m[i] + (1.0 - self.beta1) * (g - m[i]);
            let square = self.beta2 * v[i] + (1.0 - self.beta2) * g * g;
            let next = weight - self.step_size * mean / (square.sqrt() / self.root2 + self.eps);
            // A non-finite gradient makes the mean non-finite. If only its square overflows, the step would silently be
            // 0.
            let is_kept = guarded && !(next.is_finite() && mean.is_finite() && square.is_finite());
            failed |= is_kept;
            if !is_kept {
                (w[i], m[i], v[i]) = (next, mean, square);
            }
        }
        if failed {
            status[self.guard as usize] = f32::from_bits(1);
        }
    }
}
