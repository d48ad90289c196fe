//! Baseline forecasts, which need no network, in model units. Each returns `horizon` values for each origin, one after
//! another.

use std::ops::Range;

use crate::ridge::Ridge;
use crate::smoothing::Smoothing;
use crate::split::{Split, origins};
use crate::theta::Theta;

pub const PERSISTENCE: &str = "persistence";
pub const SEASONAL: &str = "seasonal naive";
pub const RIDGE: &str = "ridge regression";
pub const ETS: &str = "ETS";
pub const THETA: &str = "Theta";

/// Forecasts a series from ascending origins.
pub type Method = Box<dyn Fn(&[f64], &[usize]) -> Vec<f64>>;

/// Fits all baselines to the training part of a series; the validation part chooses variants and penalties. `None` for
/// those that need more rows.
pub fn fit(
    z: &[f64],
    split: &Split,
    window: usize,
    horizon: usize,
    season: Option<usize>,
) -> [(&'static str, Option<Method>); 5] {
    let [train, validation] = [&split.train, &split.validation].map(|part| origins(part, window, horizon));
    let ridge = Ridge::fit(z, train, validation.clone(), window, horizon);
    let ets = Smoothing::fit(&z[..split.train.end], z, validation.clone(), horizon, season);
    let theta = Theta::fit(&z[..split.train.end], season);
    let season = season.filter(|&season| season <= validation.start);
    [
        (PERSISTENCE, Some(Box::new(move |z, origins| persistence(z, origins, horizon)))),
        (SEASONAL, season.map(|season| -> Method { Box::new(move |z, at| seasonal_naive(z, at, horizon, season)) })),
        (RIDGE, ridge.map(|ridge| -> Method { Box::new(move |z, at| ridge.forecast(z, at.iter().copied())) })),
        (ETS, ets.map(|ets| -> Method { Box::new(move |z, at| ets.forecast(z, at, horizon)) })),
        (THETA, theta.map(|theta| -> Method { Box::new(move |z, at| theta.forecast(z, at, horizon)) })),
    ]
}

/// Repeats the last known value for every step.
pub fn persistence(z: &[f64], origins: &[usize], horizon: usize) -> Vec<f64> {
    origins.iter().flat_map(|&t| std::iter::repeat_n(z[t - 1], horizon)).collect()
}

/// Repeats the last known value at the same point of the season. The first origin is not before the end of a season.
pub fn seasonal_naive(z: &[f64], origins: &[usize], horizon: usize, season: usize) -> Vec<f64> {
    origins.iter().flat_map(|&t| (0..horizon).map(move |h| z[t + h % season - season])).collect()
}

/// Returns the values to forecast.
pub fn targets(z: &[f64], origins: Range<usize>, horizon: usize) -> Vec<f64> {
    origins.flat_map(|t| z[t..t + horizon].iter().copied()).collect()
}

/// Returns the mean of the squared differences.
pub fn mean_squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persistence_and_season_look_back() {
        let z = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        assert_eq!(persistence(&z, &[3, 4], 2), [3.0, 3.0, 4.0, 4.0]);
        assert_eq!(seasonal_naive(&z, &[3], 5, 3), [1.0, 2.0, 3.0, 1.0, 2.0]);
        assert_eq!(seasonal_naive(&z, &[4], 1, 2), [3.0]);
        assert_eq!(targets(&z, 3..5, 2), [4.0, 5.0, 5.0, 6.0]);
    }

    #[test]
    fn baselines_that_need_more_rows_are_left_out() {
        let z: Vec<f64> = (0..40).map(|t| (0.7 * t as f64).sin()).collect();
        let split = Split { train: 0..24, validation: 24..32, test: 32..40 };
        let found = |season| -> Vec<&str> {
            fit(&z, &split, 4, 2, season)
                .into_iter()
                .filter(|(_, method)| method.is_some())
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(found(Some(9)), [PERSISTENCE, SEASONAL, RIDGE, ETS, THETA]);
        assert_eq!(found(Some(30)), [PERSISTENCE, RIDGE, ETS, THETA]);
        for (name, method) in fit(&z, &split, 4, 2, Some(9)) {
            let forecast = method.unwrap()(&z, &[32, 35]);
            assert!(forecast.len() == 4 && forecast.iter().all(|v| v.abs() < 3.0), "{name}: {forecast:?}");
        }
    }
}
