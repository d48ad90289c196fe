//! Runs recurrent layers frame by frame, carrying the state. After construction, nothing allocates, locks or makes a
//! system call.

mod live;
mod model;
mod network;
mod pool;
mod rate;

use std::sync::Arc;

use crate::cell::Cell;
use crate::cpu::HAS_FAST;
use crate::error::{Error, Result};
use crate::nn::{Linear, Recurrent, RecurrentConfig, RecurrentOptions};
use crate::precision::Precision;
use crate::tensor::Tensor;
use model::{CHUNK, Head, Model, States, Work};

pub use live::{LiveStream, StreamControl};
pub(crate) use network::widths;
pub use network::{NetworkStream, StreamLayer};
pub use pool::{StreamId, StreamPool};
pub use rate::Interpolation;

/// Maximum number of threads. With more, each would have too little work.
const MOST_THREADS: usize = 16;
/// Steps after which tiny states become 0.
const FLUSH: usize = 64;

/// Options of a [`Stream`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    /// Number of sequences stepped together.
    pub batch: usize,
    /// Storage format of the weights. On x86-64, f32 is the fastest up to 40 units; int8 is faster from 64 on, and bf16
    /// and f16 are faster from 128 on. In browsers, f16 is slower than f32. [`Precision::Auto`] takes the faster of f32
    /// and bf16.
    pub weights: Precision,
    /// Number of threads that share the units of a step, including the calling one. The others spin while steps follow
    /// in quick succession, and sleep otherwise. From about 200 units on, two threads are faster than one. Results do
    /// not depend on the number.
    pub threads: usize,
    /// Computes tanh and σ as ratios of polynomials, with absolute errors up to 1.3e-5 and 7e-6. Steps with few units
    /// are then 1.1 to 1.4 times as fast, because activations take much of their time. Only for one sequence with f32
    /// weights, at most 64 units and the cell's usual activations, and not in browsers.
    pub fast_activations: bool,
    /// Handling of a sequence whose state becomes NaN or infinite.
    pub non_finite: NonFinite,
    /// Rate of the frames divided by the rate at which the model was trained, 1 to 64: at 2, a model of audio at 48 kHz
    /// runs at 96 kHz. Each layer then continues from its state of `rate_ratio` steps ago:
    ///
    /// ```text
    /// h[t] = cell(x[t], h[t − rate_ratio])        of an LSTM also c
    /// ```
    ///
    /// A state between two steps is interpolated. There is no latency. At lower rates, resample the frames to the rate
    /// of the model, and the outputs back. `docs/performance.md` in the repository lists the errors of some models.
    ///
    /// Source: Carson, Wright, Chowdhury, Välimäki and Bilbao, *Sample rate independent recurrent neural networks for
    /// audio effects processing*, DAFx 2024.
    pub rate_ratio: f64,
    /// Interpolation of states between two steps.
    pub interpolation: Interpolation,
}

/// How a [`Stream`] handles a sequence whose state becomes NaN or infinite, usually because a frame holds NaN or
/// infinity. Other sequences of the batch are not affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// The state stays NaN until the sequence is reset.
    #[default]
    Propagate,
    /// Restarts the sequence. Its state becomes the initial one, and the output of this step is that of the initial
    /// state.
    Reset,
    /// Ignores the frame: the state and the output stay those of the previous step.
    Hold,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            batch: 1,
            weights: Precision::F32,
            threads: 1,
            fast_activations: false,
            non_finite: NonFinite::Propagate,
            rate_ratio: 1.0,
            interpolation: Interpolation::default(),
        }
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
    states: States,
    work: Work,
    /// `[B, out]` of the linear layer.
    output: Vec<f32>,
    /// Frames of a block that is processed in place.
    copy: Vec<f32>,
    /// Outputs of a sequence.
    width: usize,
    /// Steps since tiny states became 0.
    steps: usize,
}

/// Returns the values of a parameter, which must be on the CPU.
fn values(op: &'static str, tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.device().is_gpu() {
        let expected = "a model on the CPU; load it there, since nothing is read back implicitly".to_string();
        return Err(Error::DeviceMix { op, arg: "layer", expected, got: tensor.device().info().name.clone() });
    }
    tensor.read_now()
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
    if options.fast_activations && !(HAS_FAST && Model::is_small(c, options)) {
        let (batch, weights, units) = (options.batch, options.weights, c.hidden);
        let got = format!("batch {batch}, weights {weights:?}, {units} units, activations {:?}", c.activations());
        let expected = "one sequence, f32 weights, at most 64 units and the cell's usual activations, outside browsers";
        return Err(Error::value(op, "fast_activations", expected, got));
    }
    rate::check(options)?;
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
    Ok(c.cell)
}

impl Stream {
    /// Creates a stream of `layer`, which must be on the CPU. It starts from zeros, or from the layer's learned initial
    /// state.
    ///
    /// # Errors
    /// [`Error::Value`] for a batch of 0, a number of threads out of range, a reverse or bidirectional layer, options
    /// that a stream does not support (clipping, zoneout, projections, peepholes), or weights that f16 cannot represent;
    /// [`Error::DeviceMix`] for a layer on a GPU.
    pub fn new(layer: &Recurrent, options: StreamOptions) -> Result<Self> {
        let cell = check(layer.config(), options)?;
        Ok(Self::of(Arc::new(Model::new(layer, cell, options)?), options))
    }

    fn of(model: Arc<Model>, options: StreamOptions) -> Self {
        let output = vec![0.0; model.head.as_ref().map_or(0, |head| options.batch * head.units())];
        let (states, work) = (model.states(options), model.work(options.batch));
        let copy = vec![0.0; FLUSH * options.batch * model.input];
        Self { width: model.width(), model, options, states, work, output, copy, steps: 0 }
    }

    /// Appends a linear layer to the last recurrent layer, and resets the state.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the layer takes H features, [`Error::Value`] if the stream already has a linear layer or
    /// was cloned, [`Error::DeviceMix`] for a layer on a GPU.
    pub fn then(self, linear: &Linear) -> Result<Self> {
        let op = "Stream::then";
        let weight = linear.weight();
        let &[_, input] = weight.dims() else { return Err(Error::shape(op, "linear", "[out, in]", weight.dims())) };
        if input != self.model.hidden {
            return Err(Error::shape(op, "linear", format!("[out, {}]", self.model.hidden), weight.dims()));
        }
        let Ok(mut model) = Arc::try_unwrap(self.model) else {
            return Err(Error::value(op, "self", "a stream that has not been cloned", "a cloned one"));
        };
        if model.head.is_some() {
            return Err(Error::value(op, "self", "a stream without a linear layer", "one that has one"));
        }
        model.head = Some(Head::new(linear, self.options)?);
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
    /// [`Error::Length`] for a frame of the wrong length; the state is then unchanged.
    #[inline]
    pub fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        let expected = self.options.batch * self.model.input;
        if frame.len() != expected {
            let (op, layout) = ("Stream::step", "[batch, input]");
            return Err(Error::Length { op, arg: "frame", layout, expected, got: frame.len() });
        }
        Ok(self.step_rows(frame, self.options.batch))
    }

    /// Runs one step of the first `rows` rows. The caller must have checked the length of the frame.
    fn step_rows(&mut self, frame: &[f32], rows: usize) -> &[f32] {
        let Self { model, options: StreamOptions { batch, non_finite, .. }, states, work, output, .. } = self;
        model.step(work, states, frame, [rows, *batch]);
        if *non_finite != NonFinite::Propagate {
            model.mend(states, *non_finite, [rows, *batch]);
        }
        states.keep();
        model.finish(work, states, output, rows);
        self.count(1);
        let all = if self.output.is_empty() { self.states.last() } else { &self.output[..] };
        &all[..rows * self.width]
    }

    /// Counts steps, and sets tiny states to 0 after every 64.
    #[inline]
    fn count(&mut self, steps: usize) {
        self.steps += steps;
        if self.steps >= FLUSH {
            self.states.flush();
            self.steps = 0;
        }
    }

    /// Runs as many steps as `input` has frames: reads `input` `[steps, B, I]` and writes `output` `[steps, B, H]`, or
    /// `[steps, B, out]` of the linear layer. Gives the same bits as [`step`](Self::step) for each frame, in less time.
    ///
    /// ```
    /// use wgru::{Device, Rng, nn::RecurrentConfig};
    /// let gru = RecurrentConfig { input: 1, hidden: 8, ..Default::default() }.build(&Device::cpu(), &mut Rng::new(0))?;
    /// let mut stream = gru.stream(1)?;
    /// let (block, mut states) = ([0.1, 0.2, 0.3], [0.0; 3 * 8]);
    /// stream.process(&block, &mut states)?;
    /// stream.reset();
    /// assert_eq!(stream.step(&block[..1])?, &states[..8]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] for an input that is not a whole number of frames, or an output of another length. The state
    /// is then unchanged.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<()> {
        self.check_block("Stream::process", ["input", "output"], input.len(), output.len())?;
        self.run_block(input, output);
        Ok(())
    }

    /// Checks the lengths of a block's input and output.
    fn check_block(&self, op: &'static str, [x, y]: [&'static str; 2], input: usize, output: usize) -> Result<()> {
        let [frame, width] = [self.model.input, self.width].map(|n| self.options.batch * n);
        let (steps, expected) = (input / frame, input.next_multiple_of(frame));
        if input != expected {
            let layout = "whole frames [steps, batch, input]";
            return Err(Error::Length { op, arg: x, layout, expected, got: input });
        }
        if output != steps * width {
            let (layout, expected) = ("[steps, batch, output]", steps * width);
            return Err(Error::Length { op, arg: y, layout, expected, got: output });
        }
        Ok(())
    }

    /// Runs a block whose lengths were checked.
    fn run_block(&mut self, mut input: &[f32], mut output: &mut [f32]) {
        let batch = self.options.batch;
        let [frame, width] = [self.model.input, self.width].map(|n| batch * n);
        while !input.is_empty() {
            // Up to the next step after which tiny states become 0.
            let steps = (FLUSH - self.steps).min(CHUNK).min(input.len() / frame);
            let (x, rest) = input.split_at(steps * frame);
            let (out, after) = std::mem::take(&mut output).split_at_mut(steps * width);
            if batch == 1 && self.model.process(&mut self.work, &mut self.states, self.options.non_finite, x, out) {
                self.count(steps);
            } else {
                for (x, out) in x.chunks_exact(frame).zip(out.chunks_exact_mut(width)) {
                    out.copy_from_slice(self.step_rows(x, batch));
                }
            }
            (input, output) = (rest, after);
        }
    }

    /// As [`process`](Self::process), but replaces the frames by the outputs, which must have the same length.
    ///
    /// ```
    /// use wgru::{Device, Rng, nn::RecurrentConfig};
    /// let gru = RecurrentConfig { input: 1, hidden: 1, ..Default::default() }.build(&Device::cpu(), &mut Rng::new(0))?;
    /// let (mut stream, mut block) = (gru.stream(1)?, [0.1, 0.2, 0.3]);
    /// stream.process_in_place(&mut block)?;
    /// stream.reset();
    /// assert_eq!(stream.step(&[0.1])?, &block[..1]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if `frames` is not a whole number of frames, or an output is not as long as a frame. The state
    /// is then unchanged.
    pub fn process_in_place(&mut self, frames: &mut [f32]) -> Result<()> {
        self.check_block("Stream::process_in_place", ["frames"; 2], frames.len(), frames.len())?;
        let mut copy = std::mem::take(&mut self.copy);
        for block in frames.chunks_mut(copy.len()) {
            let input = &mut copy[..block.len()];
            input.copy_from_slice(block);
            self.run_block(input, block);
        }
        self.copy = copy;
        Ok(())
    }

    /// Returns the states `[layers, B, H]`, for an LSTM `h` and then `c` (`[2, layers, B, H]`). With a
    /// [`rate_ratio`](StreamOptions::rate_ratio) above 1, the states of earlier steps follow. Copy them to take a
    /// snapshot for [`set_state`](Self::set_state).
    pub fn state(&self) -> &[f32] {
        self.states.all()
    }

    /// Continues from `state`, which has the layout of [`state`](Self::state).
    ///
    /// # Errors
    /// [`Error::Length`] for a slice of the wrong length.
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        let expected = self.states.all().len();
        if state.len() != expected {
            let (op, layout) = ("Stream::set_state", "[states, layers, batch, hidden] of each step that is kept");
            return Err(Error::Length { op, arg: "state", layout, expected, got: state.len() });
        }
        self.states.set(state);
        Ok(())
    }

    /// Restarts all sequences from zeros, or from the learned initial state.
    pub fn reset(&mut self) {
        (0..self.options.batch).for_each(|row| self.reset_row(row));
    }

    fn reset_row(&mut self, row: usize) {
        self.model.reset(&mut self.states, self.options.batch, row);
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
