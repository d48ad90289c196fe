//! Runs recurrent layers frame by frame, carrying the state. After construction, nothing allocates, locks or makes a
//! system call.

use std::sync::Arc;

use crate::cell::Cell;
use crate::cpu::{Inputs, Isa, LANES, Packed, StepScratch, StepWeights, ThreadPool};
use crate::error::{Error, Result};
use crate::nn::{Linear, Recurrent, RecurrentConfig, RecurrentOptions};
use crate::ops::recurrent::Weights;
use crate::precision::Precision;
use crate::tensor::Tensor;

/// Maximum number of threads. With more, each would have too little work.
const MOST_THREADS: usize = 16;

/// Options of a [`Stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Number of sequences stepped together.
    pub batch: usize,
    /// Storage format of the weights.
    pub weights: Precision,
    /// Number of threads that share the units of a step, including the calling one. The others spin while steps follow
    /// in quick succession, and sleep otherwise. From about 200 units on, two threads are faster than one. Results do
    /// not depend on it.
    pub threads: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { batch: 1, weights: Precision::F32, threads: 1 }
    }
}

/// Steps a [`Gru`](crate::nn::Gru), [`Lstm`](crate::nn::Lstm) or [`Rnn`](crate::nn::Rnn), and optionally a [`Linear`]
/// after it, frame by frame on the CPU.
///
/// Construction prepares everything. [`step`](Self::step) allocates nothing, takes no lock, makes no system call and
/// costs the same every time, so it may run in an audio callback. Clones share the weights.
///
/// ```
/// use wgru::{Device, Rng, Stream, StreamOptions, nn::{RecurrentConfig, Linear}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig { input: 3, hidden: 8, ..Default::default() }.build(&device, &mut rng)?;
/// let head = Linear::new(&device, 8, 1, true, &mut rng)?;
/// let mut stream = Stream::new(&gru, StreamOptions::default())?.then(&head)?;
/// let score = stream.step(&[0.1, 0.2, 0.3])?[0];
/// let fork = stream.clone();                               // continues independently from here
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
    /// State before the step `[parts, layers, B, H]`: `h`, for an LSTM `h` and `c`.
    state: Vec<f32>,
    /// State after the step.
    next: Vec<f32>,
    scratch: Vec<StepScratch>,
    head: HeadScratch,
    output: Vec<f32>,
}

/// Weights and threads, shared between clones.
struct Model {
    cell: Cell,
    input: usize,
    hidden: usize,
    /// Initial states `[parts, layers, H]`.
    first: Vec<f32>,
    layers: Vec<StepWeights>,
    head: Option<Head>,
    pool: ThreadPool,
}

struct Head {
    w: Packed,
    bias: Vec<f32>,
}

/// Working memory for the product of the linear layer.
#[derive(Clone)]
struct HeadScratch {
    sums: Vec<f32>,
    inputs: Option<Inputs>,
}

/// Returns the values of a parameter, which must be on the CPU.
fn values(op: &'static str, tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.device().is_gpu() {
        let expected = "a model on the CPU; load it there, since nothing is read back implicitly".to_string();
        return Err(Error::DeviceMix { op, arg: "layer", expected, got: tensor.device().info().name.clone() });
    }
    tensor.read_now()
}

/// Packs the weights of one layer.
fn pack(cell: Cell, w: &Weights, precision: Precision) -> Result<StepWeights> {
    let get = |tensor: &Tensor| values("Stream", tensor);
    let (w_ih, w_hh) = (get(&w.w_ih)?, get(&w.w_hh)?);
    let [b_ih, b_hh] = match &w.bias {
        Some((ih, hh)) => [get(ih)?, get(hh)?],
        None => [(); 2].map(|()| vec![0.0; w.w_ih.dims()[0]]),
    };
    StepWeights::new(cell, [&w_ih, &w_hh], [&b_ih, &b_hh], precision)
}

/// Returns the cell if a stream supports the layer and the options.
fn check(c: &RecurrentConfig, options: StreamOptions) -> Result<Cell> {
    let op = "Stream";
    if options.batch == 0 {
        return Err(Error::value(op, "batch", "at least 1", 0));
    }
    if !(1..=MOST_THREADS).contains(&options.threads) {
        return Err(Error::value(op, "threads", format!("1 to {MOST_THREADS}"), options.threads));
    }
    for (arg, set) in [("bidirectional", c.bidirectional), ("reverse", c.reverse)] {
        if set {
            return Err(Error::value(op, arg, "false: frames come forward in time", true));
        }
    }
    for (arg, set) in [("projection", c.projection > 0), ("peephole", c.peephole), ("input_forget", c.input_forget)] {
        if set {
            return Err(Error::value(op, arg, "none", true));
        }
    }
    let o = c.options;
    let plain = RecurrentOptions { padding: o.padding, learn_h0: o.learn_h0, ..RecurrentOptions::default() };
    // Options that only affect training do not matter here.
    let seen =
        RecurrentOptions { input_dropout: 0.0, recurrent_dropout: 0.0, weight_dropout: 0.0, recompute: false, ..o };
    if seen != plain {
        let got = o.clip.map_or_else(
            || format!("zoneout {} and zoneout_cell {}", o.zoneout, o.zoneout_cell),
            |clip| format!("clip {clip}"),
        );
        return Err(Error::value(op, "options", "neither clip nor zoneout", got));
    }
    match c.activations[..] {
        [] => Ok(c.cell),
        _ => Err(Error::value(op, "activations", "the defaults of the cell", format!("{:?}", c.activations))),
    }
}

impl Stream {
    /// Creates a stream of `layer`, which must be on the CPU. It starts from zeros, or from the layer's learned initial
    /// state.
    ///
    /// # Errors
    /// [`Error::Value`] for a batch of 0, a number of threads out of range, a reverse or bidirectional layer, options
    /// that a stream does not support (other activations, clipping, zoneout, projections, peepholes), or weights that
    /// f16 cannot represent; [`Error::DeviceMix`] for a layer on a GPU.
    pub fn new(layer: &Recurrent, options: StreamOptions) -> Result<Self> {
        let c = layer.config();
        let cell = check(c, options)?;
        let weights = layer.weights.iter().flatten();
        let layers = weights.map(|w| pack(cell, w, options.weights)).collect::<Result<Vec<_>>>()?;
        let mut first = Vec::with_capacity(cell.states() * c.layers * c.hidden);
        for (_, state) in &layer.first {
            first.extend(values("Stream", state)?);
        }
        first.resize(cell.states() * c.layers * c.hidden, 0.0);
        let pool = ThreadPool::new(options.threads);
        _ = pool.start();
        let model = Model { cell, input: c.input, hidden: c.hidden, first, layers, head: None, pool };
        Ok(Self::of(Arc::new(model), options))
    }

    fn of(model: Arc<Model>, options: StreamOptions) -> Self {
        let (batch, h) = (options.batch, model.hidden);
        let scratch = model.layers.iter().map(|layer| layer.scratch(batch)).collect();
        let head = model.head.as_ref();
        let head_scratch = HeadScratch {
            sums: vec![0.0; head.map_or(0, |head| head.w.blocks() * head.w.block_len(batch))],
            inputs: head.map(|head| head.w.inputs(batch)),
        };
        let state: Vec<f32> = model.first.chunks_exact(h).flat_map(|layer| layer.repeat(batch)).collect();
        let output = vec![0.0; batch * head.map_or(0, |head| head.w.units)];
        let isa = Isa::detect();
        Self { next: state.clone(), state, model, options, isa, scratch, head: head_scratch, output }
    }

    /// Appends a linear layer to the last recurrent layer, and resets the state.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the layer takes H features, [`Error::Value`] if the stream already has a linear layer or
    /// was cloned, [`Error::DeviceMix`] for a layer on a GPU.
    pub fn then(self, linear: &Linear) -> Result<Self> {
        let op = "Stream::then";
        let weight = linear.weight();
        let &[units, input] = weight.dims() else { return Err(Error::shape(op, "linear", "[out, in]", weight.dims())) };
        if input != self.model.hidden {
            return Err(Error::shape(op, "linear", format!("[out, {}]", self.model.hidden), weight.dims()));
        }
        let Ok(mut model) = Arc::try_unwrap(self.model) else {
            return Err(Error::value(op, "self", "a stream that has not been cloned", "a cloned one"));
        };
        if model.head.is_some() {
            return Err(Error::value(op, "self", "a stream without a linear layer", "one that has one"));
        }
        let w = Packed::new(&values(op, weight)?, 1, units, self.options.weights)?;
        let bias = match linear.bias() {
            Some(bias) => values(op, bias)?,
            None => vec![0.0; units],
        };
        model.head = Some(Head { w, bias });
        Ok(Self::of(Arc::new(model), self.options))
    }

    /// Returns the number of sequences stepped together.
    pub fn batch(&self) -> usize {
        self.options.batch
    }

    /// Returns the number of features of a frame.
    pub fn input(&self) -> usize {
        self.model.input
    }

    /// Runs one step on `frame` `[B, I]`. Returns the output `[B, H]`, or `[B, out]` of the linear layer.
    ///
    /// # Errors
    /// [`Error::Shape`] for a frame of the wrong length; the state is then unchanged.
    pub fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        let (batch, h) = (self.options.batch, self.model.hidden);
        if frame.len() != batch * self.model.input {
            let expected = format!("[{batch}, {}]", self.model.input);
            return Err(Error::shape("Stream::step", "frame", expected, &[frame.len()]));
        }
        Ok(self.step_rows(frame, batch, h))
    }

    /// Runs one step of the first `rows` rows. The caller must have checked the length of the frame.
    fn step_rows(&mut self, frame: &[f32], rows: usize, h: usize) -> &[f32] {
        let Self { model, isa, state, next, scratch, head: s, output, options } = self;
        let (isa, len) = (*isa, options.batch * h);
        let all = model.layers.len() * len;
        let ((old_h, old_c), (new_h, new_c)) = (state.split_at(all), next.split_at_mut(all));
        for (l, (layer, scratch)) in model.layers.iter().zip(scratch).enumerate() {
            let (before, after) = new_h.split_at_mut(l * len);
            let x = if l == 0 { frame } else { &before[(l - 1) * len..] };
            let cells = if old_c.is_empty() { 0..0 } else { l * len..l * len + rows * h };
            let old = [&old_h[l * len..][..rows * h], &old_c[cells.clone()]];
            layer.step((isa, &model.pool), scratch, x, old, [&mut after[..rows * h], &mut new_c[cells]]);
        }
        std::mem::swap(state, next);
        let last = &state[all - len..][..rows * h];
        let (Some(head), Some(inputs)) = (&model.head, &mut s.inputs) else { return last };
        head.w.prepare(isa, last, rows, inputs);
        head.w.product(isa, last, rows, inputs, &(0..head.w.blocks()).into(), &mut s.sums);
        for (row, out) in output.chunks_exact_mut(head.w.units).enumerate().take(rows) {
            for (unit, (out, bias)) in out.iter_mut().zip(&head.bias).enumerate() {
                *out = s.sums[(unit / LANES * rows + row) * LANES + unit % LANES] + bias;
            }
        }
        &output[..rows * head.w.units]
    }

    /// Returns the states `[layers, B, H]`, for an LSTM `h` and then `c` (`[2, layers, B, H]`). Copy them to take a
    /// snapshot for [`set_state`](Self::set_state).
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// Continues from `state`, which has the layout of [`state`](Self::state).
    ///
    /// # Errors
    /// [`Error::Shape`] for a slice of the wrong length.
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        if state.len() != self.state.len() {
            let m = &self.model;
            let expected = [m.cell.states(), m.layers.len(), self.options.batch, m.hidden];
            return Err(Error::shape("Stream::set_state", "state", format!("{expected:?}"), &[state.len()]));
        }
        self.state.copy_from_slice(state);
        Ok(())
    }

    /// Restarts all sequences from zeros, or from the learned initial state.
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

impl Recurrent {
    /// Creates a [`Stream`] of `batch` sequences with f32 weights.
    ///
    /// # Errors
    /// Same as [`Stream::new`].
    pub fn stream(&self, batch: usize) -> Result<Stream> {
        Stream::new(self, StreamOptions { batch, ..StreamOptions::default() })
    }
}

/// Independent streams that are stepped as one batch. They join and leave between steps, without allocation.
///
/// ```
/// use wgru::{Device, Rng, StreamPool, Stream, StreamOptions, nn::RecurrentConfig};
/// let gru = RecurrentConfig { input: 2, hidden: 4, ..Default::default() }.build(&Device::cpu(), &mut Rng::new(0))?;
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
    /// The member of each row. Rows in use come first.
    members: Vec<StreamId>,
    /// The row and the serial number of the member in each slot.
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
    /// Creates a pool for up to `stream.batch()` members.
    pub fn new(stream: Stream) -> Self {
        let capacity = stream.batch();
        let width = stream.model.head.as_ref().map_or(stream.model.hidden, |head| head.w.units);
        let frames = vec![0.0; capacity * stream.input()];
        Self { members: Vec::with_capacity(capacity), slots: vec![None; capacity], frames, width, serial: 0, stream }
    }

    /// Returns the current number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the pool has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a member, at the start of its sequence.
    ///
    /// # Errors
    /// [`Error::Limit`] if the pool is full.
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

    /// Returns the index of the first element of a row in each state of each layer.
    fn rows(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (batch, model) = (self.stream.batch(), &self.stream.model);
        let (h, states) = (model.hidden, model.cell.states() * model.layers.len());
        (0..states).map(move |state| (state * batch + row) * h)
    }

    fn row(&self, op: &'static str, id: StreamId) -> Result<usize> {
        match self.slots.get(id.slot) {
            Some(&Some((row, serial))) if serial == id.serial => Ok(row),
            _ => Err(Error::value(op, "id", "a member of the pool", format!("{id:?}"))),
        }
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not in the pool.
    pub fn leave(&mut self, id: StreamId) -> Result<()> {
        let row = self.row("StreamPool::leave", id)?;
        // The member in the last row moves to the row that is now free.
        let (last, h, input) = (self.members.len() - 1, self.stream.model.hidden, self.stream.input());
        for (to, from) in self.rows(row).zip(self.rows(last)) {
            self.stream.state.copy_within(from..from + h, to);
        }
        self.frames.copy_within(last * input..(last + 1) * input, row * input);
        // Its last output stays readable.
        if self.stream.model.head.is_some() {
            let width = self.width;
            self.stream.output.copy_within(last * width..(last + 1) * width, row * width);
        }
        self.slots[id.slot] = None;
        self.members.swap_remove(row);
        if let Some(moved) = self.members.get(row) {
            self.slots[moved.slot] = Some((row, moved.serial));
        }
        Ok(())
    }

    /// Returns the member's next frame `[I]`, to write to. It still holds the previous one.
    ///
    /// # Errors
    /// [`Error::Value`] if the member is not in the pool.
    pub fn frame_mut(&mut self, id: StreamId) -> Result<&mut [f32]> {
        let (row, input) = (self.row("StreamPool::frame_mut", id)?, self.stream.input());
        Ok(&mut self.frames[row * input..][..input])
    }

    /// Runs one step of all members.
    pub fn step(&mut self) {
        let (rows, input, h) = (self.members.len(), self.stream.input(), self.stream.model.hidden);
        if rows > 0 {
            self.stream.step_rows(&self.frames[..rows * input], rows, h);
        }
    }

    /// Returns the output of the member's last step: `[H]`, or `[out]` of the linear layer.
    ///
    /// # Errors
    /// [`Error::Value`] if the member is not in the pool.
    pub fn output(&self, id: StreamId) -> Result<&[f32]> {
        let row = self.row("StreamPool::output", id)?;
        let stream = &self.stream;
        let all = match stream.model.head {
            Some(_) => &stream.output[..],
            None => &stream.state[(stream.model.layers.len() - 1) * stream.batch() * self.width..],
        };
        Ok(&all[row * self.width..][..self.width])
    }
}
