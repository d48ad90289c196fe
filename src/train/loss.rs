//! Losses, as `torch.nn.functional` defines them.
//!
//! Each one takes `(prediction, target)` and returns the mean. The variants whose names end in `_with` take the other
//! options.
//!
//! ```
//! use wgru::{Device, Tensor, train::{Reduction, loss}};
//! let device = Device::cpu();
//! let prediction = Tensor::from_slice(&device, &[1.0, 4.0], &[2])?;
//! let target = Tensor::from_slice(&device, &[0.0, 2.0], &[2])?;
//! assert_eq!(loss::mse(&prediction, &target)?.item_blocking()?, 2.5);
//! assert_eq!(loss::mse_with(&prediction, &target, Reduction::Sum)?.item_blocking()?, 5.0);
//! # Ok::<(), wgru::Error>(())
//! ```

pub use super::ctc::{CtcOptions, ctc, ctc_with};
pub use super::likelihood::{
    GaussianNllOptions, gaussian_nll, gaussian_nll_with, negative_binomial_nll, negative_binomial_nll_with,
    student_t_nll, student_t_nll_with,
};
pub use super::quantile::{quantile, quantile_with};
pub use super::tweedie::{tweedie_deviance, tweedie_deviance_with};
pub use super::valid::valid_steps;
use crate::autograd::record;
use crate::error::{Error, Result};
use crate::kernels::LossKind;
use crate::ops::index::{check_indices, gather_unchecked};
use crate::ops::loss;
use crate::tensor::Tensor;

/// Reduction of the losses of all elements or rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// The mean, which is the default.
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// No reduction: the individual losses.
    None,
}

impl Reduction {
    /// Reduces the losses of elements of equal weight.
    pub(super) fn of(self, losses: Tensor) -> Result<Tensor> {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::None => Ok(losses),
        }
    }
}

fn pointwise(kind: LossKind, delta: f32, x: &Tensor, t: &Tensor, reduction: Reduction) -> Result<Tensor> {
    let losses = loss::pointwise(kind, delta, x, t)?;
    let (kept_x, kept_t) = (x.detach(), t.detach());
    let both = t.is_tracked();
    let [losses] = record("loss", &[x, t], &[x, t], [losses], || {
        Box::new(move |dys| {
            let Some(dloss) = &dys[0] else { return Ok(vec![None, None]) };
            let dx = loss::pointwise_backward(kind, delta, &kept_x, &kept_t, dloss)?;
            let dt = match kind {
                _ if !both => None,
                LossKind::BceWithLogits => Some(kept_x.mul(dloss)?.scale(-1.0)?),
                _ => Some(dx.scale(-1.0)?),
            };
            Ok(vec![Some(dx), dt])
        })
    });
    reduction.of(losses)
}

/// `(x − t)²`, the mean over all elements.
///
/// # Errors
/// [`Error::Shape`] unless `target` has the shape of `prediction`.
pub fn mse(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    mse_with(prediction, target, Reduction::Mean)
}

/// [`mse`] with another reduction.
///
/// # Errors
/// Same as [`mse`].
pub fn mse_with(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
    pointwise(LossKind::Squared, 0.0, prediction, target, reduction)
}

/// `|x − t|`, the mean over all elements.
///
/// # Errors
/// Same as [`mse`].
pub fn mae(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    mae_with(prediction, target, Reduction::Mean)
}

/// [`mae`] with another reduction.
///
/// # Errors
/// Same as [`mse`].
pub fn mae_with(prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
    pointwise(LossKind::Absolute, 0.0, prediction, target, reduction)
}

/// `½·d²` if `|d| ≤ 1`, else `|d| − ½`, with `d = x − t`; the mean over all elements.
///
/// # Errors
/// Same as [`mse`].
pub fn huber(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    huber_with(prediction, target, 1.0, Reduction::Mean)
}

/// `½·d²` if `|d| ≤ δ`, else `δ·(|d| − ½·δ)`, with `d = x − t`.
///
/// # Errors
/// Same as [`mse`]; [`Error::Value`] unless `delta` is positive.
pub fn huber_with(prediction: &Tensor, target: &Tensor, delta: f32, reduction: Reduction) -> Result<Tensor> {
    if delta <= 0.0 || delta.is_nan() {
        return Err(Error::value("huber", "delta", "more than 0", delta));
    }
    pointwise(LossKind::Huber, delta, prediction, target, reduction)
}

/// Binary cross-entropy of logits: `log(1 + e^x) − x·t`, `t` in `[0, 1]`; the mean over all elements.
///
/// # Errors
/// Same as [`mse`].
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    bce_with_logits_with(logits, target, Reduction::Mean)
}

/// [`bce_with_logits`] with another reduction.
///
/// # Errors
/// Same as [`mse`].
pub fn bce_with_logits_with(logits: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
    pointwise(LossKind::BceWithLogits, 0.0, logits, target, reduction)
}

/// Options of [`cross_entropy_with`]. Names and defaults are those of `torch.nn.functional.cross_entropy`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropyOptions<'a> {
    /// Weights of the classes, `[classes]`, for imbalanced data. Each row is weighted by its target class, also in the
    /// mean. Inverse class frequencies are a common choice.
    pub weight: Option<&'a Tensor>,
    /// Rows with this target are ignored. With the lengths of padded sequences at hand, [`valid_steps`] needs no such
    /// target.
    pub ignore_index: Option<u32>,
    /// ε: the target has `1 − ε` on its class, and `ε` spread evenly over all classes.
    pub label_smoothing: f32,
    /// Reduction of the rows' losses. The mean is over rows that are not ignored.
    pub reduction: Reduction,
}

/// `−log softmax(x)_t` of each row of `logits` `[.., classes]`, `t` from `target` `[..]` (indices); the mean over all
/// rows.
///
/// # Errors
/// Same as [`cross_entropy_with`].
pub fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    cross_entropy_with(logits, target, CrossEntropyOptions::default())
}

/// `−Σ_c w_c·q_c·log softmax(x)_c` of each row of `logits` `[.., classes]`, `q` from `target` (indices): `[..]`, or
/// `[rows]` for all rows in order. The mean is the sum of the losses divided by the sum of the targets' weights.
///
/// ```
/// use wgru::{Device, Tensor, train::loss::{self, CrossEntropyOptions}};
/// let device = Device::cpu();
/// let logits = Tensor::zeros(&device, &[3, 2])?;
/// let classes = Tensor::from_indices(&device, &[0, 0, 1], &[3])?;
/// let weight = Tensor::from_slice(&device, &[0.75, 1.5], &[2])?;    // rows / (classes · rows of the class)
/// let options = CrossEntropyOptions { weight: Some(&weight), ..Default::default() };
/// let loss = loss::cross_entropy_with(&logits, &classes, options)?.item_blocking()?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`], [`Error::DType`]; [`Error::Value`] for a class without a logit, or an ε outside `[0, 1]`;
/// [`Error::DeviceMix`] for weights on another device. Only the largest target is known without a readback: if it is
/// `ignore_index`, any other invalid class makes the loss NaN.
pub fn cross_entropy_with(logits: &Tensor, target: &Tensor, options: CrossEntropyOptions) -> Result<Tensor> {
    let CrossEntropyOptions { weight, ignore_index, label_smoothing, reduction } = options;
    // With class weights, `weighted` adds the smoothed part.
    let smoothing = if weight.is_some() { 0.0 } else { label_smoothing };
    if !(0.0..=1.0).contains(&label_smoothing) {
        return Err(Error::value("cross_entropy", "label_smoothing", "0 to 1", label_smoothing));
    }
    let Some((&classes, outer)) = logits.dims().split_last() else {
        return Err(Error::shape("cross_entropy", "logits", "[.., classes]", logits.dims()));
    };
    let rows = outer.iter().product();
    if target.dims() != outer && target.dims() != [rows] {
        return Err(Error::shape("cross_entropy", "target", format!("{outer:?}"), target.dims()));
    }
    // Without an ignored target, this is a value that no valid target has.
    let ignored = ignore_index.unwrap_or(classes as u32);
    if ignore_index.is_none() {
        check_indices("cross_entropy", "target", target, classes)?;
    }
    let target = target.view("cross_entropy", &[rows])?;
    let logits = if outer.len() == 1 { logits.clone() } else { logits.reshape(&[rows, classes])? };
    let (losses, counted) = loss::cross_entropy(&logits, &target, ignored, smoothing)?;
    let (x, t) = (logits.detach(), target.clone());
    let [losses] = record("cross_entropy", &[&logits], &[&logits, &target], [losses], || {
        Box::new(move |dys| {
            let dx = |dloss: &Tensor| loss::cross_entropy_backward(&x, &t, ignored, smoothing, dloss);
            Ok(vec![dys[0].as_ref().map(dx).transpose()?])
        })
    });
    let (losses, counted) = match weight {
        None => (losses, counted),
        Some(weight) => weighted(&logits, &target, (losses, counted), weight, label_smoothing)?,
    };
    match reduction {
        Reduction::Mean => losses.sum()?.div(&counted.sum()?),
        Reduction::Sum => losses.sum(),
        Reduction::None => losses.reshape(outer),
    }
}

/// Weights the losses of the rows by their target classes. Returns the losses, and the weights of the counted rows.
fn weighted(
    logits: &Tensor,
    target: &Tensor,
    (losses, counted): (Tensor, Tensor),
    weight: &Tensor,
    smoothing: f32,
) -> Result<(Tensor, Tensor)> {
    let classes = logits.dims()[1];
    weight.check_dtype("cross_entropy", "weight", "f32")?;
    if weight.dims() != [classes] {
        return Err(Error::shape("cross_entropy", "weight", format!("[{classes}]"), weight.dims()));
    }
    logits.device().check_same("cross_entropy", "weight", weight)?;
    let weight = weight.detach();
    // An ignored target may be out of range. It gives NaN, which the mask replaces by 0.
    let rows = gather_unchecked(&weight.reshape(&[classes, 1])?, target)?.reshape(&[target.len()])?.mask(&counted)?;
    let hard = losses.mul(&rows)?;
    if smoothing == 0.0 {
        return Ok((hard, rows));
    }
    let spread = logits.log_softmax()?.mul(&weight)?.sum_axis(1)?.reshape(&[target.len()])?.mask(&counted)?;
    let losses = hard.scale(1.0 - smoothing)?.sub(&spread.scale(smoothing / classes as f32)?)?;
    Ok((losses, rows))
}
