//! Learning rates over time

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Schedule of the learning rate, like the schedulers of the same names in `torch.optim.lr_scheduler`.
///
/// ```
/// use wgru::train::Schedule;
/// assert_eq!(Schedule::Step { every: 10, gamma: 0.5 }.rate(1.0, 25), 0.25);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// The base rate at every step.
    #[default]
    Constant,
    /// `base·gamma^⌊step / every⌋`
    Step {
        /// Steps between two drops.
        every: u64,
        /// Factor applied at each drop.
        gamma: f64,
    },
    /// `min + ½·(base − min)·(1 + cos(π·step / steps))`; rises again after `steps`, as PyTorch's does.
    Cosine {
        /// Steps to the minimum.
        steps: u64,
        /// The minimum rate.
        min: f64,
    },
    /// From `base / 25` up to `base` over the first 30 % of the steps, then down to `base / 250,000`, each along half a
    /// cosine. Smith, Topin: *Super-convergence* (2018).
    OneCycle {
        /// Total number of steps; later ones keep the last rate.
        steps: u64,
    },
    /// Any function; see [`Schedule::custom`].
    Custom(CustomSchedule),
}

/// A function of the base rate and the step; from [`Schedule::custom`].
#[derive(Clone)]
pub struct CustomSchedule(Arc<dyn Fn(f64, u64) -> f64 + Send + Sync>);

/// Equal if they are clones of one schedule.
impl PartialEq for CustomSchedule {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for CustomSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomSchedule(..)")
    }
}

impl Schedule {
    /// Creates a schedule from a function of the base rate and the step, like PyTorch's `LambdaLR`. Training ends with
    /// an error if it returns a rate that is negative or not finite.
    ///
    /// ```
    /// use wgru::train::Schedule;
    /// let halving = Schedule::custom(|base, step| base * 0.5f64.powf(step as f64 / 1000.0));
    /// assert_eq!(halving.rate(0.1, 2000), 0.025);
    /// ```
    pub fn custom(rate: impl Fn(f64, u64) -> f64 + Send + Sync + 'static) -> Self {
        Self::Custom(CustomSchedule(Arc::new(rate)))
    }

    /// Rejects options that yield no valid rate.
    pub(super) fn check(&self) -> Result<()> {
        let finite = |arg, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(Error::value("Schedule", arg, "a finite number of at least 0", value)),
        };
        let at_least_1 = |arg, steps: u64| match steps {
            0 => Err(Error::value("Schedule", arg, "at least 1", 0)),
            _ => Ok(()),
        };
        match *self {
            Schedule::Constant | Schedule::Custom(_) => Ok(()),
            Schedule::Step { every, gamma } => at_least_1("every", every).and(finite("gamma", gamma)),
            Schedule::Cosine { steps, min } => at_least_1("steps", steps).and(finite("min", min)),
            Schedule::OneCycle { steps } => at_least_1("steps", steps),
        }
    }

    /// Returns the rate of update number `step`, counted from 0. For [`OneCycle`](Self::OneCycle), `base` is the
    /// highest rate.
    pub fn rate(&self, base: f64, step: u64) -> f64 {
        let between = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + (PI * share).cos());
        match *self {
            Schedule::Constant => base,
            Schedule::Custom(CustomSchedule(ref rate)) => rate(base, step),
            Schedule::Step { every, gamma } => base * gamma.powf((step / every.max(1)) as f64),
            Schedule::Cosine { steps, min } => between(base, min, step as f64 / steps.max(1) as f64),
            Schedule::OneCycle { steps } => {
                let last = steps.max(2) as f64 - 1.0;
                let top = 0.3 * steps.max(2) as f64 - 1.0;
                let (low, step) = (base / 25.0, (step as f64).min(last));
                if step <= top {
                    between(low, base, step / top)
                } else {
                    between(base, low / 1e4, (step - top) / (last - top))
                }
            }
        }
    }
}
