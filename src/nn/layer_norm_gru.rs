//! GRU with layer normalization.

use super::layer_norm::EPS;
use super::{
    Kind, MinGruInput, MinGruOutput, Mode, Module, check_layers, check_lengths, check_sequences, check_share,
    check_state, uniform, valid_steps,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Configuration of a [`LayerNormGru`]. The fields are those of [`RecurrentConfig`](super::RecurrentConfig).
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormGruConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the hidden state; at least 2, because a single value cannot be normalized.
    pub hidden: usize,
    /// Number of stacked layers; each one runs on the output of the one below.
    pub layers: usize,
    /// Whether input and output are `[B, T, ..]` instead of `[T, B, ..]`. States are `[layers·D, B, H]` either way.
    pub batch_first: bool,
    /// Dropout probability between the layers during training; there is none after the last layer.
    pub dropout: f32,
    /// Adds to every layer a second direction, which runs from each sequence's last step; outputs are concatenated.
    pub bidirectional: bool,
    /// The only direction runs backward in time; each output stays at its time step.
    pub reverse: bool,
}

impl Default for LayerNormGruConfig {
    fn default() -> Self {
        Self { input: 1, hidden: 32, layers: 1, batch_first: false, dropout: 0.0, bidirectional: false, reverse: false }
    }
}

impl LayerNormGruConfig {
    /// Builds a layer with random weights.
    ///
    /// # Errors
    /// Same as [`LayerNormGru::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<LayerNormGru> {
        LayerNormGru::new(device, self, rng)
    }

    fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    fn check(&self) -> Result<()> {
        check_layers("LayerNormGru", self.layers)?;
        for (arg, size, least) in [("input", self.input, 1), ("hidden", self.hidden, 2)] {
            if size < least {
                return Err(Error::value("LayerNormGru", arg, format!("at least {least}"), size));
            }
        }
        // Checks the largest matrix of any layer before anything is multiplied or allocated.
        let widest = self.input.max(self.hidden.saturating_mul(2));
        Shape::new("LayerNormGru", &[self.hidden.saturating_mul(3), widest])?;
        check_share("LayerNormGru", "dropout", self.dropout)?;
        if self.bidirectional && self.reverse {
            return Err(Error::value("LayerNormGru", "reverse", "false for a bidirectional layer", true));
        }
        Ok(())
    }
}

/// Optional arguments of a run.
pub type LayerNormGruInput<'a> = MinGruInput<'a>;

/// Result of a run.
pub type LayerNormGruOutput = MinGruOutput;

/// A gated recurrent unit with layer normalization inside the gates:
///
/// ```text
/// r = σ(N(W_r·x) + N'(U_r·h))    z = σ(N(W_z·x) + N'(U_z·h))    n = tanh(N(W_n·x) + r⊙N'(U_n·h))
/// h' = (1 − z)⊙n + z⊙h
/// ```
///
/// `N` and `N'` are [`LayerNorm`](super::LayerNorm)s over the H units of one gate, each with its own gain and bias; the
/// matrices have no other bias. The layer trains at higher learning rates than a plain GRU, but is slower: it runs step
/// by step with one tape node per operation, while [`Gru`](super::Gru) has one node for all steps.
///
/// Parameters, with gates in the order r, z, n: `weight_ih_l{k}` `[3·H, I]`, `weight_hh_l{k}` `[3·H, H]`, and
/// `norm_ih_weight_l{k}`, `norm_ih_bias_l{k}`, `norm_hh_weight_l{k}`, `norm_hh_bias_l{k}` `[3·H]` each. Names of the
/// second direction end in `_reverse`.
///
/// Ba, Kiros, Hinton: *Layer normalization* (2016), the GRU in its supplement, but with a separate norm for each gate.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{LayerNormGruConfig, LayerNormGruInput, Mode}};
/// let device = Device::cpu();
/// let gru = LayerNormGruConfig { input: 4, hidden: 8, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;
/// let run = gru.run(&x, LayerNormGruInput { lengths: Some(&[10, 7, 1]), ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 8]);
/// assert_eq!(run.h_n.dims(), [1, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNormGru {
    config: LayerNormGruConfig,
    device: Device,
    /// For each layer and direction, the two matrices, then gain and bias of each norm.
    weights: Vec<[Tensor; 6]>,
}

const NAMES: [&str; 6] = ["weight_ih", "weight_hh", "norm_ih_weight", "norm_ih_bias", "norm_hh_weight", "norm_hh_bias"];

impl LayerNormGru {
    /// Creates a layer with matrices uniform in `±1/√H`, gains of 1 and biases of 0.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, fewer than 2 units, a dropout probability outside `[0, 1)`, or `reverse` of a
    /// bidirectional layer.
    pub fn new(device: &Device, config: LayerNormGruConfig, rng: &mut Rng) -> Result<Self> {
        config.check()?;
        let (h, directions) = (config.hidden, config.directions());
        let bound = 1.0 / (h as f32).sqrt();
        let flat = |value| Ok::<_, Error>(Tensor::full(device, value, &[3 * h])?.requires_grad());
        let mut weights = Vec::new();
        for layer in 0..config.layers {
            let input = if layer == 0 { config.input } else { directions * h };
            for _ in 0..directions {
                let w_ih = uniform(device, &[3 * h, input], bound, rng)?;
                let w_hh = uniform(device, &[3 * h, h], bound, rng)?;
                weights.push([w_ih, w_hh, flat(1.0)?, flat(0.0)?, flat(1.0)?, flat(0.0)?]);
            }
        }
        Ok(Self { config, device: device.clone(), weights })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &LayerNormGruConfig {
        &self.config
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong shape of `x` or `h0`, [`Error::Value`] for a length beyond the steps,
    /// [`Error::DeviceMix`], [`Error::DType`], [`Error::Limit`].
    pub fn run(&self, x: &Tensor, input: LayerNormGruInput, mode: &mut Mode) -> Result<LayerNormGruOutput> {
        let c = &self.config;
        let (steps, batch) = check_sequences("layer_norm_gru", &self.device, x, c.batch_first, c.input)?;
        let h0 = self.first_states(input.h0, batch)?;
        let masks = self.masks(input.lengths, steps, batch)?;
        let mut y = if c.batch_first { x.permute(&[1, 0, 2])? } else { x.clone() };
        if let (Some(lengths), true) = (input.lengths, masks.iter().any(Option::is_some)) {
            y = y.mask(&valid_steps(&self.device, lengths, steps)?)?;
        }
        let mut last = Vec::new();
        for layer in 0..c.layers {
            if layer > 0 {
                y = mode.dropout(&y, c.dropout)?;
            }
            let mut sides = Vec::new();
            for direction in 0..c.directions() {
                let index = layer * c.directions() + direction;
                let (states, h_n) = self.run_direction(index, direction == 1, &y, &h0[index], &masks, mode)?;
                sides.push(states);
                last.push(h_n.reshape(&[1, batch, c.hidden])?);
            }
            y = Tensor::concat(&sides.iter().collect::<Vec<_>>(), 2)?;
        }
        let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
        Ok(LayerNormGruOutput { output, h_n: Tensor::concat(&last.iter().collect::<Vec<_>>(), 0)? })
    }

    /// Runs all steps of one direction. Returns the states `[T, B, H]`, 0 beyond a sequence's end, and the last state
    /// `[B, H]`.
    fn run_direction(
        &self,
        index: usize,
        second: bool,
        x: &Tensor,
        h0: &Tensor,
        masks: &[Option<[Tensor; 2]>],
        mode: &Mode,
    ) -> Result<(Tensor, Tensor)> {
        let [steps, batch, h] = [x.dims()[0], x.dims()[1], self.config.hidden];
        let [w_ih, w_hh, norms @ ..] = self.weights[index].each_ref().map(|weight| mode.parameter(weight));
        let [gain_ih, bias_ih, gain_hh, bias_hh] = norms.map(|norm| norm.reshape(&[3, h]));
        let (gain_hh, bias_hh) = (gain_hh?, bias_hh?);
        // Projects the input of all steps at once.
        let projected = x.linear(&w_ih, None)?.reshape(&[steps, batch, 3, h])?;
        let projected = projected.layer_norm(&gain_ih?, &bias_ih?, EPS)?.split(0, &vec![1; steps])?;

        let mut state = h0.reshape(&[batch, 1, h])?;
        let mut outputs: Vec<Option<Tensor>> = vec![None; steps];
        for step in 0..steps {
            let t = if second || self.config.reverse { steps - 1 - step } else { step };
            let a = projected[t].reshape(&[batch, 3, h])?.split(1, &[2, 1])?;
            // Finished sequences contribute zeros, because 0·NaN would be NaN in the weight gradients, which are sums
            // over all sequences.
            let before = match &masks[t] {
                None => state.clone(),
                Some([valid, _]) => state.mask(valid)?,
            };
            let c = before.reshape(&[batch, h])?.linear(&w_hh, None)?.reshape(&[batch, 3, h])?;
            let c = c.layer_norm(&gain_hh, &bias_hh, EPS)?.split(1, &[2, 1])?;
            let gates = a[0].add(&c[0])?.sigmoid()?.split(1, &[1, 1])?;
            let n = a[1].add(&gates[0].mul(&c[1])?)?.tanh()?;
            let next = n.add(&gates[1].mul(&before.sub(&n)?)?)?;
            let (output, next) = match &masks[t] {
                None => (next.clone(), next),
                Some([valid, over]) => {
                    let kept = next.mask(valid)?;
                    (kept.clone(), kept.add(&state.mask(over)?)?)
                }
            };
            outputs[t] = Some(output.reshape(&[1, batch, h])?);
            state = next;
        }
        let outputs: Vec<&Tensor> = outputs.iter().flatten().collect();
        Ok((Tensor::concat(&outputs, 0)?, state.reshape(&[batch, h])?))
    }

    /// Returns the initial state of every layer and direction, `[1, B, H]` each.
    fn first_states(&self, h0: Option<&Tensor>, batch: usize) -> Result<Vec<Tensor>> {
        let (count, h) = (self.weights.len(), self.config.hidden);
        let Some(h0) = h0 else { return Ok(vec![Tensor::zeros(&self.device, &[1, batch, h])?; count]) };
        check_state("layer_norm_gru", "h0", &self.device, h0, [count, batch, h])?;
        h0.split(0, &vec![1; count])
    }

    /// Returns two masks `[B, 1, 1]` for every step at which any sequence has ended: 1 for the sequences that continue,
    /// and 1 for those that have ended.
    fn masks(&self, lengths: Option<&[usize]>, steps: usize, batch: usize) -> Result<Vec<Option<[Tensor; 2]>>> {
        let Some(lengths) = lengths else { return Ok(vec![None; steps]) };
        check_lengths("layer_norm_gru", lengths, batch, steps)?;
        let mask = |t: usize| -> Result<Option<[Tensor; 2]>> {
            if lengths.iter().all(|&length| t < length) {
                return Ok(None);
            }
            let marks = |valid: bool| {
                let marks: Vec<f32> = lengths.iter().map(|&length| f32::from((t < length) == valid)).collect();
                Tensor::from_slice(&self.device, &marks, &[batch, 1, 1])
            };
            Ok(Some([marks(true)?, marks(false)?]))
        };
        (0..steps).map(mask).collect()
    }
}

impl Module for LayerNormGru {
    /// Returns the parameters in the order listed at [`LayerNormGru`]: those of layer 0, then the same with `_reverse`,
    /// then layer 1.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let directions = self.config.directions();
        let named = |(index, weights): (usize, &[Tensor; 6])| {
            let (layer, suffix) = (index / directions, if index % directions == 1 { "_reverse" } else { "" });
            let name = move |(name, weight): (&&str, &Tensor)| (format!("{name}_l{layer}{suffix}"), weight.clone());
            NAMES.iter().zip(weights).map(name).collect::<Vec<_>>()
        };
        self.weights.iter().enumerate().flat_map(named).collect()
    }

    /// Returns the output of [`LayerNormGru::run`] from a state of zeros.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, LayerNormGruInput::default(), mode)?.output)
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<super::Padded> {
        let input = LayerNormGruInput { lengths: Some(lengths), ..Default::default() };
        Ok(super::Padded::Steps(self.run(x, input, mode)?.output))
    }

    fn kind(&self) -> Kind<'_> {
        Kind::LayerNormGru(&self.config)
    }
}
