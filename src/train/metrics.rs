//! Metrics, which have no gradient.

use crate::error::{Error, Result};
use crate::ops::index::check_indices;
use crate::tensor::Tensor;

/// Fraction of the rows of `logits` `[.., classes]` whose largest value is at their class in `target` `[..]` (indices).
///
/// As a loss of [`Trainer::evaluate`](super::Trainer::evaluate), it gives the accuracy over a whole set.
///
/// ```
/// use wgru::{Device, Tensor, train::accuracy};
/// let device = Device::cpu();
/// let logits = Tensor::from_slice(&device, &[0.1, 0.9, 0.8, 0.2], &[2, 2])?;
/// let classes = Tensor::from_indices(&device, &[1, 1], &[2])?;
/// assert_eq!(accuracy(&logits, &classes)?.item_blocking()?, 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless `target` has one class per row, [`Error::DType`],
/// [`Error::Value`] for a class that has no logit.
pub fn accuracy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    const OP: &str = "accuracy";
    let Some((&classes, rows)) = logits.dims().split_last() else {
        return Err(Error::shape(OP, "logits", "[.., classes]", logits.dims()));
    };
    if target.dims() != rows {
        return Err(Error::shape(OP, "target", format!("{rows:?}"), target.dims()));
    }
    check_indices(OP, "target", target, classes)?;
    let best = logits.detach().argmax(rows.len())?.reshape(&[target.len()])?;
    // Classes as numbers, so that they can be compared: exact below 2²⁴.
    let numbers = Tensor::arange(logits.device(), 0.0, classes as f32, 1.0)?.reshape(&[classes, 1])?;
    let distance = numbers.gather(&best)?.sub(&numbers.gather(&target.reshape(&[target.len()])?)?)?;
    distance.abs()?.clamp_max(1.0)?.mean()?.scale(-1.0)?.add_scalar(1.0)
}
