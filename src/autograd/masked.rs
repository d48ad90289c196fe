//! Reductions over some of the elements: selected by a mask, or within the length of a sequence.

use super::record_unary;
use crate::error::Result;
use crate::ops::masked::Steps;
use crate::ops::softmax;
use crate::tensor::Tensor;

/// # Masked reductions
///
/// The other elements are not read, so they may be NaN. Their gradient is 0.
impl Tensor {
    /// Returns the softmax over the last axis of `[batch, .., width]`, restricted to the elements for which `keep`
    /// `[batch, width]` (indices) is not 0. The others are exactly 0, as are all elements of a row that keeps none.
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let device = Device::cpu();
    /// let scores = Tensor::from_slice(&device, &[1.0, 1.0, f32::NAN], &[1, 3])?;
    /// let keep = Tensor::from_indices(&device, &[1, 1, 0], &[1, 3])?;
    /// assert_eq!(scores.masked_softmax(&keep)?.read_blocking()?, [0.5, 0.5, 0.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), [`Error::DType`](crate::Error::DType).
    pub fn masked_softmax(&self, keep: &Tensor) -> Result<Tensor> {
        let y = softmax::masked_softmax(self, keep)?;
        let (kept, read) = (y.clone(), y.clone());
        let dx = move |dy: &Tensor| softmax::softmax_backward(&kept, dy, false);
        Ok(record_unary("masked_softmax", self, &[&read], y, dx))
    }

    /// Returns the mean over the first `lengths[b]` steps of each sequence `b` of `[T, B, ..]`, as `[B, ..]`. It is 0
    /// for a sequence without steps.
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let x = Tensor::from_slice(&Device::cpu(), &[1.0, 5.0, 3.0, f32::NAN], &[2, 2, 1])?;
    /// assert_eq!(x.masked_mean(&[2, 1])?.read_blocking()?, [2.0, 5.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for fewer than two axes or a wrong number of lengths,
    /// [`Error::Value`](crate::Error::Value) for a length above `T`, [`Error::DType`](crate::Error::DType) for indices.
    pub fn masked_mean(&self, lengths: &[usize]) -> Result<Tensor> {
        let steps = Steps::new("masked_mean", self, lengths)?;
        let y = steps.mean(self)?;
        Ok(record_unary("masked_mean", self, &[], y, move |dy| steps.mean_backward(dy)))
    }

    /// Returns the maximum over the first `lengths[b]` steps of each sequence `b` of `[T, B, ..]`, as `[B, ..]`. It is
    /// 0 for a sequence without steps. Equal elements and NaN are treated as in [`max`](Tensor::max).
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let x = Tensor::from_slice(&Device::cpu(), &[1.0, -5.0, 3.0, f32::NAN], &[2, 2, 1])?;
    /// assert_eq!(x.masked_max(&[2, 1])?.read_blocking()?, [3.0, -5.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`Tensor::masked_mean`].
    pub fn masked_max(&self, lengths: &[usize]) -> Result<Tensor> {
        let steps = Steps::new("masked_max", self, lengths)?;
        let [y, index] = steps.max(self)?;
        Ok(record_unary("masked_max", self, &[], y, move |dy| steps.max_backward(&index, dy)))
    }
}
