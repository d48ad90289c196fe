//! The Theta method: simple exponential smoothing with half of the linear trend as drift, on deseasonalized values.
//!
//! Assimakopoulos, Nikolopoulos: *The theta model* (2000); in this form Hyndman, Billah: *Unmasking the Theta method*
//! (2003). The season is additive, because standardized values may be negative.

use crate::smoothing::search;

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Theta {
    alpha: f64,
    /// Deviation by place in the season; empty if the series has none.
    season: Vec<f64>,
}

impl Theta {
    /// Fits season and smoothing to the training part; `None` for fewer than three rows.
    pub fn fit(train: &[f64], season: Option<usize>) -> Option<Self> {
        if train.len() < 3 {
            return None;
        }
        let season = season.filter(|&season| is_seasonal(train, season)).map(|s| deviations(train, s));
        let mut theta = Self { alpha: 0.5, season: season.unwrap_or_default() };
        let values = theta.deseasonalized(train);
        let mut cost = |logit: &[f64]| {
            let (alpha, mut level, mut sum) = (1.0 / (1.0 + (-logit[0]).exp()), values[0], 0.0);
            for &y in &values[1..] {
                sum += (y - level).powi(2);
                level += alpha * (y - level);
            }
            sum
        };
        theta.alpha = 1.0 / (1.0 + (-search(vec![0.0], &mut cost)[0]).exp());
        Some(theta)
    }

    fn place(&self, t: usize) -> f64 {
        t.checked_rem(self.season.len()).map_or(0.0, |place| self.season[place])
    }

    fn deseasonalized(&self, z: &[f64]) -> Vec<f64> {
        z.iter().enumerate().map(|(t, y)| y - self.place(t)).collect()
    }

    /// Returns `horizon` values for each of the ascending origins. Level and trend are those of all rows before it.
    pub fn forecast(&self, z: &[f64], origins: &[usize], horizon: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(origins.len() * horizon);
        let values = self.deseasonalized(z);
        let (mut level, mut at) = (values[0], 0);
        // Sums of y and t·y, of which the slope of a straight line follows.
        let (mut sum, mut moment) = (0.0, 0.0);
        for &origin in origins {
            for (t, &y) in values.iter().enumerate().take(origin).skip(at) {
                level += self.alpha * (y - level);
                (sum, moment) = (sum + y, moment + t as f64 * y);
            }
            at = origin;
            let n = origin as f64;
            let slope = if origin < 2 { 0.0 } else { (12.0 * moment - 6.0 * (n - 1.0) * sum) / (n * (n * n - 1.0)) };
            let lag = (1.0 - (1.0 - self.alpha).powf(n)) / self.alpha;
            let step = |h: usize| level + 0.5 * slope * (h as f64 + lag) + self.place(origin + h);
            out.extend((0..horizon).map(step));
        }
        out
    }
}

/// Whether the autocorrelation at the season is beyond 1.645 of its standard errors, as in the M4 competition.
fn is_seasonal(z: &[f64], season: usize) -> bool {
    if season < 2 || season > z.len() / 2 {
        return false;
    }
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    let variance: f64 = z.iter().map(|v| (v - mean).powi(2)).sum();
    let correlation =
        |lag: usize| z.iter().zip(&z[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / variance;
    let before: f64 = (1..season).map(|lag| correlation(lag).powi(2)).sum();
    correlation(season).abs() > 1.645 * ((1.0 + 2.0 * before) / z.len() as f64).sqrt()
}

/// Returns the mean deviation from a centered moving average over one season, by place in the season.
fn deviations(z: &[f64], season: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); season];
    let half = season / 2;
    for t in half..z.len() - half {
        let inner: f64 = z[t + 1 - half..t + half].iter().sum();
        let ends = z[t - half] + z[t + half];
        let average = (inner + if season.is_multiple_of(2) { 0.5 * ends } else { ends }) / season as f64;
        let (sum, count) = &mut sums[t % season];
        (*sum, *count) = (*sum + z[t] - average, *count + 1.0);
    }
    let means: Vec<f64> = sums.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 }).collect();
    let center = means.iter().sum::<f64>() / season as f64;
    means.iter().map(|mean| mean - center).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_continues_with_half_its_slope() {
        let z: Vec<f64> = (0..100).map(f64::from).collect();
        let theta = Theta::fit(&z, None).unwrap();
        assert!(theta.alpha > 0.99, "{theta:?}");
        let forecast = theta.forecast(&z, &[50, 100], 3);
        // The level is the last value; the drift is ½ for each step.
        let want = [49.5, 50.0, 50.5, 99.5, 100.0, 100.5];
        assert!(forecast.iter().zip(want).all(|(a, b)| (a - b).abs() < 0.05), "{forecast:?}");
    }

    #[test]
    fn seasons_are_found_and_added() {
        for pattern in [&[0.0, 3.0, 1.0, -2.0][..], &[1.0, -1.0, 0.0]] {
            let season = pattern.len();
            let z: Vec<f64> = (0..60).map(|t| pattern[t % season]).collect();
            let theta = Theta::fit(&z, Some(season)).unwrap();
            let forecast = theta.forecast(&z, &[60], 2 * season);
            let error = (0..2 * season).map(|h| (forecast[h] - pattern[h % season]).abs()).fold(0.0, f64::max);
            assert!(error < 0.05, "{error} {forecast:?}");
        }
        let noise: Vec<f64> = (0..60).map(|t| f64::from((t * 7919 + 13) % 101)).collect();
        assert!(Theta::fit(&noise, Some(7)).unwrap().season.is_empty());
    }
}
