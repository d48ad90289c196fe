//! Sequences with their targets, and the measures of outputs.

use wgru::train::loss;
use wgru::{Result, Tensor};

/// Inputs of all steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `[T, B, I]`
    Numbers(Vec<f32>),
    /// `[T, B]`
    Tokens(Vec<u32>),
}

/// Targets of the steps that are read, time-first.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// `[steps, B, output]`
    Numbers(Vec<f32>),
    /// `[steps, B]`
    Classes(Vec<u32>),
}

/// Sequences that are processed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub steps: usize,
    pub rows: usize,
    pub input: Values,
    /// Steps of each sequence, if they differ.
    pub lengths: Option<Vec<usize>>,
    pub target: Target,
}

impl Batch {
    /// Returns the training loss of the outputs `y`: the squared error, or the cross-entropy.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, y: &Tensor) -> Result<Tensor> {
        match &self.target {
            Target::Numbers(values) => loss::mse(y, &Tensor::from_slice(y.device(), values, y.dims())?),
            Target::Classes(classes) => {
                let target = Tensor::from_indices(y.device(), classes, &[classes.len()])?;
                loss::cross_entropy(&y.reshape(&[classes.len(), y.len() / classes.len()])?, &target)
            }
        }
    }
}

/// Measure of the quality of outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Mean squared error.
    Mse,
    /// Root of the mean squared error, times the size of a unit.
    Rmse(f64),
    /// Share of right classes.
    Accuracy,
    /// Cross-entropy in bits.
    Bits,
}

impl Measure {
    pub fn title(self) -> &'static str {
        match self {
            Self::Mse => "squared error",
            Self::Rmse(_) => "RMSE",
            Self::Accuracy => "right",
            Self::Bits => "bits",
        }
    }

    pub fn is_higher_better(self) -> bool {
        self == Self::Accuracy
    }

    /// Whether quality `a` is better than `b`. NaN is worse than anything.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        if self.is_higher_better() {
            a > b || (b.is_nan() && !a.is_nan())
        } else {
            a < b || (b.is_nan() && !a.is_nan())
        }
    }

    /// Whether a quality reaches a threshold.
    pub fn reaches(self, quality: f64, threshold: f64) -> bool {
        if self.is_higher_better() { quality >= threshold } else { quality <= threshold }
    }

    /// Returns a quality as text.
    pub fn show(self, quality: f64) -> String {
        match self {
            Self::Accuracy => format!("{:.1} %", 100.0 * quality),
            Self::Rmse(_) => format!("{quality:.2}"),
            Self::Mse => format!("{quality:.4}"),
            Self::Bits => format!("{quality:.3}"),
        }
    }

    /// Returns the quality of outputs `y` for some batches, one after another.
    ///
    /// # Panics
    /// If a batch has targets of another type than this measure.
    pub fn of<'a>(self, outputs: impl Iterator<Item = (&'a Batch, Vec<f32>)>) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (batch, y) in outputs {
            match (&batch.target, self) {
                (Target::Numbers(target), Self::Mse | Self::Rmse(_)) => {
                    sum += y.iter().zip(target).map(|(y, t)| f64::from(y - t).powi(2)).sum::<f64>();
                    count += target.len() as f64;
                }
                (Target::Classes(classes), Self::Accuracy | Self::Bits) => {
                    let rows = y.chunks_exact(y.len() / classes.len()).zip(classes);
                    let score = if self == Self::Bits { bits } else { is_right };
                    sum += rows.map(|(logits, &class)| score(logits, class as usize)).sum::<f64>();
                    count += classes.len() as f64;
                }
                _ => panic!("{self:?} does not measure {:?}", batch.target),
            }
        }
        match self {
            Self::Rmse(unit) => unit * (sum / count).sqrt(),
            _ => sum / count,
        }
    }
}

fn is_right(logits: &[f32], class: usize) -> f64 {
    f64::from((0..logits.len()).all(|i| i == class || logits[i] < logits[class]))
}

fn bits(logits: &[f32], class: usize) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&v| f64::from(v - most).exp()).sum();
    (sum.ln() - f64::from(logits[class] - most)) / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(target: Target) -> Batch {
        Batch { steps: 1, rows: 2, input: Values::Numbers(vec![0.0; 2]), lengths: None, target }
    }

    #[test]
    fn measures_are_those_of_hand() {
        let numbers = batch(Target::Numbers(vec![1.0, 2.0]));
        let of = |measure: Measure, batch: &Batch, y: &[f32]| measure.of([(batch, y.to_vec())].into_iter());
        assert_eq!(of(Measure::Mse, &numbers, &[1.0, 4.0]), 2.0);
        assert_eq!(of(Measure::Rmse(3.0), &numbers, &[1.0, 4.0]), 3.0 * 2.0_f64.sqrt());
        let classes = batch(Target::Classes(vec![0, 1]));
        let logits = [2.0_f32.ln(), 1.0_f32.ln(), 0.0, 0.0];
        // Equal logits decide for nothing.
        assert_eq!(of(Measure::Accuracy, &classes, &logits), 0.5);
        let want = ((1.5_f64).log2() + 1.0) / 2.0;
        assert!((of(Measure::Bits, &classes, &logits) - want).abs() < 1e-6);
        assert_eq!(of(Measure::Accuracy, &classes, &[f32::NAN; 4]), 0.0);
    }

    #[test]
    fn nan_is_never_better() {
        for measure in [Measure::Mse, Measure::Accuracy] {
            assert!(!measure.is_better(f64::NAN, 1.0) && measure.is_better(1.0, f64::NAN));
            assert!(!measure.reaches(f64::NAN, 0.5));
        }
        assert!(Measure::Mse.is_better(1.0, 2.0) && Measure::Accuracy.is_better(2.0, 1.0));
    }
}
