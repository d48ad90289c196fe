//! `y[i] = f(x[i])`

use crate::error::Result;
use crate::kernel::{Kernel, at_most, params, shader};
use crate::math::{elu, exp_stable, sigmoid, softplus, softsign, stirling, tanh_stable};

/// Elementwise functions; `alpha` is a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum UnaryOp {
    /// `α·x`
    Scale = 0,
    /// `x + α`
    AddScalar = 1,
    /// `max(x, 0)`
    Relu = 2,
    /// `σ(x)`
    Sigmoid = 3,
    /// `tanh(x)`
    Tanh = 4,
    /// `x²`
    Square = 5,
    /// `√x`
    Sqrt = 6,
    /// `|x|`
    Abs = 7,
    /// `min(x, α)`
    Min = 8,
    /// `e^x`
    Exp = 9,
    /// `log x`
    Log = 10,
    /// `x`, below 0 `α·(e^x − 1)`
    Elu = 11,
    /// `log(1 + e^x)`
    Softplus = 12,
    /// `x / (1 + |x|)`
    Softsign = 13,
    /// `log Γ(x) − (x − ½)·log x + x − ½·log 2π`, the remainder of Stirling's formula; NaN unless `x > 0`
    Stirling = 14,
}

impl UnaryOp {
    /// Every operation.
    pub const ALL: [Self; 15] = [
        Self::Scale,
        Self::AddScalar,
        Self::Relu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Square,
        Self::Sqrt,
        Self::Abs,
        Self::Min,
        Self::Exp,
        Self::Log,
        Self::Elu,
        Self::Softplus,
        Self::Softsign,
        Self::Stirling,
    ];
}

params! {
    /// `y[i] = f(x[i])`; NaN stays NaN. Reads `x` `[len]`, writes `y` `[len]`.
    pub struct Unary {
        /// Elements.
        pub len: u32,
        /// A [`UnaryOp`].
        pub op: u32,
        /// The parameter of `Scale`, `AddScalar`, `Min` and `Elu`.
        pub alpha: f32,
    }
}

impl Kernel<1, 1> for Unary {
    shader!("unary", ["common/linear", "common/activation", "common/stirling", "common/nan"], [x] -> [y]);

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("op", self.op, UnaryOp::ALL.len() - 1)])
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.len as usize], [self.len as usize])
    }

    fn run(&self, [x]: [&[f32]; 1], [y]: [&mut [f32]; 1]) {
        let alpha = self.alpha;
        let f: fn(f32, f32) -> f32 = match UnaryOp::ALL[self.op as usize] {
            UnaryOp::Scale => |v, alpha| alpha * v,
            UnaryOp::AddScalar => |v, alpha| v + alpha,
            UnaryOp::Relu => |v, _| if v < 0.0 { 0.0 } else { v },
            UnaryOp::Sigmoid => |v, _| sigmoid(v),
            UnaryOp::Tanh => |v, _| tanh_stable(v),
            UnaryOp::Square => |v, _| v * v,
            UnaryOp::Sqrt => |v, _| v.sqrt(),
            UnaryOp::Abs => |v, _| v.abs(),
            UnaryOp::Min => |v, alpha| if v > alpha { alpha } else { v },
            UnaryOp::Exp => |v, _| exp_stable(v),
            UnaryOp::Log => |v, _| v.ln(),
            UnaryOp::Elu => elu,
            UnaryOp::Softplus => |v, _| softplus(v),
            UnaryOp::Softsign => |v, _| softsign(v),
            UnaryOp::Stirling => |v, _| stirling(v),
        };
        for (y, &v) in y[..self.len as usize].iter_mut().zip(x) {
            *y = f(v, alpha);
        }
    }
}
