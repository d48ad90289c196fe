//! Intervals and quantiles that are calibrated on the validation part.

use wgru::io::TensorFile;
use wgru::train::SplitConformal;
use wgru::{Error, Result};

use crate::head::quantile;
use crate::spec::Spec;

/// Forecasts in model units, or in those of the table: `horizon` values for each window.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    pub point: Vec<f64>,
    /// `[windows, horizon, levels]`, if the method predicts them.
    pub quantiles: Option<Vec<f64>>,
}

/// Differences between the quantiles of a forecast and the forecast, in model units.
///
/// The ends of the interval are those of [`SplitConformal`]. A method that only predicts points gets the other
/// quantiles from its errors in the validation part. Every step of the horizon has its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// `[horizon, levels]`
    offsets: Vec<f64>,
    levels: usize,
}

const TENSOR: &str = "calibration";

impl Calibration {
    /// Learns from forecasts of the validation part and the actual values, which are NaN where they are not known.
    ///
    /// # Errors
    /// [`Error::Format`] for too few values.
    pub fn fit(spec: &Spec, forecast: &Forecast, actual: &[f64]) -> Result<Self> {
        let (levels, ends, horizon) = (spec.levels(), spec.ends(), spec.horizon);
        let alpha = 1.0 - spec.interval;
        let by_step = |step: usize| (step..actual.len()).step_by(horizon).filter(|&i| !actual[i].is_nan());
        let mut offsets = Vec::with_capacity(horizon * levels.len());
        for step in 0..horizon {
            let mut places: Vec<usize> = by_step(step).collect();
            if (places.len() as f64) < 2.0 / alpha {
                // Too few for one step, so all steps share theirs.
                places = (0..horizon).flat_map(by_step).collect();
            }
            let target: Vec<f32> = places.iter().map(|&i| actual[i] as f32).collect();
            let too_few = |error: Error| Error::Format {
                what: "--interval".into(),
                why: format!("the validation part is too short to calibrate intervals: {error}; see --validation"),
            };
            match &forecast.quantiles {
                Some(quantiles) => {
                    let of = |end: usize| -> Vec<f32> {
                        places.iter().map(|&i| quantiles[i * levels.len() + end] as f32).collect()
                    };
                    let conformal = SplitConformal::quantile(&of(ends[0]), &of(ends[1]), &target, alpha);
                    let radius = f64::from(conformal.map_err(too_few)?.radius());
                    let mut row = vec![0.0; levels.len()];
                    (row[ends[0]], row[ends[1]]) = (-radius, radius);
                    offsets.extend(row);
                }
                None => {
                    let point: Vec<f32> = places.iter().map(|&i| forecast.point[i] as f32).collect();
                    let conformal = SplitConformal::absolute(&point, &target, alpha).map_err(too_few)?;
                    let radius = f64::from(conformal.radius());
                    let mut errors: Vec<f32> = target.iter().zip(&point).map(|(y, p)| y - p).collect();
                    errors.sort_by(f32::total_cmp);
                    offsets.extend(levels.iter().enumerate().map(
                        |(i, &level)| match ends.iter().position(|&e| e == i) {
                            Some(0) => -radius,
                            Some(_) => radius,
                            None => f64::from(quantile(&errors, level)).clamp(-radius, radius),
                        },
                    ));
                }
            }
        }
        Ok(Self { offsets, levels: levels.len() })
    }

    /// Returns a forecast with calibrated quantiles, which ascend for each step.
    pub fn apply(&self, forecast: Forecast) -> Forecast {
        let offsets = self.offsets.chunks_exact(self.levels).cycle();
        let mut out = Vec::with_capacity(forecast.point.len() * self.levels);
        for ((i, &point), offsets) in forecast.point.iter().enumerate().zip(offsets) {
            let start = out.len();
            match &forecast.quantiles {
                Some(all) => out.extend(all[i * self.levels..].iter().zip(offsets).map(|(q, offset)| q + offset)),
                None => out.extend(offsets.iter().map(|offset| point + offset)),
            }
            out[start..].sort_by(f64::total_cmp);
        }
        Forecast { quantiles: Some(out), ..forecast }
    }

    pub fn write(&self, file: &mut TensorFile) {
        let dims = [self.offsets.len() / self.levels, self.levels];
        file.insert(TENSOR, &dims, self.offsets.iter().map(|&v| v as f32).collect::<Vec<f32>>());
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`Error::Format`] for a tensor that is missing, does not match, or holds a number that is not finite.
    pub fn read(file: &TensorFile, spec: &Spec) -> Result<Self> {
        let levels = spec.levels().len();
        let values = file.expect(TENSOR, &[spec.horizon, levels])?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(crate::common::files::refuse(TENSOR, "holds a number that is not finite"));
        }
        Ok(Self { offsets: values.iter().map(|&v| f64::from(v)).collect(), levels })
    }
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

    /// Forecasts of 0, and actual values whose deviation is 1 and 3 by step.
    fn noise(seed: u64) -> (Forecast, Vec<f64>) {
        let mut rng = Rng::new(seed);
        let actual: Vec<f64> = (0..4000).map(|i| f64::from(rng.normal()) * [1.0, 3.0][i % 2]).collect();
        (Forecast { point: vec![0.0; 4000], quantiles: None }, actual)
    }

    #[test]
    fn errors_become_quantiles_by_step() {
        let (forecast, mut actual) = noise(1);
        actual[7] = f64::NAN;
        let calibration = Calibration::fit(&spec(), &forecast, &actual).unwrap();
        let quantiles = calibration.apply(Forecast { point: vec![10.0, 10.0], quantiles: None }).quantiles.unwrap();
        // The standard normal distribution has 1.2816 at 90 %, and 1.645 at 95 %.
        let want =
            [(0, 8.355), (1, 8.718), (5, 10.0), (10, 11.645), (11, 5.065), (16, 10.0), (20, 13.845), (21, 14.935)];
        for (place, want) in want {
            assert!((quantiles[place] - want).abs() < 0.35, "{place}: {} {want}", quantiles[place]);
        }
    }

    #[test]
    fn predicted_quantiles_are_widened() {
        let (_, actual) = noise(2);
        let levels = spec().levels();
        // All quantiles are far too narrow.
        let narrow: Vec<f64> = (0..4000).flat_map(|_| levels.iter().map(|level| 0.1 * (level - 0.5))).collect();
        let forecast = Forecast { point: vec![0.0; 4000], quantiles: Some(narrow) };
        let calibration = Calibration::fit(&spec(), &forecast, &actual).unwrap();
        let (_, test) = noise(3);
        let quantiles = calibration.apply(forecast).quantiles.unwrap();
        let inside = (0..4000).filter(|&i| quantiles[11 * i] <= test[i] && test[i] <= quantiles[11 * i + 10]).count();
        assert!((3500..3700).contains(&inside), "{inside}");
    }

    #[test]
    fn too_few_values_are_refused() {
        let forecast = Forecast { point: vec![0.0; 4], quantiles: None };
        let why = Calibration::fit(&spec(), &forecast, &[1.0; 4]).unwrap_err().to_string();
        assert!(why.contains("at least 9") && why.contains("--validation"), "{why}");
        // Five windows of two steps are enough together.
        let forecast = Forecast { point: vec![0.0; 10], quantiles: None };
        assert!(Calibration::fit(&spec(), &forecast, &[1.0; 10]).is_ok());
    }

    #[test]
    fn calibration_survives_a_file() {
        let (forecast, actual) = noise(4);
        let calibration = Calibration::fit(&spec(), &forecast, &actual).unwrap();
        let mut file = TensorFile::default();
        calibration.write(&mut file);
        let copy = Calibration::read(&file, &spec()).unwrap();
        assert!(copy.offsets.iter().zip(&calibration.offsets).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(Calibration::read(&file, &Spec { horizon: 3, ..spec() }).is_err());
    }
}
