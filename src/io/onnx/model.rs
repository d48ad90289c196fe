//! A checked model.

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

/// An ONNX model on a device, checked whole. Cheap to clone.
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
    /// Reads a model from a file's bytes, for `device`. Operators, attributes and constants are checked here; what
    /// depends on the inputs (their extents, and whether those of a node fit together) is checked by
    /// [`run`](OnnxModel::run).
    ///
    /// # Errors
    /// [`Error::Format`] when the bytes are no whole ONNX graph of an operator set 7 to 22, [`Error::Unsupported`]
    /// naming the node and what is not implemented, [`Error::Node`] naming the node whose inputs or attributes do not
    /// fit; [`Error::Limit`] past the adapter's.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Ok(Self { graph: Arc::new(super::load::load(device, bytes)?), limits: Limits::default() })
    }

    /// The same model, whose runs may use as much as `limits` say.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What it takes.
    pub fn inputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.inputs.iter().map(|(info, _)| info)
    }

    /// What it gives, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &Info> {
        self.graph.outputs.iter().map(|(info, _)| info)
    }

    /// Runs the graph on inputs by name; gives the outputs in the order of the file.
    ///
    /// # Errors
    /// [`Error::Value`] for an input that is missing or not known, [`Error::Shape`] and [`Error::DType`] for one that
    /// does not fit, [`Error::Node`] naming the node whose inputs do not fit together, or that asks for more than the
    /// [`Limits`]: for [`Error::Budget`].
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.graph.run(inputs, self.limits, None)
    }

    /// The model as a stream: the last state of each recurrent node is the first state of the next call, whether or
    /// not the graph itself exposes them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming a recurrent node that reads its sequence from the end, or two of one name.
    pub fn stream(&self) -> Result<Stream> {
        let mut names = HashSet::new();
        for step in &self.graph.steps {
            let Op::Recurrent(node) = &step.op else { continue };
            let what = if !names.insert(&step.label) {
                "a stream with two recurrent nodes of this name"
            } else if node.is_causal() {
                continue;
            } else {
                "a stream of a node that reads from the end"
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
