//! The operators `+ - * /` between tensors and `f32`, and negation.
//!
//! Each operator returns `Result<Tensor>`, because shapes or devices may not match: `((&a + &b)? * 2.0)?`. Operands are
//! tensors or references to tensors. Pass a tensor by reference to use it again.

use std::borrow::Borrow;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Implements an operator for every combination of `Tensor`, `&Tensor` and `f32` with at least one tensor.
macro_rules! operator {
    ($op:ident, $method:ident, tensors: $tensors:expr, by: $by:expr, of: $of:expr) => {
        operator!(@ $op, $method, &Tensor, &Tensor, $tensors);
        operator!(@ $op, $method, &Tensor, Tensor, $tensors);
        operator!(@ $op, $method, Tensor, &Tensor, $tensors);
        operator!(@ $op, $method, Tensor, Tensor, $tensors);
        operator!(@ $op, $method, &Tensor, f32, $by);
        operator!(@ $op, $method, Tensor, f32, $by);
        operator!(@ $op, $method, f32, &Tensor, $of);
        operator!(@ $op, $method, f32, Tensor, $of);
    };
    (@ $op:ident, $method:ident, $left:ty, $right:ty, $function:expr) => {
        impl $op<$right> for $left {
            type Output = Result<Tensor, Error>;

            fn $method(self, rhs: $right) -> Self::Output {
                $function(self.borrow(), rhs.borrow())
            }
        }
    };
}

operator!(
    Add, add,
    tensors: Tensor::add,
    by: |a: &Tensor, b: &f32| a.add_scalar(*b),
    of: |a: &f32, b: &Tensor| b.add_scalar(*a)
);
operator!(
    Sub, sub,
    tensors: Tensor::sub,
    by: |a: &Tensor, b: &f32| a.add_scalar(-b),
    of: |a: &f32, b: &Tensor| b.scale(-1.0)?.add_scalar(*a)
);
operator!(
    Mul, mul,
    tensors: Tensor::mul,
    by: |a: &Tensor, b: &f32| a.scale(*b),
    of: |a: &f32, b: &Tensor| b.scale(*a)
);
operator!(
    Div, div,
    tensors: Tensor::div,
    by: |a: &Tensor, b: &f32| a.div_scalar(*b),
    of: |a: &f32, b: &Tensor| Tensor::full(b.device(), *a, &[])?.div(b)
);

impl Neg for &Tensor {
    type Output = Result<Tensor, Error>;

    fn neg(self) -> Self::Output {
        self.scale(-1.0)
    }
}

impl Neg for Tensor {
    type Output = Result<Tensor, Error>;

    fn neg(self) -> Self::Output {
        self.scale(-1.0)
    }
}
