//! `y[i] = a[i·a_strides] ∘ b[i·b_strides]`, for operations without a gradient

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, params, shader};

/// Elementwise operations on two operands without a gradient, which only models from files use. Comparisons and logic
/// write 1 or 0, and a comparison with NaN is false; other operations give NaN if an operand is NaN, except for
/// [`Pow`](ZipOp::Pow), where `1^b` and `a^0` are always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ZipOp {
    /// `a = b`
    Equal = 0,
    /// `a < b`
    Less = 1,
    /// `a ≤ b`
    LessOrEqual = 2,
    /// `a ≠ 0` and `b ≠ 0`
    And = 3,
    /// `a ≠ 0` or `b ≠ 0`
    Or = 4,
    /// Either `a ≠ 0` or `b ≠ 0`
    Xor = 5,
    /// The smaller operand
    Min = 6,
    /// The larger operand
    Max = 7,
    /// The remainder of a division that rounds down: it has the sign of `b`
    Mod = 8,
    /// The remainder of a division that rounds towards 0: it has the sign of `a`
    Rem = 9,
    /// `a / b` without its fraction
    Quotient = 10,
    /// `a^b`
    Pow = 11,
}

impl ZipOp {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::Equal,
        Self::Less,
        Self::LessOrEqual,
        Self::And,
        Self::Or,
        Self::Xor,
        Self::Min,
        Self::Max,
        Self::Mod,
        Self::Rem,
        Self::Quotient,
        Self::Pow,
    ];
}

params! {
    /// `y[i] = a[i·a_strides] ∘ b[i·b_strides]` for every index `i` of `dims`; a stride of 0 broadcasts.
    ///
    /// Reads the elements of `a` and `b` that the strides address; writes `y` with shape `dims`.
    pub struct Zip {
        /// Extents of the result, outermost first.
        pub dims: [u32; 4],
        /// Elements from one index of `a` to the next, per axis.
        pub a_strides: [u32; 4],
        /// Elements from one index of `b` to the next, per axis.
        pub b_strides: [u32; 4],
        /// A [`ZipOp`].
        pub op: u32,
    }
}

fn truth(is: bool) -> f32 {
    if is { 1.0 } else { 0.0 }
}

/// `u − q·v`. Without a product if `q` is 0, because `v` may be infinite.
fn remainder(u: f32, v: f32, q: f32) -> f32 {
    if q == 0.0 { u } else { u - q * v }
}

/// `u / v` without its fraction. Corrected by the remainder, because a device may round the quotient of two whole
/// numbers to just below a whole number.
fn quotient(u: f32, v: f32) -> f32 {
    let (q, step) = ((u / v).trunc(), if (u < 0.0) == (v < 0.0) { 1.0 } else { -1.0 });
    let rest = remainder(u, v, q);
    if rest.abs() >= v.abs() {
        q + step
    } else if rest != 0.0 && (rest < 0.0) != (u < 0.0) {
        q - step
    } else {
        q
    }
}

impl Kernel<2, 1> for Zip {
    shader!("zip", ["common/linear", "common/nan"], [a, b] -> [y]);

    fn check(&self) -> Result<()> {
        let [x, y, z, w] = self.dims;
        at_least_one(Self::NAME, [("dims", x), ("dims", y), ("dims", z), ("dims", w)])?;
        addressable(
            Self::NAME,
            "dims",
            0,
            &[(x, 1), (y, x), (z, x.saturating_mul(y)), (w, x.saturating_mul(y).saturating_mul(z))],
        )?;
        let steps = |strides: [u32; 4]| [0, 1, 2, 3].map(|a| (self.dims[a], strides[a]));
        at_most(Self::NAME, [("op", self.op, ZipOp::ALL.len() - 1)])?;
        addressable(Self::NAME, "a_strides", 0, &steps(self.a_strides))?;
        addressable(Self::NAME, "b_strides", 0, &steps(self.b_strides))
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let reach =
            |strides: [u32; 4]| (0..4).map(|x| (self.dims[x] as usize - 1) * strides[x] as usize).sum::<usize>() + 1;
        ([reach(self.a_strides), reach(self.b_strides)], [self.dims.iter().map(|&d| d as usize).product()])
    }

    fn run(&self, [a, b]: [&[f32]; 2], [y]: [&mut [f32]; 1]) {
        let f: fn(f32, f32) -> f32 = match ZipOp::ALL[self.op as usize] {
            ZipOp::Equal => |u, v| truth(u == v),
            ZipOp::Less => |u, v| truth(u < v),
            ZipOp::LessOrEqual => |u, v| truth(u <= v),
            ZipOp::And => |u, v| truth(u != 0.0 && v != 0.0),
            ZipOp::Or => |u, v| truth(u != 0.0 || v != 0.0),
            ZipOp::Xor => |u, v| truth((u != 0.0) != (v != 0.0)),
            ZipOp::Min => |u, v| if u.is_nan() || u < v { u } else { v },
            ZipOp::Max => |u, v| if u.is_nan() || u > v { u } else { v },
            ZipOp::Mod => |u, v| {
                let rest = remainder(u, v, quotient(u, v));
                if rest != 0.0 && (rest < 0.0) != (v < 0.0) { rest + v } else { rest }
            },
            ZipOp::Rem => |u, v| remainder(u, v, quotient(u, v)),
            ZipOp::Quotient => quotient,
            ZipOp::Pow => f32::powf,
        };
        let [d0, d1, d2, d3] = self.dims;
        let at = |index: [u32; 3], strides: [u32; 4]| (0..3).map(|x| (index[x] * strides[x]) as usize).sum::<usize>();
        let (step_a, step_b) = (self.a_strides[3] as usize, self.b_strides[3] as usize);
        let mut rows = y.chunks_exact_mut(d3 as usize);
        for x in 0..d0 {
            for index in (0..d1).flat_map(|y| (0..d2).map(move |z| [x, y, z])) {
                let (ia, ib) = (at(index, self.a_strides), at(index, self.b_strides));
                for (w, y) in rows.next().into_iter().flatten().enumerate() {
                    *y = f(a[ia + w * step_a], b[ib + w * step_b]);
                }
            }
        }
    }
}
