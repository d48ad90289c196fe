//! Intervals that follow the recent coverage.

use wgru::Result;
use wgru::io::TensorFile;

use crate::calibrate::Forecast;
use crate::common::files::refuse;
use crate::data::Example;
use crate::spec::Spec;

/// Change of the logarithm of the width after a value outside the interval, in all; a value inside it narrows the
/// interval by less, so that both cancel at the wanted coverage.
///
/// For normal errors and intervals of 90 %, this is a step of 0.005 in the level, the one of Gibbs and Candès.
const STEP: f64 = 0.015;
const TENSOR: &str = "factors";

/// Factors of the distances between a forecast and its quantiles, by series of the table and step of the horizon.
///
/// Errors in the test part may be larger or smaller than those in the validation part. The factors start at 1. Whenever
/// a value becomes known, the factor of its step grows if the value is outside its interval, and shrinks otherwise. So
/// the share of values within the intervals approaches the wanted one, whatever the series does.
///
/// Gibbs, Candès: *Adaptive conformal inference under distribution shift* (2021); on the width instead of the level as
/// in Angelopoulos, Candès, Tibshirani: *Conformal PID control for time series prediction* (2023).
#[derive(Clone, Debug, PartialEq)]
pub struct Factors(pub Vec<Vec<f64>>);

impl Factors {
    /// Returns factors of 1.
    pub fn new(series: usize, horizon: usize) -> Self {
        Self(vec![vec![1.0; horizon]; series])
    }

    /// Scales the quantiles of forecasts in model units from ascending origins of each series. A factor only depends
    /// on values that are known at the origin. Afterwards, the factors know all `actual` values, which are NaN where
    /// there is none.
    pub fn follow(&mut self, spec: &Spec, forecast: &mut Forecast, actual: &[f64], examples: &[Example]) {
        let ends = spec.ends();
        for (series, factors) in self.0.iter_mut().enumerate() {
            let own: Vec<usize> = (0..examples.len()).filter(|&i| examples[i].series == series).collect();
            for (step, factor) in factors.iter_mut().enumerate() {
                let mut known = 0;
                // Learns from the values before row `end`.
                let mut learn = |end: usize, factor: &mut f64, forecast: &Forecast| {
                    while known < own.len() && examples[own[known]].origin + step < end {
                        let place = own[known] * spec.horizon + step;
                        let y = actual[place];
                        let [lower, upper] = ends.map(|end| quantiles(forecast, place)[end]);
                        if !y.is_nan() {
                            let miss = f64::from(u8::from(y < lower || y > upper));
                            *factor *= (STEP * (miss - (1.0 - spec.interval))).exp();
                        }
                        known += 1;
                    }
                };
                for &i in &own {
                    learn(examples[i].origin, factor, forecast);
                    scale(forecast, i * spec.horizon + step, *factor);
                }
                learn(usize::MAX, factor, forecast);
            }
        }
    }

    pub fn write(&self, file: &mut TensorFile) {
        let dims = [self.0.len(), self.0[0].len()];
        file.insert(TENSOR, &dims, self.0.iter().flatten().map(|&v| v as f32).collect::<Vec<f32>>());
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] for a tensor that is missing, does not match, or holds a number that is not positive.
    pub fn read(file: &TensorFile, spec: &Spec) -> Result<Self> {
        let values = file.expect(TENSOR, &[spec.statics.series(), spec.horizon])?;
        if values.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return Err(refuse(TENSOR, "holds a number that is not positive"));
        }
        let row = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect();
        Ok(Self(values.chunks_exact(spec.horizon).map(row).collect()))
    }

    /// Scales the quantiles of forecasts in model units.
    pub fn apply(&self, forecast: &mut Forecast, examples: &[Example]) {
        for (i, example) in examples.iter().enumerate() {
            let factors = &self.0[example.series];
            factors.iter().enumerate().for_each(|(step, factor)| scale(forecast, i * factors.len() + step, *factor));
        }
    }
}

fn quantiles(forecast: &Forecast, place: usize) -> &[f64] {
    let Some(all) = &forecast.quantiles else { return &[] };
    let levels = all.len() / forecast.point.len();
    &all[place * levels..][..levels]
}

fn scale(forecast: &mut Forecast, place: usize, factor: f64) {
    let Forecast { point, quantiles: Some(all) } = forecast else { return };
    let levels = all.len() / point.len();
    all[place * levels..][..levels].iter_mut().for_each(|q| *q = point[place] + factor * (*q - point[place]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::plain;
    use crate::transform::Scale;
    use wgru::Rng;

    fn spec() -> Spec {
        plain(Scale { mean: 0.0, deviation: 1.0 }, 1, 2)
    }

    #[test]
    fn coverage_approaches_the_wanted_one() {
        let spec = spec();
        let (levels, count) = (spec.levels().len(), 4000);
        // Intervals of ±3, for values with a deviation of 1 and 4 by step.
        let quantiles = (0..2 * count).flat_map(|_| (0..levels).map(|i| -3.0 + 6.0 * i as f64 / 10.0)).collect();
        let mut forecast = Forecast { point: vec![0.0; 2 * count], quantiles: Some(quantiles) };
        let mut rng = Rng::new(5);
        let actual: Vec<f64> = (0..2 * count).map(|i| f64::from(rng.normal()) * [1.0, 4.0][i % 2]).collect();
        let examples: Vec<Example> = (0..count).map(|origin| Example { series: 0, origin }).collect();
        let mut factors = Factors::new(1, 2);
        factors.follow(&spec, &mut forecast, &actual, &examples);
        let inside = |i: &usize| {
            let of = quantiles_of(&forecast, *i);
            of[0] <= actual[*i] && actual[*i] <= of[levels - 1]
        };
        for step in 0..2 {
            let hits = (step..2 * count).step_by(2).filter(inside).count() as f64 / count as f64;
            assert!((hits - 0.9).abs() < 0.02, "{hits}");
        }
        assert!(factors.0[0][0] < 0.7 && factors.0[0][1] > 1.6, "{factors:?}");
    }

    fn quantiles_of(forecast: &Forecast, place: usize) -> Vec<f64> {
        quantiles(forecast, place).to_vec()
    }

    #[test]
    fn factors_only_know_the_past() {
        let spec = spec();
        let levels = spec.levels().len();
        let examples: Vec<Example> = (0..6).map(|origin| Example { series: 0, origin: 10 + origin }).collect();
        let run = |last: f64| {
            let quantiles = (0..12).flat_map(|_| (0..levels).map(|i| i as f64 - 5.0)).collect();
            let mut forecast = Forecast { point: vec![0.0; 12], quantiles: Some(quantiles) };
            let mut actual = vec![0.0; 12];
            // Step 1 from origin 12 is row 13, which is known from origin 14 on.
            actual[5] = last;
            let mut factors = Factors::new(1, 2);
            factors.follow(&spec, &mut forecast, &actual, &examples);
            forecast.quantiles.unwrap()
        };
        let (a, b) = (run(0.0), run(100.0));
        let differs: Vec<usize> = (0..12).filter(|i| a[i * levels] != b[i * levels]).collect();
        // Step 1 of origins 14 and 15.
        assert_eq!(differs, [9, 11]);
    }
}
