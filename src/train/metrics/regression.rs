//! Regression metrics.

use super::check_pairs;
use crate::error::Result;

/// `Σ f(prediction, target) / n`
fn mean(op: &'static str, prediction: &[f32], target: &[f32], f: impl Fn(f64, f64) -> f64) -> Result<f64> {
    check_pairs(op, prediction, "target", target)?;
    let sum: f64 = prediction.iter().zip(target).map(|(&p, &y)| f(p.into(), y.into())).sum();
    Ok(sum / prediction.len() as f64)
}

/// Mean absolute error: the mean of `|prediction − target|`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless the lengths are equal, [`Error::Value`](crate::Error::Value) without
/// values.
pub fn mae(prediction: &[f32], target: &[f32]) -> Result<f64> {
    mean("mae", prediction, target, |p, y| (p - y).abs())
}

/// Mean squared error: the mean of `(prediction − target)²`.
///
/// # Errors
/// Same as [`mae`].
pub fn mse(prediction: &[f32], target: &[f32]) -> Result<f64> {
    mean("mse", prediction, target, |p, y| (p - y).powi(2))
}

/// Square root of the [mean squared error](mse).
///
/// # Errors
/// Same as [`mae`].
pub fn rmse(prediction: &[f32], target: &[f32]) -> Result<f64> {
    Ok(mean("rmse", prediction, target, |p, y| (p - y).powi(2))?.sqrt())
}

/// Coefficient of determination, as scikit-learn's `r2_score`:
///
/// ```text
/// R² = 1 − Σ (prediction − target)² / Σ (target − mean)²
/// ```
///
/// It is 1 for perfect predictions, 0 for predictions as good as the mean of the targets, and negative for worse ones.
/// If all targets are equal, it is 1 for perfect predictions and 0 for others.
///
/// ```
/// use wgru::train::metrics::r2;
/// assert_eq!(r2(&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0])?, 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// Same as [`mae`].
pub fn r2(prediction: &[f32], target: &[f32]) -> Result<f64> {
    let residual = mean("r2", prediction, target, |p, y| (p - y).powi(2))?;
    let center = target.iter().map(|&y| f64::from(y)).sum::<f64>() / target.len() as f64;
    let total = mean("r2", target, target, |y, _| (y - center).powi(2))?;
    Ok(match total == 0.0 {
        true if residual.is_nan() => residual,
        true => f64::from(residual == 0.0),
        false => 1.0 - residual / total,
    })
}
