//! Networks of several layers, frame by frame.

use super::{Stream, StreamOptions, values};
use crate::error::{Error, Result};
use crate::math::Activation;
use crate::nn::{Kind, Linear, Recurrent, Sequential};

const OP: &str = "NetworkStream";
/// Number of steps that a layer processes before the next one runs, so that the values in between stay in the cache.
const BLOCK: usize = 64;

/// A layer of a [`NetworkStream`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum StreamLayer<'a> {
    /// Recurrent layers.
    Recurrent(&'a Recurrent),
    /// A linear layer.
    Linear(&'a Linear),
    /// A function of each value.
    Activation(Activation),
    /// The softmax over the features.
    Softmax,
    /// The logarithm of the softmax over the features.
    LogSoftmax,
}

/// Steps a network frame by frame on the CPU: recurrent layers, linear layers and activations, one after another.
///
/// As a [`Stream`], which runs a recurrent layer with at most one linear layer, it allocates nothing, takes no lock and
/// makes no system call after construction. Clones share the weights of recurrent layers.
///
/// [`io::Network::stream`](crate::io::Network::stream) creates the stream of a network from a file.
///
/// ```
/// use wgru::{Device, NetworkStream, Rng, StreamOptions, nn::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let network = Sequential::new()
///     .push("gru", RecurrentConfig::gru(3, 8).build(&device, &mut rng)?)
///     .push("hidden", Linear::new(&device, 8, 4, true, &mut rng)?)
///     .push("tanh", Tanh)
///     .push("head", Linear::new(&device, 4, 1, true, &mut rng)?);
/// let mut stream = NetworkStream::new(&network, StreamOptions::default())?;
/// assert_eq!(stream.widths(), [3, 1]);
/// let y = stream.step(&[0.1, 0.2, 0.3])?[0];
///
/// let (frames, mut outputs) = ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0; 2]);
/// stream.reset();
/// stream.process(&frames, &mut outputs)?;
/// assert_eq!(outputs[0], y);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct NetworkStream {
    stages: Vec<Stage>,
    batch: usize,
    /// Features of a frame and of an output.
    widths: [usize; 2],
    /// Whether the first features of a frame are added to the output.
    skip: bool,
    /// `[BLOCK, batch, features]`, twice: the values between two stages.
    rows: [Vec<f32>; 2],
}

#[derive(Clone)]
enum Stage {
    /// Recurrent layers, and the linear layer after them if there is one.
    Recurrent(Box<Stream>),
    Linear(Matrix),
    Activation(Activation),
    /// Of rows of this width; `true` for the logarithm of the softmax.
    Softmax(usize, bool),
}

#[derive(Clone)]
struct Matrix {
    /// `[output, input]`
    weight: Vec<f32>,
    /// `[output]`
    bias: Vec<f32>,
    input: usize,
}

impl Matrix {
    /// Computes `y = W·x + b` for each row.
    fn run(&self, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(self.input).zip(y.chunks_exact_mut(self.bias.len())) {
            for ((y, row), bias) in y.iter_mut().zip(self.weight.chunks_exact(self.input)).zip(&self.bias) {
                *y = row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + bias;
            }
        }
    }
}

/// Computes the softmax of a row, or its logarithm.
fn softmax(x: &[f32], y: &mut [f32], is_log: bool) {
    // NaN must not be lost.
    let largest = x.iter().fold(f32::NEG_INFINITY, |most, &v| if v > most || v.is_nan() { v } else { most });
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - largest).exp();
        sum += *y;
    }
    let log = sum.ln();
    for (y, x) in y.iter_mut().zip(x) {
        *y = if is_log { x - largest - log } else { *y / sum };
    }
}

impl Stage {
    /// Creates the stage of a layer, and of the linear layer after it if it computes both. Returns it with its numbers of
    /// features `[input, output]`, of which `width` is the expected input.
    fn new(
        layer: StreamLayer,
        head: Option<&Linear>,
        width: Option<usize>,
        options: StreamOptions,
    ) -> Result<(Self, [usize; 2])> {
        let same = |stage| match width {
            Some(width) => Ok((stage, [width, width])),
            None => Err(Error::value(OP, "layers", "a recurrent or a linear layer first", "an activation")),
        };
        match layer {
            StreamLayer::Recurrent(layer) => {
                let mut stream = Stream::new(layer, options)?;
                if let Some(head) = head {
                    stream = stream.then(head)?;
                }
                let widths = [stream.input(), stream.width];
                Ok((Stage::Recurrent(Box::new(stream)), widths))
            }
            StreamLayer::Linear(linear) => {
                let weight = linear.weight();
                let &[output, input] = weight.dims() else {
                    return Err(Error::shape(OP, "weight", "[out, in]", weight.dims()));
                };
                let bias = linear.bias().map_or_else(|| Ok(vec![0.0; output]), |bias| values(OP, bias))?;
                Ok((Stage::Linear(Matrix { weight: values(OP, weight)?, bias, input }), [input, output]))
            }
            StreamLayer::Activation(activation) => same(Stage::Activation(activation)),
            StreamLayer::Softmax => same(Stage::Softmax(width.unwrap_or(0), false)),
            StreamLayer::LogSoftmax => same(Stage::Softmax(width.unwrap_or(0), true)),
        }
    }

    /// Number of outputs for `input` features.
    fn width(&self, input: usize) -> usize {
        match self {
            Stage::Recurrent(stream) => stream.width,
            Stage::Linear(matrix) => matrix.bias.len(),
            Stage::Activation(_) | Stage::Softmax(..) => input,
        }
    }

    /// Reads `x` `[steps, batch, input]` and writes `y` `[steps, batch, output]`.
    fn run(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        match self {
            Stage::Recurrent(stream) => return stream.process(x, y),
            Stage::Linear(matrix) => matrix.run(x, y),
            Stage::Activation(function) => y.iter_mut().zip(x).for_each(|(y, x)| *y = function.apply(*x)),
            Stage::Softmax(width, is_log) => {
                let rows = x.chunks_exact(*width).zip(y.chunks_exact_mut(*width));
                rows.for_each(|(x, y)| softmax(x, y, *is_log));
            }
        }
        Ok(())
    }
}

/// Returns the layers of a network.
///
/// # Errors
/// [`Error::Value`] naming the first layer that a stream does not run.
fn layers(network: &Sequential) -> Result<Vec<StreamLayer<'_>>> {
    let mut out = Vec::new();
    for (name, part) in network.parts() {
        let refused = || {
            let expected = "recurrent layers, linear layers and activations, one after another";
            Error::value(OP, "network", expected, format!("layer {name:?}"))
        };
        out.push(match part.kind() {
            Kind::Recurrent(_) => StreamLayer::Recurrent(network.layer(name).map_err(|_| refused())?),
            Kind::Linear => StreamLayer::Linear(network.layer(name).map_err(|_| refused())?),
            Kind::Activation(activation) => StreamLayer::Activation(activation),
            Kind::Softmax => StreamLayer::Softmax,
            Kind::LogSoftmax => StreamLayer::LogSoftmax,
            // Dropout only acts in training, and each step is the last one so far.
            Kind::Dropout | Kind::LastStep { .. } => continue,
            Kind::LastState(_) => continue,
            _ => return Err(refused()),
        });
    }
    Ok(out)
}

/// Returns the features of a frame and of an output, if the layers of a network run one after another.
pub(crate) fn widths(network: &Sequential) -> Option<[usize; 2]> {
    let width = |layer: StreamLayer| match layer {
        StreamLayer::Recurrent(layer) => {
            let c = layer.config();
            Some([c.input, c.directions() * c.out()])
        }
        StreamLayer::Linear(linear) => match *linear.weight().dims() {
            [output, input] => Some([input, output]),
            _ => None,
        },
        _ => None,
    };
    let known: Vec<_> = layers(network).ok()?.into_iter().filter_map(width).collect();
    Some([known.first()?[0], known.last()?[1]])
}

impl NetworkStream {
    /// Creates the stream of a network, which must be on the CPU. [`Dropout`](crate::nn::Dropout) is left out. Where the
    /// network takes the last state of a sequence, the stream gives the output for the sequence so far.
    ///
    /// # Errors
    /// [`Error::Value`] naming a layer of another kind, and for a network without a recurrent layer; [`Error::Shape`]
    /// for layers whose widths do not match; errors of [`Stream::new`].
    pub fn new(network: &Sequential, options: StreamOptions) -> Result<Self> {
        Self::of_layers(&layers(network)?, options)
    }

    /// Creates the stream of layers that run one after another.
    ///
    /// ```
    /// use wgru::{Activation, Device, NetworkStream, Rng, StreamLayer, StreamOptions, nn::RecurrentConfig};
    /// let gru = RecurrentConfig::gru(1, 4).build(&Device::cpu(), &mut Rng::new(0))?;
    /// let layers = [StreamLayer::Recurrent(&gru), StreamLayer::Activation(Activation::Relu)];
    /// let mut stream = NetworkStream::of_layers(&layers, StreamOptions::default())?;
    /// assert!(stream.step(&[0.5])?.iter().all(|v| *v >= 0.0));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn of_layers(layers: &[StreamLayer], options: StreamOptions) -> Result<Self> {
        let (mut stages, mut widths, mut widest) = (Vec::new(), None::<[usize; 2]>, 0);
        let mut layers = layers.iter().copied().peekable();
        while let Some(layer) = layers.next() {
            let is_recurrent = matches!(layer, StreamLayer::Recurrent(_));
            // A stream computes the linear layer after it faster than a stage of its own.
            let head = match layers.peek() {
                Some(&StreamLayer::Linear(head)) if is_recurrent => Some(head),
                _ => None,
            };
            if head.is_some() {
                layers.next();
            }
            let before = widths.map(|[_, width]| width);
            let (stage, [input, output]) = Stage::new(layer, head, before, options)?;
            if let Some(before) = before.filter(|before| *before != input) {
                return Err(Error::shape(OP, "layers", format!("a layer with an input of {before}"), &[input]));
            }
            widths = Some([widths.map_or(input, |[first, _]| first), output]);
            widest = widest.max(input).max(output);
            stages.push(stage);
        }
        let Some(widths) = widths.filter(|_| stages.iter().any(|stage| matches!(stage, Stage::Recurrent(_)))) else {
            return Err(Error::value(OP, "layers", "at least one recurrent layer", "none"));
        };
        let rows = [(); 2].map(|()| vec![0.0; BLOCK * options.batch * widest]);
        Ok(Self { stages, batch: options.batch, widths, skip: false, rows })
    }

    /// Adds the first features of each frame to its output, as models of audio effects do that learn a difference.
    ///
    /// # Errors
    /// [`Error::Value`] for frames with fewer features than the output.
    pub fn with_skip(mut self) -> Result<Self> {
        let [input, output] = self.widths;
        if input < output {
            return Err(Error::value(OP, "skip", format!("frames of at least {output} features"), input));
        }
        self.skip = true;
        Ok(self)
    }

    /// Returns the number of sequences stepped together.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the features of a frame and of an output, of one sequence.
    pub fn widths(&self) -> [usize; 2] {
        self.widths
    }

    /// Runs one step on `frame` `[B, I]`. Returns the output `[B, O]`.
    ///
    /// # Errors
    /// [`Error::Length`] for a frame of the wrong length; the state is then unchanged.
    pub fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        let expected = self.batch * self.widths[0];
        if frame.len() != expected {
            let (op, layout) = ("NetworkStream::step", "[batch, input]");
            return Err(Error::Length { op, arg: "frame", layout, expected, got: frame.len() });
        }
        if self.is_plain() {
            let Some(Stage::Recurrent(stream)) = self.stages.first_mut() else { unreachable!("a plain stream") };
            return stream.step(frame);
        }
        let at = self.run(frame)?;
        Ok(&self.rows[at][..self.batch * self.widths[1]])
    }

    /// Runs as many steps as `input` has frames: reads `input` `[steps, B, I]` and writes `output` `[steps, B, O]`. Gives
    /// the same bits as [`step`](Self::step) for each frame, in less time.
    ///
    /// # Errors
    /// [`Error::Length`] for an input that is not a whole number of frames, or an output of another length. The state is
    /// then unchanged.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<()> {
        let op = "NetworkStream::process";
        let [frame, width] = self.widths.map(|width| self.batch * width);
        let (steps, expected) = (input.len() / frame, input.len().next_multiple_of(frame));
        if input.len() != expected {
            let layout = "whole frames [steps, batch, input]";
            return Err(Error::Length { op, arg: "input", layout, expected, got: input.len() });
        }
        if output.len() != steps * width {
            let (layout, expected) = ("[steps, batch, output]", steps * width);
            return Err(Error::Length { op, arg: "output", layout, expected, got: output.len() });
        }
        if self.is_plain() {
            let Some(Stage::Recurrent(stream)) = self.stages.first_mut() else { unreachable!("a plain stream") };
            return stream.process(input, output);
        }
        for (x, y) in input.chunks(BLOCK * frame).zip(output.chunks_mut(BLOCK * width)) {
            let at = self.run(x)?;
            y.copy_from_slice(&self.rows[at][..y.len()]);
        }
        Ok(())
    }

    /// As [`process`](Self::process), but replaces the frames by the outputs, which must have the same length.
    ///
    /// # Errors
    /// Same as [`process`](Self::process).
    pub fn process_in_place(&mut self, frames: &mut [f32]) -> Result<()> {
        let op = "NetworkStream::process_in_place";
        let [frame, width] = self.widths.map(|width| self.batch * width);
        let expected = frames.len().next_multiple_of(frame);
        if frames.len() != expected {
            let layout = "whole frames [steps, batch, input]";
            return Err(Error::Length { op, arg: "frames", layout, expected, got: frames.len() });
        }
        if frame != width {
            return Err(Error::value(op, "frames", format!("a network with {frame} outputs"), width));
        }
        if self.is_plain() {
            let Some(Stage::Recurrent(stream)) = self.stages.first_mut() else { unreachable!("a plain stream") };
            return stream.process_in_place(frames);
        }
        for frames in frames.chunks_mut(BLOCK * frame) {
            let at = self.run(frames)?;
            frames.copy_from_slice(&self.rows[at][..frames.len()]);
        }
        Ok(())
    }

    /// Whether the network is a single stream, which needs no values in between.
    fn is_plain(&self) -> bool {
        !self.skip && matches!(self.stages[..], [Stage::Recurrent(_)])
    }

    /// Runs up to `BLOCK` steps. Returns which of the `rows` has the outputs.
    fn run(&mut self, x: &[f32]) -> Result<usize> {
        let [mut width, output] = self.widths;
        let count = x.len() / width;
        let mut at = 0;
        self.rows[0][..x.len()].copy_from_slice(x);
        for stage in &mut self.stages {
            let next = stage.width(width);
            let [first, second] = &mut self.rows;
            let (from, to) = if at == 0 { (first, second) } else { (second, first) };
            stage.run(&from[..count * width], &mut to[..count * next])?;
            (width, at) = (next, 1 - at);
        }
        if self.skip {
            let rows = self.rows[at].chunks_exact_mut(output).zip(x.chunks_exact(self.widths[0]));
            rows.for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y += x));
        }
        Ok(at)
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.stages.iter().filter_map(|stage| if let Stage::Recurrent(stream) = stage { Some(&**stream) } else { None })
    }

    fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.stages.iter_mut().filter_map(|stage| match stage {
            Stage::Recurrent(stream) => Some(&mut **stream),
            _ => None,
        })
    }

    /// Resets the states of all sequences.
    pub fn reset(&mut self) {
        self.streams_mut().for_each(Stream::reset);
    }

    /// Returns the number of floats of the state.
    pub fn state_len(&self) -> usize {
        self.streams().map(|stream| stream.state().len()).sum()
    }

    /// Copies the state, that of one recurrent layer after another.
    ///
    /// # Errors
    /// [`Error::Length`] unless `state` has [`state_len`](Self::state_len) floats.
    pub fn save_state(&self, mut state: &mut [f32]) -> Result<()> {
        self.check_state("NetworkStream::save_state", state.len())?;
        for stream in self.streams() {
            let own = stream.state();
            let (part, rest) = state.split_at_mut(own.len());
            part.copy_from_slice(own);
            state = rest;
        }
        Ok(())
    }

    /// Continues from a state that [`save_state`](Self::save_state) has copied.
    ///
    /// # Errors
    /// [`Error::Length`] unless `state` has [`state_len`](Self::state_len) floats; the state is then unchanged.
    pub fn load_state(&mut self, mut state: &[f32]) -> Result<()> {
        self.check_state("NetworkStream::load_state", state.len())?;
        for stream in self.streams_mut() {
            let (part, rest) = state.split_at(stream.state().len());
            stream.set_state(part)?;
            state = rest;
        }
        Ok(())
    }

    fn check_state(&self, op: &'static str, got: usize) -> Result<()> {
        let expected = self.state_len();
        match got == expected {
            true => Ok(()),
            false => Err(Error::Length { op, arg: "state", layout: "[state_len]", expected, got }),
        }
    }
}
