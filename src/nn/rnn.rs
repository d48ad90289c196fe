//! The simple recurrent layer

use super::recurrent::{Recurrent, RecurrentOptions, SequenceInput, Stack, StackConfig, Stacked};
use super::{Kind, Mode, Module};
use crate::device::Device;
use crate::error::Result;
use crate::math::Activation;
use crate::ops::recurrent::{Cell, Plan};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// What an [`Rnn`] is built from. The defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the hidden state.
    pub hidden: usize,
    /// Layers, each on the output of the one before.
    pub layers: usize,
    /// Whether the products have biases.
    pub bias: bool,
    /// `x` and the output are `[B, T, ..]` instead of `[T, B, ..]`. The states are `[.., B, H]` either way.
    pub batch_first: bool,
    /// Share of zeros between the layers in training; none after the last.
    pub dropout: f32,
    /// A second direction per layer that runs from each sequence's last step; outputs side by side.
    pub bidirectional: bool,
    /// The only direction runs backwards; outputs stay at their time.
    pub reverse: bool,
    /// Of the state. PyTorch's `nonlinearity`: `Tanh` or `Relu`.
    pub activation: Activation,
    /// Clipping, padding, noise, learned first states.
    pub options: RecurrentOptions,
    /// How the steps are run; `None` chooses for the device.
    pub plan: Option<Plan>,
}

impl Default for RnnConfig {
    fn default() -> Self {
        Self {
            input: 1,
            hidden: 32,
            layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            reverse: false,
            activation: Activation::Tanh,
            options: RecurrentOptions::default(),
            plan: None,
        }
    }
}

impl RnnConfig {
    /// A layer with fresh weights.
    ///
    /// # Errors
    /// As [`Rnn::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Rnn> {
        Rnn::new(device, self, rng)
    }

    fn stack(&self) -> StackConfig {
        StackConfig {
            op: "rnn",
            cell: Cell::Rnn,
            input: self.input,
            hidden: self.hidden,
            out: self.hidden,
            projected: false,
            layers: self.layers,
            bias: self.bias,
            batch_first: self.batch_first,
            dropout: self.dropout,
            bidirectional: self.bidirectional,
            reverse: self.reverse,
            activations: [self.activation; 5],
            coupled: false,
            peephole: false,
            options: self.options,
            plan: self.plan,
        }
    }
}

/// A simple recurrent layer over sequences, as `torch.nn.RNN`: `h' = f(W·x + b + U·h + d)`. Elman (1990).
///
/// ```
/// use wgru::{Activation, Device, Rng, Tensor, nn::{RnnConfig, SequenceInput, Mode}};
/// let device = Device::cpu();
/// let config = RnnConfig { input: 4, hidden: 8, activation: Activation::Relu, ..Default::default() };
/// let rnn = config.build(&device, &mut Rng::new(0))?;
/// let run = rnn.run(&Tensor::zeros(&device, &[10, 3, 4])?, SequenceInput::default(), &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Rnn {
    config: RnnConfig,
    stack: Stack,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct RnnOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]`: the last layer's states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]`: the last state of every layer and direction.
    pub h_n: Tensor,
}

impl Rnn {
    /// Weights and biases uniform in `±1/√H`, as PyTorch starts them.
    ///
    /// # Errors
    /// As [`Gru::new`](super::Gru::new).
    pub fn new(device: &Device, config: RnnConfig, rng: &mut Rng) -> Result<Self> {
        let stack = Stack::new(device, config.stack(), rng)?;
        Ok(Self { config, stack })
    }

    /// What it was built from.
    pub fn config(&self) -> &RnnConfig {
        &self.config
    }

    /// The plan that runs its steps.
    pub fn plan(&self) -> Plan {
        self.stack.plan()
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// As [`Gru::run`](super::Gru::run).
    pub fn run(&self, x: &Tensor, input: SequenceInput, mode: &mut Mode) -> Result<RnnOutput> {
        let run = self.stack.run(x, input, mode, &[])?;
        Ok(RnnOutput { output: run.output, h_n: run.last })
    }
}

impl Recurrent for Rnn {}

impl Stacked for Rnn {
    const CELL: Cell = Cell::Rnn;

    fn from_stack(device: &Device, c: StackConfig, rng: &mut Rng) -> Result<Self> {
        let config = RnnConfig {
            input: c.input,
            hidden: c.hidden,
            layers: c.layers,
            bias: c.bias,
            batch_first: c.batch_first,
            dropout: c.dropout,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            activation: c.activations[0],
            options: c.options,
            plan: c.plan,
        };
        config.build(device, rng)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }
}

impl Module for Rnn {
    /// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then the same with `_reverse`, then layer 1; last the
    /// learned `h0`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.stack.parameters()
    }

    /// The output of [`Rnn::run`] from a state of zeros, or the learned one.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, SequenceInput::default(), mode)?.output)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Rnn(&self.config)
    }
}
