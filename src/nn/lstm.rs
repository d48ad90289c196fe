//! The long short-term memory

use super::recurrent::{Recurrent, RecurrentOptions, SequenceInput, Stack, StackConfig, Stacked};
use super::{Kind, Mode, Module};
use crate::device::Device;
use crate::error::Result;
use crate::math::Activation;
use crate::ops::recurrent::{Cell, Plan};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// The activation of each gate of an LSTM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmActivations {
    /// Of the input gate.
    pub input: Activation,
    /// Of the forget gate.
    pub forget: Activation,
    /// Of the candidate of the cell state.
    pub cell: Activation,
    /// Of the output gate.
    pub output: Activation,
    /// Of the cell state, before the output gate.
    pub hidden: Activation,
}

impl Default for LstmActivations {
    fn default() -> Self {
        let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
        Self { input: sigmoid, forget: sigmoid, cell: tanh, output: sigmoid, hidden: tanh }
    }
}

/// What an [`Lstm`] is built from. The defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the cell state.
    pub hidden: usize,
    /// P, width that the hidden state is projected to; 0 for none. PyTorch: `proj_size`.
    pub projection: usize,
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
    /// The gates see the cell state, through weights of its own: Gers and Schmidhuber (2000). ONNX: `P`.
    pub peephole: bool,
    /// The forget gate is `1 − i`. ONNX: `input_forget`.
    pub input_forget: bool,
    /// Of the gates.
    pub activations: LstmActivations,
    /// Clipping, padding, noise, learned first states.
    pub options: RecurrentOptions,
    /// How the steps are run; `None` chooses for the device.
    pub plan: Option<Plan>,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self {
            input: 1,
            hidden: 32,
            projection: 0,
            layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            reverse: false,
            peephole: false,
            input_forget: false,
            activations: LstmActivations::default(),
            options: RecurrentOptions::default(),
            plan: None,
        }
    }
}

impl LstmConfig {
    /// A layer with fresh weights.
    ///
    /// # Errors
    /// As [`Lstm::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Lstm> {
        Lstm::new(device, self, rng)
    }

    fn stack(&self) -> StackConfig {
        let a = &self.activations;
        StackConfig {
            op: "lstm",
            cell: Cell::Lstm,
            input: self.input,
            hidden: self.hidden,
            out: if self.projection == 0 { self.hidden } else { self.projection },
            projected: self.projection > 0,
            layers: self.layers,
            bias: self.bias,
            batch_first: self.batch_first,
            dropout: self.dropout,
            bidirectional: self.bidirectional,
            reverse: self.reverse,
            activations: [a.input, a.forget, a.cell, a.output, a.hidden],
            coupled: self.input_forget,
            peephole: self.peephole,
            options: self.options,
            plan: self.plan,
        }
    }
}

/// A long short-term memory over sequences, as `torch.nn.LSTM`, gates in its order i, f, g, o:
///
/// ```text
/// i = σ(W_i·x + b_i + U_i·h + d_i)    f = σ(W_f·x + b_f + U_f·h + d_f)    g = tanh(W_g·x + b_g + U_g·h + d_g)
/// o = σ(W_o·x + b_o + U_o·h + d_o)    c' = f⊙c + i⊙g    h' = o⊙tanh(c')
/// projection:    h' = W_hr·(o⊙tanh(c'))
/// peepholes:     i and f also see p_i⊙c and p_f⊙c, o sees p_o⊙c'
/// input_forget:  f = 1 − i
/// ```
///
/// Hochreiter and Schmidhuber (1997); Gers et al. (2000); Sak et al. (2014).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{LstmConfig, SequenceInput, Mode}};
/// let device = Device::cpu();
/// let config = LstmConfig { input: 4, hidden: 8, projection: 5, ..Default::default() };
/// let lstm = config.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;
/// let run = lstm.run(&x, SequenceInput::default(), &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 5]);
/// assert_eq!((run.h_n.dims(), run.c_n.dims()), (&[1, 3, 5][..], &[1, 3, 8][..]));
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Lstm {
    config: LstmConfig,
    stack: Stack,
}

/// The gates of one layer over a run, each `[T, B, D·H]` and off the tape.
#[derive(Clone, Debug)]
pub struct LstmGates {
    /// `i`: how much of the candidate enters.
    pub input: Tensor,
    /// `f`: how much of the cell state stays.
    pub forget: Tensor,
    /// `g`: the candidate.
    pub cell: Tensor,
    /// `o`: how much of the cell state is shown.
    pub output: Tensor,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct LstmOutput {
    /// `[T, B, D·P]` or `[B, T, D·P]`, `P` the projection's width or H: the last layer's hidden states at every step.
    pub output: Tensor,
    /// `[layers·D, B, P]`: the last hidden state of every layer and direction.
    pub h_n: Tensor,
    /// `[layers·D, B, H]`: the last cell state of every layer and direction.
    pub c_n: Tensor,
    /// By layer, the gates of every step; empty unless [`SequenceInput::taps`] asked for them.
    pub gates: Vec<LstmGates>,
}

impl Lstm {
    /// Weights and biases uniform in `±1/√H`, as PyTorch starts them.
    ///
    /// # Errors
    /// As [`Gru::new`](super::Gru::new).
    pub fn new(device: &Device, config: LstmConfig, rng: &mut Rng) -> Result<Self> {
        let stack = Stack::new(device, config.stack(), rng)?;
        Ok(Self { config, stack })
    }

    /// What it was built from.
    pub fn config(&self) -> &LstmConfig {
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
    pub fn run(&self, x: &Tensor, input: SequenceInput, mode: &mut Mode) -> Result<LstmOutput> {
        let taps: &[usize] = if input.taps { &[0, 1, 2, 3] } else { &[] };
        let run = self.stack.run(x, input, mode, taps)?;
        let (out, width) = (self.stack.config.out, run.last.dims()[2]);
        let gates = |layer: Vec<Tensor>| {
            let mut l = layer.into_iter();
            Some(LstmGates { input: l.next()?, forget: l.next()?, cell: l.next()?, output: l.next()? })
        };
        Ok(LstmOutput {
            output: run.output,
            h_n: run.last.slice(2, 0..out)?,
            c_n: run.last.slice(2, out..width)?,
            gates: run.gates.into_iter().filter_map(gates).collect(),
        })
    }
}

impl Recurrent for Lstm {}

impl Stacked for Lstm {
    const CELL: Cell = Cell::Lstm;

    fn from_stack(device: &Device, c: StackConfig, rng: &mut Rng) -> Result<Self> {
        let config = LstmConfig {
            input: c.input,
            hidden: c.hidden,
            projection: if c.projected { c.out } else { 0 },
            layers: c.layers,
            bias: c.bias,
            batch_first: c.batch_first,
            dropout: c.dropout,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            peephole: c.peephole,
            input_forget: c.coupled,
            activations: {
                let [input, forget, cell, output, hidden] = c.activations;
                LstmActivations { input, forget, cell, output, hidden }
            },
            options: c.options,
            plan: c.plan,
        };
        config.build(device, rng)
    }

    fn stack(&self) -> &Stack {
        &self.stack
    }
}

impl Module for Lstm {
    /// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_hr_l0`, `weight_peephole_l0` (`[3H]`, of the
    /// gates i, f, o), then the same with `_reverse`, then layer 1; last the learned `h0` and `c0`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.stack.parameters()
    }

    /// The output of [`Lstm::run`] from a state of zeros, or the learned one.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, SequenceInput::default(), mode)?.output)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Lstm(&self.config)
    }
}
