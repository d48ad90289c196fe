//! What [`Gru`](super::Gru), [`Lstm`](super::Lstm) and [`Rnn`](super::Rnn) share: options, inputs, and the stack of
//! layers and directions.

use std::sync::Mutex;

use super::{Mode, Module, check_layers, check_lengths, check_share, check_state, uniform};
use crate::autograd::{Kept, RecurrentRun, recurrent};
use crate::cpu::Precision;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::PlainCell;
use crate::math::Activation;
use crate::ops::recurrent::{Cell, Format, Layer, Noise, Plan, Reads, Schedule, Weights, chunk, valid_rows};
use crate::rng::Rng;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// What a step that does not count gives as its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// 0, as PyTorch's packed sequences and ONNX Runtime.
    #[default]
    Zero,
    /// The output before it, as Keras; 0 before the first step that counts.
    RepeatLast,
}

/// Options that every recurrent layer has. The default is none of them.
///
/// All noise acts in training only; zoneout takes its mean otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecurrentOptions {
    /// Bound of the pre-activations of all gates, as ONNX's `clip`.
    pub clip: Option<f32>,
    /// Output of steps that do not count.
    pub padding: Padding,
    /// Share of the input's features that are 0 over a whole sequence, in every layer. Keras: `dropout`.
    pub input_dropout: f32,
    /// Share of the state's units that the recurrent product does not see, the same at every step of a sequence.
    /// Keras: `recurrent_dropout`. Gal and Ghahramani (2016).
    pub recurrent_dropout: f32,
    /// Share of units that keep their value from step to step: `h' = h + m⊙(h̃ − h)`, evaluation `m = 1 − p`.
    /// Krueger et al., *Zoneout* (2016).
    pub zoneout: f32,
    /// The same of the LSTM's cell state.
    pub zoneout_cell: f32,
    /// Share of the recurrent weights that are 0 for a whole run: DropConnect, as in AWD-LSTM. Merity et al. (2017).
    pub weight_dropout: f32,
    /// The first states are parameters (`h0`, for the LSTM also `c0`, `[layers·D, 1, H]`), used where a run gives none.
    pub learn_h0: bool,
    /// Training keeps about 2√T states of a run instead of every gate, and backward computes the others again: the same
    /// gradients but for rounding, in a fraction of the memory, for the time of another forward pass. Not part of a
    /// model file; no zoneout or recurrent dropout with it, no [`reset_to_h0`](SequenceInput::reset_to_h0).
    pub recompute: bool,
}

/// What a run may take beside the sequences.
///
/// Where several say that a step does not count, it does not. Flags by step lie as `x` does: `[T, B]`, or `[B, T]`
/// when the layer is `batch_first`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceInput<'a> {
    /// `[layers·D, B, H]` (or the projection's width), the first states; zeros, or the learned ones, if `None`.
    pub h0: Option<&'a Tensor>,
    /// `[layers·D, B, H]`, the first cell states of an LSTM.
    pub c0: Option<&'a Tensor>,
    /// Valid steps of each sequence, from 0 on. Beyond them the output is padding, and `h_n` is the state of the last
    /// valid step; the reverse direction starts there. Padding of `x` may hold anything, NaN included: it reaches neither
    /// outputs nor gradients, and its own gradient is 0.
    pub lengths: Option<&'a [usize]>,
    /// Which steps count, as a Keras mask. The others copy the state.
    pub mask: Option<&'a [bool]>,
    /// Where a new sequence begins: the state is 0 before these steps, in both directions of time as if the parts had
    /// been run alone.
    pub resets: Option<&'a [bool]>,
    /// A new sequence begins with the first state of the run instead of 0.
    pub reset_to_h0: bool,
    /// Keep the values of the gates, 0 where a step does not count: see the outputs.
    pub taps: bool,
}

/// A layer that runs over time: [`Gru`](super::Gru), [`Lstm`](super::Lstm), [`Rnn`](super::Rnn).
pub trait Recurrent: Module + Stacked {}

/// What makes the three alike inside this crate.
pub trait Stacked: Sized {
    /// The cell of a layer that nothing else is known of.
    const CELL: Cell;

    /// A layer with fresh weights.
    fn from_stack(device: &Device, config: StackConfig, rng: &mut Rng) -> Result<Self>;

    /// Its weights and how they are run.
    fn stack(&self) -> &Stack;
}

/// What a stack is built from.
#[derive(Clone, Copy, Debug)]
pub struct StackConfig {
    pub op: &'static str,
    pub cell: Cell,
    pub input: usize,
    pub hidden: usize,
    /// Width of the output; differs from `hidden` when there is a projection.
    pub out: usize,
    pub projected: bool,
    pub layers: usize,
    pub bias: bool,
    pub batch_first: bool,
    pub dropout: f32,
    pub bidirectional: bool,
    pub reverse: bool,
    pub activations: [Activation; 5],
    pub coupled: bool,
    pub peephole: bool,
    pub options: RecurrentOptions,
    pub plan: Option<Plan>,
}

/// What a run of a stack gives.
pub struct StackOutput {
    /// `[T, B, D·out]` or `[B, T, D·out]`
    pub output: Tensor,
    /// `[layers·D, B, width]`
    pub last: Tensor,
    /// By layer: the gates asked for, each `[T, B, D·H]`.
    pub gates: Vec<Vec<Tensor>>,
}

/// Layers and directions of one kind of cell.
pub struct Stack {
    pub config: StackConfig,
    pub(crate) device: Device,
    /// How inference reads the recurrent matrices.
    stored: Format,
    /// By layer, then direction.
    pub(super) weights: Vec<Vec<Weights>>,
    /// The learned first states, `[layers·D, 1, width]` in parts: `h0`, `c0`.
    pub(super) first: Vec<(&'static str, Tensor)>,
    /// By layer, then of all layers: the packed recurrent matrix, by whether the plan has one and the versions of what it
    /// was packed from.
    packed: Vec<Cached<(bool, Vec<u64>)>>,
    /// The marks of a batch whose sequences are all whole, by batch and steps.
    whole: Cached<[usize; 2]>,
}

/// The steps of a run.
struct Marks {
    /// `[T, B]`: [`kernels::marks`](crate::kernels::marks).
    words: Tensor,
    /// Where a sequence begins at step 0, the factors of the first states: 0 or 1.
    begins: Option<Vec<f32>>,
    /// As those of [`Reads`].
    gaps: bool,
    given: bool,
}

impl Marks {
    fn reads(&self, x: Tensor) -> Reads {
        Reads { x, marks: self.words.clone(), gaps: self.gaps, given: self.given }
    }

    /// `x` `[T, B, ..]` with zeros at the steps that do not count.
    fn valid(&self, x: Tensor) -> Result<Tensor> {
        if !self.gaps {
            return Ok(x);
        }
        let width = x.len() / self.words.len();
        valid_rows(&self.words, &x, [0, width, width])?.view("recurrent", x.dims())
    }
}

/// A tensor, with what it was made for.
type Cached<K> = Mutex<Option<(K, Tensor)>>;

impl StackConfig {
    pub fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    /// Width of the state: `out`, for the LSTM with its cell state.
    pub fn width(&self) -> usize {
        self.cell.width(self.out, self.hidden)
    }

    /// Names and extents of the parameters, in their order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (rows, h, directions) = (self.cell.gates() * self.hidden, self.hidden, self.directions());
        let mut out = Vec::new();
        for (layer, d) in (0..self.layers).flat_map(|layer| (0..directions).map(move |d| (layer, d))) {
            let input = if layer == 0 { self.input } else { directions * self.out };
            let parts = [
                (true, "weight_ih", vec![rows, input]),
                (true, "weight_hh", vec![rows, self.out]),
                (self.bias, "bias_ih", vec![rows]),
                (self.bias, "bias_hh", vec![rows]),
                (self.projected, "weight_hr", vec![self.out, h]),
                (self.peephole, "weight_peephole", vec![3 * h]),
            ];
            let suffix = if d == 1 { "_reverse" } else { "" };
            let there = parts.into_iter().filter(|(there, ..)| *there);
            out.extend(there.map(|(_, name, dims)| (format!("{name}_l{layer}{suffix}"), dims)));
        }
        if self.options.learn_h0 {
            out.push(("h0".into(), vec![self.layers * directions, 1, self.out]));
            if self.cell == Cell::Lstm {
                out.push(("c0".into(), vec![self.layers * directions, 1, h]));
            }
        }
        out
    }

    fn check(&self, device: &Device) -> Result<()> {
        let op = self.op;
        check_layers(op, self.layers)?;
        for (arg, size) in [("input", self.input), ("hidden", self.hidden), ("projection", self.out)] {
            if size == 0 {
                return Err(Error::value(op, arg, "at least 1", 0));
            }
        }
        // The largest matrix of any layer: refused here, before sizes are multiplied or anything is made.
        let widest = self.input.max(self.hidden.max(self.out).saturating_mul(2));
        Shape::new(op, &[self.hidden.saturating_mul(4), widest])?;
        let o = &self.options;
        for (arg, share) in [
            ("dropout", self.dropout),
            ("input_dropout", o.input_dropout),
            ("recurrent_dropout", o.recurrent_dropout),
            ("zoneout", o.zoneout),
            ("zoneout_cell", o.zoneout_cell),
            ("weight_dropout", o.weight_dropout),
        ] {
            check_share(op, arg, share)?;
        }
        if o.zoneout_cell != 0.0 && self.cell != Cell::Lstm {
            return Err(Error::value(op, "zoneout_cell", "0 for a cell without a cell state", o.zoneout_cell));
        }
        if o.recompute && !self.is_quiet() {
            return Err(Error::value(op, "recompute", "false with zoneout or recurrent dropout", true));
        }
        if let Some(clip) = o.clip
            && (clip.is_nan() || clip <= 0.0)
        {
            return Err(Error::value(op, "clip", "above 0", clip));
        }
        if self.bidirectional && self.reverse {
            return Err(Error::value(op, "reverse", "false for a bidirectional layer", true));
        }
        if let Some(plan) = self.plan {
            plan.check(device, self.hidden, self.plain())?;
        }
        Ok(())
    }

    /// Whether nothing is drawn at every step.
    fn is_quiet(&self) -> bool {
        let o = &self.options;
        o.zoneout == 0.0 && o.zoneout_cell == 0.0 && o.recurrent_dropout == 0.0
    }

    /// The cell, if its equations are those it is known with.
    pub fn plain_cell(&self) -> Option<PlainCell> {
        let relu = self.cell == Cell::Rnn && self.activations[0] == Activation::Relu;
        let usual = self.activations == self.cell.activations();
        if !(usual || relu) || self.projected || self.peephole || self.coupled {
            return None;
        }
        Some(match self.cell {
            Cell::GruResetAfter => PlainCell::GruResetAfter,
            Cell::GruResetBefore => PlainCell::GruResetBefore,
            Cell::Lstm => PlainCell::Lstm,
            Cell::Rnn if relu => PlainCell::RnnRelu,
            Cell::Rnn => PlainCell::Rnn,
        })
    }

    /// The cell, if no option needs the plan of single steps, in training or out of it.
    fn plain(&self) -> Option<PlainCell> {
        self.plain_cell().filter(|_| self.is_quiet() && self.options.clip.is_none())
    }

    fn layer(&self, [steps, batch, input]: [usize; 3], noise: Noise, plan: Plan, stored: Format) -> Layer {
        Layer {
            cell: self.cell,
            steps,
            batch,
            input,
            hidden: self.hidden,
            out: self.out,
            directions: self.directions(),
            reverse: self.reverse,
            activations: self.activations,
            clip: self.options.clip,
            coupled: self.coupled,
            peephole: self.peephole,
            noise,
            plain: self.plain(),
            plan,
            stored,
        }
    }
}

impl Stack {
    /// Weights and biases uniform in `±1/√H`, as PyTorch starts them; learned first states at 0.
    pub fn new(device: &Device, config: StackConfig, rng: &mut Rng) -> Result<Self> {
        config.check(device)?;
        let (h, out, directions) = (config.hidden, config.out, config.directions());
        let (rows, bound) = (config.cell.gates() * h, 1.0 / (h as f32).sqrt());
        let mut weights = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let input = if layer == 0 { config.input } else { directions * out };
            let mut make = |_| -> Result<Weights> {
                let mut uniform = |dims: &[usize]| uniform(device, dims, bound, rng);
                let (w_ih, w_hh) = (uniform(&[rows, input])?, uniform(&[rows, out])?);
                let bias = if config.bias { Some((uniform(&[rows])?, uniform(&[rows])?)) } else { None };
                let w_hr = if config.projected { Some(uniform(&[out, h])?) } else { None };
                let peephole = if config.peephole { Some(uniform(&[3 * h])?) } else { None };
                Ok(Weights { w_ih, w_hh, bias, w_hr, peephole })
            };
            weights.push((0..directions).map(&mut make).collect::<Result<Vec<_>>>()?);
        }
        let mut first = Vec::new();
        if config.options.learn_h0 {
            let all = config.layers * directions;
            first.push(("h0", Tensor::zeros(device, &[all, 1, out])?.requires_grad()));
            if config.cell == Cell::Lstm {
                first.push(("c0", Tensor::zeros(device, &[all, 1, h])?.requires_grad()));
            }
        }
        let packed = (0..=config.layers).map(|_| Mutex::default()).collect();
        let stored = Format::F32;
        Ok(Self { config, device: device.clone(), stored, weights, first, packed, whole: Mutex::default() })
    }

    /// The plan that runs the steps.
    pub fn plan(&self) -> Plan {
        let c = &self.config;
        c.plan.unwrap_or_else(|| match self.stored.precision {
            Precision::F32 => Plan::choose(&self.device, c.hidden, c.plain()),
            _ => Plan::choose_fused(&self.device, c.hidden),
        })
    }

    pub fn stored(&self) -> Precision {
        self.stored.precision
    }

    /// The same stack, whose inference reads the recurrent matrices as `stored`.
    pub fn with_stored(self, stored: Precision) -> Result<Self> {
        let c = &self.config;
        let refuse = |expected: &str| Err(Error::value(c.op, "weights", expected, format!("{stored:?}")));
        match stored {
            Precision::F32 => {}
            _ if !self.device.is_gpu() => {
                return refuse("F32 on the CPU, whose streams keep them otherwise: `StreamOptions::weights`");
            }
            _ if c.plain().is_none() || c.plan == Some(Plan::Steps) => {
                return refuse("F32 for these options or this plan");
            }
            _ => {}
        }
        let packed = (0..=c.layers).map(|_| Mutex::default()).collect();
        Ok(Self { stored: Format::of(stored), packed, ..self })
    }

    /// `weight_ih_l0`, `weight_hh_l0`, …, then the same with `_reverse`, then layer 1; the first states last.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::new();
        for (layer, directions) in self.weights.iter().enumerate() {
            for (d, w) in directions.iter().enumerate() {
                let suffix = if d == 1 { "_reverse" } else { "" };
                out.extend(w.list().into_iter().map(|(name, t)| (format!("{name}_l{layer}{suffix}"), t)));
            }
        }
        out.extend(self.first.iter().map(|(name, t)| (name.to_string(), t.clone())));
        out
    }

    /// Runs sequences; of each layer's gates, those in `taps` are kept.
    pub fn run(&self, x: &Tensor, input: SequenceInput, mode: &mut Mode, taps: &[usize]) -> Result<StackOutput> {
        let c = &self.config;
        let directions = c.directions();
        x.check_dtype(c.op, "x", "f32")?;
        self.device.check_same(c.op, "x", x)?;
        let (steps, batch) = match *x.dims() {
            [batch, steps, i] if c.batch_first && i == c.input => (steps, batch),
            [steps, batch, i] if !c.batch_first && i == c.input => (steps, batch),
            _ => {
                let axes = if c.batch_first { "batch, steps" } else { "steps, batch" };
                return Err(Error::shape(c.op, "x", format!("[{axes}, {}]", c.input), x.dims()));
            }
        };
        if c.options.recompute && input.reset_to_h0 {
            return Err(Error::value(c.op, "reset_to_h0", "false where the gates are computed again", true));
        }
        let marks = self.marks(&input, steps, batch)?;
        let mut first = self.first(&input, batch, mode)?;
        if let Some(begins) = &marks.begins {
            first = first.mask(&Tensor::from_slice(&self.device, begins, &[c.layers * directions, batch, 1])?)?;
        }

        let mut y = if c.batch_first { x.permute(&[1, 0, 2])? } else { x.clone() };
        if matches!(mode, Mode::Eval)
            && taps.is_empty()
            && !y.is_tracked()
            && !first.is_tracked()
            && let Some([y, last]) = self.run_in_waves(&y, &first, &marks)?
        {
            let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
            return Ok(StackOutput { output, last, gates: Vec::new() });
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
            let (output, end, tapped) = self.run_layer(layer, &y, &start, &marks, mode, taps)?;
            gates.extend(tapped);
            y = output;
            last.push(end);
        }
        let output = if c.batch_first { y.permute(&[1, 0, 2])? } else { y };
        let last = match &last[..] {
            [one] => one.clone(),
            _ => Tensor::concat(&last.iter().collect::<Vec<_>>(), 0)?,
        };
        Ok(StackOutput { output, last, gates })
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

    /// The layers one behind the other, where that pays: `y` `[T, B, H]` and the last states.
    fn run_in_waves(&self, x: &Tensor, first: &Tensor, marks: &Marks) -> Result<Option<[Tensor; 2]>> {
        let c = &self.config;
        let &[steps, batch, input] = x.dims() else { return Ok(None) };
        if c.plain().is_none() {
            return Ok(None);
        }
        let layer = c.layer([steps, batch, input], Noise::default(), self.plan_of(batch), self.stored);
        let Some(chunk) = chunk(&self.device, &layer, c.layers) else { return Ok(None) };
        let weights: Vec<Weights> = self.weights.iter().flatten().cloned().collect();
        let packed = self.packed(c.layers, &layer.stacked(c.layers), &weights)?;
        layer.forward_in_waves(&marks.reads(x.clone()), first, &weights, &packed, chunk).map(Some)
    }

    /// The plan for so many sequences.
    fn plan_of(&self, batch: usize) -> Plan {
        let c = &self.config;
        match (c.plan, c.plain()) {
            (None, Some(cell)) if cell.is_gru() => {
                Plan::tuned(&self.device, [c.hidden, batch], cell, self.stored.precision != Precision::F32)
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
        taps: &[usize],
    ) -> Result<(Tensor, Tensor, Option<Vec<Tensor>>)> {
        let c = &self.config;
        let plan = self.plan_of(x.dims()[1]);
        let layer = c.layer([x.dims()[0], x.dims()[1], x.dims()[2]], self.noise(mode), plan, self.stored);
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
        if self.stored.precision != Precision::F32 && (tracked || matches!(mode, Mode::Train(_))) {
            let got = format!("{:?}", self.stored.precision);
            return Err(Error::value(c.op, "weights", "F32 for training and gradients", got));
        }

        let weights: Vec<Weights> =
            used.iter().map(|w| w.map(|t| Ok::<_, Error>(t.detach()))).collect::<Result<_>>()?;
        let (mut x, first) = (x.detach(), first.detach());
        // Later layers read outputs, which are 0 or a state where a step does not count.
        if tracked && index == 0 {
            x = marks.valid(x)?;
        }
        let reads = marks.reads(x.clone());
        let saved: Vec<&Tensor> = std::iter::once(&x).chain(&on_tape).collect();
        if c.options.recompute && tracked && taps.is_empty() {
            let (outputs, states) = layer.forward_in_chunks(&reads, &first, &weights)?;
            let run = RecurrentRun { layer, reads, weights, kept: Kept::States(states) };
            let [y, last] = recurrent(c.op, &inputs, &saved, outputs, run);
            return Ok((y, last, None));
        }
        let packed = if drops { layer.pack(&weights)? } else { self.packed(index, &layer, &weights)? };
        let run = layer.forward(&reads, &first, &weights, &packed, tracked || !taps.is_empty())?;
        let tapped = taps.iter().map(|&gate| marks.valid(layer.tap(&run.saved, gate)?)).collect::<Result<Vec<_>>>()?;
        let outputs = [run.y.clone(), run.last.clone()];
        let run = RecurrentRun { layer, reads, weights, kept: Kept::Gates(run) };
        let [y, last] = recurrent(c.op, &inputs, &saved, outputs, run);
        Ok((y, last, (!taps.is_empty()).then_some(tapped)))
    }

    /// The packed recurrent matrices of a layer, made again only after its weights changed.
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

    /// The first states `[layers·D, B, width]`.
    fn first(&self, input: &SequenceInput, batch: usize, mode: &Mode) -> Result<Tensor> {
        let c = &self.config;
        let all = c.layers * c.directions();
        let mut parts = vec![("h0", input.h0, c.out)];
        match (c.cell, input.c0) {
            (Cell::Lstm, c0) => parts.push(("c0", c0, c.hidden)),
            (_, Some(c0)) => return Err(Error::shape(c.op, "c0", "none: this cell has no cell state", c0.dims())),
            _ => {}
        }
        let mut states = Vec::with_capacity(parts.len());
        for (name, given, width) in parts {
            let dims = [all, batch, width];
            let learned = self.first.iter().find(|(n, _)| *n == name);
            states.push(match (given, learned) {
                (Some(state), _) => {
                    check_state(c.op, name, &self.device, state, dims)?;
                    state.clone()
                }
                (None, Some((_, learned))) => Tensor::zeros(&self.device, &dims)?.add(&mode.parameter(learned))?,
                (None, None) => Tensor::zeros(&self.device, &dims)?,
            });
        }
        match &states[..] {
            [one] => Ok(one.clone()),
            _ => Tensor::concat(&states.iter().collect::<Vec<_>>(), 2),
        }
    }

    /// Returns the marks of a run's steps, after checking lengths, mask and resets.
    fn marks(&self, input: &SequenceInput, steps: usize, batch: usize) -> Result<Marks> {
        let c = &self.config;
        if let Some(lengths) = input.lengths {
            check_lengths(c.op, lengths, batch, steps)?;
        }
        let by_time = |arg: &'static str, flags: Option<&[bool]>| -> Result<Option<Vec<bool>>> {
            let Some(flags) = flags else { return Ok(None) };
            if flags.len() != steps * batch {
                return Err(Error::shape(c.op, arg, format!("{} flags, one a step", steps * batch), &[flags.len()]));
            }
            let place = |i: usize| if c.batch_first { i % batch * steps + i / batch } else { i };
            Ok(Some((0..flags.len()).map(|i| flags[place(i)]).collect()))
        };
        let (mask, resets) = (by_time("mask", input.mask)?, by_time("resets", input.resets)?);
        let schedule = Schedule {
            lengths: input.lengths,
            mask: mask.as_deref(),
            resets: resets.as_deref(),
            to_first: input.reset_to_h0,
            repeat: c.options.padding == Padding::RepeatLast,
        };
        let make = || Tensor::from_indices(&self.device, &schedule.marks(steps, batch), &[steps, batch]);
        let gaps = input.lengths.is_some_and(|l| l.iter().any(|&l| l < steps))
            || mask.as_ref().is_some_and(|m| m.contains(&false));
        let given = input.h0.is_some() || input.c0.is_some() || c.options.learn_h0;
        if input.lengths.is_some() || mask.is_some() || resets.is_some() {
            let begins = resets.as_ref().filter(|r| !input.reset_to_h0 && r[..batch].contains(&true)).map(|resets| {
                let forward = |d: usize| d == 0 && !c.reverse;
                let one = |d: usize| resets[..batch].iter().map(move |&begins| (!(begins && forward(d))) as u32 as f32);
                (0..c.layers * c.directions()).flat_map(|i| one(i % c.directions())).collect()
            });
            return Ok(Marks { words: make()?, begins, gaps, given });
        }
        let mut slot = self.whole.lock().expect("an upload does not panic");
        if let Some((made_for, marks)) = &*slot
            && *made_for == [batch, steps]
            && !marks.is_void()
        {
            return Ok(Marks { words: marks.clone(), begins: None, gaps, given });
        }
        // Without any of them no step is special, whatever `reset_to_h0` says.
        let marks = make()?;
        *slot = Some(([batch, steps], marks.clone()));
        Ok(Marks { words: marks, begins: None, gaps, given })
    }
}
