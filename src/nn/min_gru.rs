//! Minimal gated recurrent unit.

use super::{
    Kind, Linear, Mode, Module, check_layers, check_lengths, check_sequences, check_share, check_sizes, check_state,
    valid_steps,
};
use crate::autograd::min_gru;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::MinGruSequence;
use crate::ops::min_gru::{Layer, chunk};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Form of the candidate of a [`MinGru`] and of its recurrence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinGruForm {
    /// `h̃ = W_h·x + b_h`
    #[default]
    Linear,
    /// `h̃ = g(W_h·x + b_h)`, which is positive, with the recurrence in logarithms: the paper's form for training. A
    /// negative initial state gives NaN.
    Log,
}

/// Configuration of a [`MinGru`].
#[derive(Clone, Debug, PartialEq)]
pub struct MinGruConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the state.
    pub hidden: usize,
    /// Number of stacked layers; each one runs on the output of the one below.
    pub layers: usize,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether input and output are `[B, T, ..]` instead of `[T, B, ..]`. States are `[layers·D, B, H]` either way.
    pub batch_first: bool,
    /// Dropout probability between the layers during training; there is none after the last layer.
    pub dropout: f32,
    /// Adds to every layer a second direction, which runs from each sequence's last step; outputs are concatenated.
    pub bidirectional: bool,
    /// The only direction runs backward in time; each output stays at its time step.
    pub reverse: bool,
    /// Form of the candidate.
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
    /// Builds a layer with random weights.
    ///
    /// # Errors
    /// Same as [`MinGru::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<MinGru> {
        MinGru::new(device, self, rng)
    }

    fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }
}

/// Optional arguments of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct MinGruInput<'a> {
    /// `[layers·D, B, H]`, the initial states; `None` for zeros.
    pub h0: Option<&'a Tensor>,
    /// Number of valid steps of each sequence. Beyond them the output is 0, and `h_n` is the state of the last valid
    /// step; the reverse direction starts there. Padding may hold anything, NaN included: it reaches neither outputs
    /// nor gradients.
    pub lengths: Option<&'a [usize]>,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct MinGruOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]`: the last layer's states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]`: the last state of every layer and direction.
    pub h_n: Tensor,
}

/// A minimal gated recurrent unit, whose gate and candidate do not depend on the state:
///
/// ```text
/// z_t = σ(W_z·x_t + b_z)    h_t = (1 − z_t)⊙h_{t−1} + z_t⊙h̃_t
/// h̃_t = W_h·x_t + b_h,  or g(W_h·x_t + b_h) with g(v) = v + ½ for v ≥ 0, else σ(v)
/// ```
///
/// Two matrix products therefore compute the gates of all steps, and the recurrence is a scan. On a GPU, the scan runs
/// chunks of the sequence in parallel, and combines them in a fixed order.
///
/// Parameters are named `layers.{k}.linear_z.weight` `[H, in]`, `layers.{k}.linear_z.bias` `[H]`, and likewise for
/// `linear_h`; those of the second direction `layers.{k}.reverse.…`. The names are those of the paper's code in a
/// PyTorch `ModuleList`.
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
#[derive(Clone, Debug)]
pub struct MinGru {
    config: MinGruConfig,
    device: Device,
    /// `linear_z` and `linear_h`, by layer, then direction.
    weights: Vec<Vec<[Linear; 2]>>,
}

/// Extents and lengths of a run, shared by all layers.
struct Steps {
    p: MinGruSequence,
    lengths: Tensor,
    /// `[T, B, 1]`: 1 at valid steps, else 0; `None` if all steps are valid.
    mask: Option<Tensor>,
}

impl MinGru {
    /// Creates a layer with weights and biases uniform in `±1/√in`, as PyTorch's `Linear`.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, a dropout probability outside `[0, 1)`, or `reverse` of a bidirectional layer.
    pub fn new(device: &Device, config: MinGruConfig, rng: &mut Rng) -> Result<Self> {
        check_layers("MinGru", config.layers)?;
        check_sizes("MinGru", [("input", config.input), ("hidden", config.hidden)])?;
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

    /// Returns the configuration.
    pub fn config(&self) -> &MinGruConfig {
        &self.config
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong shape of `x` or `h0`, [`Error::Value`] for a length beyond the steps,
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

    /// Runs a layer. Returns its output and last states `[D, B, H]`.
    fn run_layer(&self, index: usize, steps: &Steps, x: &Tensor, h0: &Tensor, mode: &Mode) -> Result<[Tensor; 2]> {
        let linears: Vec<_> = self.weights[index].iter().flatten().map(|linear| linear.used(mode)).collect();
        let layer = Layer { p: steps.p, lengths: steps.lengths.clone() };
        match &steps.mask {
            // The gradients of the weights are products over all steps, so padding must be finite. Later layers read
            // outputs, which are 0 there.
            Some(mask) if index == 0 && (x.is_tracked() || linears.iter().any(|(weight, _)| weight.is_tracked())) => {
                min_gru(x, &x.detach().mask(mask)?, h0, &linears, layer)
            }
            _ => min_gru(x, &x.detach(), h0, &linears, layer),
        }
    }

    /// Checks the arguments and returns extents and lengths of a run.
    fn steps(&self, x: &Tensor, input: MinGruInput) -> Result<Steps> {
        let c = &self.config;
        let (steps, batch) = check_sequences("min_gru", &self.device, x, c.batch_first, c.input)?;
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

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<super::Padded> {
        let input = MinGruInput { lengths: Some(lengths), ..Default::default() };
        Ok(super::Padded::Steps(self.run(x, input, mode)?.output))
    }

    fn kind(&self) -> Kind<'_> {
        Kind::MinGru(&self.config)
    }
}
