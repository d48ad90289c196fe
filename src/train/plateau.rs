//! Lower learning rates once the loss no longer improves.

use crate::error::{Error, Result};

/// Lowers the learning rate when the loss per epoch stops improving, like `ReduceLROnPlateau` of PyTorch, with its
/// names and defaults. It watches the validation loss, or the training loss if there is no validation data.
///
/// ```
/// use wgru::train::{ReduceLrOnPlateau, TrainOptions};
/// let plateau = ReduceLrOnPlateau { factor: 0.5, patience: 3, ..Default::default() };
/// let options = TrainOptions { epochs: 100, plateau: Some(plateau), ..Default::default() };
/// # assert_eq!(options.plateau.map(|p| p.cooldown), Some(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    /// Factor of the learning rate at each reduction.
    pub factor: f64,
    /// Number of epochs without improvement that are tolerated. The next such epoch reduces the rate.
    pub patience: usize,
    /// A loss counts as better if it is below `best − threshold·|best|`. For losses above 0, this is the rule of
    /// PyTorch. It also suits losses below 0, such as negative log-likelihoods.
    pub threshold: f64,
    /// Number of epochs after a reduction in which epochs without improvement are not counted.
    pub cooldown: usize,
    /// Lower bound of the learning rate.
    pub min_lr: f64,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0 }
    }
}

/// State of a run with a [`ReduceLrOnPlateau`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlateauState {
    /// The best loss so far.
    pub best: f64,
    /// Epochs without improvement.
    pub bad: usize,
    /// Remaining epochs of the cooldown.
    pub cooldown: usize,
    /// Product of the factors so far.
    pub scale: f64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { best: f64::INFINITY, bad: 0, cooldown: 0, scale: 1.0 }
    }
}

impl ReduceLrOnPlateau {
    /// Rejects options outside their range.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |arg, expected: &str, got: f64| Err(Error::value("ReduceLrOnPlateau", arg, expected, got));
        match *self {
            Self { factor, .. } if !(factor > 0.0 && factor < 1.0) => {
                refuse("factor", "between 0 and 1, both excluded", factor)
            }
            Self { threshold, .. } if !(0.0..1.0).contains(&threshold) => {
                refuse("threshold", "0 ≤ threshold < 1", threshold)
            }
            Self { min_lr, .. } if !(min_lr >= 0.0 && min_lr.is_finite()) => {
                refuse("min_lr", "a finite number of at least 0", min_lr)
            }
            _ => Ok(()),
        }
    }

    /// Returns the learning rate of an update for which the schedule returns `rate`.
    pub(super) fn rate(&self, state: &PlateauState, rate: f64) -> f64 {
        (rate * state.scale).max(self.min_lr.min(rate))
    }
}

impl PlateauState {
    /// Takes the loss of an epoch into account.
    pub(super) fn observe(&mut self, options: &ReduceLrOnPlateau, loss: f32) {
        let loss = f64::from(loss);
        let least = if self.best.is_finite() { self.best - options.threshold * self.best.abs() } else { self.best };
        if loss < least {
            (self.best, self.bad) = (loss, 0);
        } else {
            self.bad += 1;
        }
        if self.cooldown > 0 {
            (self.cooldown, self.bad) = (self.cooldown - 1, 0);
        }
        if self.bad > options.patience {
            self.scale *= options.factor;
            (self.cooldown, self.bad) = (options.cooldown, 0);
        }
    }
}
