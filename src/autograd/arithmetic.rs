//! Elementwise arithmetic on two tensors.

use super::{record, record_unary};
use crate::error::Result;
use crate::kernels::BinaryOp;
use crate::ops::elementwise;
use crate::tensor::Tensor;

/// # Arithmetic
///
/// Shapes broadcast by NumPy's rule: aligned at the last axis, extents equal or 1. The operators `+ - * /` do the same,
/// also with an `f32` on either side, and return a `Result`.
///
/// ```
/// use wgru::{Device, Result, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::from_slice(&device, &[1.0, 2.0, 3.0, 4.0], &[2, 2])?;
/// let row = Tensor::from_slice(&device, &[10.0, 20.0], &[2])?;
/// assert_eq!(x.add(&row)?.read_blocking()?, [11.0, 22.0, 13.0, 24.0]);
/// assert_eq!((&x + &row)?.read_blocking()?, [11.0, 22.0, 13.0, 24.0]);
///
/// /// The update of a GRU: `(1 − z)·n + z·h`.
/// fn update(z: &Tensor, n: &Tensor, h: &Tensor) -> Result<Tensor> {
///     ((1.0 - z)? * n)? + (z * h)?
/// }
/// let z = Tensor::full(&device, 0.5, &[2])?;
/// assert_eq!(update(&z, &row, &x)?.read_blocking()?, [5.5, 11.0, 6.5, 12.0]);
/// # Ok::<(), wgru::Error>(())
/// ```
impl Tensor {
    fn binary(&self, name: &'static str, op: BinaryOp, rhs: &Tensor) -> Result<Tensor> {
        let y = elementwise::binary(op, self, rhs)?;
        let (a, b) = (self.detach(), rhs.detach());
        let read: &[&Tensor] = match op {
            BinaryOp::Add | BinaryOp::Sub => &[],
            _ => &[self, rhs],
        };
        let [y] = record(name, &[self, rhs], read, [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(elementwise::binary_backward(op, &a, &b, dy)?.map(Some).to_vec()),
                None => Ok(vec![None, None]),
            })
        });
        Ok(y)
    }

    /// `self + rhs`
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for shapes that do not broadcast,
    /// [`Error::DType`](crate::Error::DType) for indices, [`Error::DeviceMix`](crate::Error::DeviceMix) for tensors of
    /// two devices.
    pub fn add(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("add", BinaryOp::Add, rhs)
    }

    /// `self − rhs`
    ///
    /// # Errors
    /// Same as [`Tensor::add`].
    pub fn sub(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("sub", BinaryOp::Sub, rhs)
    }

    /// `self · rhs`, element by element
    ///
    /// # Errors
    /// Same as [`Tensor::add`].
    pub fn mul(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("mul", BinaryOp::Mul, rhs)
    }

    /// `self / rhs`
    ///
    /// # Errors
    /// Same as [`Tensor::add`].
    pub fn div(&self, rhs: &Tensor) -> Result<Tensor> {
        self.binary("div", BinaryOp::Div, rhs)
    }

    /// `self / divisor`. Not `self · (1 / divisor)`, which rounds twice.
    pub(super) fn div_scalar(&self, divisor: f32) -> Result<Tensor> {
        let divisor = Tensor::full(self.device(), divisor, &[])?;
        let y = elementwise::binary(BinaryOp::Div, self, &divisor)?;
        Ok(record_unary("div", self, &[], y, move |dy| elementwise::binary(BinaryOp::Div, dy, &divisor)))
    }

    /// `self · factors`, but exactly 0 where a factor is 0, even if `self` is NaN or infinite there. The same applies
    /// to the gradient of `self`. The factors are constants: they have no gradient.
    ///
    /// # Errors
    /// Same as [`Tensor::add`].
    pub fn mask(&self, factors: &Tensor) -> Result<Tensor> {
        let y = elementwise::binary(BinaryOp::Mask, self, factors)?;
        let (shape, kept) = (*self.shape(), factors.detach());
        let dx = move |dy: &Tensor| elementwise::mask_backward(&shape, &kept, dy);
        Ok(record_unary("mask", self, &[factors], y, dx))
    }
}
