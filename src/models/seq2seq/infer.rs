//! Inference, one token at a time.

use super::Seq2Seq;
use crate::error::Result;
use crate::models::decode::{self, Beam, Hypothesis, Limits, Sampling, TokenStep};
use crate::nn::{AttentionMemory, Mode};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// State of a [`Seq2Seq`]: the encoded sources, and the decoder's state after the tokens so far.
#[derive(Clone, Debug)]
pub struct DecoderState {
    memory: AttentionMemory,
    /// `[layers, B, H]`
    hidden: Tensor,
}

impl Seq2Seq {
    /// Returns the state before the first token of a target.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an empty batch or source, or a token outside the vocabulary.
    pub fn start<S: AsRef<[u32]>>(&self, sources: &[S]) -> Result<DecoderState> {
        let (memory, hidden) = self.encode(sources, &mut Mode::Eval)?;
        Ok(DecoderState { memory, hidden })
    }

    fn limits(&self, max_length: usize) -> Limits {
        Limits { start: self.config.start, end: self.config.end, max_length }
    }

    /// Decodes the target of each source with [`decode::greedy`], up to `max_length` tokens including the end.
    ///
    /// # Errors
    /// Same as [`Seq2Seq::start`] and [`decode::greedy`].
    pub fn greedy<S: AsRef<[u32]>>(&self, sources: &[S], max_length: usize) -> Result<Vec<Hypothesis>> {
        decode::greedy(self, self.start(sources)?, sources.len(), &self.limits(max_length))
    }

    /// Draws a target for each source with [`decode::sample`].
    ///
    /// # Errors
    /// Same as [`Seq2Seq::start`] and [`decode::sample`].
    pub fn sample<S: AsRef<[u32]>>(
        &self,
        sources: &[S],
        max_length: usize,
        sampling: &Sampling,
        rng: &mut Rng,
    ) -> Result<Vec<Hypothesis>> {
        decode::sample(self, self.start(sources)?, sources.len(), &self.limits(max_length), sampling, rng)
    }

    /// Returns the best targets of each source, best first, found by [`decode::beam`].
    ///
    /// # Errors
    /// Same as [`Seq2Seq::start`] and [`decode::beam`].
    pub fn beam<S: AsRef<[u32]>>(&self, sources: &[S], max_length: usize, beam: &Beam) -> Result<Vec<Vec<Hypothesis>>> {
        decode::beam(self, self.start(sources)?, sources.len(), &self.limits(max_length), beam)
    }
}

/// Each step waits until the log-probabilities are read back, so browsers must decode on the CPU.
impl TokenStep for Seq2Seq {
    type State = DecoderState;

    fn step(&self, state: &DecoderState, tokens: &[u32]) -> Result<(Vec<f32>, DecoderState)> {
        let tokens = Tensor::from_indices(&self.device, tokens, &[1, tokens.len()])?;
        let (logits, _, hidden) = self.decode(&state.memory, &state.hidden, &tokens, &mut Mode::Eval)?;
        Ok((logits.log_softmax()?.read_now()?, DecoderState { memory: state.memory.clone(), hidden }))
    }

    fn select(&self, state: &DecoderState, rows: &[usize]) -> Result<DecoderState> {
        let memory = state.memory.select(rows)?;
        let [layers, batch, width] = [0, 1, 2].map(|axis| state.hidden.dims()[axis]);
        let index: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let index = Tensor::from_indices(&self.device, &index, &[rows.len()])?;
        let by_row = state.hidden.permute(&[1, 0, 2])?.reshape(&[batch, layers * width])?;
        let hidden = by_row.gather(&index)?.reshape(&[rows.len(), layers, width])?.permute(&[1, 0, 2])?;
        Ok(DecoderState { memory, hidden })
    }
}
