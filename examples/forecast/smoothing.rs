//! Exponential smoothing with additive errors (ETS): level, damped trend, season.
//!
//! ```text
//! ŷ = l + φ·b + s,    e = y − ŷ
//! l ← l + φ·b + α·e,    b ← φ·b + β·e,    s ← s + γ·e
//! ```
//!
//! Hyndman, Koehler, Ord, Snyder: *Forecasting with exponential smoothing* (2008).

use std::ops::Range;

use crate::baselines::{mean_squared, targets};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoothing {
    alpha: f64,
    /// 0 without a trend.
    beta: f64,
    phi: f64,
    gamma: f64,
    /// The level, the trend and the season before the first row. The season is empty without one.
    level: f64,
    trend: f64,
    season: Vec<f64>,
}

/// Variants that validation chooses from: whether there is a trend, and a season.
const VARIANTS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

impl Smoothing {
    /// Fits the variants to the errors of one step in `train`; returns the one that forecasts `validation` best. `None`
    /// for fewer than three rows.
    pub fn fit(
        train: &[f64],
        z: &[f64],
        validation: Range<usize>,
        horizon: usize,
        season: Option<usize>,
    ) -> Option<Self> {
        if train.len() < 3 {
            return None;
        }
        let season = season.filter(|&season| season > 1 && season <= train.len() / 2);
        let actual = targets(z, validation.clone(), horizon);
        let origins: Vec<usize> = validation.collect();
        let variants = VARIANTS.iter().filter(|(_, is_seasonal)| !is_seasonal || season.is_some());
        let fitted = variants.map(|&(has_trend, is_seasonal)| {
            let model = Self::fit_variant(train, has_trend, season.filter(|_| is_seasonal));
            (mean_squared(&model.forecast(z, &origins, horizon), &actual), model)
        });
        fitted.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, model)| model)
    }

    /// Fits the same variant to other rows.
    pub fn refit(&self, rows: &[f64]) -> Self {
        Self::fit_variant(rows, self.beta > 0.0, Some(self.season.len()).filter(|&season| season > 0))
    }

    fn fit_variant(train: &[f64], has_trend: bool, season: Option<usize>) -> Self {
        let mut model = Self::start(train, season);
        // Logits of the parameters that the variant has.
        let mut logits = vec![-0.5];
        logits.extend(has_trend.then_some([-4.0, 3.0]).into_iter().flatten());
        logits.extend(season.map(|_| -3.0));
        let mut cost = |logits: &[f64]| {
            model.set(logits, has_trend);
            model.mean_error(train)
        };
        let best = search(logits, &mut cost);
        model.set(&best, has_trend);
        model
    }

    /// Starts with the mean of the first season as the level, and the deviations from it.
    fn start(train: &[f64], season: Option<usize>) -> Self {
        let first = &train[..season.unwrap_or(1)];
        let level = first.iter().sum::<f64>() / first.len() as f64;
        let season = season.map(|_| first.iter().map(|v| v - level).collect()).unwrap_or_default();
        Self { alpha: 0.0, beta: 0.0, phi: 1.0, gamma: 0.0, level, trend: 0.0, season }
    }

    fn set(&mut self, logits: &[f64], has_trend: bool) {
        let share = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        self.alpha = share(logits[0]);
        if has_trend {
            self.beta = self.alpha * share(logits[1]);
            self.phi = 0.8 + 0.198 * share(logits[2]);
        }
        if !self.season.is_empty() {
            self.gamma = (1.0 - self.alpha) * share(logits[logits.len() - 1]);
        }
    }

    /// Calls `seen` before each row, with the state that knows the rows before it, and after the last one.
    fn run(&self, z: &[f64], mut seen: impl FnMut(usize, &Self)) {
        let mut state = self.clone();
        for (t, &y) in z.iter().enumerate() {
            seen(t, &state);
            let error = y - state.ahead(t, 1);
            state.level += state.phi * state.trend + state.alpha * error;
            state.trend = state.phi * state.trend + state.beta * error;
            if let Some(place) = t.checked_rem(state.season.len()) {
                state.season[place] += state.gamma * error;
            }
        }
        seen(z.len(), &state);
    }

    /// Returns the forecast `steps` steps ahead from the state before row `t`.
    fn ahead(&self, t: usize, steps: usize) -> f64 {
        let season = (t + steps - 1).checked_rem(self.season.len()).map_or(0.0, |place| self.season[place]);
        let growth: f64 = match self.trend {
            0.0 => 0.0,
            trend => trend * (1..=steps as i32).map(|i| self.phi.powi(i)).sum::<f64>(),
        };
        self.level + growth + season
    }

    fn mean_error(&self, train: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.run(train, |t, state| {
            sum += train.get(t).map_or(0.0, |y| (y - state.ahead(t, 1)).powi(2));
        });
        sum / train.len() as f64
    }

    /// Returns `horizon` values for each of the ascending origins.
    pub fn forecast(&self, z: &[f64], origins: &[usize], horizon: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(origins.len() * horizon);
        let mut next = origins.iter().copied().peekable();
        let last = origins.last().copied().unwrap_or(0);
        self.run(&z[..last], |t, state| {
            if next.next_if_eq(&t).is_some() {
                out.extend((1..=horizon).map(|steps| state.ahead(t, steps)));
            }
        });
        out
    }
}

/// Minimizes a function by steps along each axis, which are halved when none helps.
pub fn search(mut x: Vec<f64>, cost: &mut dyn FnMut(&[f64]) -> f64) -> Vec<f64> {
    let (mut best, mut step) = (cost(&x), 2.0);
    while step > 0.05 {
        let before = best;
        for axis in 0..x.len() {
            for change in [step, -step] {
                let mut moved = x.clone();
                moved[axis] = (moved[axis] + change).clamp(-12.0, 12.0);
                let found = cost(&moved);
                if found < best {
                    (best, x) = (found, moved);
                    break;
                }
            }
        }
        if best >= before {
            step *= 0.5;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::Rng;

    #[test]
    fn one_step_matches_the_equations() {
        let model = Smoothing {
            alpha: 0.5,
            beta: 0.25,
            phi: 0.8,
            gamma: 0.125,
            level: 1.0,
            trend: 1.0,
            season: vec![1.0, -1.0],
        };
        // ŷ = 1 + 0.8 + 1, e = 1: level 2.3, trend 1.05, season 1.125.
        let forecast = model.forecast(&[3.8], &[1], 2);
        let want = [2.3 + 0.8 * 1.05 - 1.0, 2.3 + (0.8 + 0.64) * 1.05 + 1.125];
        assert!(forecast.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{forecast:?} {want:?}");
    }

    #[test]
    fn variants_are_chosen_by_validation() {
        let mut rng = Rng::new(1);
        let mut noise = || 0.1 * f64::from(rng.normal());
        let pattern = [0.0, 3.0, 1.0, -2.0];
        let z: Vec<f64> = (0..200).map(|t| pattern[t % 4] + 0.05 * t as f64 + noise()).collect();
        let model = Smoothing::fit(&z[..120], &z, 120..156, 4, Some(4)).unwrap();
        assert_eq!(model.season.len(), 4);
        let error = mean_squared(
            &model.forecast(&z, &[160, 170, 180], 4),
            &[&z[160..164], &z[170..174], &z[180..184]].concat(),
        );
        assert!(error < 0.05, "{error}");
        // A random walk is forecast by its last value.
        let mut level = 0.0;
        let walk: Vec<f64> = (0..400)
            .map(|_| {
                level += noise();
                level
            })
            .collect();
        let model = Smoothing::fit(&walk[..300], &walk, 300..350, 1, None).unwrap();
        assert!(model.alpha > 0.8 && model.season.is_empty(), "{model:?}");
    }
}
