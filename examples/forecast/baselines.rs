//! Baseline forecasts, which need no network, in model units. Each returns `horizon` values for each origin, one after
//! another.

use std::ops::Range;
use std::rc::Rc;

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
pub type Method = Rc<dyn Fn(&[f64], &[usize]) -> Vec<f64>>;

/// A fitted baseline.
pub struct Baseline {
    /// Fitted to the training part; its errors in the validation part calibrate the intervals.
    pub selected: Method,
    /// Forecasts the test part. With `refit`, fitted to both parts; if that is impossible, the same as `selected`.
    pub tested: Method,
}

impl Baseline {
    /// Wraps `model`, and `refitted` for the test if there is one.
    fn new<M: 'static>(
        model: M,
        refitted: Option<M>,
        forecast: impl Fn(&M, &[f64], &[usize]) -> Vec<f64> + Copy + 'static,
    ) -> Self {
        let method = |model: M| -> Method { Rc::new(move |z, origins| forecast(&model, z, origins)) };
        let selected = method(model);
        Self { tested: refitted.map_or(selected.clone(), method), selected }
    }
}

/// Fits all baselines to the training part of a series; the validation part chooses variants and penalties. With
/// `refit`, the tested models are then fitted to both parts, like the networks. `None` for those that need more rows.
pub fn fit(
    z: &[f64],
    split: &Split,
    [window, horizon]: [usize; 2],
    season: Option<usize>,
    refit: bool,
) -> [(&'static str, Option<Baseline>); 5] {
    let both = split.train.start..split.validation.end;
    let [train, validation, all] = [&split.train, &split.validation, &both].map(|part| origins(part, window, horizon));
    let ridge = Ridge::fit(z, train, validation.clone(), window, horizon);
    let ets = Smoothing::fit(&z[..split.train.end], z, validation.clone(), horizon, season);
    let theta = Theta::fit(&z[..split.train.end], season);
    let naive_season = season.filter(|&season| season <= validation.start);
    [
        (PERSISTENCE, Some(Baseline::new((), None, move |_, z, at| persistence(z, at, horizon)))),
        (SEASONAL, naive_season.map(|s| Baseline::new(s, None, move |s, z, at| seasonal_naive(z, at, horizon, *s)))),
        (
            RIDGE,
            ridge.map(|ridge| {
                let refitted = if refit { ridge.refit(z, all) } else { None };
                Baseline::new(ridge, refitted, |ridge, z, at| ridge.forecast(z, at.iter().copied()))
            }),
        ),
        (
            ETS,
            ets.map(|ets| {
                let refitted = refit.then(|| ets.refit(&z[..both.end]));
                Baseline::new(ets, refitted, move |ets, z, at| ets.forecast(z, at, horizon))
            }),
        ),
        (
            THETA,
            theta.map(|theta| {
                let refitted = if refit { Theta::fit(&z[..both.end], season) } else { None };
                Baseline::new(theta, refitted, move |theta, z, at| theta.forecast(z, at, horizon))
            }),
        ),
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
            fit(&z, &split, [4, 2], season, false)
                .into_iter()
                .filter(|(_, method)| method.is_some())
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(found(Some(9)), [PERSISTENCE, SEASONAL, RIDGE, ETS, THETA]);
        assert_eq!(found(Some(30)), [PERSISTENCE, RIDGE, ETS, THETA]);
        for (name, baseline) in fit(&z, &split, [4, 2], Some(9), false) {
            let forecast = (baseline.unwrap().tested)(&z, &[32, 35]);
            assert!(forecast.len() == 4 && forecast.iter().all(|v| v.abs() < 3.0), "{name}: {forecast:?}");
        }
    }

    /// A line whose slope changes after the training part.
    #[test]
    fn baselines_are_fitted_again_to_the_validation_part() {
        let z: Vec<f64> = (0..60).map(|t| f64::from(t) + 0.3 * f64::from(t % 5) + f64::from((t - 30).max(0))).collect();
        let split = Split { train: 0..30, validation: 30..50, test: 50..60 };
        for (name, baseline) in fit(&z, &split, [4, 2], Some(5), true) {
            let Baseline { selected, tested } = baseline.unwrap();
            let [selected, tested] = [selected, tested].map(|method| method(&z, &[50]));
            assert_eq!(selected != tested, [RIDGE, ETS, THETA].contains(&name), "{name}: {selected:?} {tested:?}");
        }
    }
}
