//! The network: a convolution that halves the number of frames, a bidirectional GRU, and scores for the blank and the
//! digits.

use wgru::decode::{self, BeamOptions, Frames};
use wgru::nn::{Axes, Conv1d, Conv1dConfig, Gru, Linear, Mode, Module, RecurrentConfig, RunOptions, named_parameters};
use wgru::train::Batch;
use wgru::train::loss::{self, CtcOptions};
use wgru::{Device, Result, Rng, Tensor};

use crate::mel::BANDS;
use crate::strings::Utterances;

/// The blank, and ten digits.
pub const CLASSES: usize = 11;
const BLANK: u32 = 0;
/// Channels of the convolution.
const CHANNELS: usize = 64;
/// Dropout probability during training.
const DROPOUT: f32 = 0.2;

pub struct Model {
    conv: Conv1d,
    gru: Gru,
    head: Linear,
}

/// Log-probabilities of a batch, and its lengths.
struct Scores {
    log_probs: Tensor,
    lengths: Vec<usize>,
}

/// Output of the network for an utterance.
pub struct Heard {
    /// Digits of the best path.
    pub greedy: Vec<u8>,
    /// Digits of the best labeling.
    pub beam: Vec<u8>,
    /// `[steps, CLASSES]`
    pub probabilities: Vec<f32>,
}

impl Model {
    pub fn new(device: &Device, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let conv = Conv1dConfig {
            input: BANDS,
            output: CHANNELS,
            kernel: 5,
            stride: 2,
            padding: 2,
            axes: Axes::BatchFirst,
            ..Default::default()
        };
        let gru = RecurrentConfig { bidirectional: true, batch_first: true, ..RecurrentConfig::gru(CHANNELS, hidden) };
        Ok(Self {
            conv: conv.build(device, rng)?,
            gru: gru.build(device, rng)?,
            head: Linear::new(device, 2 * hidden, CLASSES, true, rng)?,
        })
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&[("conv", &self.conv), ("gru", &self.gru), ("head", &self.head)])
    }

    /// Scores the frames of a batch of [`Utterances`].
    fn scores(&self, batch: &Batch, mode: &mut Mode) -> Result<Scores> {
        let frames = batch.lengths().unwrap_or_default();
        let lengths: Vec<usize> = frames.iter().map(|&frames| self.conv.config().output_steps(frames)).collect();
        let x = self.conv.forward_with(batch.x(), mode)?.relu()?;
        let x = mode.dropout(&x, DROPOUT)?;
        let run = self.gru.run(&x, RunOptions { lengths: Some(&lengths), ..Default::default() }, mode)?;
        let y = mode.dropout(&run.output, DROPOUT)?;
        let by_step = self.head.forward_with(&y, mode)?.permute(&[1, 0, 2])?;
        Ok(Scores { log_probs: by_step.log_softmax()?, lengths })
    }

    /// Returns the loss of a batch of `utterances`, without knowing the positions of the digits.
    pub fn loss(&self, utterances: &Utterances, batch: &Batch, mode: &mut Mode) -> Result<Tensor> {
        let Scores { log_probs, lengths } = self.scores(batch, mode)?;
        let said = || batch.examples().iter().map(|&i| &utterances.list[i].digits);
        let targets: Vec<u32> = said().flatten().map(|&digit| u32::from(digit) + 1).collect();
        let counts: Vec<usize> = said().map(Vec::len).collect();
        let options = CtcOptions { blank: BLANK, zero_infinity: true, ..Default::default() };
        loss::ctc_with(&log_probs, &targets, &lengths, &counts, options)
    }

    pub fn listen(&self, batch: &Batch) -> Result<Vec<Heard>> {
        let Scores { log_probs, lengths } = self.scores(batch, &mut Mode::Eval)?;
        let (steps, values) = (log_probs.dims()[0], log_probs.read_blocking()?);
        let lengths = Some(&lengths[..]);
        let frames = Frames { log_probs: &values, steps, batch: batch.len(), classes: CLASSES, blank: BLANK, lengths };
        let (greedy, beam) = (decode::greedy(&frames)?, decode::beam_search(&frames, BeamOptions::default())?);
        let digits = |labels: &[u32]| labels.iter().map(|&label| (label - 1) as u8).collect();
        let row = |t: usize, b: usize| values[(t * batch.len() + b) * CLASSES..][..CLASSES].iter().map(|v| v.exp());
        let one = |b: usize| Heard {
            greedy: digits(&greedy[b].labels),
            beam: beam[b].first().map(|found| digits(&found.labels)).unwrap_or_default(),
            probabilities: (0..lengths.map_or(steps, |l| l[b])).flat_map(|t| row(t, b)).collect(),
        };
        Ok((0..batch.len()).map(one).collect())
    }
}
