//! Sums, means and extremes.

use super::record_unary;
use crate::error::Result;
use crate::kernels::UnaryOp;
use crate::ops::extreme::{extreme, extreme_backward};
use crate::ops::{elementwise, movement, reduce};
use crate::tensor::Tensor;

/// # Reductions
///
/// A reduced axis is kept with extent 1, so that the result broadcasts with `self`;
/// [`squeeze`](Tensor::squeeze) removes it.
///
/// ```
/// use wgru::{Device, Tensor};
/// let x = Tensor::from_slice(&Device::cpu(), &[1.0, 5.0, 5.0, -2.0, 0.0, -2.0], &[2, 3])?;
/// assert_eq!(x.sum()?.item_blocking()?, 7.0);
/// assert_eq!(x.sum_axis(0)?.read_blocking()?, [-1.0, 5.0, 3.0]);
/// assert_eq!(x.mean_axes(&[0, 1])?.dims(), [1, 1]);
/// assert_eq!(x.max(1)?.squeeze(1)?.read_blocking()?, [5.0, 0.0]);
/// assert_eq!(x.min(1)?.dims(), [2, 1]);
/// assert_eq!(x.argmax(1)?.read_indices_blocking()?, [1, 1]);
/// # Ok::<(), wgru::Error>(())
/// ```
impl Tensor {
    /// `Σ self`, a scalar
    ///
    /// # Errors
    /// [`Error::DType`](crate::Error::DType) for indices.
    pub fn sum(&self) -> Result<Tensor> {
        self.scaled_sum("sum", 1.0)
    }

    /// `Σ self / n`, a scalar
    ///
    /// # Errors
    /// [`Error::DType`](crate::Error::DType) for indices.
    pub fn mean(&self) -> Result<Tensor> {
        self.scaled_sum("mean", 1.0 / self.len() as f32)
    }

    fn scaled_sum(&self, name: &'static str, scale: f32) -> Result<Tensor> {
        let options = reduce::SumOptions { scale, ..Default::default() };
        let y = reduce::sum_all(self, options)?;
        Ok(self.summed(name, y, scale))
    }

    /// Records a sum. The gradient of every element is the gradient of its sum, times `scale`.
    fn summed(&self, name: &'static str, y: Tensor, scale: f32) -> Tensor {
        let dims = self.dims().to_vec();
        record_unary(name, self, &[], y, move |dy| match scale {
            1.0 => movement::expand(dy, &dims),
            _ => movement::expand(&elementwise::unary(UnaryOp::Scale, scale, dy)?, &dims),
        })
    }

    /// `Σ self` over one axis.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if there is no such axis, [`Error::DType`](crate::Error::DType) for
    /// indices.
    pub fn sum_axis(&self, axis: usize) -> Result<Tensor> {
        let y = reduce::sum_axis(self, axis, 1.0)?;
        Ok(self.summed("sum_axis", y, 1.0))
    }

    /// `Σ self / n` over one axis of extent `n`.
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn mean_axis(&self, axis: usize) -> Result<Tensor> {
        self.mean_over("mean_axis", &[axis])
    }

    /// `Σ self` over several axes.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) without axes, if there is no such axis or it occurs twice;
    /// [`Error::DType`](crate::Error::DType) for indices.
    pub fn sum_axes(&self, axes: &[usize]) -> Result<Tensor> {
        let y = reduce::sum_axes("sum_axes", self, axes, 1.0)?;
        Ok(self.summed("sum_axes", y, 1.0))
    }

    /// `Σ self / n` over several axes that together have `n` elements.
    ///
    /// # Errors
    /// As [`Tensor::sum_axes`].
    pub fn mean_axes(&self, axes: &[usize]) -> Result<Tensor> {
        self.mean_over("mean_axes", axes)
    }

    fn mean_over(&self, name: &'static str, axes: &[usize]) -> Result<Tensor> {
        let count: usize = axes.iter().filter_map(|&axis| self.dims().get(axis)).product();
        let scale = 1.0 / count as f32;
        let y = reduce::sum_axes(name, self, axes, scale)?;
        Ok(self.summed(name, y, scale))
    }

    /// Returns the greatest element along one axis. NaN counts as greater than every number. The gradient goes to the
    /// element at [`argmax`](Self::argmax), as in PyTorch.
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn max(&self, axis: usize) -> Result<Tensor> {
        self.extreme("max", axis, false)
    }

    /// Returns the least element along one axis. NaN counts as less than every number. The gradient goes to the element
    /// at [`argmin`](Self::argmin), as in PyTorch.
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn min(&self, axis: usize) -> Result<Tensor> {
        self.extreme("min", axis, true)
    }

    /// Returns the position of [`max`](Self::max) along the axis, as indices: the first one of equal elements or NaN.
    /// [`read_indices`](Self::read_indices) reads them.
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        let [_, index] = extreme("argmax", self, axis, false)?;
        Ok(index)
    }

    /// Returns the position of [`min`](Self::min) along the axis; otherwise like [`argmax`](Self::argmax).
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn argmin(&self, axis: usize) -> Result<Tensor> {
        let [_, index] = extreme("argmin", self, axis, true)?;
        Ok(index)
    }

    fn extreme(&self, name: &'static str, axis: usize, least: bool) -> Result<Tensor> {
        let [y, index] = extreme(name, self, axis, least)?;
        let dims = self.dims().to_vec();
        Ok(record_unary(name, self, &[], y, move |dy| extreme_backward(&dims, axis, &index, dy)))
    }
}
