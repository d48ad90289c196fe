//! The gated recurrent unit, as a layer of any depth

use std::sync::Mutex;

use super::{Mode, Module, check_dropout, uniform};
use crate::autograd::record;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::recurrent::{Cell, Layer, Plan, Weights, check_lengths};
use crate::rng::Rng;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// What a [`Gru`] is. Names and defaults are those of `torch.nn.GRU`.
#[derive(Clone, Debug, PartialEq)]
pub struct GruConfig {
    /// I, features of the input.
    pub input: usize,
    /// H, units of the hidden state.
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
    /// Whether the reset gate acts after the recurrent product (PyTorch) or before it (Cho 2014, ONNX's default).
    pub reset_after: bool,
    /// How the steps are run; `None` leaves it to [`Plan::choose`].
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

    fn directions(&self) -> usize {
        1 + self.bidirectional as usize
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
/// Cho et al.: *Learning phrase representations using RNN encoder-decoder* (2014).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{GruConfig, GruInput, Mode}};
/// let device = Device::cpu();
/// let gru = GruConfig { input: 4, hidden: 8, layers: 2, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;                           // 10 steps, 3 sequences
/// let run = gru.run(&x, GruInput { lengths: Some(&[10, 7, 1]), ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 8]);
/// assert_eq!(run.h_n.dims(), [2, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Gru {
    config: GruConfig,
    device: Device,
    /// By layer, then direction: `w_ih`, `w_hh`, and the biases.
    weights: Vec<Vec<Weights>>,
    /// By layer: the packed recurrent matrix, by the versions of what it was packed from.
    packed: Vec<Cached<Vec<u64>>>,
    /// The lengths of a batch whose sequences are all whole, by batch and steps.
    whole: Cached<[usize; 2]>,
}

/// A tensor, with what it was made for.
type Cached<K> = Mutex<Option<(K, Tensor)>>;

/// What a run may take beside the sequences.
#[derive(Clone, Copy, Debug, Default)]
pub struct GruInput<'a> {
    /// `[layers·D, B, H]`, the first states; zeros if `None`.
    pub h0: Option<&'a Tensor>,
    /// Valid steps of each sequence. Beyond them the output is 0, and `h_n` is the state of the last valid step; the
    /// reverse direction starts there. Padding may hold any finite values.
    pub lengths: Option<&'a [usize]>,
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct GruOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]`: the last layer's states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]`: the last state of every layer and direction.
    pub h_n: Tensor,
}

impl Gru {
    /// Weights and biases uniform in `±1/√H`, as PyTorch starts them.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, a dropout outside `[0, 1)`, or two directions of which one is to be the only.
    pub fn new(device: &Device, config: GruConfig, rng: &mut Rng) -> Result<Self> {
        for (arg, size) in [("input", config.input), ("hidden", config.hidden), ("layers", config.layers)] {
            if size == 0 {
                return Err(Error::value("Gru", arg, "at least 1", 0));
            }
        }
        // The largest matrix of any layer: refused here, before sizes are multiplied or anything is made.
        let widest = config.input.max(config.hidden.saturating_mul(2));
        Shape::new("Gru", &[config.hidden.saturating_mul(4), widest])?;
        check_dropout("Gru", config.dropout)?;
        if config.bidirectional && config.reverse {
            return Err(Error::value("Gru", "reverse", "false for a bidirectional layer", true));
        }
        if let Some(plan) = config.plan {
            plan.check(device, config.hidden)?;
        }
        let (h, directions) = (config.hidden, config.directions());
        let bound = 1.0 / (h as f32).sqrt();
        let mut weights = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let input = if layer == 0 { config.input } else { directions * h };
            let mut make = |_| -> Result<Weights> {
                let w_ih = uniform(device, &[3 * h, input], bound, rng)?;
                let w_hh = uniform(device, &[3 * h, h], bound, rng)?;
                let mut bias = || uniform(device, &[3 * h], bound, rng);
                let bias = if config.bias { Some((bias()?, bias()?)) } else { None };
                Ok(Weights { w_ih, w_hh, bias })
            };
            weights.push((0..directions).map(&mut make).collect::<Result<Vec<_>>>()?);
        }
        let packed = (0..config.layers).map(|_| Mutex::default()).collect();
        Ok(Self { config, device: device.clone(), weights, packed, whole: Mutex::default() })
    }

    /// What it was built from.
    pub fn config(&self) -> &GruConfig {
        &self.config
    }

    /// The plan that runs its steps.
    pub fn plan(&self) -> Plan {
        self.config.plan.unwrap_or_else(|| Plan::choose(&self.device, self.config.hidden))
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong shape of `x` or `h0`, [`Error::Value`] for a length of 0 or past the steps,
    /// [`Error::DeviceMix`], [`Error::DType`], [`Error::Limit`].
    pub fn run(&self, x: &Tensor, input: GruInput, mode: &mut Mode) -> Result<GruOutput> {
        let c = &self.config;
        let (h, directions) = (c.hidden, c.directions());
        x.check_dtype("gru", "x", "f32")?;
        self.device.check_same("gru", "x", x)?;
        let (steps, batch) = match *x.dims() {
            [batch, steps, i] if c.batch_first && i == c.input => (steps, batch),
            [steps, batch, i] if !c.batch_first && i == c.input => (steps, batch),
            _ => {
                let axes = if c.batch_first { "batch, steps" } else { "steps, batch" };
                return Err(Error::shape("gru", "x", format!("[{axes}, {}]", c.input), x.dims()));
            }
        };
        let h0 = match input.h0 {
            None => Tensor::zeros(&self.device, &[c.layers * directions, batch, h])?,
            Some(h0) if h0.dims() == [c.layers * directions, batch, h] => h0.clone(),
            Some(h0) => {
                return Err(Error::shape("gru", "h0", format!("[{}, {batch}, {h}]", c.layers * directions), h0.dims()));
            }
        };
        h0.check_dtype("gru", "h0", "f32")?;
        self.device.check_same("gru", "h0", &h0)?;
        let lengths = self.lengths(input.lengths, batch, steps)?;

        let mut y = if c.batch_first { x.permute(&[1, 0, 2])? } else { x.clone() };
        let mut states = Vec::with_capacity(c.layers);
        for layer in 0..c.layers {
            if layer > 0 {
                y = mode.dropout(&y, c.dropout)?;
            }
            let first = layer * directions;
            let start = if c.layers == 1 { h0.clone() } else { h0.slice(0, first..first + directions)? };
            let (output, h_n) = self.run_layer(layer, &y, &start, &lengths, mode)?;
            y = output;
            states.push(h_n);
        }
        let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
        let h_n = match &states[..] {
            [one] => one.clone(),
            _ => Tensor::concat(&states.iter().collect::<Vec<_>>(), 0)?,
        };
        Ok(GruOutput { output, h_n })
    }

    fn run_layer(
        &self,
        index: usize,
        x: &Tensor,
        h0: &Tensor,
        lengths: &Tensor,
        mode: &Mode,
    ) -> Result<(Tensor, Tensor)> {
        let [steps, batch, input] = [0, 1, 2].map(|axis| x.dims()[axis]);
        let c = &self.config;
        let layer = Layer {
            cell: if c.reset_after { Cell::GruResetAfter } else { Cell::GruResetBefore },
            steps,
            batch,
            input,
            hidden: c.hidden,
            directions: c.directions(),
            reverse: c.reverse,
            plan: self.plan(),
        };
        let parameters: Vec<Tensor> = self.weights[index].iter().flat_map(|w| w.list()).collect();
        let used: Vec<Tensor> = parameters.iter().map(|p| mode.parameter(p)).collect();
        let inputs: Vec<&Tensor> = [x, h0].into_iter().chain(&used).collect();
        let tracked = inputs.iter().any(|t| t.is_tracked());

        let weights: Vec<Weights> = self.weights[index].iter().map(Weights::detach).collect();
        let packed = self.packed(index, &layer, &weights)?;
        let (x, h0) = (x.detach(), h0.detach());
        let run = layer.forward(&x, &h0, lengths, &weights, &packed, tracked)?;
        let saved: Vec<&Tensor> = std::iter::once(&x).chain(&parameters).collect();
        let (state, gates, lengths, x_kept) = (run.state, run.saved, lengths.clone(), x.clone());
        let [y, h_n] = record("gru", &inputs, &saved, [run.y, run.h_n], || {
            let dims = (
                [layer.steps, layer.batch, layer.directions * layer.hidden],
                [layer.directions, layer.batch, layer.hidden],
            );
            Box::new(move |dys| {
                let or_zeros = |dy: &Option<Tensor>, dims: &[usize]| match dy {
                    Some(dy) => Ok(dy.clone()),
                    None => Tensor::zeros(x_kept.device(), dims),
                };
                let (dy, dh_n) = (or_zeros(&dys[0], &dims.0)?, or_zeros(&dys[1], &dims.1)?);
                let grads = layer.backward(&x_kept, &lengths, &weights, &state, &gates, &dy, &dh_n)?;
                let count = weights[0].list().len();
                let weights = grads.weights.into_iter().flat_map(|w| w.into_iter().take(count));
                Ok([grads.dx, grads.dh0].into_iter().chain(weights).map(Some).collect())
            })
        });
        Ok((y, h_n))
    }

    /// The packed recurrent matrices of a layer, made again only after its weights changed.
    fn packed(&self, index: usize, layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
        let versions: Vec<u64> = weights.iter().flat_map(|w| w.list()).map(|t| t.version()).collect();
        let mut slot = self.packed[index].lock().expect("packing does not panic");
        if let Some((made_for, packed)) = &*slot
            && *made_for == versions
        {
            return Ok(packed.clone());
        }
        let packed = layer.pack(weights, false)?;
        *slot = Some((versions, packed.clone()));
        Ok(packed)
    }

    fn lengths(&self, lengths: Option<&[usize]>, batch: usize, steps: usize) -> Result<Tensor> {
        if let Some(lengths) = lengths {
            return Tensor::from_indices(&self.device, &check_lengths("gru", lengths, batch, steps)?, &[batch]);
        }
        let mut slot = self.whole.lock().expect("an upload does not panic");
        if let Some((made_for, lengths)) = &*slot
            && *made_for == [batch, steps]
        {
            return Ok(lengths.clone());
        }
        let lengths = Tensor::from_indices(&self.device, &vec![steps as u32; batch], &[batch])?;
        *slot = Some(([batch, steps], lengths.clone()));
        Ok(lengths)
    }
}

impl Module for Gru {
    /// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then the same with `_reverse`, then layer 1.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::new();
        for (layer, directions) in self.weights.iter().enumerate() {
            for (d, w) in directions.iter().enumerate() {
                let suffix = if d == 1 { "_reverse" } else { "" };
                let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
                out.extend(names.into_iter().zip(w.list()).map(|(n, t)| (format!("{n}_l{layer}{suffix}"), t)));
            }
        }
        out
    }

    /// The output of [`Gru::run`] from a state of zeros.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, GruInput::default(), mode)?.output)
    }
}
