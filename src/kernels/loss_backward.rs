//! Gradient of [`Loss`](super::Loss)

use super::LossKind;
use crate::error::Result;
use crate::kernel::{Kernel, at_most, params, shader};
use crate::math::sigmoid;

params! {
    /// `dx[i] = ∂loss[i]/∂x[i] · dloss[i]`. Reads `x`, `t` and `dloss`, writes `dx`, all `[len]`.
    pub struct LossBackward {
        /// Elements.
        pub len: u32,
        /// A [`LossKind`].
        pub kind: u32,
        /// The error above which the Huber loss is linear.
        pub delta: f32,
    }
}

impl Kernel<3, 1> for LossBackward {
    shader!("loss_backward", ["common/linear", "common/activation", "common/nan"], [x, t, dloss] -> [dx]);

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("kind", self.kind, LossKind::ALL.len() - 1)])
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        ([self.len as usize; 3], [self.len as usize])
    }

    fn run(&self, [x, t, dloss]: [&[f32]; 3], [dx]: [&mut [f32]; 1]) {
        for i in 0..self.len as usize {
            let d = x[i] - t[i];
            let sign_d = if d < 0.0 {
                -1.0
            } else if d > 0.0 {
                1.0
            } else {
                d
            };
            dx[i] = dloss[i]
                * match LossKind::ALL[self.kind as usize] {
                    LossKind::Squared => 2.0 * d,
                    LossKind::Absolute => sign_d,
                    LossKind::Huber => {
                        if d.abs() > self.delta {
                            self.delta * sign_d
                        } else {
                            d
                        }
                    }
                    LossKind::BceWithLogits => sigmoid(x[i]) - t[i],
                };
        }
    }
}
