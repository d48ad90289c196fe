//! Decoding by random sampling.

use super::{Hypothesis, Limits, TokenStep, each_row};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The distribution that tokens are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divisor of the log-probabilities: below 1 is closer to greedy decoding, above 1 closer to uniform.
    pub temperature: f32,
    /// Draws only from this many most probable tokens.
    pub top_k: Option<usize>,
    /// Draws only from the most probable tokens that together reach this probability, after temperature and `top_k`.
    pub top_p: Option<f32>,
}

impl Default for Sampling {
    /// The model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None }
    }
}

impl Sampling {
    fn check(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::value("sample", "temperature", "more than 0", self.temperature));
        }
        if self.top_k == Some(0) {
            return Err(Error::value("sample", "top_k", "at least 1", 0));
        }
        match self.top_p {
            Some(p) if !(p > 0.0 && p <= 1.0) => Err(Error::value("sample", "top_p", "0 < p ≤ 1", p)),
            _ => Ok(()),
        }
    }

    /// Returns the tokens that may be drawn with their weights, most probable first; ties go to the lower token.
    fn candidates(&self, log_probs: &[f32]) -> Vec<(usize, f64)> {
        let mut order: Vec<usize> = (0..log_probs.len()).filter(|&i| log_probs[i] > f32::NEG_INFINITY).collect();
        order.sort_by(|&a, &b| log_probs[b].total_cmp(&log_probs[a]));
        order.truncate(self.top_k.unwrap_or(usize::MAX));
        let top = order.first().map_or(0.0, |&i| log_probs[i]);
        let weight = |i: usize| (f64::from(log_probs[i] - top) / f64::from(self.temperature)).exp();
        let mut kept: Vec<(usize, f64)> = order.into_iter().map(|i| (i, weight(i))).collect();
        if let Some(p) = self.top_p {
            let share = f64::from(p) * kept.iter().map(|(_, w)| w).sum::<f64>();
            let mut before = 0.0;
            let enough = kept.iter().position(|(_, w)| {
                before += w;
                before >= share
            });
            kept.truncate(enough.map_or(usize::MAX, |last| last + 1));
        }
        kept
    }

    /// Draws one token from the log-probabilities, or unnormalized logits, of all tokens: one step of [`sample`], for
    /// programs that write each token as soon as it is drawn. A token that cannot come next has −∞.
    ///
    /// ```
    /// use wgru::{Rng, models::decode::Sampling};
    /// let sampling = Sampling { temperature: 0.8, top_k: Some(2), top_p: None };
    /// let token = sampling.draw(&[0.5, -1.0, 2.5, 2.0], &mut Rng::new(1))?;
    /// assert!(token == 2 || token == 3);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for a temperature of 0 or less, a `top_k` of 0, a `top_p` outside 0 to 1, a logit that is NaN or
    /// +∞, or if no token can come next.
    pub fn draw(&self, logits: &[f32], rng: &mut Rng) -> Result<usize> {
        self.check()?;
        if let Some(wrong) = logits.iter().find(|v| v.is_nan() || **v == f32::INFINITY) {
            return Err(Error::value("Sampling::draw", "logits", "numbers below infinity", wrong));
        }
        if logits.iter().all(|v| *v == f32::NEG_INFINITY) {
            let got = if logits.is_empty() { "none" } else { "-inf for all" };
            return Err(Error::value("Sampling::draw", "logits", "at least one token that can come next", got));
        }
        Ok(self.pick(logits, rng))
    }

    fn pick(&self, log_probs: &[f32], rng: &mut Rng) -> usize {
        let candidates = self.candidates(log_probs);
        let weights: Vec<f64> = candidates.iter().map(|(_, weight)| *weight).collect();
        if weights.is_empty() { 0 } else { candidates[rng.weighted(&weights)].0 }
    }
}

/// Draws tokens at random, as configured by `sampling`. Every row has its own random stream, forked from `rng`, so its
/// tokens do not depend on the length of the others.
///
/// Source of `top_p`: Holtzman et al., *The curious case of neural text degeneration* (2020).
///
/// # Errors
/// Same as [`greedy`](super::greedy); [`Error::Value`] for a temperature of 0 or less, a `top_k` of 0, or a `top_p`
/// outside 0 to 1.
pub fn sample<M: TokenStep>(
    model: &M,
    state: M::State,
    rows: usize,
    limits: &Limits,
    sampling: &Sampling,
    rng: &mut Rng,
) -> Result<Vec<Hypothesis>> {
    sampling.check()?;
    let mut stream = |_| {
        let [low, high] = rng.fork();
        Rng::new(u64::from(high) << 32 | u64::from(low))
    };
    let mut streams: Vec<Rng> = (0..rows).map(&mut stream).collect();
    each_row("sample", model, state, rows, limits, |row, log_probs| sampling.pick(log_probs, &mut streams[row]))
}
