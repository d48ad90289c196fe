//! A checked model, and its inputs and outputs

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
    pub(super) graph: Arc<Graph>,
    pub(super) limits: Limits,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its extents, where the file states the number of axes.
    pub dims: Option<Vec<Extent>>,
    /// Whether it holds floats; else integers.
    pub float: bool,
}

/// One extent of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A number.
    Fixed(usize),
    /// Free, but the same wherever the name stands.
    Named(String),
    /// Free.
    Free,
}

impl Extent {
    /// A free extent with a name.
    pub fn named(name: &str) -> Self {
        Extent::Named(name.into())
    }
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
        Ok(Stream::new(self.clone()))
    }
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxModel({} nodes, {:?})", self.graph.steps.len(), self.graph.device)
    }
}

impl Info {
    /// Checks type and extents; `extents` are those that the names stand for in this run.
    pub(super) fn check<'a>(
        &'a self,
        op: &'static str,
        value: &Value,
        extents: &mut HashMap<&'a str, usize>,
    ) -> Result<()> {
        let float = match value {
            Value::Tensor(tensor) => {
                tensor.check_dtype(op, "inputs", "f32")?;
                true
            }
            Value::Ints(_) => false,
        };
        if float != self.float {
            let name = |float| if float { "floats" } else { "integers" };
            let expected = format!("{} for {:?}", name(self.float), self.name);
            return Err(Error::DType { op, arg: "inputs", expected, got: name(float).into() });
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = dims.len() == value.dims().len()
            && dims.iter().zip(value.dims()).all(|(want, &got)| match want {
                Extent::Fixed(want) => *want == got,
                Extent::Named(name) => *extents.entry(name).or_insert(got) == got,
                Extent::Free => true,
            });
        if fits {
            return Ok(());
        }
        let text = |e: &Extent| match e {
            Extent::Fixed(n) => n.to_string(),
            Extent::Named(name) => extents.get(name.as_str()).map_or(name.clone(), |n| format!("{name} = {n}")),
            Extent::Free => "any".into(),
        };
        let expected = dims.iter().map(text).collect::<Vec<_>>().join(", ");
        Err(Error::shape(op, "inputs", format!("[{expected}] for {:?}", self.name), value.dims()))
    }
}
