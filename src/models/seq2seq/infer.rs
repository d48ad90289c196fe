//! Inference: the decoder, a token at a time

use super::Seq2Seq;
use crate::error::Result;
use crate::models::decode::{self, Beam, Hypothesis, Limits, Sampling, TokenStep};
use crate::nn::{AttentionMemory, Mode};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// What a [`Seq2Seq`] remembers of sources and of the tokens so far.
#[derive(Clone, Debug)]
pub struct DecoderState {
    memory: AttentionMemory,
    /// `[layers, B, H]`
    hidden: Tensor,
}

impl Seq2Seq {
    /// The state before the first token of a target.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an empty batch or source, or a token past the vocabulary.
    pub fn start<S: AsRef<[u32]>>(&self, sources: &[S]) -> Result<DecoderState> {
        let (memory, hidden) = self.encode(sources, &mut Mode::Eval)?;
        Ok(DecoderState { memory, hidden })
    }

    fn limits(&self, max_length: usize) -> Limits {
        Limits { start: self.config.start, end: self.config.end, max_length }
    }

    /// The target of each source by [`decode::greedy`], of at most `max_length` tokens, the end included.
    ///
    /// # Errors
    /// As [`Seq2Seq::start`] and [`decode::greedy`].
    pub fn greedy<S: AsRef<[u32]>>(&self, sources: &[S], max_length: usize) -> Result<Vec<Hypothesis>> {
        decode::greedy(self, self.start(sources)?, sources.len(), &self.limits(max_length))
    }

    /// A target of each source by [`decode::sample`].
    ///
    /// # Errors
    /// As [`Seq2Seq::start`] and [`decode::sample`].
    pub fn sample<S: AsRef<[u32]>>(
        &self,
        sources: &[S],
        max_length: usize,
        sampling: &Sampling,
        rng: &mut Rng,
    ) -> Result<Vec<Hypothesis>> {
        decode::sample(self, self.start(sources)?, sources.len(), &self.limits(max_length), sampling, rng)
    }

    /// The best targets of each source by [`decode::beam`], best first.
    ///
    /// # Errors
    /// As [`Seq2Seq::start`] and [`decode::beam`].
    pub fn beam<S: AsRef<[u32]>>(&self, sources: &[S], max_length: usize, beam: &Beam) -> Result<Vec<Vec<Hypothesis>>> {
        decode::beam(self, self.start(sources)?, sources.len(), &self.limits(max_length), beam)
    }
}

/// Each step reads the log-probabilities back and waits for them, so a browser decodes on the CPU.
impl TokenStep for Seq2Seq {
    type State = DecoderState;

    fn step(&self, state: &DecoderState, tokens: &[u32]) -> Result<(Vec<f32>, DecoderState)> {
        let tokens = Tensor::from_indices(&self.device, tokens, &[1, tokens.len()])?;
        let (logits, _, hidden) = self.decode(&state.memory, &state.hidden, &tokens, &mut Mode::Eval)?;
        Ok((logits.log_softmax()?.to_vec()?, DecoderState { memory: state.memory.clone(), hidden }))
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
