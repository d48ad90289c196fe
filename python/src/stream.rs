//! The class `Stream`: layers that run frame by frame on the CPU and carry their state.

use std::sync::Mutex;

use engine::{Activation, Error, NetworkStream, Precision, StreamLayer, StreamOptions};
use numpy::prelude::*;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;

use crate::array;
use crate::content::Content;
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::onnx_stream::OnnxStream;
use crate::part::Part;

/// Maximum number of sequences of a stream.
const MOST_SEQUENCES: usize = 65_536;

/// A model that runs frame by frame on the CPU and carries its state.
#[pyclass(frozen, module = "wgru")]
pub struct Stream {
    inner: Mutex<NetworkStream>,
    batch: usize,
    /// Features of a frame and of its output, of one sequence.
    widths: [usize; 2],
}

fn precision(weights: &str) -> Result<Precision> {
    match weights {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        "bf16" => Ok(Precision::Bf16),
        "int8" => Ok(Precision::Int8),
        "auto" => Ok(Precision::Auto),
        other => {
            let expected = "\"f32\", \"f16\", \"bf16\", \"int8\" or \"auto\"";
            Err(Failure::value(format!("stream: weights: expected {expected}, got {other:.64?}")))
        }
    }
}

/// Returns the layers of a network that a stream runs. Layers that act only in training, or on whole sequences at
/// their end, are left out.
fn layers(parts: &[(String, Part)]) -> Result<Vec<StreamLayer<'_>>> {
    let mut layers = Vec::new();
    for (name, part) in parts {
        layers.push(match part {
            Part::Recurrent(layer) => StreamLayer::Recurrent(layer),
            Part::Linear(layer) => StreamLayer::Linear(layer),
            Part::Relu => StreamLayer::Activation(Activation::Relu),
            Part::Tanh => StreamLayer::Activation(Activation::Tanh),
            // Every step is the last one so far.
            Part::Dropout(..) | Part::LastState(_) => continue,
            Part::Embedding(_) | Part::LayerNorm(_) => {
                let text = format!("stream: layer {name:?} is neither recurrent, linear, tanh nor ReLU");
                return Err(Failure::unsupported(text));
            }
        });
    }
    Ok(layers)
}

/// A model that does not run frame by frame is valid, but not supported.
fn refused(error: Error) -> Failure {
    match error {
        Error::Value { arg: "network" | "layers" | "bidirectional" | "reverse", .. } => {
            Failure::unsupported(format!("{error}; run whole sequences instead"))
        }
        other => other.into(),
    }
}

/// Creates the stream of a model.
pub fn create<'py>(
    py: Python<'py>,
    model: &Model,
    batch: usize,
    weights: &str,
    threads: usize,
    rate_ratio: f64,
) -> Result<Bound<'py, PyAny>> {
    if !(1..=MOST_SEQUENCES).contains(&batch) {
        return Err(Failure::value(format!("stream: batch: expected 1 to {MOST_SEQUENCES}, got {batch}")));
    }
    let options =
        StreamOptions { batch, weights: precision(weights)?, threads, rate_ratio, ..StreamOptions::default() };
    let stream = py.detach(|| match &*model.content {
        Content::Onnx(_) => Ok(None),
        Content::Network(network) => network.stream(options).map(Some).map_err(refused),
        Content::Layer(Part::Recurrent(layer)) => {
            NetworkStream::of_layers(&[StreamLayer::Recurrent(layer)], options).map(Some).map_err(refused)
        }
        Content::Sequence(sequence) => {
            NetworkStream::of_layers(&layers(&sequence.parts)?, options).map(Some).map_err(refused)
        }
        Content::Layer(_) => Err(Failure::unsupported("stream: a model without a recurrent layer")),
    })?;
    match (stream, &*model.content) {
        (Some(stream), _) => {
            let widths = stream.widths();
            Ok(Stream { inner: Mutex::new(stream), batch, widths }.into_bound_py_any(py)?)
        }
        (None, Content::Onnx(graph)) => {
            let plain = StreamOptions::default();
            if options != plain {
                let why = "stream: expected no options; the arrays of an ONNX model tell the extents";
                return Err(Failure::value(why));
            }
            Ok(OnnxStream::new(model.device.clone(), graph)?.into_bound_py_any(py)?)
        }
        (None, _) => unreachable!("other models have a stream of layers"),
    }
}

impl Stream {
    /// Runs `body` unless another call is in progress.
    fn enter<T>(&self, body: impl FnOnce(&mut NetworkStream) -> Result<T>) -> Result<T> {
        let mut stream = self.inner.try_lock().map_err(|error| match error {
            std::sync::TryLockError::WouldBlock => Failure::busy(),
            std::sync::TryLockError::Poisoned(_) => {
                Failure::Other("internal", "stream: an earlier call failed inside the library".into())
            }
        })?;
        body(&mut stream)
    }

    /// Shape of an input of `steps` frames, or of one frame, and of its output.
    fn dims(&self, steps: Option<usize>, width: usize) -> Vec<usize> {
        let batch = (self.batch > 1).then_some(self.batch);
        [steps, batch, Some(width)].into_iter().flatten().collect()
    }

    fn check(&self, arg: &str, got: &[usize], steps: Option<usize>) -> Result<()> {
        let expected = self.dims(steps, self.widths[0]);
        match got == expected {
            true => Ok(()),
            false => Err(Failure::shape(format!("{arg}: expected shape {expected:?}, got {got:?}"))),
        }
    }
}

#[pymethods]
impl Stream {
    /// Runs one frame.
    #[pyo3(signature = (frame, out = None))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
        out: Option<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        let frame = array::floats("frame", frame)?;
        self.check("frame", frame.shape(), None)?;
        let x = array::slice("frame", &frame)?;
        let dims = self.dims(None, self.widths[1]);
        self.enter(|stream| match out {
            Some(out) => {
                let mut target = array::output("out", &out, &dims)?;
                let y = target.as_slice_mut().map_err(|_| Failure::value("out: expected a C-contiguous array"))?;
                y.copy_from_slice(stream.step(x)?);
                drop(target);
                Ok(out)
            }
            None => array::from_values(py, stream.step(x)?.to_vec(), &dims),
        })
    }

    /// Runs a block of frames, without Python's lock.
    #[pyo3(signature = (block, out = None))]
    fn process<'py>(
        &self,
        py: Python<'py>,
        block: &Bound<'py, PyAny>,
        out: Option<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        let block = array::floats("block", block)?;
        let steps = block.shape().first().copied().unwrap_or(0);
        self.check("block", block.shape(), Some(steps))?;
        let x = array::slice("block", &block)?;
        let dims = self.dims(Some(steps), self.widths[1]);
        match out {
            Some(out) => {
                let mut target = array::output("out", &out, &dims)?;
                let y = target.as_slice_mut().map_err(|_| Failure::value("out: expected a C-contiguous array"))?;
                py.detach(|| self.enter(|stream| Ok(stream.process(x, y)?)))?;
                drop(target);
                Ok(out)
            }
            None => {
                let mut y = vec![0.0; dims.iter().product()];
                py.detach(|| self.enter(|stream| Ok(stream.process(x, &mut y)?)))?;
                array::from_values(py, y, &dims)
            }
        }
    }

    /// Returns to the initial state.
    fn reset(&self) -> Result<()> {
        self.enter(|stream| {
            stream.reset();
            Ok(())
        })
    }

    /// A copy of the state, in an internal order.
    #[getter]
    fn get_state<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let state = self.enter(|stream| {
            let mut state = vec![0.0; stream.state_len()];
            stream.save_state(&mut state)?;
            Ok(state)
        })?;
        let dims = [state.len()];
        array::from_values(py, state, &dims)
    }

    /// Continues from a state of this stream, or of another one of the same model with the same options.
    #[setter]
    fn set_state(&self, state: &Bound<'_, PyAny>) -> Result<()> {
        let state = array::floats("state", state)?;
        self.enter(|stream| match state.shape() {
            &[len] if len == stream.state_len() => Ok(stream.load_state(array::slice("state", &state)?)?),
            got => Err(Failure::shape(format!("state: expected shape [{}], got {got:?}", stream.state_len()))),
        })
    }

    /// Number of sequences.
    #[getter]
    fn batch(&self) -> usize {
        self.batch
    }

    /// Features of a frame of one sequence.
    #[getter]
    fn input_size(&self) -> usize {
        self.widths[0]
    }

    /// Features of an output of one sequence.
    #[getter]
    fn output_size(&self) -> usize {
        self.widths[1]
    }

    fn __repr__(&self) -> String {
        format!("<wgru.Stream of {} to {} features, batch {}>", self.widths[0], self.widths[1], self.batch)
    }
}
