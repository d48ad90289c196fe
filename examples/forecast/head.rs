//! Outputs of the network: a value, quantiles, or the parameters of a distribution; their losses and quantiles.

use clap::ValueEnum;
use wgru::train::{Reduction, loss};
use wgru::{Result, Rng, Tensor};

/// The loss, which determines what the network predicts for each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Loss {
    /// The mean, by the squared error; intervals come from the errors in the validation part
    #[default]
    Mse,
    /// Quantiles
    Quantile,
    /// A normal distribution
    Gaussian,
    /// Student's t-distribution, for outliers
    StudentT,
    /// A negative binomial distribution, for counts
    NegativeBinomial,
}

/// Values drawn from the distribution of each network.
const DRAWS: usize = 200;
/// Bounds of parameters that must be positive.
const LEAST: f32 = 1e-4;

impl Loss {
    pub fn name(self) -> &'static str {
        ["mse", "quantile", "gaussian", "student-t", "negative-binomial"][self as usize]
    }

    /// Returns the number of outputs by step.
    pub fn outputs(self, levels: &[f64]) -> usize {
        match self {
            Self::Mse => 1,
            Self::Quantile => levels.len(),
            Self::Gaussian | Self::NegativeBinomial => 2,
            Self::StudentT => 3,
        }
    }

    /// Whether targets are relative to the last known value. Counts are not, since they cannot be negative.
    pub fn is_relative(self) -> bool {
        self != Self::NegativeBinomial
    }

    /// Returns the loss of outputs `[B, horizon, outputs]` for targets `[B, horizon]`, both in model units.
    /// `unit` is the deviation that counts were divided by. `weight` `[B, horizon]` is 0 for targets that do not count.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn of(
        self,
        outputs: &Tensor,
        target: &Tensor,
        levels: &[f64],
        unit: f64,
        weight: Option<&Tensor>,
    ) -> Result<Tensor> {
        let reduction = if weight.is_some() { Reduction::None } else { Reduction::Mean };
        let losses = match self {
            Self::Mse => loss::mse_with(&outputs.reshape(target.dims())?, target, reduction)?,
            Self::Quantile => {
                let levels: Vec<f32> = levels.iter().map(|&level| level as f32).collect();
                let losses = loss::quantile_with(outputs, target, &levels, reduction)?;
                if weight.is_some() { losses.mean_axis(2)?.reshape(target.dims())? } else { losses }
            }
            Self::Gaussian => {
                let [mean, var] = parts(outputs, target)?;
                let var = positive(&var)?;
                let options = loss::GaussianNllOptions { reduction, ..Default::default() };
                loss::gaussian_nll_with(&mean, target, &var, options)?
            }
            Self::StudentT => {
                let [center, scale, df] = parts(outputs, target)?;
                let (scale, df) = (positive(&scale)?, df.softplus()?.add_scalar(2.0)?);
                loss::student_t_nll_with(&center, target, &scale, &df, reduction)?
            }
            Self::NegativeBinomial => {
                let [mean, count] = parts(outputs, target)?;
                let (mean, count) = (positive(&mean)?.scale(unit as f32)?, positive(&count)?);
                let logits = mean.log()?.sub(&count.log()?)?;
                loss::negative_binomial_nll_with(&logits, &target.scale(unit as f32)?, &count, reduction)?
            }
        };
        match weight {
            None => Ok(losses),
            Some(weight) => losses.mul(weight)?.sum()?.div(&weight.sum()?.add_scalar(1e-9)?),
        }
    }
}

fn parts<const N: usize>(outputs: &Tensor, target: &Tensor) -> Result<[Tensor; N]> {
    let parts = outputs.split(2, &[1; N])?;
    let parts = parts.iter().map(|part| part.reshape(target.dims())).collect::<Result<Vec<_>>>()?;
    Ok(parts.try_into().unwrap_or_else(|_| unreachable!("split into N parts")))
}

fn positive(x: &Tensor) -> Result<Tensor> {
    x.softplus()?.add_scalar(LEAST)
}

fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p() + LEAST
}

/// A forecast of one step by one network: its point, then values whose empirical quantiles are those of the forecast.
pub struct Outlook {
    pub point: f64,
    pub draws: Vec<f32>,
}

impl Loss {
    /// Returns the forecast that outputs of one step stand for, in model units. Draws from distributions with `rng`.
    pub fn outlook(self, outputs: &[f32], levels: &[f64], unit: f64, rng: &mut Rng) -> Outlook {
        let point = f64::from(outputs[0]);
        let draw =
            |point, draw: &mut dyn FnMut() -> f32| Outlook { point, draws: (0..DRAWS).map(|_| draw()).collect() };
        match self {
            Self::Mse => Outlook { point, draws: Vec::new() },
            Self::Quantile => {
                // Networks may predict a higher value for a lower level.
                let mut draws = outputs.to_vec();
                draws.sort_by(f32::total_cmp);
                let middle = levels.iter().position(|&level| level == 0.5).unwrap_or(levels.len() / 2);
                Outlook { point: f64::from(draws[middle]), draws }
            }
            Self::Gaussian => {
                let deviation = softplus(outputs[1]).sqrt();
                draw(point, &mut || outputs[0] + deviation * rng.normal())
            }
            Self::StudentT => {
                let (scale, df) = (softplus(outputs[1]), softplus(outputs[2]) - LEAST + 2.0);
                draw(point, &mut || outputs[0] + scale * rng.student_t(df))
            }
            Self::NegativeBinomial => {
                let (mean, count) = (softplus(outputs[0]), softplus(outputs[1]));
                let logits = (mean * unit as f32).ln() - count.ln();
                draw(f64::from(mean), &mut || rng.negative_binomial(count, logits) / unit as f32)
            }
        }
    }

    /// Returns the quantiles of the mixture of several networks: of their draws, or the mean of their quantiles.
    pub fn quantiles(self, outlooks: &[Outlook], levels: &[f64]) -> Vec<f64> {
        if self == Self::Quantile {
            let count = outlooks.len() as f64;
            let mean = |i: usize| outlooks.iter().map(|outlook| f64::from(outlook.draws[i])).sum::<f64>() / count;
            return (0..levels.len()).map(mean).collect();
        }
        let mut draws: Vec<f32> = outlooks.iter().flat_map(|outlook| outlook.draws.iter().copied()).collect();
        draws.sort_by(f32::total_cmp);
        levels.iter().map(|&level| f64::from(quantile(&draws, level))).collect()
    }
}

/// Returns the quantile of sorted values, interpolated between neighbors.
pub fn quantile(sorted: &[f32], level: f64) -> f32 {
    let at = (level * sorted.len() as f64 - 0.5).clamp(0.0, sorted.len() as f64 - 1.0);
    let (low, share) = (at.floor() as usize, at.fract() as f32);
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + share * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::Device;

    const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];

    #[test]
    fn masked_targets_do_not_count() {
        let device = Device::cpu();
        for loss in Loss::value_variants() {
            let outputs = loss.outputs(&LEVELS);
            let x: Vec<f32> = (0..4 * outputs).map(|i| 0.1 * i as f32).collect();
            let x = Tensor::from_slice(&device, &x, &[2, 2, outputs]).unwrap();
            let of = |targets: &[f32], weights: &[f32]| {
                let [y, w] = [targets, weights].map(|v| Tensor::from_slice(&device, v, &[2, 2]).unwrap());
                loss.of(&x, &y, &LEVELS, 2.0, Some(&w)).unwrap().item_blocking().unwrap()
            };
            let (a, b) =
                (of(&[1.0, 2.0, 3.0, 9.0], &[1.0, 1.0, 1.0, 0.0]), of(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 0.0]));
            assert_eq!(a, b, "{loss:?}");
            let all = Tensor::from_slice(&device, &[1.0, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
            let plain = loss.of(&x, &all, &LEVELS, 2.0, None).unwrap().item_blocking().unwrap();
            assert!((plain - of(&[1.0, 2.0, 3.0, 4.0], &[1.0; 4])).abs() < 1e-5 * plain.abs().max(1.0), "{loss:?}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        let mut rng = Rng::new(3);
        let mut quantiles = |loss: Loss, outputs: &[f32]| {
            let outlooks: Vec<Outlook> = (0..50).map(|_| loss.outlook(outputs, &LEVELS, 2.0, &mut rng)).collect();
            (outlooks[0].point, loss.quantiles(&outlooks, &LEVELS))
        };
        // A variance of 4: the 95 % quantile is 1 + 1.645·2.
        let (point, found) = quantiles(Loss::Gaussian, &[1.0, 3.9815]);
        assert_eq!(point, 1.0);
        assert!(
            (found[2] - 4.29).abs() < 0.15 && (found[1] - 1.0).abs() < 0.1 && (found[0] + 2.29).abs() < 0.15,
            "{found:?}"
        );
        // Quantiles that cross are sorted.
        assert_eq!(quantiles(Loss::Quantile, &[0.0, 2.0, 1.0]), (1.0, vec![0.0, 1.0, 2.0]));
        // A mean of 1.3133 in units of 2.
        let (point, found) = quantiles(Loss::NegativeBinomial, &[1.0, 1.0]);
        assert!((point - 1.3134).abs() < 1e-3, "{point}");
        assert!(found.iter().all(|v| (2.0 * v).fract() == 0.0), "{found:?}");
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
    }
}
