//! Scores a series value by value, as it arrives.

use std::collections::VecDeque;

use wgru::io::TensorFile;
use wgru::{Result, Stream};

use crate::calibration::Calibration;
use crate::common::files::{json, metadata, refuse};
use crate::predictor::{least, Predictor, Spec};

/// How scores become alarms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Steps over which the surprise is averaged.
    pub short: usize,
    /// Steps over which it is averaged to find series that are too calm; 0 for none.
    pub long: usize,
    /// Number of earlier scores that p-values compare with; 0 for the scores of held-out data.
    pub rolling: usize,
    /// Number of scores before which there is no alarm.
    pub least: usize,
    /// Largest p-value of an alarm.
    pub alpha: f64,
}

/// Score of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Mean negative log-likelihood of the last values, each under all predictions that were made for it.
    pub score: f32,
    pub p: f64,
    pub alarm: bool,
}

/// A predictor in use, with its calibration.
#[derive(Clone)]
pub struct Scorer {
    spec: Spec,
    pub rules: Rules,
    streams: Vec<Stream>,
    /// Values and predictions of the last steps, the newest first.
    past: VecDeque<Step>,
    /// The last surprises, the newest first.
    surprises: VecDeque<f32>,
    high: Calibration,
    low: Calibration,
    steps: u64,
}

#[derive(Clone, Debug)]
struct Step {
    value: f32,
    /// Means and variances of the predictions, in units of the differences.
    means: Vec<f32>,
    variances: Vec<f32>,
}

/// Exchanges calm and surprise.
const CALM: f32 = -1.0;

impl Scorer {
    /// Creates a scorer without calibration, for a predictor on the CPU.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn new(predictor: &Predictor, rules: Rules) -> Result<Self> {
        let empty = match rules.rolling {
            0 => Calibration::fixed(Vec::new()),
            most => Calibration::Rolling(most, VecDeque::new()),
        };
        Ok(Self {
            spec: predictor.spec.clone(),
            rules,
            streams: predictor.streams()?,
            past: VecDeque::new(),
            surprises: VecDeque::new(),
            high: empty.clone(),
            low: empty,
            steps: 0,
        })
    }

    /// Returns the number of values so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Calibrates on normal values that continue the series.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn calibrate(&mut self, values: &[f32]) -> Result<()> {
        let (mut high, mut low) = (Vec::new(), Vec::new());
        for &value in values {
            if let Some([surprise, calm]) = self.means(value)? {
                high.push(surprise);
                low.push(calm);
            }
        }
        (self.high, self.low) = (Calibration::fixed(high), Calibration::fixed(low));
        Ok(())
    }

    /// Scores the next value.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn push(&mut self, value: f32) -> Result<Reading> {
        let Some([surprise, calm]) = self.means(value)? else { return Ok(Reading { score: 0.0, p: 1.0, alarm: false }) };
        let Rules { long, least, alpha, .. } = self.rules;
        let seen = self.high.len();
        let mut p = self.high.p(surprise);
        if long > 0 {
            p = (2.0 * p.min(self.low.p(calm))).min(1.0);
        }
        Ok(Reading { score: surprise, p, alarm: seen >= least && p <= alpha })
    }

    /// Returns the surprise over the short time and the calm over the long time; `None` until values were predicted.
    fn means(&mut self, value: f32) -> Result<Option<[f32; 2]>> {
        let surprise = self.surprise(value);
        let previous = self.past.front().map_or(value, |step| step.value);
        let (means, variances) = self.predict(self.spec.frame(previous, value))?;
        self.past.truncate(self.spec.furthest() - 1);
        self.past.push_front(Step { value, means, variances });
        self.steps += 1;
        let Some(surprise) = surprise else { return Ok(None) };
        let Rules { short, long, .. } = self.rules;
        self.surprises.truncate(short.max(long).max(1) - 1);
        self.surprises.push_front(surprise);
        let mean = |steps: usize| {
            let count = steps.clamp(1, self.surprises.len());
            self.surprises.iter().take(count).sum::<f32>() / count as f32
        };
        Ok(Some([mean(short), CALM * mean(long)]))
    }

    /// Returns the mean and variance of each prediction: those of the mixture of the networks' distributions.
    fn predict(&mut self, frame: [f32; 2]) -> Result<(Vec<f32>, Vec<f32>)> {
        let (each, share) = (self.spec.ahead.len(), 1.0 / self.streams.len() as f32);
        let (mut means, mut squares) = (vec![0.0; each], vec![0.0; each]);
        for stream in &mut self.streams {
            let output = stream.step(&frame)?;
            for i in 0..each {
                means[i] += share * output[i];
                squares[i] += share * (output[i] * output[i] + softplus(output[each + i]) + least());
            }
        }
        let variances = means.iter().zip(&squares).map(|(mean, square)| (square - mean * mean).max(least())).collect();
        Ok((means, variances))
    }

    /// Returns the mean negative log-likelihood of a value under the predictions that were made for it.
    fn surprise(&self, value: f32) -> Option<f32> {
        let (each, mut sum) = (self.spec.ahead.len(), 0.0);
        for (i, (&steps, spread)) in self.spec.ahead.iter().zip(&self.spec.spreads).enumerate() {
            let Step { value: from, means, variances } = self.past.get(steps - 1)?;
            let variance = variances[i];
            let error = (value - from) / spread - means[i];
            sum += match MODE.load(std::sync::atomic::Ordering::Relaxed) {
                1 => error.abs(),
                2 => (1.0 + error * error / variance).ln(),
                3 => (0.5 * (variance.ln() + error * error / variance)).min(8.0),
                _ => 0.5 * (variance.ln() + error * error / variance),
            };
        }
        Some(sum / each as f32)
    }
}

/// `log(1 + eˣ)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub static MODE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
