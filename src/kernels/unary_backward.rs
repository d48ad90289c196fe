//! `dx[i] = f'(x[i])·dy[i]`, the gradient of [`Unary`](super::Unary)

use super::UnaryOp;
use crate::error::Result;
use crate::kernel::{Kernel, at_most, params, shader};
use crate::math::{sigmoid, stirling_slope};

params! {
    /// `dx[i] = f'(x[i])·dy[i]`. Reads `x`, `y = f(x)` and `dy`, writes `dx`, all `[len]`.
    ///
    /// At the kinks the derivative is PyTorch's: 0 for `relu` and `abs` at 0, 1 for `min` at α, α for `elu` at 0.
    pub struct UnaryBackward {
        /// Elements.
        pub len: u32,
        /// A [`UnaryOp`].
        pub op: u32,
        /// The parameter of the function.
        pub alpha: f32,
    }
}

impl Kernel<3, 1> for UnaryBackward {
    shader!(
        "unary_backward",
        ["common/linear", "common/activation", "common/stirling", "common/nan"],
        [x, y, dy] -> [dx]
    );

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("op", self.op, UnaryOp::ALL.len() - 1)])
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        ([self.len as usize; 3], [self.len as usize])
    }

    fn run(&self, [x, y, dy]: [&[f32]; 3], [dx]: [&mut [f32]; 1]) {
        let op = UnaryOp::ALL[self.op as usize];
        for i in 0..self.len as usize {
            let (v, u, g) = (x[i], y[i], dy[i]);
            dx[i] = match op {
                UnaryOp::Scale => self.alpha * g,
                UnaryOp::AddScalar => g,
                UnaryOp::Relu => {
                    if v <= 0.0 {
                        0.0
                    } else {
                        g
                    }
                }
                UnaryOp::Sigmoid => g * u * (1.0 - u),
                UnaryOp::Tanh => g * (1.0 - u * u),
                UnaryOp::Square => g * 2.0 * v,
                UnaryOp::Sqrt => g * 0.5 / u,
                UnaryOp::Abs => {
                    g * if v < 0.0 {
                        -1.0
                    } else if v > 0.0 {
                        1.0
                    } else {
                        v
                    }
                }
                UnaryOp::Min => {
                    if v > self.alpha {
                        0.0
                    } else {
                        g
                    }
                }
                UnaryOp::Exp => g * u,
                UnaryOp::Log => g / v,
                UnaryOp::Elu => g * if v > 0.0 { 1.0 } else { self.alpha * (-v.abs()).exp() },
                UnaryOp::Softplus => g * sigmoid(v),
                UnaryOp::Softsign => g / ((1.0 + v.abs()) * (1.0 + v.abs())),
                UnaryOp::Stirling => g * stirling_slope(v),
            };
        }
    }
}
