//! Training, with teacher forcing or scheduled sampling.

use super::{ContextUse, Seq2Seq};
use crate::error::{Error, Result};
use crate::nn::{AttentionMemory, Mode};
use crate::rng::{Rng, unit};
use crate::tensor::Tensor;
#[cfg(feature = "autograd")]
use crate::train::loss::{CrossEntropyOptions, cross_entropy_with};

/// Inputs of the decoder during training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forcing {
    /// Probability that a step is fed the target's token. Otherwise it is fed the model's own prediction from the
    /// previous step, without a gradient. At 1, nothing is read back; below 1, steps read the predictions back.
    ///
    /// Source: Bengio et al., *Scheduled sampling for sequence prediction with recurrent neural networks* (2015).
    pub ratio: f32,
    /// Whether predictions are drawn from the model's distribution, instead of being its most probable tokens.
    pub drawn: bool,
}

impl Default for Forcing {
    /// Teacher forcing at every step.
    fn default() -> Self {
        Self { ratio: 1.0, drawn: false }
    }
}

/// Predictions of a [`Seq2Seq`] for targets.
#[derive(Clone, Debug)]
pub struct Seq2SeqOutput {
    /// `[T, B, V]`, for each token of the targets and the end. T is one more than the length of the longest target.
    pub logits: Tensor,
    /// `[B, T, S]`: attention weight of each source token in each prediction.
    pub weights: Tensor,
    /// `[T, B]` tokens: the targets, each followed by the end, then padded with V, which is not a token.
    pub labels: Tensor,
}

impl Seq2Seq {
    /// Predicts each token of `targets`, and the end, from the source and the tokens before it.
    ///
    /// # Errors
    /// [`Error::Value`] for an empty batch or source, a token outside its vocabulary, a ratio outside 0 to 1, or a
    /// ratio below 1 in [`Mode::Eval`], which has no random generator; [`Error::Shape`] if the numbers of sources and
    /// targets differ.
    pub fn run<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        sources: &[S],
        targets: &[T],
        forcing: &Forcing,
        mode: &mut Mode,
    ) -> Result<Seq2SeqOutput> {
        if targets.len() != sources.len() {
            return Err(Error::shape("Seq2Seq", "targets", format!("[{}]", sources.len()), &[targets.len()]));
        }
        if !(0.0..=1.0).contains(&forcing.ratio) {
            return Err(Error::value("Seq2Seq", "ratio", "0 to 1", forcing.ratio));
        }
        if forcing.ratio < 1.0 && matches!(mode, Mode::Eval) {
            return Err(Error::value("Seq2Seq", "ratio", "1 in evaluation mode", forcing.ratio));
        }
        let (start, end, vocabulary) = (self.config.start, self.config.end, self.config.target);
        let extended = |ends: [Option<u32>; 2]| -> Vec<Vec<u32>> {
            let one = |t: &T| ends[0].into_iter().chain(t.as_ref().iter().copied()).chain(ends[1]).collect();
            targets.iter().map(one).collect()
        };
        let (fed, wanted) = (extended([Some(start), None]), extended([None, Some(end)]));
        if let Some(token) = fed.iter().flatten().find(|token| **token as usize >= vocabulary) {
            return Err(Error::value("Seq2Seq", "targets", format!("tokens below {vocabulary}"), token));
        }
        let steps = fed.iter().map(Vec::len).max().unwrap_or(1);
        let (memory, hidden) = self.encode(sources, mode)?;
        let labels = self.by_time(&wanted, steps, vocabulary as u32)?;
        let (logits, weights) = if forcing.ratio == 1.0 && self.config.context == ContextUse::Output {
            let (logits, weights, _) = self.decode(&memory, &hidden, &self.by_time(&fed, steps, end)?, mode)?;
            (logits, weights)
        } else {
            self.stepwise(&memory, hidden, &fed, steps, forcing, mode)?
        };
        Ok(Seq2SeqOutput { logits, weights, labels })
    }

    /// Runs step by step, feeding each the target's token or the model's own prediction.
    fn stepwise(
        &self,
        memory: &AttentionMemory,
        mut hidden: Tensor,
        fed: &[Vec<u32>],
        steps: usize,
        forcing: &Forcing,
        mode: &mut Mode,
    ) -> Result<(Tensor, Tensor)> {
        let (mut logits, mut weights): (Vec<Tensor>, Vec<Tensor>) = (Vec::new(), Vec::new());
        for t in 0..steps {
            let mut tokens: Vec<u32> = fed.iter().map(|s| s.get(t).copied().unwrap_or(self.config.end)).collect();
            if let (Some(last), Mode::Train(rng)) = (logits.last(), &mut *mode)
                && forcing.ratio < 1.0
            {
                self.replace(&mut tokens, last, forcing, rng)?;
            }
            let tokens = Tensor::from_indices(&self.device, &tokens, &[1, fed.len()])?;
            let (logit, weight, next) = self.decode(memory, &hidden, &tokens, mode)?;
            logits.push(logit);
            weights.push(weight);
            hidden = next;
        }
        let joined = |parts: &[Tensor], axis| Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis);
        Ok((joined(&logits, 0)?, joined(&weights, 1)?))
    }

    /// Replaces each token by the prediction of `logits` `[1, B, V]`, with probability `1 − ratio`.
    fn replace(&self, tokens: &mut [u32], logits: &Tensor, forcing: &Forcing, rng: &mut Rng) -> Result<()> {
        let coins: Vec<[f32; 2]> = tokens.iter().map(|_| [unit(rng.next_u32()), unit(rng.next_u32())]).collect();
        if coins.iter().all(|[coin, _]| *coin < forcing.ratio) {
            return Ok(());
        }
        let shares = logits.detach().softmax()?.read_now()?;
        for ((token, [coin, draw]), shares) in tokens.iter_mut().zip(coins).zip(shares.chunks(self.config.target)) {
            if coin < forcing.ratio {
                continue;
            }
            let mut left = draw;
            *token = match forcing.drawn {
                true => shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                }),
                false => (0..shares.len()).reduce(|best, i| if shares[i] > shares[best] { i } else { best }),
            }
            // If rounding leaves a remainder, draw the last token.
            .unwrap_or(shares.len() - 1) as u32;
        }
        Ok(())
    }

    /// Returns the mean cross-entropy of the targets' tokens and ends, a scalar.
    ///
    /// # Errors
    /// Same as [`Seq2Seq::run`].
    #[cfg(feature = "autograd")]
    pub fn loss<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        sources: &[S],
        targets: &[T],
        forcing: &Forcing,
        mode: &mut Mode,
    ) -> Result<Tensor> {
        let out = self.run(sources, targets, forcing, mode)?;
        let options = CrossEntropyOptions { ignore_index: Some(self.config.target as u32), ..Default::default() };
        cross_entropy_with(&out.logits, &out.labels, options)
    }
}
