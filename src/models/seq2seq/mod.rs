//! Sequence-to-sequence model: an attention decoder over a GRU encoder.

mod infer;
mod train;

pub use infer::DecoderState;
pub use train::{Forcing, Seq2SeqOutput};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{
    Attention, AttentionConfig, AttentionMemory, Embedding, Gru, KeyMask, Linear, Mode, Module, RecurrentConfig, Score,
    check_share, named_parameters,
};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Where a decoder uses the attention context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextUse {
    /// The state before a step is the query, and the context is part of the cell's input, as in Bahdanau et al. (2015).
    Input,
    /// The state after a step is the query, as in Luong et al. (2015). With teacher forcing, all steps run together.
    #[default]
    Output,
}

/// Configuration of a [`Seq2Seq`].
#[derive(Clone, Debug, PartialEq)]
pub struct Seq2SeqConfig {
    /// Size of the source's vocabulary.
    pub source: usize,
    /// Size of the target's vocabulary, including start and end.
    pub target: usize,
    /// Features per token.
    pub embedding: usize,
    /// H, units of each encoder direction and of the decoder.
    pub hidden: usize,
    /// Number of layers of the encoder, and of the decoder.
    pub layers: usize,
    /// Whether the encoder is bidirectional.
    pub bidirectional: bool,
    /// How the decoder's state is compared with the encoder's.
    pub score: Score,
    /// Whether scores are divided by the square root of the number of products in them.
    pub scaled: bool,
    /// Where the context is used.
    pub context: ContextUse,
    /// Dropout probability during training: for embeddings, between layers, and before the output.
    pub dropout: f32,
    /// The token before the first one of a target.
    pub start: u32,
    /// The token that ends a target.
    pub end: u32,
}

impl Default for Seq2SeqConfig {
    fn default() -> Self {
        Self {
            source: 2,
            target: 2,
            embedding: 32,
            hidden: 64,
            layers: 1,
            bidirectional: true,
            score: Score::General,
            scaled: false,
            context: ContextUse::Output,
            dropout: 0.0,
            start: 0,
            end: 1,
        }
    }
}

impl Seq2SeqConfig {
    /// Builds a model with random weights.
    ///
    /// # Errors
    /// Same as [`Seq2Seq::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Seq2Seq> {
        Seq2Seq::new(device, self, rng)
    }

    /// Number of features of an encoder state.
    fn encoded(&self) -> usize {
        self.hidden.saturating_mul(1 + self.bidirectional as usize)
    }
}

/// A decoder with attention over a GRU encoder:
///
/// ```text
/// encoder  k_1 … k_S = GRU(E·x)                     h_0 = tanh(W_b·[last states of both directions])  per layer
/// Input    c_t = attention(h_{t−1}, k)              h_t = GRU([F·y_{t−1}; c_t], h_{t−1})
/// Output   c_t = attention(h_t, k)                  h_t = GRU(F·y_{t−1}, h_{t−1})
/// both     p(y_t) = softmax(W_o·tanh(W_c·[c_t; h_t]) + b_o)
/// ```
///
/// In queries and in the last line, `h` is the state of the top layer. Sources and targets are lists of tokens without
/// start and end; their lengths may differ within a batch. Parameters are named `source_embedding.weight`, `encoder.*`,
/// `bridge.*`, `attention.*`, `target_embedding.weight`, `decoder.*`, `combine.*` and `output.*`.
///
/// Sources: Bahdanau, Cho, Bengio, *Neural machine translation by jointly learning to align and translate* (2015);
/// Luong, Pham, Manning, *Effective approaches to attention-based neural machine translation* (2015).
///
/// ```
/// use wgru::models::{Forcing, Seq2SeqConfig, decode::Beam};
/// use wgru::{Device, Rng, nn::{Mode, Module}, train::{AdamConfig, Method, Optimizer}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let config = Seq2SeqConfig { source: 5, target: 5, embedding: 8, hidden: 16, ..Default::default() };
/// let model = config.build(&device, &mut rng)?;
/// let (sources, targets) = ([vec![2, 3, 4], vec![4, 2]], [vec![4, 3, 2], vec![2, 4]]);
/// let mut optimizer = Optimizer::adam(model.parameters(), 0.02)?;
/// for _ in 0..60 {
///     optimizer.zero_grad();
///     model.loss(&sources, &targets, &Forcing::default(), &mut Mode::Train(&mut rng))?.backward()?;
///     optimizer.step()?;
/// }
/// assert_eq!(model.greedy(&sources, 10)?[0].tokens, targets[0]);
/// assert_eq!(model.beam(&sources, 10, &Beam::default())?[1][0].tokens, targets[1]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Seq2Seq {
    config: Seq2SeqConfig,
    device: Device,
    source_embedding: Embedding,
    encoder: Gru,
    bridge: Linear,
    attention: Attention,
    target_embedding: Embedding,
    decoder: Gru,
    combine: Linear,
    output: Linear,
}

impl Seq2Seq {
    /// Creates a model with random weights, drawn layer by layer by each layer's own `new`.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, start and end tokens that are equal or outside the target's vocabulary, a
    /// dropout outside `[0, 1)`, or a dot product of unequal widths: the encoder's states have 2·H features if it is
    /// bidirectional.
    pub fn new(device: &Device, config: Seq2SeqConfig, rng: &mut Rng) -> Result<Self> {
        for (arg, token) in [("start", config.start), ("end", config.end)] {
            if token as usize >= config.target {
                return Err(Error::value("Seq2Seq", arg, format!("a token below {}", config.target), token));
            }
        }
        if config.start == config.end {
            return Err(Error::value("Seq2Seq", "end", "another token than start", config.end));
        }
        let Seq2SeqConfig { source, target, embedding, hidden, layers, dropout, .. } = config;
        let encoded = config.encoded();
        let gru = |input, bidirectional| RecurrentConfig {
            input,
            hidden,
            layers,
            dropout: if layers > 1 { dropout } else { 0.0 },
            bidirectional,
            ..RecurrentConfig::default()
        };
        let attention = AttentionConfig {
            query: hidden,
            key: encoded,
            score: config.score,
            scaled: config.scaled,
            batch_first: false,
        };
        // Checked here, because a GRU with a single layer is built without dropout.
        check_share("Seq2Seq", "dropout", dropout)?;
        let fed = match config.context {
            ContextUse::Input => embedding.saturating_add(encoded),
            ContextUse::Output => embedding,
        };
        Ok(Self {
            source_embedding: Embedding::new(device, source, embedding, rng)?,
            encoder: gru(embedding, config.bidirectional).build(device, rng)?,
            bridge: Linear::new(device, encoded, hidden, true, rng)?,
            attention: attention.build(device, rng)?,
            target_embedding: Embedding::new(device, target, embedding, rng)?,
            decoder: gru(fed, false).build(device, rng)?,
            combine: Linear::new(device, encoded.saturating_add(hidden), hidden, true, rng)?,
            output: Linear::new(device, hidden, target, true, rng)?,
            device: device.clone(),
            config,
        })
    }

    /// Returns the configuration that the model was built from.
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.config
    }

    /// Encodes the sources. Returns the memory that the decoder attends to, and its initial state `[layers, B, H]`.
    fn encode<S: AsRef<[u32]>>(&self, sources: &[S], mode: &mut Mode) -> Result<(AttentionMemory, Tensor)> {
        let lengths: Vec<usize> = sources.iter().map(|source| source.as_ref().len()).collect();
        if sources.is_empty() || lengths.contains(&0) {
            return Err(Error::value("Seq2Seq", "sources", "at least one, each with at least one token", "none"));
        }
        let vocabulary = self.config.source;
        if let Some(token) = sources.iter().flat_map(|s| s.as_ref()).find(|token| **token as usize >= vocabulary) {
            return Err(Error::value("Seq2Seq", "sources", format!("tokens below {vocabulary}"), token));
        }
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let tokens = self.by_time(sources, steps, 0)?;
        let x = self.source_embedding.forward_with(&tokens, mode)?;
        let x = mode.dropout(&x, self.config.dropout)?;
        let input = crate::nn::RunOptions { lengths: Some(&lengths), ..Default::default() };
        let read = self.encoder.run(&x, input, mode)?;
        let memory = self.attention.prepare(&read.output, &read.output, KeyMask::Lengths(&lengths), mode)?;
        let (layers, width) = (self.config.layers, self.config.hidden);
        let directions = self.config.encoded() / width;
        // [layers·D, B, H] to [layers, B, D·H].
        let ends = read.h_n.reshape(&[layers, directions, lengths.len(), width])?.permute(&[0, 2, 1, 3])?;
        let ends = ends.reshape(&[layers, lengths.len(), directions * width])?;
        Ok((memory, self.bridge.forward_with(&ends, mode)?.tanh()?))
    }

    /// Returns the tokens `[steps, B]`, with `padding` past the ends of the sequences.
    fn by_time<S: AsRef<[u32]>>(&self, sequences: &[S], steps: usize, padding: u32) -> Result<Tensor> {
        let at = |t: usize| sequences.iter().map(move |s| s.as_ref().get(t).copied().unwrap_or(padding));
        let tokens: Vec<u32> = (0..steps).flat_map(at).collect();
        Tensor::from_indices(&self.device, &tokens, &[steps, sequences.len()])
    }

    /// Continues from `hidden` `[layers, B, H]` with `tokens` `[T, B]`. Returns the logits `[T, B, V]`, the attention
    /// weights `[B, T, S]`, and the state. T must be 1 if the context is part of the input.
    fn decode(
        &self,
        memory: &AttentionMemory,
        hidden: &Tensor,
        tokens: &Tensor,
        mode: &mut Mode,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let embedded = self.target_embedding.forward_with(tokens, mode)?;
        let embedded = mode.dropout(&embedded, self.config.dropout)?;
        let run = |x: &Tensor, mode: &mut Mode| {
            self.decoder.run(x, crate::nn::RunOptions { h0: Some(hidden), ..Default::default() }, mode)
        };
        let (read, attended) = match self.config.context {
            ContextUse::Input => {
                let top = hidden.slice(0, self.config.layers - 1..self.config.layers)?;
                let attended = self.attention.attend(&top, memory, mode)?;
                (run(&Tensor::concat(&[&embedded, &attended.context], 2)?, mode)?, attended)
            }
            ContextUse::Output => {
                let read = run(&embedded, mode)?;
                let attended = self.attention.attend(&read.output, memory, mode)?;
                (read, attended)
            }
        };
        let both = Tensor::concat(&[&attended.context, &read.output], 2)?;
        let combined = self.combine.forward_with(&both, mode)?.tanh()?;
        let combined = mode.dropout(&combined, self.config.dropout)?;
        Ok((self.output.forward_with(&combined, mode)?, attended.weights, read.h_n))
    }
}

impl Module for Seq2Seq {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&[
            ("source_embedding", &self.source_embedding),
            ("encoder", &self.encoder),
            ("bridge", &self.bridge),
            ("attention", &self.attention),
            ("target_embedding", &self.target_embedding),
            ("decoder", &self.decoder),
            ("combine", &self.combine),
            ("output", &self.output),
        ])
    }

    /// Runs only the encoder: tokens `[S, B]` of sources of one length give its states, `[S, B, H]` or `[S, B, 2·H]`.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let x = self.source_embedding.forward_with(x, mode)?;
        let x = mode.dropout(&x, self.config.dropout)?;
        self.encoder.forward_with(&x, mode)
    }
}
