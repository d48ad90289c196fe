//! Truncated back-propagation through time: sequences that continue from batch to batch, and their states.

use std::fmt;

use super::{Batch, Data};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Mode, Recurrent, RecurrentOutput, RunOptions};
use crate::tensor::Tensor;

/// A long sequence of tokens, such as a text, for a model that predicts the next token. The sequence is cut into equal
/// lanes, one for each row of a batch. Each batch has the next `steps` tokens of every lane, `[lanes, steps]`, and the
/// tokens after them as targets. So each row continues the same row of the previous batch, and a [`CarriedState`] can
/// carry the state over. Tokens that do not fill a window are left out.
///
/// ```
/// use wgru::nn::{Embedding, Linear, Module, RecurrentConfig, named_parameters};
/// use wgru::{Device, Rng, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let text: Vec<u32> = (0..2000).map(|i| [0, 1, 2, 1][i % 4]).collect();
/// let data = TokenLanes::new(&device, text, 8, 10)?;
/// let embedding = Embedding::new(&device, 3, 8, &mut rng)?;
/// let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(8, 16) }.build(&device, &mut rng)?;
/// let head = Linear::new(&device, 16, 3, true, &mut rng)?;
/// let parameters = named_parameters(&[("embedding", &embedding), ("gru", &gru), ("head", &head)]);
/// let options = TrainOptions { epochs: 3, batch: 8, shuffle: false, ..Default::default() };
/// let mut trainer = Trainer::new(Optimizer::adam(parameters, 0.02)?, options, rng);
/// let mut carried = CarriedState::default();
/// let history = trainer.fit_with_blocking(&data, None, |batch, mode| {
///     let x = embedding.forward_with(batch.x(), mode)?;
///     let run = carried.run(&gru, &x, batch, mode)?;
///     loss::cross_entropy(&head.forward_with(&run.output, mode)?, batch.targets())
/// })?;
/// assert!(history.loss[2] < 0.1);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct TokenLanes {
    device: Device,
    tokens: Vec<u32>,
    lanes: usize,
    steps: usize,
    /// Tokens from the start of one lane to the next.
    stride: usize,
}

impl TokenLanes {
    /// Cuts `tokens` into `lanes` lanes. A batch has `steps` tokens of each lane.
    ///
    /// # Errors
    /// [`Error::Value`] unless there are at least `lanes·steps + 1` tokens, one lane and one step.
    pub fn new(device: &Device, tokens: Vec<u32>, lanes: usize, steps: usize) -> Result<Self> {
        const OP: &str = "TokenLanes";
        for (arg, value) in [("lanes", lanes), ("steps", steps)] {
            if value == 0 {
                return Err(Error::value(OP, arg, "at least 1", 0));
            }
        }
        let stride = tokens.len().saturating_sub(1) / lanes;
        if stride < steps {
            let expected =
                format!("at least {}: one more than lanes · steps", lanes.saturating_mul(steps).saturating_add(1));
            return Err(Error::value(OP, "tokens", expected, tokens.len()));
        }
        Ok(Self { device: device.clone(), tokens, lanes, steps, stride })
    }
}

impl Data for TokenLanes {
    fn len(&self) -> usize {
        self.stride / self.steps * self.lanes
    }

    fn lanes(&self) -> Option<usize> {
        Some(self.lanes)
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        if let Some(example) = examples.iter().find(|&&i| i >= self.len()) {
            return Err(Error::value(
                "TokenLanes::batch",
                "examples",
                format!("indices below {}", self.len()),
                example,
            ));
        }
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for example in examples {
            let start = example % self.lanes * self.stride + example / self.lanes * self.steps;
            inputs.extend_from_slice(&self.tokens[start..][..self.steps]);
            targets.extend_from_slice(&self.tokens[start + 1..][..self.steps]);
        }
        let dims = [examples.len(), self.steps];
        let of = |tokens: &[u32]| Tensor::from_indices(&self.device, tokens, &dims);
        Ok(Batch::new(of(&inputs)?).with_targets(of(&targets)?).of(examples))
    }
}

/// Prints the number of tokens, not the tokens themselves.
impl fmt::Debug for TokenLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLanes")
            .field("tokens", &self.tokens.len())
            .field("lanes", &self.lanes)
            .field("steps", &self.steps)
            .field("device", &self.device)
            .finish()
    }
}

/// The states of a recurrent layer between batches that continue each other; see [`TokenLanes`].
///
/// A batch that begins with example 0 starts from a zero state, so every epoch does. Training and validation have
/// separate states. Gradients do not flow into earlier batches. Checkpoints do not contain the state: resume between
/// epochs.
#[derive(Clone, Debug, Default)]
pub struct CarriedState {
    train: State,
    eval: State,
}

/// Hidden and cell states.
#[derive(Clone, Debug, Default)]
struct State {
    h: Option<Tensor>,
    c: Option<Tensor>,
}

impl CarriedState {
    /// Runs the layer on `x`, the next steps of every row, from the states after the previous batch.
    ///
    /// # Errors
    /// Errors from [`Recurrent::run`], such as [`Error::Shape`] if the number of rows differs from the previous batch.
    pub fn run(&mut self, layer: &Recurrent, x: &Tensor, batch: &Batch, mode: &mut Mode) -> Result<RecurrentOutput> {
        let state = if matches!(mode, Mode::Eval) { &mut self.eval } else { &mut self.train };
        if batch.examples().first() == Some(&0) {
            *state = State::default();
        }
        let options = RunOptions { h0: state.h.as_ref(), c0: state.c.as_ref(), ..RunOptions::default() };
        let run = layer.run(x, options, mode)?;
        *state = State { h: Some(run.h_n.detach()), c: run.c_n.as_ref().map(Tensor::detach) };
        Ok(run)
    }
}
