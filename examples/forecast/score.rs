//! Scores of forecasts against the actual values.

use wgru::Result;
use wgru::train::metrics;

use crate::calibrate::Forecast;

/// A forecast of the test part, and its scores in the units of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub forecast: Forecast,
    pub scores: Scores,
}

/// Means over all values of the test part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    pub rmse: f64,
    pub mae: f64,
    /// Mean squared error in standard deviations of the training part.
    pub mse_standardized: f64,
    pub crps: f64,
    /// Mean pinball loss over all quantiles.
    pub pinball: f64,
    /// Share of the values within the interval, and its mean width.
    pub coverage: f64,
    pub width: f64,
}

/// Actual values of the test part, by window and step; NaN where they are not known.
pub struct Actual {
    pub values: Vec<f64>,
    /// Standard deviation of the training part, by value.
    pub deviations: Vec<f64>,
    pub levels: Vec<f64>,
    /// The levels of the interval.
    pub ends: [usize; 2],
}

impl Entry {
    /// Scores a forecast with quantiles.
    ///
    /// # Errors
    /// None in practice: the lengths agree.
    pub fn new(name: impl Into<String>, forecast: Forecast, actual: &Actual) -> Result<Self> {
        let scores = Scores::of(&forecast, actual)?;
        Ok(Self { name: name.into(), forecast, scores })
    }

    /// Returns the ends of the interval of a value.
    pub fn interval(&self, place: usize, actual: &Actual) -> Option<[f64; 2]> {
        let quantiles = self.forecast.quantiles.as_ref()?;
        Some(actual.ends.map(|end| quantiles[place * actual.levels.len() + end]))
    }
}

/// Returns by how many standard errors the squared errors of `a` are larger than those of `b`; negative if `a` is
/// better.
///
/// Errors of overlapping windows are correlated, so the standard error includes autocovariances (Diebold, Mariano:
/// *Comparing predictive accuracy*, 1995; weights of Newey and West).
pub fn difference(a: &Entry, b: &Entry, actual: &Actual, horizon: usize) -> f64 {
    let by_window = |first: usize| {
        let places = (first..first + horizon).filter(|&i| !actual.values[i].is_nan());
        let square =
            |entry: &Entry, i: usize| ((entry.forecast.point[i] - actual.values[i]) / actual.deviations[i]).powi(2);
        let (sum, count) = places.fold((0.0, 0.0), |(sum, n), i| (sum + square(a, i) - square(b, i), n + 1.0));
        sum / count
    };
    let all: Vec<f64> = (0..actual.values.len()).step_by(horizon).map(by_window).filter(|d| !d.is_nan()).collect();
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    let covariance = |lag: usize| all.iter().zip(&all[lag..]).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>() / n;
    let lags = (2 * horizon).max(n.cbrt() as usize).min(all.len().saturating_sub(1));
    let weight = |lag: usize| 1.0 - lag as f64 / (lags + 1) as f64;
    let variance = covariance(0) + 2.0 * (1..=lags).map(|lag| weight(lag) * covariance(lag)).sum::<f64>();
    mean / (variance / n).sqrt()
}

impl Scores {
    fn of(forecast: &Forecast, actual: &Actual) -> Result<Self> {
        let places: Vec<usize> = (0..actual.values.len()).filter(|&i| !actual.values[i].is_nan()).collect();
        let mean = |of: &dyn Fn(usize) -> f64| places.iter().map(|&i| of(i)).sum::<f64>() / places.len() as f64;
        let error = |i: usize| forecast.point[i] - actual.values[i];
        let levels = actual.levels.len();
        let none = Vec::new();
        let quantiles = forecast.quantiles.as_ref().unwrap_or(&none);
        let column = |level: usize| -> Vec<f32> {
            places.iter().map(|&i| quantiles.get(i * levels + level).map_or(f32::NAN, |&q| q as f32)).collect()
        };
        let target: Vec<f32> = places.iter().map(|&i| actual.values[i] as f32).collect();
        let (mut crps, mut pinball) = (0.0, 0.0);
        let columns: Vec<Vec<f32>> = (0..levels).map(column).collect();
        for (column, &level) in columns.iter().zip(&actual.levels) {
            pinball += metrics::pinball(column, &target, level)? / levels as f64;
        }
        let mut values = vec![0.0; levels];
        for (place, &y) in target.iter().enumerate() {
            values.iter_mut().zip(&columns).for_each(|(value, column)| *value = column[place]);
            crps += metrics::crps_quantiles(&actual.levels, &values, y)? / target.len() as f64;
        }
        let [lower, upper] = actual.ends.map(|end| &columns[end]);
        let widths = lower.iter().zip(upper).map(|(low, high)| f64::from(high - low));
        Ok(Self {
            rmse: mean(&|i| error(i).powi(2)).sqrt(),
            mae: mean(&|i| error(i).abs()),
            mse_standardized: mean(&|i| (error(i) / actual.deviations[i]).powi(2)),
            crps,
            pinball,
            coverage: metrics::coverage(lower, upper, &target)?,
            width: widths.sum::<f64>() / places.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::Rng;

    #[test]
    fn differences_count_overlapping_windows_once() {
        let mut rng = Rng::new(2);
        let mut noise = |count: usize| (0..count).map(|_| f64::from(rng.normal())).collect::<Vec<f64>>();
        let make = |values: Vec<f64>| Actual {
            deviations: vec![1.0; values.len()],
            values,
            levels: vec![0.25, 0.75],
            ends: [0, 1],
        };
        let entry = |point: Vec<f64>, actual: &Actual| {
            let quantiles = point.iter().flat_map(|v| [v - 1.0, v + 1.0]).collect();
            Entry::new("", Forecast { point, quantiles: Some(quantiles) }, actual).unwrap()
        };
        let actual = make(noise(400));
        let off: Vec<f64> = actual.values.iter().zip(noise(400)).map(|(y, e)| y + e).collect();
        let further: Vec<f64> = actual.values.iter().zip(noise(400)).map(|(y, e)| y + 1.2 * e).collect();
        let (a, b) = (entry(off, &actual), entry(further, &actual));
        let once = difference(&a, &b, &actual, 1);
        assert!((-6.0..-1.0).contains(&once), "{once}");
        assert!((difference(&b, &a, &actual, 1) + once).abs() < 1e-12);
        assert!(difference(&a, &a, &actual, 1).is_nan());
        // Each value eight times in a row is no more evidence.
        let repeat = |v: &[f64]| v.iter().flat_map(|&v| [v; 8]).collect::<Vec<f64>>();
        let long = make(repeat(&actual.values));
        let [a, b] = [&a, &b].map(|one| entry(repeat(&one.forecast.point), &long));
        let repeated = difference(&a, &b, &long, 1);
        assert!((repeated / once - 1.0).abs() < 0.4, "{once} {repeated}");
    }

    #[test]
    fn scores_match_a_case_by_hand() {
        let actual = Actual {
            values: vec![1.0, f64::NAN, 5.0],
            deviations: vec![2.0; 3],
            levels: vec![0.25, 0.75],
            ends: [0, 1],
        };
        let forecast = Forecast { point: vec![2.0, 9.0, 2.0], quantiles: Some(vec![0.0, 4.0, 9.0, 9.0, 0.0, 4.0]) };
        let scores = Scores::of(&forecast, &actual).unwrap();
        // Errors 1 and −3. Pinball losses: 0.25·1 and 0.25·3, then 0.25·5 and 0.75·1.
        assert!((scores.rmse - 5f64.sqrt()).abs() < 1e-12 && scores.mae == 2.0 && scores.mse_standardized == 1.25);
        assert_eq!((scores.coverage, scores.width, scores.pinball), (0.5, 4.0, 0.75));
        assert_eq!(scores.crps, 1.5);
    }
}
