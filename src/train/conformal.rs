//! Prediction intervals from the residuals of held-out data.

use crate::error::{Error, Result};

/// Split-conformal prediction: intervals that cover a new target with at least a given probability. This holds for any
/// model if the held-out data and the new data are exchangeable.
///
/// Held-out data, on which the model was not trained, give n scores. The radius is the k-th smallest of them:
///
/// ```text
/// radius = the k-th smallest score,    k = ⌈(n + 1)·(1 − alpha)⌉
/// ```
///
/// A score says how far a target is from its forecast:
///
/// | scores | created by | interval |
/// | --- | --- | --- |
/// | `\|y − ŷ\|` | [`absolute`](Self::absolute) | [`interval`](Self::interval): `ŷ ± radius` |
/// | `\|y − ŷ\| / σ̂` | [`normalized`](Self::normalized) | [`interval_scaled`](Self::interval_scaled): `ŷ ± σ̂·radius` |
/// | `max(q̂₁ − y, y − q̂₂)` | [`quantile`](Self::quantile) | [`widened`](Self::widened): `q̂₁ − radius` to `q̂₂ + radius` |
///
/// The values of a time series are not exchangeable, so the coverage may drift. Calibrate each horizon separately, on
/// the most recent data, and measure the [coverage](super::metrics::coverage).
///
/// Vovk, Gammerman, Shafer: *Algorithmic learning in a random world* (2005); Lei and others: *Distribution-free
/// predictive inference for regression* (2018); for quantiles, Romano, Patterson, Candès: *Conformalized quantile
/// regression* (2019).
///
/// ```
/// use wgru::train::SplitConformal;
/// // Forecasts and targets of held-out data: residuals of 0.1 to 1.9.
/// let forecast = [10.0; 19];
/// let target: Vec<f32> = (1..20).map(|i| 10.0 + 0.1 * i as f32).collect();
/// let conformal = SplitConformal::absolute(&forecast, &target, 0.1)?;
/// let [low, high] = conformal.interval(20.0);                       // covers 90 %: the 18th of 19 residuals
/// assert!((low - 18.2).abs() < 1e-5 && (high - 21.8).abs() < 1e-5);
/// assert!(SplitConformal::absolute(&forecast[..8], &target[..8], 0.1).is_err(), "needs 9 residuals");
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitConformal {
    radius: f32,
}

const OP: &str = "SplitConformal";

impl SplitConformal {
    /// Calibrates on any scores for a coverage of `1 − alpha`. A larger score must mean a worse forecast.
    ///
    /// # Errors
    /// [`Error::Value`] unless `0 < alpha < 1`, for fewer than `(1 − alpha) / alpha` scores, and for a score of NaN.
    pub fn of_scores(scores: &[f32], alpha: f64) -> Result<Self> {
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err(Error::value(OP, "alpha", "a share between 0 and 1, both excluded", alpha));
        }
        if let Some(place) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::value(OP, "scores", "numbers", format!("NaN at position {place}")));
        }
        // Rounding may lift a whole number slightly, and `ceil` would then return the next one.
        let rank = |n: usize| ((n + 1) as f64 * (1.0 - alpha) - 1e-9).ceil().max(1.0) as usize;
        let (n, k) = (scores.len(), rank(scores.len()));
        if k > n {
            let least = ((1.0 - alpha) / alpha - 1e-9).ceil();
            let expected = format!("at least {least} for a coverage of {}; alpha may be larger", 1.0 - alpha);
            return Err(Error::value(OP, "scores", expected, n));
        }
        let mut sorted = scores.to_vec();
        let (_, &mut radius, _) = sorted.select_nth_unstable_by(k - 1, f32::total_cmp);
        Ok(Self { radius })
    }

    /// Calibrates on the absolute residuals of forecasts, for intervals of the same width everywhere.
    ///
    /// # Errors
    /// Same as [`of_scores`](Self::of_scores); [`Error::Shape`] unless the lengths are equal.
    pub fn absolute(prediction: &[f32], target: &[f32], alpha: f64) -> Result<Self> {
        check_len("target", prediction, target)?;
        let scores: Vec<f32> = prediction.iter().zip(target).map(|(p, y)| (y - p).abs()).collect();
        Self::of_scores(&scores, alpha)
    }

    /// Calibrates on absolute residuals divided by `scale`, a positive forecast of their size, for intervals that are
    /// wider where the model is less certain.
    ///
    /// # Errors
    /// Same as [`absolute`](Self::absolute); [`Error::Value`] for a scale that is not positive.
    pub fn normalized(prediction: &[f32], scale: &[f32], target: &[f32], alpha: f64) -> Result<Self> {
        check_len("scale", prediction, scale)?;
        check_len("target", prediction, target)?;
        if let Some(bad) = scale.iter().find(|s| **s <= 0.0 || s.is_nan()) {
            return Err(Error::value(OP, "scale", "more than 0", bad));
        }
        let residuals = prediction.iter().zip(target).map(|(p, y)| (y - p).abs());
        let scores: Vec<f32> = residuals.zip(scale).map(|(residual, scale)| residual / scale).collect();
        Self::of_scores(&scores, alpha)
    }

    /// Calibrates on forecasts of a lower and an upper quantile. The radius is negative if they cover more than
    /// `1 − alpha`.
    ///
    /// # Errors
    /// Same as [`absolute`](Self::absolute).
    pub fn quantile(lower: &[f32], upper: &[f32], target: &[f32], alpha: f64) -> Result<Self> {
        check_len("upper", lower, upper)?;
        check_len("target", lower, target)?;
        let score = |((low, high), y): ((&f32, &f32), &f32)| {
            let (below, above) = (low - y, y - high);
            if below > above || below.is_nan() { below } else { above }
        };
        let scores: Vec<f32> = lower.iter().zip(upper).zip(target).map(score).collect();
        Self::of_scores(&scores, alpha)
    }

    /// Returns the k-th smallest score.
    pub fn radius(&self) -> f32 {
        self.radius
    }

    /// Returns the interval of a forecast: `prediction ± radius`.
    pub fn interval(&self, prediction: f32) -> [f32; 2] {
        self.interval_scaled(prediction, 1.0)
    }

    /// Returns the interval of a forecast and its scale: `prediction ± scale·radius`.
    pub fn interval_scaled(&self, prediction: f32, scale: f32) -> [f32; 2] {
        let reach = scale * self.radius;
        [prediction - reach, prediction + reach]
    }

    /// Returns the interval of two quantiles: `lower − radius` to `upper + radius`, or their middle if a negative radius
    /// leaves nothing between them.
    pub fn widened(&self, lower: f32, upper: f32) -> [f32; 2] {
        let [low, high] = [lower - self.radius, upper + self.radius];
        if low > high { [low + (high - low) / 2.0; 2] } else { [low, high] }
    }
}

fn check_len(arg: &'static str, first: &[f32], other: &[f32]) -> Result<()> {
    match first.len() == other.len() {
        true => Ok(()),
        false => Err(Error::shape(OP, arg, format!("[{}]", first.len()), &[other.len()])),
    }
}
