//! The gated recurrent unit

use super::recurrent::{Recurrent, RecurrentOptions, SequenceInput, Stack, StackConfig, Stacked};
use super::{Kind, Mode, Module};
use crate::cpu::Precision;
use crate::device::Device;
use crate::error::Result;
use crate::math::Activation;
use crate::ops::recurrent::{Cell, Plan};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// The activation of each gate of a GRU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GruActivations {
    /// Of the reset gate.
    pub reset: Activation,
    /// Of the update gate.
    pub update: Activation,
    /// Of the candidate.
    pub candidate: Activation,
}

impl Default for GruActivations {
    fn default() -> Self {
        Self { reset: Activation::Sigmoid, update: Activation::Sigmoid, candidate: Activation::Tanh }
    }
}

/// What a [`Gru`] is built from. The defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct GruConfig {
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
    /// Where the reset gate acts: after the recurrent product (PyTorch, Keras' default, ONNX 1), or before (Cho 2014,
    /// ONNX 0).
    pub reset_after: bool,
    /// Of the gates.
    pub activations: GruActivations,
    /// Clipping, padding, noise, learned first states.
    pub options: RecurrentOptions,
    /// How the steps are run; `None` chooses for the device.
    pub plan: Option<Plan>,
}

impl Default for GruConfig {
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
            reset_after: true,
            activations: GruActivations::default(),
            options: RecurrentOptions::default(),
            plan: None,
        }
    }
}

impl GruConfig {
    /// A layer with fresh weights.
    ///
    /// # Errors
    /// As [`Gru::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Gru> {
        Gru::new(device, self, rng)
    }

    fn stack(&self) -> StackConfig {
        let GruActivations { reset, update, candidate } = self.activations;
        StackConfig {
            op: "gru",
            cell: if self.reset_after { Cell::GruResetAfter } else { Cell::GruResetBefore },
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
            activations: [reset, update, candidate, candidate, candidate],
            coupled: false,
            peephole: false,
            options: self.options,
            plan: self.plan,
        }
    }
}

/// A gated recurrent unit over sequences, as `torch.nn.GRU`:
///
/// ```text
/// r = σ(W_r·x + b_r + U_r·h + d_r)    z = σ(W_z·x + b_z + U_z·h + d_z)    h' = (1 − z)⊙n + z⊙h
/// reset after:   n = tanh(W_n·x + b_n + r⊙(U_n·h + d_n))
/// reset before:  n = tanh(W_n·x + b_n + U_n·(r⊙h) + d_n)
/// ```
///
/// The update is computed as `n + z⊙(h − n)`, as PyTorch does: with an infinite state the other form differs.
///
/// Cho et al.: *Learning phrase representations using RNN encoder-decoder* (2014).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{GruConfig, SequenceInput, Mode}};
/// let device = Device::cpu();
/// let gru = GruConfig { input: 4, hidden: 8, layers: 2, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;                           // 10 steps, 3 sequences
/// let run = gru.run(&x, SequenceInput { lengths: Some(&[10, 7, 1]), ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 8]);
/// assert_eq!(run.h_n.dims(), [2, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Gru {
    config: GruConfig,
    stack: Stack,
}

/// The gates of one layer over a run, each `[T, B, D·H]` and off the tape: what the network keeps and forgets.
#[derive(Clone, Debug)]
pub struct GruGates {
    /// `r`: how much of the state the candidate sees.
    pub reset: Tensor,
    /// `z`: how much of the state stays.
    pub update: Tensor,
    /// `n`: what would take its place.
    pub candidate: Tensor,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct GruOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]`: the last layer's states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]`: the last state of every layer and direction.
    pub h_n: Tensor,
    /// By layer, the gates of every step; empty unless [`SequenceInput::taps`] asked for them.
    pub gates: Vec<GruGates>,
}

impl Gru {
    /// Weights and biases uniform in `±1/√H`, as PyTorch starts them.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a size of 0, a share outside `[0, 1)`, a clip of 0 or below, two
    /// directions of which one is to be the only, or a plan that does not know these options.
    pub fn new(device: &Device, config: GruConfig, rng: &mut Rng) -> Result<Self> {
        let stack = Stack::new(device, config.stack(), rng)?;
        Ok(Self { config, stack })
    }

    /// What it was built from.
    pub fn config(&self) -> &GruConfig {
        &self.config
    }

    /// The plan that runs its steps.
    pub fn plan(&self) -> Plan {
        self.stack.plan()
    }

    /// The same layer for inference on a GPU, whose steps read the recurrent matrices in fewer bits; everything is
    /// computed in f32. The parameters stay f32 and are packed again after they change; training and gradients are
    /// refused. [`Precision::Int8`] has a scale for each row of a gate; the states are not rounded. A row with a weight
    /// that is not finite, or beyond f16, gives NaN.
    ///
    /// ```no_run
    /// use wgru::{Device, Precision, Rng, nn::GruConfig};
    /// let device = Device::gpu_blocking()?;
    /// let gru = GruConfig { input: 400, hidden: 400, ..Default::default() }.build(&device, &mut Rng::new(0))?;
    /// let gru = gru.with_weights(Precision::Int8)?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) but for [`Precision::F32`] on the CPU, whose
    /// [streams](crate::StreamOptions::weights) keep weights in fewer bits, and for layers that only
    /// [`Plan::Steps`] can run: with other activations, a clip, zoneout or recurrent dropout.
    pub fn with_weights(self, weights: Precision) -> Result<Self> {
        Ok(Self { stack: self.stack.with_stored(weights)?, config: self.config })
    }

    /// How inference reads the recurrent matrices.
    pub fn weights(&self) -> Precision {
        self.stack.stored()
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a wrong shape of any argument,
    /// [`Error::Value`](crate::Error::Value) for a length past the steps, [`Error::DeviceMix`](crate::Error::DeviceMix),
    /// [`Error::DType`](crate::Error::DType), [`Error::Limit`](crate::Error::Limit).
    pub fn run(&self, x: &Tensor, input: SequenceInput, mode: &mut Mode) -> Result<GruOutput> {
        let taps: &[usize] = if input.taps { &[0, 1, 2] } else { &[] };
        let run = self.stack.run(x, input, mode, taps)?;
        let gates = |layer: Vec<Tensor>| {
            let mut layer = layer.into_iter();
            Some(GruGates { reset: layer.next()?, update: layer.next()?, candidate: layer.next()? })
        };
        Ok(GruOutput { output: run.output, h_n: run.last, gates: run.gates.into_iter().filter_map(gates).collect() })
    }
}

impl Recurrent for Gru {}

impl Stacked for Gru {
    const CELL: Cell = Cell::GruResetAfter;

    fn from_stack(device: &Device, c: StackConfig, rng: &mut Rng) -> Result<Self> {
        let config = GruConfig {
            input: c.input,
            hidden: c.hidden,
            layers: c.layers,
            bias: c.bias,
            batch_first: c.batch_first,
            dropout: c.dropout,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            reset_after: c.cell == Cell::GruResetAfter,
            activations: GruActivations {
                reset: c.activations[0],
                update: c.activations[1],
                candidate: c.activations[2],
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

impl Module for Gru {
    /// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then the same with `_reverse`, then layer 1; last the
    /// learned `h0`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.stack.parameters()
    }

    /// The output of [`Gru::run`] from a state of zeros, or the learned one.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, SequenceInput::default(), mode)?.output)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Gru(&self.config)
    }
}
