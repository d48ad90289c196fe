//! Deviance of Tweedie distributions.

use super::Reduction;
use crate::error::{Error, Result};
use crate::kernels::ZipOp;
use crate::ops::elementwise::zip;
use crate::tensor::Tensor;

/// Deviance of a Tweedie distribution with mean `prediction` and `1 < power < 2`, as scikit-learn's
/// `mean_tweedie_deviance`; the mean over all elements:
///
/// ```text
/// loss = 2·(y^(2−p) / ((1−p)·(2−p)) − y·μ^(1−p) / (1−p) + μ^(2−p) / (2−p)),    y = target, μ = prediction, p = power
/// ```
///
/// For targets that are often exactly 0 and otherwise positive, such as rainfall or the sales of slow-selling articles.
/// The loss is 0 where the prediction equals the target. The variance of such a target grows as `μ^p`. The prediction
/// must be positive, for example [`softplus`](Tensor::softplus) of an output. A negative target gives NaN. The target
/// has no gradient. The rounding error is at most 2e-6 times the largest term, which is large for powers near 1 and 2.
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let device = Device::cpu();
/// let prediction = Tensor::from_slice(&device, &[1.0, 4.0], &[2])?;
/// let target = Tensor::from_slice(&device, &[1.0, 0.0], &[2])?;
/// let loss = loss::tweedie_deviance(&prediction, &target, 1.5)?.item_blocking()?;
/// assert!((loss - (0.0 + 2.0 * 2.0 / 0.5) / 2.0).abs() < 1e-5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless `target` has the shape of `prediction`, [`Error::Value`] unless `1 < power < 2`.
pub fn tweedie_deviance(prediction: &Tensor, target: &Tensor, power: f32) -> Result<Tensor> {
    tweedie_deviance_with(prediction, target, power, Reduction::Mean)
}

/// [`tweedie_deviance`] with another reduction.
///
/// # Errors
/// Same as [`tweedie_deviance`].
pub fn tweedie_deviance_with(prediction: &Tensor, target: &Tensor, power: f32, reduction: Reduction) -> Result<Tensor> {
    const OP: &str = "tweedie_deviance";
    if !(power > 1.0 && power < 2.0) {
        return Err(Error::value(OP, "power", "more than 1 and less than 2", power));
    }
    if target.dims() != prediction.dims() {
        return Err(Error::shape(OP, "target", format!("{:?}", prediction.dims()), target.dims()));
    }
    let (target, low, high) = (target.detach(), 1.0 - power, 2.0 - power);
    let log = prediction.log()?;
    let raised = |exponent: f32| log.scale(exponent)?.exp();
    let fixed = zip(ZipOp::Pow, &target, &Tensor::full(target.device(), high, &[])?)?.scale(2.0 / (low * high))?;
    let cross = raised(low)?.mul(&target)?.scale(-2.0 / low)?;
    reduction.of(raised(high)?.scale(2.0 / high)?.add(&cross)?.add(&fixed)?)
}
