//! Streams with buffers of fixed extents.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::info::Info;
use super::pairs::Pair;
use super::recorded::{Buffer, Recorded};
use super::run::Graph;
use super::value::Value;
use crate::error::{Error, Result};

/// A [`Stream`](super::Stream) on the CPU with buffers for inputs and outputs of fixed extents, from
/// [`Stream::bind`](super::Stream::bind).
///
/// A run allocates nothing and does not look at the graph. It computes the same bits as the stream.
///
/// ```no_run
/// use wgru::{Device, Tensor, io::onnx::OnnxModel};
/// let device = Device::cpu();
/// let model = OnnxModel::open(&device, "denoiser.onnx")?;
/// let frame = Tensor::zeros(&device, &[1, 1, 257])?;
/// let mut stream = model.stream()?.bind(&[("input", frame.into())])?;
/// for magnitudes in [[0.1; 257], [0.2; 257]] {
///     stream.input_mut("input")?.copy_from_slice(&magnitudes);
///     stream.run();
///     println!("{:?}", &stream.output("output")?[..4]);
/// }
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct BoundStream {
    graph: Arc<Graph>,
    recorded: Recorded,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    carries: Vec<Carry>,
}

/// An input or output.
struct Port {
    /// Place among the inputs or outputs of the graph.
    place: usize,
    dims: Vec<usize>,
    content: Content,
}

enum Content {
    Buffer(Buffer),
    /// Integers on the host, which do not change.
    Fixed(Vec<f32>),
}

/// A state, which a run reads from one buffer and writes to another.
struct Carry {
    to: Buffer,
    from: Buffer,
    initial: Vec<f32>,
    /// Holds the state between the two, if another state is read from where this one is written.
    between: Option<Vec<f32>>,
}

impl Carry {
    fn new(to: Buffer, from: Buffer, [initial, now]: [Vec<f32>; 2]) -> Result<Self> {
        match to.len() {
            len if len == initial.len() && len == now.len() && len == from.len() => {
                to.write().copy_from_slice(&now);
                Ok(Self { to, from, initial, between: None })
            }
            len => Err(Error::shape("Stream::bind", "inputs", format!("a state of {len} floats"), &[now.len()])),
        }
    }
}

impl Content {
    fn read(&self) -> impl Deref<Target = [f32]> {
        match self {
            Content::Buffer(buffer) => Either::Left(buffer.read()),
            Content::Fixed(values) => Either::Right(&values[..]),
        }
    }
}

/// One of two borrows of floats.
enum Either<L, R> {
    Left(L),
    Right(R),
}

impl<L: Deref<Target = [f32]>, R: Deref<Target = [f32]>> Deref for Either<L, R> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Either::Left(values) => values,
            Either::Right(values) => values,
        }
    }
}

impl BoundStream {
    /// Binds a recorded run. `pairs` are the inputs that the stream carries, and `nodes` the states of recurrent nodes,
    /// with their initial and their current values.
    pub(super) fn new(
        graph: Arc<Graph>,
        mut recorded: Recorded,
        pairs: Vec<(Pair, [Vec<f32>; 2])>,
        nodes: Vec<[Vec<f32>; 2]>,
    ) -> Result<Self> {
        let [before, after] = std::mem::take(&mut recorded.states);
        let mut carries = Vec::new();
        for ((to, from), values) in before.into_iter().zip(after).zip(nodes) {
            carries.push(Carry::new(to, from, values)?);
        }
        let mut inputs = Vec::new();
        for (place, dims, buffer) in std::mem::take(&mut recorded.inputs) {
            let Some((pair, values)) = pairs.iter().find(|(pair, _)| pair.input == place) else {
                buffer.write().fill(0.0);
                inputs.push(Port { place, dims, content: Content::Buffer(buffer) });
                continue;
            };
            let from = recorded.output(pair.output).filter(|from| from.len() == buffer.len());
            let from = from.ok_or_else(|| {
                let (input, output) = (&graph.inputs[place].0.name, &graph.outputs[pair.output].0.name);
                let expected = format!("a state {output:?} of as many elements as {input:?}, which it continues");
                Error::value("Stream::bind", "inputs", expected, format!("{:?}", recorded.outputs[pair.output].dims()))
            })?;
            carries.push(Carry::new(buffer, from, values.clone())?);
        }
        let shared = |carry: &Carry| carries.iter().any(|other| other.from.is(&carry.to) && !carry.from.is(&carry.to));
        if carries.iter().any(shared) {
            carries.iter_mut().for_each(|carry| carry.between = Some(carry.initial.clone()));
        }
        let port = |(place, value): (usize, &Value)| {
            let content = match (value, recorded.output(place)) {
                (_, Some(buffer)) => Content::Buffer(buffer),
                (Value::Ints(ints), _) => Content::Fixed(ints.values().iter().map(|&v| v as f32).collect()),
                _ => Content::Fixed(Vec::new()),
            };
            Port { place, dims: value.dims().to_vec(), content }
        };
        let outputs = recorded.outputs.iter().enumerate().map(port).collect();
        Ok(Self { graph, recorded, inputs, outputs, carries })
    }

    fn input_info(&self, port: &Port) -> &Info {
        &self.graph.inputs[port.place].0
    }

    fn output_info(&self, port: &Port) -> &Info {
        &self.graph.outputs[port.place].0
    }

    /// Returns the names and extents of the inputs that the caller writes: those of floats that are no states.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.inputs.iter().map(|port| (&*self.input_info(port).name, &*port.dims))
    }

    /// Returns the names and extents of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.outputs.iter().map(|port| (&*self.output_info(port).name, &*port.dims))
    }

    /// Returns the buffer of an input, whose values stay until they are overwritten. Zeros at first.
    ///
    /// # Errors
    /// [`Error::Value`] for a name that is not among [`inputs`](Self::inputs).
    pub fn input_mut(&mut self, name: &str) -> Result<impl DerefMut<Target = [f32]>> {
        let port = self.inputs.iter().find(|port| self.input_info(port).name == name);
        match port.map(|port| &port.content) {
            Some(Content::Buffer(buffer)) => Ok(buffer.write()),
            _ => Err(unknown("BoundStream::input_mut", self.inputs().map(|(name, _)| name), name)),
        }
    }

    /// Returns an output of the last run; integers as floats. Unspecified before the first run.
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no output has.
    pub fn output(&self, name: &str) -> Result<impl Deref<Target = [f32]>> {
        match self.outputs.iter().find(|port| self.output_info(port).name == name) {
            Some(port) => Ok(port.content.read()),
            None => Err(unknown("BoundStream::output", self.outputs().map(|(name, _)| name), name)),
        }
    }

    /// Runs the model on the buffers of the inputs, from the state after the previous run.
    pub fn run(&mut self) {
        self.recorded.run(&self.graph);
        for Carry { to, from, between, .. } in &mut self.carries {
            match between {
                Some(between) => between.copy_from_slice(&from.read()),
                None if from.is(to) => {}
                None => to.write().copy_from_slice(&from.read()),
            }
        }
        for Carry { to, between, .. } in &self.carries {
            between.iter().for_each(|between| to.write().copy_from_slice(between));
        }
    }

    /// Clears the state: the next run starts like the first of the stream.
    pub fn reset(&mut self) {
        self.carries.iter().for_each(|carry| carry.to.write().copy_from_slice(&carry.initial));
    }

    /// Returns the number of floats of the state.
    pub fn state_len(&self) -> usize {
        self.carries.iter().map(|carry| carry.to.len()).sum()
    }

    /// Copies the state to a slice of [`state_len`](Self::state_len) floats.
    ///
    /// # Errors
    /// [`Error::Shape`] for a slice of another length.
    pub fn save_state(&self, state: &mut [f32]) -> Result<()> {
        self.check_state("BoundStream::save_state", state.len())?;
        let mut rest = state;
        for carry in &self.carries {
            let (part, others) = rest.split_at_mut(carry.to.len());
            part.copy_from_slice(&carry.to.read());
            rest = others;
        }
        Ok(())
    }

    /// Sets the state to one that [`save_state`](Self::save_state) copied, also from another stream that was bound to
    /// the same extents.
    ///
    /// # Errors
    /// [`Error::Shape`] for a slice of another length.
    pub fn load_state(&mut self, state: &[f32]) -> Result<()> {
        self.check_state("BoundStream::load_state", state.len())?;
        let mut rest = state;
        for carry in &self.carries {
            let (part, others) = rest.split_at(carry.to.len());
            carry.to.write().copy_from_slice(part);
            rest = others;
        }
        Ok(())
    }

    fn check_state(&self, op: &'static str, len: usize) -> Result<()> {
        match self.state_len() {
            expected if expected == len => Ok(()),
            expected => Err(Error::shape(op, "state", format!("{expected} floats"), &[len])),
        }
    }

    /// Returns the names of the kernels of a run, in order, to see what a model costs.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.recorded.kernels()
    }
}

fn unknown<'a>(op: &'static str, names: impl Iterator<Item = &'a str>, got: &str) -> Error {
    Error::value(op, "name", names.collect::<Vec<_>>().join(", "), got)
}

impl std::fmt::Debug for BoundStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (inputs, outputs): (Vec<_>, Vec<_>) = (self.inputs().collect(), self.outputs().collect());
        write!(f, "BoundStream({} kernels, {inputs:?} to {outputs:?})", self.kernels().count())
    }
}
