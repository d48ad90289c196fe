//! Metrics, which have no gradient.
//!
//! [`accuracy`] and [`top_k_accuracy`] take tensors, as losses do, so [`Trainer::evaluate`](super::Trainer::evaluate)
//! can average them over a data set. The others take values in host memory and compute in f64. If any value is NaN, the
//! result is NaN.
//!
//! ```
//! use wgru::train::metrics;
//! let (prediction, target) = ([2.0, 4.0, 6.0], [1.0, 4.0, 8.0]);
//! assert_eq!(metrics::mae(&prediction, &target)?, 1.0);
//! assert_eq!(metrics::mse(&prediction, &target)?, 5.0 / 3.0);
//! # Ok::<(), wgru::Error>(())
//! ```

mod confusion;
mod forecast;
mod regression;

pub use confusion::ConfusionMatrix;
pub use forecast::{coverage, crps_quantiles, crps_samples, pinball};
pub use regression::{mae, mse, r2, rmse};

use crate::error::{Error, Result};
use crate::kernels::ZipOp;
use crate::ops::elementwise::zip;
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
    let (classes, rows) = check_classes("accuracy", logits, target)?;
    let best = logits.detach().argmax(logits.dims().len() - 1)?.reshape(&[rows])?;
    // Classes as numbers, so that they can be compared: exact below 2²⁴.
    let numbers = numbers(logits, classes)?;
    let distance = numbers.gather(&best)?.sub(&numbers.gather(&target.reshape(&[rows])?)?)?;
    distance.abs()?.clamp_max(1.0)?.mean()?.scale(-1.0)?.add_scalar(1.0)
}

/// Fraction of the rows of `logits` `[.., classes]` in which fewer than `k` logits are greater than that of the class
/// in `target` `[..]` (indices), as Keras' `SparseTopKCategoricalAccuracy`. A logit of NaN counts as greater.
///
/// ```
/// use wgru::{Device, Tensor, train::top_k_accuracy};
/// let device = Device::cpu();
/// let logits = Tensor::from_slice(&device, &[0.1, 0.6, 0.3, 0.5, 0.4, 0.1], &[2, 3])?;
/// let classes = Tensor::from_indices(&device, &[2, 2], &[2])?;
/// assert_eq!(top_k_accuracy(&logits, &classes, 2)?.item_blocking()?, 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// Same as [`accuracy`]; [`Error::Value`] if `k` is 0.
pub fn top_k_accuracy(logits: &Tensor, target: &Tensor, k: usize) -> Result<Tensor> {
    const OP: &str = "top_k_accuracy";
    let (classes, rows) = check_classes(OP, logits, target)?;
    if k == 0 {
        return Err(Error::value(OP, "k", "at least 1", 0));
    }
    let logits = logits.detach().reshape(&[rows, classes])?;
    let numbers = numbers(&logits, classes)?;
    let hit = zip(ZipOp::Equal, &numbers.gather(&target.reshape(&[rows])?)?, &numbers.reshape(&[1, classes])?)?;
    let own = logits.mask(&hit)?.sum_axis(1)?;
    // Not `own < logits`, which is false for NaN.
    let greater = zip(ZipOp::LessOrEqual, &logits, &own)?.sum_axis(1)?.scale(-1.0)?.add_scalar(classes as f32)?;
    let most = Tensor::full(logits.device(), k as f32, &[])?;
    zip(ZipOp::Less, &greater, &most)?.mean()
}

/// Returns the number of classes and rows.
fn check_classes(op: &'static str, logits: &Tensor, target: &Tensor) -> Result<(usize, usize)> {
    let Some((&classes, rows)) = logits.dims().split_last() else {
        return Err(Error::shape(op, "logits", "[.., classes]", logits.dims()));
    };
    if target.dims() != rows {
        return Err(Error::shape(op, "target", format!("{rows:?}"), target.dims()));
    }
    check_indices(op, "target", target, classes)?;
    Ok((classes, target.len()))
}

/// The numbers of the classes, `[classes, 1]`.
fn numbers(logits: &Tensor, classes: usize) -> Result<Tensor> {
    Tensor::arange(logits.device(), 0.0, classes as f32, 1.0)?.reshape(&[classes, 1])
}

/// Checks that two arguments have the same length, and are not empty.
fn check_pairs(op: &'static str, first: &[f32], arg: &'static str, other: &[f32]) -> Result<()> {
    if first.is_empty() {
        return Err(Error::value(op, arg, "at least one value", 0));
    }
    match first.len() == other.len() {
        true => Ok(()),
        false => Err(Error::shape(op, arg, format!("[{}]", first.len()), &[other.len()])),
    }
}
