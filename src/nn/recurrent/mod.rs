//! The recurrent layer, with stacked layers and directions of one cell.

mod config;
mod inputs;
mod names;
mod run;

use std::sync::{Arc, Mutex};

pub use config::{Padding, RecurrentConfig, RecurrentOptions};
pub use names::{Gru, Lstm, Rnn};
pub use run::{Gates, RecurrentOutput, RunOptions};

pub(crate) use config::parameter_name;
use inputs::Marks;

use super::{Kind, Mode, Module, check_sequences, uniform};
use crate::autograd::{Kept, RecurrentRun, recurrent};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::recurrent::{Format, Layer, Noise, Plan, Weights, chunk};
use crate::precision::Precision;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// A recurrent layer of any [`Cell`](crate::Cell). [`Gru`], [`Lstm`] and [`Rnn`] are aliases of it, and give the
/// equations.
///
/// A clone is cheap and shares the parameters: training one trains the other.
#[derive(Clone)]
pub struct Recurrent {
    config: RecurrentConfig,
    pub(crate) device: Device,
    /// Format in which inference reads the recurrent matrices.
    format: Format,
    /// Parameters by layer, then direction.
    pub(crate) weights: Vec<Vec<Weights>>,
    /// Learned initial states `[layers·D, 1, width]`, with their names.
    pub(crate) first: Vec<(&'static str, Tensor)>,
    /// Packed recurrent matrices, one entry per layer and one for all layers together. The key is whether the plan uses
    /// the entry, and the versions of the weights.
    packed: Vec<Cached<(bool, Vec<u64>)>>,
    /// Marks of the last batch without lengths, mask and resets, by batch and steps.
    whole: Cached<[usize; 2]>,
}

/// A cached tensor and the key that it was computed for.
type Cached<K> = Arc<Mutex<Option<(K, Tensor)>>>;

impl Recurrent {
    /// Creates a layer with random weights and biases, uniform in `±1/√H` as in PyTorch. Learned initial states are 0.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, a probability outside `[0, 1)`, a clip of 0 or below, an option that the cell
    /// does not have, `reverse` of a bidirectional layer, or a plan that cannot run these options.
    pub fn new(device: &Device, config: RecurrentConfig, rng: &mut Rng) -> Result<Self> {
        let bound = 1.0 / (config.hidden as f32).sqrt();
        Self::from_parameters(device, config, |name, dims| match name {
            "h0" | "c0" => Tensor::zeros(device, dims),
            _ => uniform(device, dims, bound, rng),
        })
    }

    /// Builds a layer from existing parameters. `parameter` returns each one by its name and shape, in the order of
    /// [`Module::parameters`].
    ///
    /// ```
    /// use wgru::{Device, Tensor, nn::{Module, Recurrent, RecurrentConfig}};
    /// let device = Device::cpu();
    /// let gru = Recurrent::from_parameters(&device, RecurrentConfig::gru(2, 3), |name, dims| {
    ///     Tensor::full(&device, if name.starts_with("weight") { 0.1 } else { 0.0 }, dims)
    /// })?;
    /// assert_eq!(gru.parameters()[1].1.read_blocking()?, [0.1; 27]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`new`](Self::new), and errors from `parameter`; [`Error::Shape`], [`Error::DType`] or
    /// [`Error::DeviceMix`] for a parameter of another shape, type or device.
    pub fn from_parameters(
        device: &Device,
        config: RecurrentConfig,
        mut parameter: impl FnMut(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        let config = config.canonical()?;
        config.check(device)?;
        let op = config.op();
        let mut parameters = config.shapes().into_iter().map(|(name, dims)| {
            let tensor = parameter(&name, &dims)?;
            tensor.check_dtype(op, "parameter", "f32")?;
            device.check_same(op, "parameter", &tensor)?;
            match tensor.dims() == dims {
                true => Ok(tensor.requires_grad()),
                false => Err(Error::shape(op, "parameter", format!("{dims:?} for {name}"), tensor.dims())),
            }
        });
        let mut next = || parameters.next().unwrap_or_else(|| unreachable!("`shapes` lists every parameter"));
        let mut direction = |_| -> Result<Weights> {
            Ok(Weights {
                w_ih: next()?,
                w_hh: next()?,
                bias: if config.bias { Some((next()?, next()?)) } else { None },
                w_hr: if config.is_projected() { Some(next()?) } else { None },
                peephole: if config.peephole { Some(next()?) } else { None },
            })
        };
        let mut layer = |_| (0..config.directions()).map(&mut direction).collect::<Result<Vec<_>>>();
        let weights = (0..config.layers).map(&mut layer).collect::<Result<Vec<_>>>()?;
        let first = ["h0", "c0"].into_iter().zip(parameters);
        let first = first.map(|(name, state)| Ok((name, state?))).collect::<Result<Vec<_>>>()?;
        let packed = (0..=config.layers).map(|_| Cached::default()).collect();
        let (device, format) = (device.clone(), Format::F32);
        Ok(Self { config, device, format, weights, first, packed, whole: Cached::default() })
    }

    /// Returns the configuration in canonical form, without activations if they are the cell's usual ones.
    pub fn config(&self) -> &RecurrentConfig {
        &self.config
    }

    /// Returns the plan that runs the steps. Without a fixed plan and without options, a run may choose another one for
    /// its batch size.
    pub fn plan(&self) -> Plan {
        let c = &self.config;
        c.plan.unwrap_or_else(|| match self.format.precision {
            Precision::F32 => Plan::choose(&self.device, c.hidden, c.fused()),
            _ => Plan::choose_fused(&self.device, c.hidden),
        })
    }

    /// Converts the layer to one for inference on a GPU that stores the recurrent matrices in low precision.
    ///
    /// All computation is in f32, and states are not rounded. The parameters stay f32, and are packed again after they
    /// change. Training and gradients return an error. [`Precision::Int8`] has one scale per row of a gate. A row with
    /// a weight that is not finite, or out of range for f16, gives NaN.
    ///
    /// ```no_run
    /// use wgru::{Device, Precision, Rng, nn::RecurrentConfig};
    /// let device = Device::gpu_blocking()?;
    /// let gru = RecurrentConfig::gru(400, 400).build(&device, &mut Rng::new(0))?;
    /// let gru = gru.with_weights(Precision::Int8)?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// For precisions other than [`Precision::F32`] and [`Precision::Auto`], [`Error::Value`] on the CPU, where
    /// [streams](crate::StreamOptions::weights) take other precisions; and for layers that only [`Plan::Steps`] can
    /// run: with other activations, a clip, a projection, peepholes, zoneout or recurrent dropout.
    pub fn with_weights(self, weights: Precision) -> Result<Self> {
        let c = &self.config;
        let refuse = |expected: &str| Err(Error::value(c.op(), "weights", expected, format!("{weights:?}")));
        match weights {
            Precision::F32 | Precision::Auto => {}
            _ if !self.device.is_gpu() => {
                return refuse("F32 on the CPU, whose streams take other formats: `StreamOptions::weights`");
            }
            _ if c.fused().is_none() || c.plan == Some(Plan::Steps) => {
                return refuse("F32 for these options or this plan");
            }
            _ => {}
        }
        let packed = (0..=c.layers).map(|_| Cached::default()).collect();
        Ok(Self { format: Format::of(weights), packed, ..self })
    }

    /// Returns the format in which inference reads the recurrent matrices.
    pub fn weights(&self) -> Precision {
        self.format.precision
    }

    /// Runs sequences `x` `[T, B, I]` (or `[B, T, I]`).
    ///
    /// # Errors
    /// [`Error::Shape`] for an argument of the wrong shape, [`Error::Value`] for a length beyond the steps,
    /// [`Error::DeviceMix`], [`Error::DType`], [`Error::Limit`].
    pub fn run(&self, x: &Tensor, options: RunOptions, mode: &mut Mode) -> Result<RecurrentOutput> {
        let c = &self.config;
        let directions = c.directions();
        let (steps, batch) = check_sequences(c.op(), &self.device, x, c.batch_first, c.input)?;
        if c.options.recompute && options.reset_to_h0 {
            return Err(Error::value(c.op(), "reset_to_h0", "false with `recompute`", true));
        }
        let marks = self.marks(&options, steps, batch)?;
        let mut first = self.first(&options, batch, mode)?;
        if let Some(begins) = &marks.begins {
            first = first.mask(&Tensor::from_slice(&self.device, begins, &[c.layers * directions, batch, 1])?)?;
        }

        let mut y = if c.batch_first { x.permute(&[1, 0, 2])? } else { x.clone() };
        if matches!(mode, Mode::Eval)
            && !options.gates
            && !y.is_tracked()
            && !first.is_tracked()
            && let Some([y, last]) = self.run_wavefront(&y, &first, &marks)?
        {
            return self.output(y, last, Vec::new());
        }
        let (mut last, mut gates) = (Vec::with_capacity(c.layers), Vec::new());
        for layer in 0..c.layers {
            if layer > 0 {
                y = mode.dropout(&y, c.dropout)?;
            }
            if c.options.input_dropout > 0.0 && matches!(mode, Mode::Train(_)) {
                let ones = Tensor::full(&self.device, 1.0, &[1, batch, y.dims()[2]])?;
                y = y.mask(&mode.dropout(&ones, c.options.input_dropout)?)?;
            }
            let at = layer * directions;
            let start = if c.layers == 1 { first.clone() } else { first.slice(0, at..at + directions)? };
            let (output, end, of_layer) = self.run_layer(layer, &y, &start, &marks, mode, options.gates)?;
            gates.extend(of_layer);
            y = output;
            last.push(end);
        }
        let last = match &last[..] {
            [one] => one.clone(),
            _ => Tensor::concat(&last.iter().collect::<Vec<_>>(), 0)?,
        };
        self.output(y, last, gates)
    }

    /// Returns the result of a run from `y` `[T, B, D·out]` and the last states `[layers·D, B, width]`.
    fn output(&self, y: Tensor, last: Tensor, gates: Vec<Gates>) -> Result<RecurrentOutput> {
        let c = &self.config;
        let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
        let (h_n, c_n) = match c.cell.states() {
            1 => (last, None),
            _ => (last.slice(2, 0..c.out())?, Some(last.slice(2, c.out()..c.width())?)),
        };
        Ok(RecurrentOutput { output, h_n, c_n, gates })
    }

    /// Describes the run of one layer for the sequence engine.
    fn layer(&self, [steps, batch, input]: [usize; 3], noise: Noise, plan: Plan) -> Layer {
        let c = &self.config;
        Layer {
            cell: c.cell,
            steps,
            batch,
            input,
            hidden: c.hidden,
            out: c.out(),
            directions: c.directions(),
            reverse: c.reverse,
            activations: c.five_activations(),
            clip: c.options.clip,
            input_forget: c.input_forget,
            peephole: c.peephole,
            noise,
            plan,
            format: self.format,
        }
    }

    fn noise(&self, mode: &mut Mode) -> Noise {
        let o = &self.config.options;
        let mut noise = Noise { zoneout: [o.zoneout, o.zoneout_cell], ..Noise::default() };
        if let Mode::Train(rng) = mode {
            if noise.zoneout != [0.0; 2] {
                noise.zone_key = Some(rng.fork());
            }
            if o.recurrent_dropout > 0.0 {
                noise.dropout = Some((o.recurrent_dropout, rng.fork()));
            }
        }
        noise
    }

    /// Runs all layers as a wavefront if that is faster. Returns `y` `[T, B, H]` and the last states.
    fn run_wavefront(&self, x: &Tensor, first: &Tensor, marks: &Marks) -> Result<Option<[Tensor; 2]>> {
        let c = &self.config;
        let &[steps, batch, input] = x.dims() else { return Ok(None) };
        if c.fused().is_none() {
            return Ok(None);
        }
        let layer = self.layer([steps, batch, input], Noise::default(), self.plan_of(batch));
        let Some(chunk) = chunk(&self.device, &layer, c.layers) else { return Ok(None) };
        let weights: Vec<Weights> = self.weights.iter().flatten().cloned().collect();
        let packed = self.packed(c.layers, &layer.stacked(c.layers), &weights)?;
        layer.forward_wavefront(&marks.reads(x.clone()), first, &weights, &packed, chunk).map(Some)
    }

    /// Returns the plan for `batch` sequences.
    fn plan_of(&self, batch: usize) -> Plan {
        let c = &self.config;
        match (c.plan, c.fused()) {
            (None, Some(cell)) => {
                Plan::tuned(&self.device, [c.hidden, batch], cell, self.format.precision != Precision::F32)
            }
            _ => self.plan(),
        }
    }

    fn run_layer(
        &self,
        index: usize,
        x: &Tensor,
        first: &Tensor,
        marks: &Marks,
        mode: &mut Mode,
        keep_gates: bool,
    ) -> Result<(Tensor, Tensor, Option<Gates>)> {
        let c = &self.config;
        let plan = self.plan_of(x.dims()[1]);
        let layer = self.layer([x.dims()[0], x.dims()[1], x.dims()[2]], self.noise(mode), plan);
        let drops = c.options.weight_dropout > 0.0 && matches!(mode, Mode::Train(_));
        let mut used = Vec::with_capacity(self.weights[index].len());
        for w in &self.weights[index] {
            let mut w = w.map(|t| Ok::<_, Error>(mode.parameter(t)))?;
            if drops {
                w.w_hh = mode.dropout(&w.w_hh, c.options.weight_dropout)?;
            }
            used.push(w);
        }
        let on_tape: Vec<Tensor> = used.iter().flat_map(Weights::list).map(|(_, t)| t).collect();
        let inputs: Vec<&Tensor> = [x, first].into_iter().chain(&on_tape).collect();
        let tracked = inputs.iter().any(|t| t.is_tracked());
        if self.format.precision != Precision::F32 && (tracked || matches!(mode, Mode::Train(_))) {
            let got = format!("{:?}", self.format.precision);
            return Err(Error::value(c.op(), "weights", "F32 for training and gradients", got));
        }

        let weights: Vec<Weights> =
            used.iter().map(|w| w.map(|t| Ok::<_, Error>(t.detach()))).collect::<Result<_>>()?;
        let (mut x, first) = (x.detach(), first.detach());
        // Later layers read outputs, which are 0 or a state at invalid steps.
        if tracked && index == 0 {
            x = marks.valid(x)?;
        }
        let reads = marks.reads(x.clone());
        let saved: Vec<&Tensor> = std::iter::once(&x).chain(&on_tape).collect();
        if c.options.recompute && tracked && !keep_gates {
            let (outputs, states) = layer.forward_checkpointed(&reads, &first, &weights)?;
            let run = RecurrentRun { layer, reads, weights, kept: Kept::States(states) };
            let [y, last] = recurrent(c.op(), &inputs, &saved, outputs, run);
            return Ok((y, last, None));
        }
        let packed = if drops { layer.pack(&weights)? } else { self.packed(index, &layer, &weights)? };
        let run = layer.forward(&reads, &first, &weights, &packed, tracked || keep_gates)?;
        let gate = |gate: usize| marks.valid(layer.gate(&run.saved, gate)?);
        let gates = || (0..c.cell.gates()).map(gate).collect::<Result<Vec<_>>>();
        let gates = if keep_gates { Some(Gates { cell: c.cell, values: gates()? }) } else { None };
        let outputs = [run.y.clone(), run.last.clone()];
        let run = RecurrentRun { layer, reads, weights, kept: Kept::Gates(run) };
        let [y, last] = recurrent(c.op(), &inputs, &saved, outputs, run);
        Ok((y, last, gates))
    }

    /// Returns the packed recurrent matrices of a layer. Packs them again only after the weights changed.
    fn packed(&self, index: usize, layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
        let versions = weights.iter().flat_map(Weights::list).map(|(_, t)| t.version()).collect();
        let versions = (layer.plan != Plan::Steps, versions);
        let mut slot = self.packed[index].lock().expect("packing does not panic");
        if let Some((made_for, packed)) = &*slot
            && *made_for == versions
            && !packed.is_void()
        {
            return Ok(packed.clone());
        }
        let packed = layer.pack(weights)?;
        *slot = Some((versions, packed.clone()));
        Ok(packed)
    }
}

/// Prints the configuration, the format of the weights and the device.
impl std::fmt::Debug for Recurrent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recurrent")
            .field("config", &self.config)
            .field("weights", &self.format.precision)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Module for Recurrent {
    /// Returns `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, for an LSTM `weight_hr_l0` and
    /// `weight_peephole_l0` (`[3H]`, of the gates i, f, o), then the same with `_reverse`, then layer 1, and the
    /// learned `h0` and `c0` last. Parameters that the layer does not have are left out.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut parameters = Vec::new();
        for (layer, directions) in self.weights.iter().enumerate() {
            for (d, w) in directions.iter().enumerate() {
                parameters.extend(w.list().into_iter().map(|(name, t)| (parameter_name(name, layer, d == 1), t)));
            }
        }
        parameters.extend(self.first.iter().map(|(name, t)| (name.to_string(), t.clone())));
        parameters
    }

    /// Returns the output of [`Recurrent::run`] from a state of zeros, or from the learned initial state.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, RunOptions::default(), mode)?.output)
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<super::Padded> {
        let input = RunOptions { lengths: Some(lengths), ..Default::default() };
        Ok(super::Padded::Steps(self.run(x, input, mode)?.output))
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Recurrent(&self.config)
    }
}
