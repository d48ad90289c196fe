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
use crate::autograd::record;
use crate::error::{Error, Result};
use crate::kernels::LossKind;
use crate::ops::index::check_indices;
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
    match reduction {
        Reduction::Mean => losses.mean(),
        Reduction::Sum => losses.sum(),
        Reduction::None => Ok(losses),
    }
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

/// Options of [`cross_entropy_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropyOptions {
    /// Rows with this target are ignored.
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

/// `−Σ_c q_c·log softmax(x)_c` of each row of `logits` `[.., classes]`, `q` from `target` (indices): `[..]`, or
/// `[rows]` for all rows in order.
///
/// # Errors
/// [`Error::Shape`], [`Error::DType`]; [`Error::Value`] for a class without a logit, or an ε outside `[0, 1]`. Only the
/// largest target is known without a readback: if it is `ignore_index`, any other invalid class makes the loss NaN.
pub fn cross_entropy_with(logits: &Tensor, target: &Tensor, options: CrossEntropyOptions) -> Result<Tensor> {
    let CrossEntropyOptions { ignore_index, label_smoothing: smoothing, reduction } = options;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::value("cross_entropy", "label_smoothing", "0 to 1", smoothing));
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
    match reduction {
        Reduction::Mean => losses.sum()?.div(&counted.sum()?),
        Reduction::Sum => losses.sum(),
        Reduction::None => losses.reshape(outer),
    }
}
