//! The minimal gated recurrent unit

use super::{Kind, Linear, Mode, Module, check_layers, check_lengths, check_share, check_state, valid_steps};
use crate::autograd::min_gru;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::MinGruSequence;
use crate::ops::min_gru::{Layer, chunk};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// How the candidate of a [`MinGru`] is made, and its recurrence computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinGruForm {
    /// `h̃ = W_h·x + b_h`, as it is.
    #[default]
    Linear,
    /// `h̃ = g(W_h·x + b_h)`, which is positive, and the recurrence in logarithms: the paper's form for training. First
    /// states must not be negative; one below 0 gives NaN.
    Log,
}

/// What a [`MinGru`] is.
#[derive(Clone, Debug, PartialEq)]
pub struct MinGruConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the state.
    pub hidden: usize,
    /// Layers, each fed by the one below.
    pub layers: usize,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether input and output are `[B, T, ..]` instead of `[T, B, ..]`. States are `[layers·D, B, H]` either way.
    pub batch_first: bool,
    /// Share of the units dropped between layers in training.
    pub dropout: f32,
    /// Whether a second direction runs from the last step to the first.
    pub bidirectional: bool,
    /// Whether the only direction runs from the last step to the first.
    pub reverse: bool,
    /// How the candidate is made.
    pub form: MinGruForm,
}

impl Default for MinGruConfig {
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
            form: MinGruForm::Linear,
        }
    }
}

impl MinGruConfig {
    /// A layer with fresh weights.
    ///
    /// # Errors
    /// As [`MinGru::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<MinGru> {
        MinGru::new(device, self, rng)
    }

    fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }
}

/// What a run may take beside the sequences.
#[derive(Clone, Copy, Debug, Default)]
pub struct MinGruInput<'a> {
    /// `[layers·D, B, H]`, the first states; zeros if `None`.
    pub h0: Option<&'a Tensor>,
    /// Valid steps of each sequence, from 0 on. Beyond them the output is 0, and `h_n` is the state of the last valid
    /// step; the reverse direction starts there. Padding may hold anything, NaN included: it reaches neither outputs nor
    /// gradients.
    pub lengths: Option<&'a [usize]>,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct MinGruOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]`: the last layer's states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]`: the last state of every layer and direction.
    pub h_n: Tensor,
}

/// A minimal gated recurrent unit, whose gate and candidate do not look at the state:
///
/// ```text
/// z_t = σ(W_z·x_t + b_z)    h_t = (1 − z_t)⊙h_{t−1} + z_t⊙h̃_t
/// h̃_t = W_h·x_t + b_h,  or g(W_h·x_t + b_h) with g(v) = v + ½ for v ≥ 0, else σ(v)
/// ```
///
/// So all steps' gates are two matrix products, and the recurrence is a scan: on a GPU in chunks of the sequence at
/// once, always in the same order.
///
/// Parameters are named `layers.{k}.linear_z.weight` `[H, in]`, `layers.{k}.linear_z.bias` `[H]`, and the same of
/// `linear_h`; those of the second direction `layers.{k}.reverse.…`. `linear_z` and `linear_h` are the names of the
/// paper's code, `layers.{k}` what a PyTorch `ModuleList` of it makes of them.
///
/// Feng, Tung, Ahmed, Bengio, Hajimirsadeghi: *Were RNNs all we needed?* (2024).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{MinGruConfig, MinGruInput, Mode}};
/// let device = Device::cpu();
/// let layer = MinGruConfig { input: 4, hidden: 8, layers: 2, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;                           // 10 steps, 3 sequences
/// let run = layer.run(&x, MinGruInput { lengths: Some(&[10, 7, 0]), ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 8]);
/// assert_eq!(run.h_n.dims(), [2, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Debug)]
pub struct MinGru {
    config: MinGruConfig,
    device: Device,
    /// By layer, then direction: `linear_z` and `linear_h`.
    weights: Vec<Vec<[Linear; 2]>>,
}

/// What all layers of a run share.
struct Steps {
    p: MinGruSequence,
    lengths: Tensor,
    /// `[T, B, 1]`: 1 where a step is valid, else 0; `None` where all are.
    mask: Option<Tensor>,
}

impl MinGru {
    /// Weights and biases uniform in `±1/√in`, as PyTorch starts a `Linear`.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, a dropout outside `[0, 1)`, or two directions of which one is to be the only.
    pub fn new(device: &Device, config: MinGruConfig, rng: &mut Rng) -> Result<Self> {
        check_layers("MinGru", config.layers)?;
        for (arg, size) in [("input", config.input), ("hidden", config.hidden)] {
            if size == 0 {
                return Err(Error::value("MinGru", arg, "at least 1", 0));
            }
        }
        check_share("MinGru", "dropout", config.dropout)?;
        if config.bidirectional && config.reverse {
            return Err(Error::value("MinGru", "reverse", "false for a bidirectional layer", true));
        }
        let h = config.hidden;
        let mut weights = Vec::new();
        for layer in 0..config.layers {
            let input = if layer == 0 { config.input } else { h.saturating_mul(config.directions()) };
            let mut make = |_| -> Result<[Linear; 2]> {
                let mut linear = || Linear::new(device, input, h, config.bias, rng);
                Ok([linear()?, linear()?])
            };
            weights.push((0..config.directions()).map(&mut make).collect::<Result<Vec<_>>>()?);
        }
        Ok(Self { config, device: device.clone(), weights })
    }

    /// What it was built from.
    pub fn config(&self) -> &MinGruConfig {
        &self.config
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong shape of `x` or `h0`, [`Error::Value`] for a length past the steps,
    /// [`Error::DeviceMix`], [`Error::DType`].
    pub fn run(&self, x: &Tensor, input: MinGruInput, mode: &mut Mode) -> Result<MinGruOutput> {
        let (c, directions) = (&self.config, self.config.directions());
        let steps = self.steps(x, input)?;
        let mut y = if c.batch_first { x.permute(&[1, 0, 2])? } else { x.clone() };
        let dims = [c.layers * directions, steps.p.batch as usize, c.hidden];
        let first = input.h0.cloned().map_or_else(|| Tensor::zeros(&self.device, &dims), Ok)?;
        let mut last = Vec::new();
        for layer in 0..c.layers {
            if layer > 0 {
                y = mode.dropout(&y, c.dropout)?;
            }
            let at = layer * directions;
            let h0 = if c.layers == 1 { first.clone() } else { first.slice(0, at..at + directions)? };
            let [output, h_n] = self.run_layer(layer, &steps, &y, &h0, mode)?;
            y = output;
            last.push(h_n);
        }
        let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
        let h_n = match &last[..] {
            [one] => one.clone(),
            _ => Tensor::concat(&last.iter().collect::<Vec<_>>(), 0)?,
        };
        Ok(MinGruOutput { output, h_n })
    }

    /// The output and the last states `[D, B, H]` of a layer.
    fn run_layer(&self, index: usize, steps: &Steps, x: &Tensor, h0: &Tensor, mode: &Mode) -> Result<[Tensor; 2]> {
        let linears: Vec<_> = self.weights[index].iter().flatten().map(|linear| linear.used(mode)).collect();
        let layer = Layer { p: steps.p, lengths: steps.lengths.clone() };
        match &steps.mask {
            // The gradients of the weights are products over all steps. Later layers read outputs, which are 0 there.
            Some(mask) if index == 0 && (x.is_tracked() || linears.iter().any(|(weight, _)| weight.is_tracked())) => {
                min_gru(x, &x.detach().mask(mask)?, h0, &linears, layer)
            }
            _ => min_gru(x, &x.detach(), h0, &linears, layer),
        }
    }

    /// The extents and lengths of a run, checked.
    fn steps(&self, x: &Tensor, input: MinGruInput) -> Result<Steps> {
        let c = &self.config;
        x.check_dtype("min_gru", "x", "f32")?;
        self.device.check_same("min_gru", "x", x)?;
        let (steps, batch) = match *x.dims() {
            [batch, steps, i] if c.batch_first && i == c.input => (steps, batch),
            [steps, batch, i] if !c.batch_first && i == c.input => (steps, batch),
            _ => {
                let axes = if c.batch_first { "batch, steps" } else { "steps, batch" };
                return Err(Error::shape("min_gru", "x", format!("[{axes}, {}]", c.input), x.dims()));
            }
        };
        if let Some(h0) = input.h0 {
            check_state("min_gru", "h0", &self.device, h0, [c.layers * c.directions(), batch, c.hidden])?;
        }
        let whole = vec![steps; batch];
        let lengths = input.lengths.unwrap_or(&whole);
        check_lengths("min_gru", lengths, batch, steps)?;
        let has_gaps = lengths.iter().any(|&length| length < steps);
        let mask = has_gaps.then(|| valid_steps(&self.device, lengths, steps)).transpose()?;
        let words: Vec<u32> = lengths.iter().map(|&l| l as u32).collect();
        let width = batch.saturating_mul(c.hidden).saturating_mul(c.directions());
        let chunk = chunk(&self.device, steps, width);
        let [steps, batch, hidden, directions, chunk] =
            [steps, batch, c.hidden, c.directions(), chunk].map(|n| n as u32);
        let reverse = if c.bidirectional { 0 } else { 2 - c.reverse as u32 };
        let log = (c.form == MinGruForm::Log) as u32;
        let p = MinGruSequence { steps, batch, hidden, directions, reverse, log, chunk };
        let lengths = Tensor::from_indices(&self.device, &words, &[words.len()])?;
        Ok(Steps { p, lengths, mask })
    }
}

impl Module for MinGru {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut all = Vec::new();
        for (layer, weights) in self.weights.iter().enumerate() {
            for (d, linears) in weights.iter().enumerate() {
                let direction = if d == 1 { "reverse." } else { "" };
                for (linear, name) in linears.iter().zip(["linear_z", "linear_h"]) {
                    let named = |(part, t)| (format!("layers.{layer}.{direction}{name}.{part}"), t);
                    all.extend(linear.parameters().into_iter().map(named));
                }
            }
        }
        all
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, MinGruInput::default(), mode)?.output)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::MinGru(&self.config)
    }
}
