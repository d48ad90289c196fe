//! Parameters, index arithmetic and log-space sums shared by the kernels of connectionist temporal classification
//! (CTC); the twin of `shaders/common/ctc.wgsl` and `shaders/common/ctc_path.wgsl`.
//!
//! Blanks extend a sequence of `S` labels to `2S + 1` positions: blank, label, blank, label, …, blank. At every step, a
//! path stays at its position, advances by one, or advances by two between different labels. Each such path from the
//! first to the last label spells the sequence.
//!
//! | buffer | shape | content |
//! | --- | --- | --- |
//! | `targets` | `[B, S]` u32 | the labels, padded |
//! | `lengths` | `[2, B]` u32 | steps, then labels of each sequence |
//! | `log_probs` | `[T, B, C]` | logarithms of the classes' probabilities |
//! | `alpha` | `[T, B, 2S + 1]` | log-probability of the paths up to a position, minus its maximum over the positions |
//! | `beta` | `[2, B, 2S + 1]` | log-probability of the paths on from a position, minus max `α + β`; slot `t % 2` |
//! | `occupancy` | `[T, B, 2S + 1]` | `e^(α + β)`, at most 1: relative weight of the paths through a position |
//! | `feasible` | `[B]` | 1, or 0 if no path fits |
//!
//! Graves, Fernández, Gomez, Schmidhuber: *Connectionist temporal classification* (2006). Each row is normalized by its
//! maximum, so that the rounding error does not grow with the length of the sequence.

use crate::error::{Error, Result};
use crate::kernel::{addressable, at_least_one, at_most, params, words};
use crate::math::at_least_low;

params! {
    /// Parameters of every CTC kernel.
    pub struct Ctc {
        /// T, steps of the longest sequence.
        pub steps: u32,
        /// B, sequences.
        pub batch: u32,
        /// C, number of classes including the blank.
        pub classes: u32,
        /// S, labels of a padded target.
        pub labels: u32,
        /// The class that means "no label".
        pub blank: u32,
        /// 1: if no path fits, loss and gradient are 0 instead of infinite and NaN.
        pub zero_infinity: u32,
    }
}

impl Ctc {
    /// Loop iterations of an invocation per step: two passes over its positions, and the reduction to the maximum.
    pub(crate) fn step_loops(&self) -> u64 {
        2 * (2 * u64::from(self.labels) + 1).div_ceil(64) + 8
    }

    /// Checks the parameters, for every CTC kernel.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        let Self { steps, batch, classes, labels, blank, zero_infinity } = *self;
        at_least_one(op, [("steps", steps), ("batch", batch), ("classes", classes), ("labels", labels)])?;
        at_most(op, [("zero_infinity", zero_infinity, 1), ("labels", labels, 1 << 24)])?;
        if blank >= classes {
            return Err(Error::value(op, "blank", format!("below {classes}"), blank));
        }
        let width = (2 * labels + 1).max(classes);
        let row = batch.saturating_mul(width);
        addressable(op, "steps", 0, &[(steps.max(2), row), (batch, width), (width, 1)])
    }

    /// Number of positions in a row of `alpha`.
    pub fn width(&self) -> usize {
        2 * self.labels as usize + 1
    }

    /// Words of `alpha` and `occupancy`.
    pub fn rows_len(&self) -> usize {
        self.steps as usize * self.batch as usize * self.width()
    }

    /// Words of `beta`.
    pub fn beta_len(&self) -> usize {
        2 * self.batch as usize * self.width()
    }

    /// Words of `log_probs`.
    pub fn probs_len(&self) -> usize {
        self.steps as usize * self.batch as usize * self.classes as usize
    }

    /// Words of `targets` and of `lengths`.
    pub fn index_lens(&self) -> [usize; 2] {
        [self.batch as usize * self.labels as usize, 2 * self.batch as usize]
    }

    /// First element of a row of `alpha` and `occupancy`.
    pub fn row_at(&self, t: usize, b: usize) -> usize {
        (t * self.batch as usize + b) * self.width()
    }
}

/// One sequence of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub p: Ctc,
    pub b: usize,
    pub steps: usize,
    pub positions: usize,
    targets: &'a [u32],
}

impl<'a> Sequence<'a> {
    pub fn of(p: &Ctc, targets: &'a [f32], lengths: &[f32], b: usize) -> Self {
        let (lengths, batch) = (words(lengths), p.batch as usize);
        let steps = lengths[b].min(p.steps) as usize;
        let positions = 2 * lengths[batch + b].min(p.labels) as usize + 1;
        Self { p: *p, b, steps, positions, targets: &words(targets)[b * p.labels as usize..] }
    }

    /// The class of position `s`.
    pub fn class_at(&self, s: usize) -> u32 {
        if s.is_multiple_of(2) { self.p.blank } else { self.targets[s / 2] }
    }

    /// Whether a path may go from position `s − 2` to `s`: not over a blank, and not between equal labels.
    pub fn may_skip(&self, s: usize) -> bool {
        s % 2 == 1 && s >= 2 && self.class_at(s) != self.class_at(s - 2)
    }

    /// Log-probability of a class; NaN for a class `≥ classes`.
    pub fn log_prob(&self, log_probs: &[f32], t: usize, class: u32) -> f32 {
        if class >= self.p.classes {
            return f32::NAN;
        }
        at_least_low(log_probs[(t * self.p.batch as usize + self.b) * self.p.classes as usize + class as usize])
    }
}

/// `log(e^x + e^y + e^z)`
pub(crate) fn log_add3(x: f32, y: f32, z: f32) -> f32 {
    let top = if y > x { y } else { x };
    let top = if z > top { z } else { top };
    top + ((x - top).exp() + (y - top).exp() + (z - top).exp()).ln()
}
