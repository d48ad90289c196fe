//! `y[i] = f(x[i])`, for functions without a gradient

use crate::error::Result;
use crate::kernel::{Kernel, at_most, params, shader};
use crate::math::rounding::{atan, cos, erf, sin, to_brain, to_half};

/// Elementwise functions without a gradient, which only models from files use. Predicates write 1
/// or 0; all others keep NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapOp {
    /// `⌊x⌋`
    Floor = 0,
    /// `⌈x⌉`
    Ceil = 1,
    /// The nearest integer; the even one of two.
    Round = 2,
    /// `x` without its fraction.
    Trunc = 3,
    /// −1, 0 or 1.
    Sign = 4,
    /// `erf(x)`
    Erf = 5,
    /// `sin(x)`
    Sin = 6,
    /// `cos(x)`
    Cos = 7,
    /// The nearest float16.
    Half = 8,
    /// The nearest bfloat16.
    Brain = 9,
    /// Whether `x` is 0.
    IsZero = 10,
    /// Whether `x` is not 0. True for NaN.
    IsNotZero = 11,
    /// Whether `x` is NaN.
    IsNan = 12,
    /// Whether `x` is infinite.
    IsInf = 13,
    /// `atan(x)`
    Atan = 14,
}

impl MapOp {
    /// Every operation.
    pub const ALL: [Self; 15] = [
        Self::Floor,
        Self::Ceil,
        Self::Round,
        Self::Trunc,
        Self::Sign,
        Self::Erf,
        Self::Sin,
        Self::Cos,
        Self::Half,
        Self::Brain,
        Self::IsZero,
        Self::IsNotZero,
        Self::IsNan,
        Self::IsInf,
        Self::Atan,
    ];
}

params! {
    /// `y[i] = f(x[i])`. Reads `x` `[len]`, writes `y` `[len]`.
    pub struct Map {
        /// Elements.
        pub len: u32,
        /// A [`MapOp`].
        pub op: u32,
    }
}

impl Kernel<1, 1> for Map {
    shader!("map", ["common/linear", "common/nan", "common/rounding"], [x] -> [y]);

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("op", self.op, MapOp::ALL.len() - 1)])
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.len as usize], [self.len as usize])
    }

    fn run(&self, [x]: [&[f32]; 1], [y]: [&mut [f32]; 1]) {
        let f: fn(f32) -> f32 = match MapOp::ALL[self.op as usize] {
            MapOp::Floor => f32::floor,
            MapOp::Ceil => f32::ceil,
            MapOp::Round => f32::round_ties_even,
            MapOp::Trunc => f32::trunc,
            MapOp::Sign => |v| if v == 0.0 || v.is_nan() { v } else { v.signum() },
            MapOp::Erf => erf,
            MapOp::Sin => sin,
            MapOp::Cos => cos,
            MapOp::Half => to_half,
            MapOp::Brain => to_brain,
            MapOp::IsZero => |v| if v == 0.0 { 1.0 } else { 0.0 },
            MapOp::IsNotZero => |v| if v == 0.0 { 0.0 } else { 1.0 },
            MapOp::IsNan => |v| if v.is_nan() { 1.0 } else { 0.0 },
            MapOp::IsInf => |v| if v.is_infinite() { 1.0 } else { 0.0 },
            MapOp::Atan => atan,
        };
        for (y, &v) in y[..self.len as usize].iter_mut().zip(x) {
            *y = f(v);
        }
    }
}
