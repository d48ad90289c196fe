//! A GRU frame by frame: carried state, no allocation, no lock and no system call after construction.

use std::sync::Arc;

use crate::cpu::{Gates, Inputs, Isa, LANES, Packed, Precision};
use crate::error::{Error, Result};
use crate::nn::{Gru, GruActivations, Linear, Module, RecurrentOptions};
use crate::tensor::Tensor;

/// How a [`Stream`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Sequences stepped together.
    pub batch: usize,
    /// How the weights are kept.
    pub weights: Precision,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { batch: 1, weights: Precision::F32 }
    }
}

/// Steps a GRU (and a [`Linear`] after it) frame by frame on the CPU.
///
/// Everything is made at construction: [`step`](Self::step) allocates nothing, takes no lock, makes no system call and
/// costs the same every time, so it may run in an audio callback. Weights are shared between clones.
///
/// ```
/// use wgru::{Device, Rng, Stream, StreamOptions, nn::{GruConfig, Linear}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = GruConfig { input: 3, hidden: 8, ..Default::default() }.build(&device, &mut rng)?;
/// let head = Linear::new(&device, 8, 1, true, &mut rng)?;
/// let mut stream = Stream::new(&gru, StreamOptions::default())?.then(&head)?;
/// let score = stream.step(&[0.1, 0.2, 0.3])?[0];
/// let fork = stream.clone();                               // goes on from here on its own
/// stream.reset();
/// assert_eq!(stream.step(&[0.1, 0.2, 0.3])?[0], score);
/// # let _ = fork;
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct Stream {
    model: Arc<Model>,
    options: StreamOptions,
    isa: Isa,
    /// `[layers, B, H]` before and after the step.
    state: Vec<f32>,
    next: Vec<f32>,
    scratch: Scratch,
    output: Vec<f32>,
}

/// The weights.
struct Model {
    input: usize,
    hidden: usize,
    /// `[layers, H]`, where streams begin.
    first: Vec<f32>,
    layers: Vec<LayerWeights>,
    head: Option<Head>,
}

struct LayerWeights {
    w: Packed,
    /// Three gates (reset after), or r and z.
    u: Packed,
    /// `U_n` where the reset gate acts before it.
    u_n: Option<Packed>,
    /// `[blocks, 4, 16]`
    bias: Vec<f32>,
}

struct Head {
    w: Packed,
    bias: Vec<f32>,
}

/// What a step works in.
#[derive(Clone)]
struct Scratch {
    x: Vec<f32>,
    rec: Vec<f32>,
    kept: Vec<f32>,
    z: Vec<f32>,
    /// By layer: for the products with x, h and r⊙h.
    inputs: Vec<[Inputs; 3]>,
    head: Option<Inputs>,
}

/// A parameter of a layer on the CPU.
fn values(op: &'static str, module: &dyn Module, name: &str) -> Result<Option<Vec<f32>>> {
    let Some((_, tensor)) = module.parameters().into_iter().find(|(n, _)| n == name) else { return Ok(None) };
    on_cpu(op, &tensor)?;
    tensor.to_vec().map(Some)
}

fn on_cpu(op: &'static str, tensor: &Tensor) -> Result<()> {
    if !tensor.device().is_gpu() {
        return Ok(());
    }
    let expected = "a model on the CPU (load it there: nothing is read back silently)".to_string();
    Err(Error::DeviceMix { op, arg: "gru", expected, got: tensor.device().info().name.clone() })
}

impl LayerWeights {
    fn new(gru: &Gru, layer: usize, weights: Precision) -> Result<Self> {
        let h = gru.config().hidden;
        let get = |name: &str| values("Stream", gru, &format!("{name}_l{layer}"));
        let (w_ih, w_hh) = (get("weight_ih")?.unwrap_or_default(), get("weight_hh")?.unwrap_or_default());
        let zeros = || vec![0.0; 3 * h];
        let (b_ih, b_hh) = (get("bias_ih")?.unwrap_or_else(zeros), get("bias_hh")?.unwrap_or_else(zeros));
        let mut bias = vec![0.0; h.div_ceil(LANES) * 4 * LANES];
        for unit in 0..h {
            let parts =
                [b_ih[unit] + b_hh[unit], b_ih[h + unit] + b_hh[h + unit], b_ih[2 * h + unit], b_hh[2 * h + unit]];
            for (part, v) in parts.into_iter().enumerate() {
                bias[(unit / LANES * 4 + part) * LANES + unit % LANES] = v;
            }
        }
        let w = Packed::new(&w_ih, 3, h, weights)?;
        let (u, u_n) = if gru.config().reset_after {
            (Packed::new(&w_hh, 3, h, weights)?, None)
        } else {
            let (gates, candidate) = w_hh.split_at(2 * h * h);
            (Packed::new(gates, 2, h, weights)?, Some(Packed::new(candidate, 1, h, weights)?))
        };
        Ok(Self { w, u, u_n, bias })
    }
}

/// Refuses what a stream does not step.
fn check(gru: &Gru, options: StreamOptions) -> Result<()> {
    let (op, c) = ("Stream", gru.config());
    if options.batch == 0 {
        return Err(Error::value(op, "batch", "at least 1", 0));
    }
    for (arg, set) in [("bidirectional", c.bidirectional), ("reverse", c.reverse)] {
        if set {
            return Err(Error::value(op, arg, "false: frames come forward in time", true));
        }
    }
    if c.activations != GruActivations::default() {
        return Err(Error::value(op, "activations", "sigmoid, sigmoid, tanh", "others"));
    }
    let o = c.options;
    let plain = RecurrentOptions { padding: o.padding, learn_h0: o.learn_h0, ..RecurrentOptions::default() };
    // What only training knows does not matter here.
    let seen =
        RecurrentOptions { input_dropout: 0.0, recurrent_dropout: 0.0, weight_dropout: 0.0, recompute: false, ..o };
    if seen != plain {
        return Err(Error::value(op, "options", "neither clip nor zoneout", format!("{o:?}")));
    }
    Ok(())
}

impl Stream {
    /// A stream of `gru`, which must be on the CPU, from a state of zeros (or its learned first state).
    ///
    /// # Errors
    /// [`Error::Value`] for a batch of 0, a GRU that runs backwards or has options that a stream does not step, or
    /// weights that f16 cannot hold; [`Error::DeviceMix`] for a GRU on a GPU.
    pub fn new(gru: &Gru, options: StreamOptions) -> Result<Self> {
        check(gru, options)?;
        let c = gru.config();
        let layers = (0..c.layers).map(|l| LayerWeights::new(gru, l, options.weights)).collect::<Result<Vec<_>>>()?;
        let first = values("Stream", gru, "h0")?.unwrap_or_else(|| vec![0.0; c.layers * c.hidden]);
        let model = Model { input: c.input, hidden: c.hidden, first, layers, head: None };
        Ok(Self::of(Arc::new(model), options))
    }

    fn of(model: Arc<Model>, options: StreamOptions) -> Self {
        let (batch, h) = (options.batch, model.hidden);
        let most = |f: &dyn Fn(&LayerWeights) -> usize| model.layers.iter().map(f).max().unwrap_or(0);
        let inputs = |l: &LayerWeights| {
            let n = l.u_n.as_ref().unwrap_or(&l.u);
            [l.w.inputs(batch), l.u.inputs(batch), n.inputs(batch)]
        };
        let head = model.head.as_ref();
        let scratch = Scratch {
            x: vec![0.0; most(&|l| l.w.out_len(batch)).max(head.map_or(0, |head| head.w.out_len(batch)))],
            rec: vec![0.0; most(&|l| l.u.out_len(batch))],
            kept: vec![0.0; batch * h],
            z: vec![0.0; batch * h],
            inputs: model.layers.iter().map(inputs).collect(),
            head: head.map(|head| head.w.inputs(batch)),
        };
        let state: Vec<f32> = model.first.chunks_exact(h).flat_map(|layer| layer.repeat(batch)).collect();
        let output = vec![0.0; batch * head.map_or(0, |head| head.w.units)];
        let isa = Isa::detect();
        Self { next: state.clone(), state, model, options, isa, scratch, output }
    }

    /// The same stream with a linear layer after the last state; the state starts anew.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the layer takes H features, [`Error::Value`] when there is one already,
    /// [`Error::DeviceMix`] for a layer on a GPU.
    pub fn then(self, linear: &Linear) -> Result<Self> {
        let op = "Stream::then";
        let weight = linear.parameters().into_iter().find(|(n, _)| n == "weight").map(|(_, t)| t);
        let Some(weight) = weight else { return Err(Error::value(op, "linear", "a layer with a weight", "none")) };
        let &[units, input] = weight.dims() else { return Err(Error::shape(op, "linear", "[out, in]", weight.dims())) };
        if input != self.model.hidden {
            return Err(Error::shape(op, "linear", format!("[out, {}]", self.model.hidden), weight.dims()));
        }
        let Ok(mut model) = Arc::try_unwrap(self.model) else {
            return Err(Error::value(op, "self", "a stream that was not cloned", "one that was"));
        };
        if model.head.is_some() {
            return Err(Error::value(op, "self", "a stream without a linear layer", "one with it"));
        }
        on_cpu(op, &weight)?;
        let w = Packed::new(&weight.to_vec()?, 1, units, self.options.weights)?;
        let bias = values(op, linear, "bias")?.unwrap_or_else(|| vec![0.0; units]);
        model.head = Some(Head { w, bias });
        Ok(Self::of(Arc::new(model), self.options))
    }

    /// Sequences stepped together.
    pub fn batch(&self) -> usize {
        self.options.batch
    }

    /// Features of a frame.
    pub fn input(&self) -> usize {
        self.model.input
    }

    /// One step: `frame` `[B, I]` to `[B, H]`, or to the linear layer's `[B, out]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a frame of another length; the state is then untouched.
    pub fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        let (batch, h) = (self.options.batch, self.model.hidden);
        if frame.len() != batch * self.model.input {
            let expected = format!("[{batch}, {}]", self.model.input);
            return Err(Error::shape("Stream::step", "frame", expected, &[frame.len()]));
        }
        Ok(self.step_rows(frame, batch, h))
    }

    /// One step of the first `rows` rows; those of the frame are checked.
    fn step_rows(&mut self, frame: &[f32], rows: usize, h: usize) -> &[f32] {
        let Self { model, isa, state, next, scratch: s, output, options } = self;
        let (isa, layer_len) = (*isa, options.batch * h);
        for (l, layer) in model.layers.iter().enumerate() {
            let (before, after) = next.split_at_mut(l * layer_len);
            let x = if l == 0 { frame } else { &before[(l - 1) * layer_len..] };
            let (old, new) = (&state[l * layer_len..][..rows * h], &mut after[..rows * h]);
            let [in_w, in_u, in_n] = &mut s.inputs[l];
            layer.w.product(isa, x, rows, in_w, &mut s.x);
            layer.u.product(isa, old, rows, in_u, &mut s.rec);
            let gates = Gates { x: &s.x, rec: &s.rec, bias: &layer.bias, old };
            let Some(u_n) = &layer.u_n else {
                gates.reset_after(isa, h, new);
                continue;
            };
            gates.reset_before(isa, h, &mut s.kept, &mut s.z);
            u_n.product(isa, &s.kept, rows, in_n, &mut s.rec);
            Gates { x: &s.x, rec: &s.rec, bias: &layer.bias, old }.candidate(isa, h, &mut s.z, new);
        }
        std::mem::swap(state, next);
        let last = &state[(model.layers.len() - 1) * layer_len..][..rows * h];
        let (Some(head), Some(inputs)) = (&model.head, &mut s.head) else { return last };
        head.w.product(isa, last, rows, inputs, &mut s.x);
        let padded = head.w.blocks() * LANES;
        for (out, sums) in output.chunks_exact_mut(head.w.units).zip(s.x.chunks_exact(padded)).take(rows) {
            for ((out, sum), bias) in out.iter_mut().zip(sums).zip(&head.bias) {
                *out = sum + bias;
            }
        }
        &output[..rows * head.w.units]
    }

    /// The states `[layers, B, H]`: a snapshot to keep, or to look at.
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// Goes on from `state` `[layers, B, H]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length.
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        if state.len() != self.state.len() {
            let expected = [self.model.layers.len(), self.options.batch, self.model.hidden];
            return Err(Error::shape("Stream::set_state", "state", format!("{expected:?}"), &[state.len()]));
        }
        self.state.copy_from_slice(state);
        Ok(())
    }

    /// All sequences begin again: from 0, or from the GRU's learned first state.
    pub fn reset(&mut self) {
        (0..self.options.batch).for_each(|row| self.reset_row(row));
    }

    fn reset_row(&mut self, row: usize) {
        let h = self.model.hidden;
        for (layer, first) in self.model.first.chunks_exact(h).enumerate() {
            self.state[(layer * self.options.batch + row) * h..][..h].copy_from_slice(first);
        }
    }
}

impl Gru {
    /// A [`Stream`] of `batch` sequences with the weights as they are.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn stream(&self, batch: usize) -> Result<Stream> {
        Stream::new(self, StreamOptions { batch, ..StreamOptions::default() })
    }
}

/// Independent streams stepped as one batch; they join and leave between steps, without allocation.
///
/// ```
/// use wgru::{Device, Rng, StreamPool, Stream, StreamOptions, nn::GruConfig};
/// let gru = GruConfig { input: 2, hidden: 4, ..Default::default() }.build(&Device::cpu(), &mut Rng::new(0))?;
/// let mut pool = StreamPool::new(Stream::new(&gru, StreamOptions { batch: 8, ..Default::default() })?);
/// let (a, b) = (pool.join()?, pool.join()?);
/// pool.frame_mut(a)?.copy_from_slice(&[0.1, 0.2]);
/// pool.frame_mut(b)?.copy_from_slice(&[0.3, 0.4]);
/// pool.step();
/// assert_eq!(pool.output(a)?.len(), 4);
/// pool.leave(a)?;
/// assert!(pool.output(a).is_err());
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct StreamPool {
    stream: Stream,
    /// By row: who has it. Rows in use come first.
    members: Vec<StreamId>,
    /// By slot: its row, and the serial number of who has it.
    slots: Vec<Option<(usize, u64)>>,
    frames: Vec<f32>,
    width: usize,
    serial: u64,
}

/// A member of a [`StreamPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    slot: usize,
    serial: u64,
}

impl StreamPool {
    /// A pool of up to `stream.batch()` members.
    pub fn new(stream: Stream) -> Self {
        let capacity = stream.batch();
        let width = stream.model.head.as_ref().map_or(stream.model.hidden, |head| head.w.units);
        let frames = vec![0.0; capacity * stream.input()];
        Self { members: Vec::with_capacity(capacity), slots: vec![None; capacity], frames, width, serial: 0, stream }
    }

    /// Members now.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A new member, at the beginning of its sequence.
    ///
    /// # Errors
    /// [`Error::Limit`] when the pool is full.
    pub fn join(&mut self) -> Result<StreamId> {
        let (row, capacity) = (self.members.len(), self.slots.len());
        let Some(slot) = self.slots.iter().position(Option::is_none) else {
            let (needed, allowed) = (capacity as u64 + 1, capacity as u64);
            return Err(Error::Limit { op: "StreamPool::join", limit: "streams of the pool", needed, allowed });
        };
        self.serial += 1;
        let id = StreamId { slot, serial: self.serial };
        self.slots[slot] = Some((row, self.serial));
        self.members.push(id);
        self.stream.reset_row(row);
        let input = self.stream.input();
        self.frames[row * input..][..input].fill(0.0);
        Ok(id)
    }

    /// First element of a row in each layer's state.
    fn rows(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (batch, h, layers) = (self.stream.batch(), self.stream.model.hidden, self.stream.model.layers.len());
        (0..layers).map(move |layer| (layer * batch + row) * h)
    }

    fn row(&self, op: &'static str, id: StreamId) -> Result<usize> {
        match self.slots.get(id.slot) {
            Some(&Some((row, serial))) if serial == id.serial => Ok(row),
            _ => Err(Error::value(op, "id", "a member of the pool", format!("{id:?}"))),
        }
    }

    /// Ends a member; the last row takes its place.
    ///
    /// # Errors
    /// [`Error::Value`] for one that is not in the pool.
    pub fn leave(&mut self, id: StreamId) -> Result<()> {
        let row = self.row("StreamPool::leave", id)?;
        let (last, h, input) = (self.members.len() - 1, self.stream.model.hidden, self.stream.input());
        for (to, from) in self.rows(row).zip(self.rows(last)) {
            self.stream.state.copy_within(from..from + h, to);
        }
        self.frames.copy_within(last * input..(last + 1) * input, row * input);
        // The last output stays readable for who moved.
        let outputs = self.outputs_mut();
        if let Some((outputs, width)) = outputs {
            outputs.copy_within(last * width..(last + 1) * width, row * width);
        }
        self.slots[id.slot] = None;
        self.members.swap_remove(row);
        if let Some(moved) = self.members.get(row) {
            self.slots[moved.slot] = Some((row, moved.serial));
        }
        Ok(())
    }

    fn outputs_mut(&mut self) -> Option<(&mut [f32], usize)> {
        let width = self.width;
        self.stream.model.head.is_some().then_some((&mut self.stream.output[..], width))
    }

    /// The member's next frame `[I]`, to be written; it holds the last one.
    ///
    /// # Errors
    /// [`Error::Value`] for one that is not in the pool.
    pub fn frame_mut(&mut self, id: StreamId) -> Result<&mut [f32]> {
        let (row, input) = (self.row("StreamPool::frame_mut", id)?, self.stream.input());
        Ok(&mut self.frames[row * input..][..input])
    }

    /// One step of all members.
    pub fn step(&mut self) {
        let (rows, input, h) = (self.members.len(), self.stream.input(), self.stream.model.hidden);
        if rows > 0 {
            self.stream.step_rows(&self.frames[..rows * input], rows, h);
        }
    }

    /// What the member's last step gave: `[H]`, or the linear layer's `[out]`.
    ///
    /// # Errors
    /// [`Error::Value`] for one that is not in the pool.
    pub fn output(&self, id: StreamId) -> Result<&[f32]> {
        let row = self.row("StreamPool::output", id)?;
        let stream = &self.stream;
        let all = match stream.model.head {
            Some(_) => &stream.output[..],
            None => &stream.state[(stream.model.layers.len() - 1) * stream.batch() * stream.model.hidden..],
        };
        Ok(&all[row * self.width..][..self.width])
    }
}
