//! A loaded model.

use std::collections::HashSet;
use std::sync::Arc;

use super::info::Info;
use super::meter::Limits;
use super::ops::Op;
use super::run::Graph;
use super::stream::Stream;
use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};

/// An ONNX model on a device. Cheap to clone.
///
/// ```no_run
/// use wgru::{Device, Tensor, io::onnx::OnnxModel};
/// let device = Device::cpu();
/// let model = OnnxModel::load(&device, &std::fs::read("model.onnx").unwrap())?;
/// let x = Tensor::zeros(&device, &[1, 100, 161])?;
/// let outputs = model.run(&[("input", x.into())])?;
/// println!("{}: {:?}", outputs[0].0, outputs[0].1.dims());
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct OnnxModel {
    graph: Arc<Graph>,
    limits: Limits,
}

impl OnnxModel {
    /// Loads a model for `device` from the bytes of a file. Checks operators, attributes and constants;
    /// [`run`](OnnxModel::run) checks everything that depends on the inputs, such as extents.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not a complete ONNX graph of operator set 7 to 22, [`Error::Unsupported`]
    /// naming the node and the unsupported feature, [`Error::Node`] naming the node whose inputs or attributes do not
    /// fit; [`Error::Limit`] beyond the limits of the adapter.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Ok(Self { graph: Arc::new(super::load::load(device, bytes)?), limits: Limits::default() })
    }

    /// Sets the limits of each run.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the inputs, in the order of the file.
    pub fn inputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.inputs.iter().map(|(info, _)| info)
    }

    /// Returns the outputs, in the order of the file.
    pub fn outputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.outputs.iter().map(|(info, _)| info)
    }

    /// Runs the graph on inputs by name. Returns the outputs with their names, in the order of the file.
    ///
    /// # Errors
    /// [`Error::Value`] for an input that is missing or unknown, [`Error::Shape`] or [`Error::DType`] for one that does
    /// not fit, [`Error::Node`] naming the node whose inputs do not fit together, or the node that exceeds the
    /// [`Limits`] (its source is then [`Error::Budget`]).
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.graph.run(inputs, self.limits, None)
    }

    /// Creates a stream of the model. It carries the last state of each recurrent node over to the next call, even if
    /// the graph does not expose these states.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming a recurrent node that reads its sequence in reverse, or that shares its name
    /// with another node.
    pub fn stream(&self) -> Result<Stream> {
        let mut names = HashSet::new();
        for step in &self.graph.steps {
            let Op::Recurrent(node) = &step.op else { continue };
            let what = if !names.insert(&step.label) {
                "a stream with two recurrent nodes of this name"
            } else if node.is_causal() {
                continue;
            } else {
                "a stream of a node that reads its sequence in reverse"
            };
            return Err(Error::unsupported(&step.label, step.operator, what));
        }
        Ok(Stream::new(self.graph.clone(), self.limits))
    }
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxModel({} nodes, {:?})", self.graph.steps.len(), self.graph.device)
    }
}
