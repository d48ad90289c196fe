//! Scores of probabilistic forecasts.

use super::check_pairs;
use crate::error::{Error, Result};

/// Mean pinball loss of forecasts of the quantile `level`: [`loss::quantile`](crate::train::loss::quantile) for one
/// level, in f64.
///
/// ```
/// use wgru::train::metrics::pinball;
/// assert_eq!(pinball(&[2.0, 2.0], &[1.0, 6.0], 0.75)?, (0.25 * 1.0 + 0.75 * 4.0) / 2.0);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless the lengths are equal, [`Error::Value`] without values, and for a level outside
/// `0 < level < 1`.
pub fn pinball(prediction: &[f32], target: &[f32], level: f64) -> Result<f64> {
    const OP: &str = "pinball";
    check_pairs(OP, prediction, "target", target)?;
    check_level(OP, level)?;
    let sum: f64 = prediction.iter().zip(target).map(|(&p, &y)| tilted(f64::from(y) - f64::from(p), level)).sum();
    Ok(sum / prediction.len() as f64)
}

/// Share of the targets within their intervals, both ends included.
///
/// ```
/// use wgru::train::metrics::coverage;
/// assert_eq!(coverage(&[0.0, 0.0], &[1.0, 1.0], &[1.0, 1.5])?, 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless the lengths are equal, [`Error::Value`] without values.
pub fn coverage(lower: &[f32], upper: &[f32], target: &[f32]) -> Result<f64> {
    check_pairs("coverage", lower, "upper", upper)?;
    check_pairs("coverage", lower, "target", target)?;
    let all = lower.iter().zip(upper).zip(target);
    if all.clone().any(|((low, high), y)| low.is_nan() || high.is_nan() || y.is_nan()) {
        return Ok(f64::NAN);
    }
    Ok(all.filter(|((low, high), y)| low <= y && y <= high).count() as f64 / lower.len() as f64)
}

/// Continuous ranked probability score of a forecast given as samples, such as the values of simulated paths at one
/// time:
///
/// ```text
/// CRPS = mean |x_i − y| − ½·mean |x_i − x_j|    over all samples, and over all pairs of samples
/// ```
///
/// It has the unit of the target, and is smaller for better forecasts. For a single sample, it is the absolute error.
/// To score several targets, average it.
///
/// Gneiting, Raftery: *Strictly proper scoring rules, prediction, and estimation* (2007).
///
/// ```
/// use wgru::train::metrics::crps_samples;
/// assert_eq!(crps_samples(&[1.0, 3.0], 2.0)?, 1.0 - 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] without samples.
pub fn crps_samples(samples: &[f32], target: f32) -> Result<f64> {
    if samples.is_empty() {
        return Err(Error::value("crps_samples", "samples", "at least one", 0));
    }
    let mut sorted: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
    sorted.sort_by(f64::total_cmp);
    let (n, y) = (sorted.len() as f64, f64::from(target));
    let distance: f64 = sorted.iter().map(|x| (x - y).abs()).sum();
    // After sorting, x_i is the larger value in i pairs and the smaller value in n − 1 − i pairs.
    let spread: f64 = sorted.iter().zip(0..).map(|(x, i)| x * (2.0 * f64::from(i) + 1.0 - n)).sum();
    Ok(distance / n - spread / (n * n))
}

/// Continuous ranked probability score of a forecast given as quantiles: twice the pinball loss, integrated over the
/// levels. Each level represents the range up to the midpoints to its neighbors. The outer levels reach to 0 and 1.
///
/// With the levels `(i − ½)/n`, it equals [`crps_samples`] with the n quantiles as samples.
///
/// ```
/// use wgru::train::metrics::crps_quantiles;
/// assert_eq!(crps_quantiles(&[0.25, 0.75], &[1.0, 3.0], 2.0)?, 0.5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless there is a value for each level, [`Error::Value`] without levels, and unless the levels
/// ascend between 0 and 1.
pub fn crps_quantiles(levels: &[f64], values: &[f32], target: f32) -> Result<f64> {
    const OP: &str = "crps_quantiles";
    if levels.is_empty() {
        return Err(Error::value(OP, "levels", "at least one", 0));
    }
    if levels.len() != values.len() {
        return Err(Error::shape(OP, "values", format!("[{}]", levels.len()), &[values.len()]));
    }
    levels.iter().try_for_each(|&level| check_level(OP, level))?;
    if let Some(pair) = levels.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::value(OP, "levels", "ascending levels", format!("{} before {}", pair[0], pair[1])));
    }
    let middle = |i: usize| match i {
        0 => 0.0,
        i if i == levels.len() => 1.0,
        i => 0.5 * (levels[i - 1] + levels[i]),
    };
    let part = |i: usize| (middle(i + 1) - middle(i)) * tilted(f64::from(target) - f64::from(values[i]), levels[i]);
    Ok(2.0 * (0..levels.len()).map(part).sum::<f64>())
}

/// `max(q·d, (q − 1)·d)`; NaN stays NaN.
fn tilted(distance: f64, level: f64) -> f64 {
    if distance < 0.0 { (level - 1.0) * distance } else { level * distance }
}

fn check_level(op: &'static str, level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::value(op, "level", "between 0 and 1, both excluded", level))
}
