//! Units of the model: transformed and standardized values.

use clap::ValueEnum;

/// A monotone function that is applied before everything else, and inverted on forecasts and intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Transform {
    #[default]
    None,
    /// The natural logarithm, for positive values whose changes are proportional to them
    Log,
    /// `log(1 + y)`, for values that may be 0
    Log1p,
}

impl Transform {
    pub fn name(self) -> &'static str {
        ["none", "log", "log1p"][self as usize]
    }

    /// Returns the transformed value; NaN outside the domain.
    pub fn apply(self, y: f64) -> f64 {
        match self {
            Self::None => y,
            Self::Log => {
                if y > 0.0 {
                    y.ln()
                } else {
                    f64::NAN
                }
            }
            Self::Log1p => {
                if y >= 0.0 {
                    y.ln_1p()
                } else {
                    f64::NAN
                }
            }
        }
    }

    pub fn invert(self, v: f64) -> f64 {
        match self {
            Self::None => v,
            // Bounded, so that a wild extrapolation stays finite.
            Self::Log => v.min(700.0).exp(),
            Self::Log1p => v.min(700.0).exp_m1().max(0.0),
        }
    }
}

/// Mean and standard deviation over the training rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub mean: f64,
    pub deviation: f64,
}

impl Scale {
    /// Returns the scale of these values. For constant values, the deviation is 1.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Due to rounding, constant values have a deviation of about 1e-16 of their magnitude.
        let constant = deviation <= 1e-12 * mean.abs();
        Self { mean, deviation: if constant { 1.0 } else { deviation } }
    }

    /// Returns a scale that keeps 0, with the mean magnitude as the unit.
    pub fn of_magnitude(values: impl Iterator<Item = f64>) -> Self {
        let (mut sum, mut count) = (0.0, 0.0);
        values.for_each(|v| (sum, count) = (sum + v.abs(), count + 1.0));
        Self { mean: 0.0, deviation: if sum > 0.0 { sum / count } else { 1.0 } }
    }

    /// `(v − mean) / deviation`
    pub fn apply(self, v: f64) -> f64 {
        (v - self.mean) / self.deviation
    }

    /// `mean + deviation·z`
    pub fn invert(self, z: f64) -> f64 {
        self.mean + self.deviation * z
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_inverted() {
        for transform in [Transform::None, Transform::Log, Transform::Log1p] {
            for y in [1e-6, 0.5, 1.0, 1e6] {
                assert!((transform.invert(transform.apply(y)) / y - 1.0).abs() < 1e-9, "{transform:?} {y}");
            }
            assert_eq!(Transform::from_str(transform.name(), false), Ok(transform));
        }
        assert_eq!(Transform::Log1p.apply(0.0), 0.0);
        assert!(Transform::Log.apply(0.0).is_nan() && Transform::Log1p.apply(-0.1).is_nan());
        assert!(Transform::Log.invert(1e9).is_finite());
    }

    #[test]
    fn scale_of_a_constant_is_usable() {
        assert_eq!(Scale::of(&[0.1; 7]).deviation, 1.0);
        assert_eq!(Scale::of(&[1.0, 3.0]), Scale { mean: 2.0, deviation: 1.0 });
        assert_eq!(Scale::of_magnitude([0.0; 3].into_iter()).deviation, 1.0);
        assert_eq!(Scale::of_magnitude([2.0, 4.0].into_iter()), Scale { mean: 0.0, deviation: 3.0 });
    }
}
