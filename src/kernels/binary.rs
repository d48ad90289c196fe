//! `y[i] = a[i·a_strides] ∘ b[i·b_strides]`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, at_most, params, shader};
use crate::math::masked;

/// Elementwise operations on two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BinaryOp {
    /// `a + b`
    Add = 0,
    /// `a − b`
    Sub = 1,
    /// `a·b`
    Mul = 2,
    /// `a / b`
    Div = 3,
    /// `a·b`; exactly 0 where `b` is 0, also where `a` is NaN or infinite
    Mask = 4,
}

impl BinaryOp {
    /// Every operation.
    pub const ALL: [Self; 5] = [Self::Add, Self::Sub, Self::Mul, Self::Div, Self::Mask];
}

params! {
    /// `y[i] = a[i·a_strides] ∘ b[i·b_strides]` for every index `i` of `dims`; a stride of 0 broadcasts.
    ///
    /// Reads the elements of `a` and `b` that the strides address; writes `y` with shape `dims`.
    pub struct Binary {
        /// Extents of the result, outermost first.
        pub dims: [u32; 4],
        /// Elements from one index of `a` to the next, per axis.
        pub a_strides: [u32; 4],
        /// Elements from one index of `b` to the next, per axis.
        pub b_strides: [u32; 4],
        /// A [`BinaryOp`].
        pub op: u32,
    }
}

impl Kernel<2, 1> for Binary {
    shader!("binary", ["common/linear", "common/mask"], [a, b] -> [y]);

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
        at_most(Self::NAME, [("op", self.op, BinaryOp::ALL.len() - 1)])?;
        addressable(Self::NAME, "a_strides", 0, &steps(self.a_strides))?;
        addressable(Self::NAME, "b_strides", 0, &steps(self.b_strides))
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let reach =
            |strides: [u32; 4]| (0..4).map(|x| (self.dims[x] as usize - 1) * strides[x] as usize).sum::<usize>() + 1;
        ([reach(self.a_strides), reach(self.b_strides)], [self.dims.iter().map(|&d| d as usize).product()])
    }

    fn run(&self, [a, b]: [&[f32]; 2], [y]: [&mut [f32]; 1]) {
        let f: fn(f32, f32) -> f32 = match BinaryOp::ALL[self.op as usize] {
            BinaryOp::Add => |u, v| u + v,
            BinaryOp::Sub => |u, v| u - v,
            BinaryOp::Mul => |u, v| u * v,
            BinaryOp::Div => |u, v| u / v,
            BinaryOp::Mask => masked,
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
