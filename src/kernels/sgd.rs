//! One step of stochastic gradient descent, as `torch.optim.SGD` defines it

use crate::kernel::{Kernel, linear_groups, params, wgsl};

params! {
    /// `g = grad + λ·w`, `v = μ·v + (1 − τ)·g` (`v = g` at the first step), `w −= lr·v`; with Nesterov
    /// `w −= lr·(g + μ·v)`, without momentum `w −= lr·g`.
    ///
    /// Reads `grad` `[len]`; updates `w` `[len]` and `v` (`[len]` with momentum, else unused).
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
        /// 1: no step was made yet.
        pub first: u32,
    }
}

impl Kernel<1, 2> for Sgd {
    const NAME: &'static str = "sgd";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "sgd");
    const READS: [&'static str; 1] = ["grad"];
    const WRITES: [&'static str; 2] = ["w", "v"];

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.len as usize)
    }

    fn lens(&self) -> ([usize; 1], [usize; 2]) {
        let len = self.len as usize;
        ([len], [len, if self.momentum == 0.0 { 0 } else { len }])
    }

    fn run(&self, [grad]: [&[f32]; 1], [w, v]: [&mut [f32]; 2]) {
        for i in 0..self.len as usize {
            let mut g = grad[i] + self.weight_decay * w[i];
            if self.momentum != 0.0 {
                let speed =
                    if self.first == 1 { g } else { self.momentum * v[i] + (1.0 - self.dampening) * g };
                v[i] = speed;
                g = if self.nesterov == 1 { g + self.momentum * speed } else { speed };
            }
            w[i] -= self.lr * g;
        }
    }
}
