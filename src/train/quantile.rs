//! Loss for quantile forecasts.

use super::Reduction;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Quantile loss (pinball loss) of several quantiles at once; the mean over all elements and quantiles:
///
/// ```text
/// loss = max(q·d, (q − 1)·d),    d = target − prediction
/// ```
///
/// `prediction` is `[.., Q]`, one value for each of the Q levels `q` in `quantiles`; `target` is `[..]` or `[.., 1]`.
/// The loss is smallest if a share `q` of the targets is below the prediction. At `d = 0`, its gradient is `−q`.
/// Twice the mean over many evenly spaced levels is the
/// [CRPS](crate::train::metrics::crps_quantiles).
///
/// Koenker, Bassett: *Regression quantiles* (1978).
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let device = Device::cpu();
/// let prediction = Tensor::from_slice(&device, &[1.0, 2.0, 4.0], &[1, 3])?;
/// let target = Tensor::from_slice(&device, &[3.0], &[1])?;
/// let loss = loss::quantile(&prediction, &target, &[0.1, 0.5, 0.9])?.item_blocking()?;
/// assert!((loss - (0.1 * 2.0 + 0.5 * 1.0 + 0.1 * 1.0) / 3.0).abs() < 1e-6);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless the shapes are as above; [`Error::Value`] for a level outside `0 < q < 1`.
pub fn quantile(prediction: &Tensor, target: &Tensor, quantiles: &[f32]) -> Result<Tensor> {
    quantile_with(prediction, target, quantiles, Reduction::Mean)
}

/// [`quantile`] with another reduction.
///
/// # Errors
/// Same as [`quantile`].
pub fn quantile_with(prediction: &Tensor, target: &Tensor, quantiles: &[f32], reduction: Reduction) -> Result<Tensor> {
    const OP: &str = "quantile";
    if let Some(level) = quantiles.iter().find(|q| !(**q > 0.0 && **q < 1.0)) {
        return Err(Error::value(OP, "quantiles", "levels between 0 and 1, both excluded", level));
    }
    let levels = quantiles.len();
    let Some((_, outer)) = prediction.dims().split_last().filter(|(last, _)| **last == levels) else {
        return Err(Error::shape(OP, "prediction", format!("[.., {levels}], a value per level"), prediction.dims()));
    };
    let column = [outer, &[1]].concat();
    if target.dims() != outer && target.dims() != column {
        return Err(Error::shape(OP, "target", format!("{outer:?} or {column:?}"), target.dims()));
    }
    let levels = Tensor::from_slice(prediction.device(), quantiles, &[levels])?;
    let distance = target.reshape(&column)?.sub(prediction)?;
    // max(q·d, (q − 1)·d) = q·d + max(−d, 0)
    reduction.of(distance.mul(&levels)?.add(&distance.scale(-1.0)?.relu()?)?)
}
