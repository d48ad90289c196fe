//! `loss[i] = f(x[i], t[i])`

use crate::error::Result;
use crate::kernel::{Kernel, at_most, params, shader};
use crate::math::{masked, softplus};

/// Losses of one prediction `x` and one target `t`, with `d = x − t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LossKind {
    /// `d²`
    Squared = 0,
    /// `|d|`
    Absolute = 1,
    /// `½·d²` where `|d| ≤ δ`, `δ·(|d| − ½·δ)` beyond
    Huber = 2,
    /// `log(1 + e^x) − x·t`: binary cross-entropy of the logit `x`
    BceWithLogits = 3,
}

impl LossKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Squared, Self::Absolute, Self::Huber, Self::BceWithLogits];
}

params! {
    /// `loss[i] = f(x[i], t[i])`. Reads `x` and `t`, writes `loss`, all `[len]`.
    pub struct Loss {
        /// Elements.
        pub len: u32,
        /// A [`LossKind`].
        pub kind: u32,
        /// The error above which the Huber loss is linear.
        pub delta: f32,
    }
}

impl Kernel<2, 1> for Loss {
    shader!("loss", ["common/linear", "common/activation", "common/mask"], [x, t] -> [loss]);

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("kind", self.kind, LossKind::ALL.len() - 1)])
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        ([self.len as usize; 2], [self.len as usize])
    }

    fn run(&self, [x, t]: [&[f32]; 2], [loss]: [&mut [f32]; 1]) {
        for i in 0..self.len as usize {
            let d = x[i] - t[i];
            let far = self.delta * (d.abs() - 0.5 * self.delta);
            // With a hard target (0 or 1), only one term contributes, even where the other is infinite.
            let side = if x[i] > 0.0 { 1.0 - t[i] } else { t[i] };
            loss[i] = match LossKind::ALL[self.kind as usize] {
                LossKind::Squared => d * d,
                LossKind::Absolute => d.abs(),
                LossKind::Huber => {
                    if d.abs() > self.delta {
                        far
                    } else {
                        0.5 * d * d
                    }
                }
                LossKind::BceWithLogits => masked(x[i].abs(), side) + softplus(-x[i].abs()),
            };
        }
    }
}
