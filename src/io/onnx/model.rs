//! A checked graph, and how it is run

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ops::{Args, Op, State};
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
pub struct OnnxModel(pub(super) Arc<Graph>);

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

/// The graph as it runs: values are numbered.
pub(super) struct Graph {
    pub device: Device,
    pub inputs: Vec<(Info, usize)>,
    pub outputs: Vec<(Info, usize)>,
    /// Values, and those that are there before the first node.
    pub slots: usize,
    pub constants: Vec<(usize, Value)>,
    pub steps: Vec<Step>,
}

/// One node.
pub(super) struct Step {
    pub label: String,
    pub operator: &'static str,
    pub op: Op,
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<Option<usize>>,
    /// Values that no later node reads.
    pub frees: Vec<usize>,
}

impl Step {
    /// The error, with this node's name.
    fn named(&self, source: Error) -> Error {
        Error::Node { node: self.label.clone(), operator: self.operator.into(), source: Box::new(source) }
    }
}

/// States of recurrent nodes, by the node's name.
type States = BTreeMap<String, State>;

impl OnnxModel {
    /// Reads a model from a file's bytes, for `device`. Operators, attributes and constants are checked here; what
    /// depends on the inputs (their extents, and whether those of a node fit together) is checked by
    /// [`run`](OnnxModel::run), which takes the memory that the graph asks for.
    ///
    /// # Errors
    /// [`Error::Format`] when the bytes are no whole ONNX graph of an operator set 7 to 22, [`Error::Unsupported`]
    /// naming the node and what is not implemented, [`Error::Node`] naming the node whose inputs or attributes do not
    /// fit; [`Error::Limit`] past the adapter's.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Ok(Self(Arc::new(super::load::load(device, bytes)?)))
    }

    /// What it takes.
    pub fn inputs(&self) -> impl Iterator<Item = &Info> {
        self.0.inputs.iter().map(|(info, _)| info)
    }

    /// What it gives, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &Info> {
        self.0.outputs.iter().map(|(info, _)| info)
    }

    /// Runs the graph on inputs by name; gives the outputs in the order of the file.
    ///
    /// # Errors
    /// [`Error::Value`] for an input that is missing or not known, [`Error::Shape`] and [`Error::DType`] for one that
    /// does not fit, [`Error::Node`] naming the node whose inputs do not fit together.
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.0.run(inputs, None)
    }

    /// The model as a stream: the last state of each recurrent node is the first state of the next call, whether or
    /// not the graph itself exposes them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming a recurrent node that reads its sequence from the end, or two of one name.
    pub fn stream(&self) -> Result<Stream> {
        let mut names = std::collections::HashSet::new();
        for step in &self.0.steps {
            let Op::Recurrent(node) = &step.op else { continue };
            let what = if !names.insert(&step.label) {
                "a stream with two recurrent nodes of this name"
            } else if node.is_causal() {
                continue;
            } else {
                "a stream of a node that reads from the end"
            };
            let (node, operator) = (step.label.clone(), step.operator.into());
            return Err(Error::Unsupported { node, operator, what: what.into() });
        }
        Ok(Stream { model: self.clone(), states: States::new() })
    }
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxModel({} nodes, {:?})", self.0.steps.len(), self.0.device)
    }
}

/// A model whose recurrent nodes keep their states from call to call.
///
/// ```no_run
/// # use wgru::{Device, Tensor, io::onnx::OnnxModel};
/// # let device = Device::cpu();
/// # let model = OnnxModel::load(&device, &[])?;
/// let mut stream = model.stream()?;
/// for frame in [0.0, 0.5, 1.0] {
///     let x = Tensor::full(&device, frame, &[1, 1, 161])?;
///     let gain = &stream.run(&[("input", x.into())])?[0].1;
/// }
/// let state = &stream.states()["GRU_14"].h;
/// stream.reset();
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    model: OnnxModel,
    states: States,
}

impl Stream {
    /// [`OnnxModel::run`] from the states that the last call left; at first, from those of the graph.
    ///
    /// # Errors
    /// As [`OnnxModel::run`]; the states are then those from before.
    pub fn run(&mut self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        let mut next = self.states.clone();
        let outputs = self.model.0.run(inputs, Some(&mut next))?;
        self.states = next;
        Ok(outputs)
    }

    /// Forgets the states: the next call starts as the first.
    pub fn reset(&mut self) {
        self.states.clear();
    }

    /// The states by the name of the node, or that of its first output where it has none; none before the first call.
    pub fn states(&self) -> &BTreeMap<String, State> {
        &self.states
    }

    /// Sets the states, for example to those of an earlier [`states`](Stream::states).
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no recurrent node bears. Extents are checked by the next call.
    pub fn set_states(&mut self, states: BTreeMap<String, State>) -> Result<()> {
        let known = |name: &String| {
            let steps = self.model.0.steps.iter();
            steps.filter(|s| matches!(s.op, Op::Recurrent(_))).any(|s| s.label == *name)
        };
        if let Some(name) = states.keys().find(|name| !known(name)) {
            return Err(Error::value("Stream::set_states", "states", "names of recurrent nodes", name));
        }
        self.states = states;
        Ok(())
    }
}

impl Graph {
    fn run(&self, inputs: &[(&str, Value)], mut states: Option<&mut States>) -> Result<Vec<(String, Value)>> {
        let mut values: Vec<Option<Value>> = vec![None; self.slots];
        for (slot, value) in &self.constants {
            values[*slot] = Some(value.clone());
        }
        self.take_inputs(inputs, &mut values)?;
        for step in &self.steps {
            let refs: Vec<Option<&Value>> = step.inputs.iter().map(|i| i.and_then(|i| values[i].as_ref())).collect();
            let args = Args { device: &self.device, inputs: &refs };
            let outputs = match &step.op {
                Op::Function(f) => f(&args).map_err(|e| step.named(e))?,
                Op::Recurrent(node) => {
                    let carried = states.as_ref().and_then(|s| s.get(&step.label));
                    let (outputs, state) = node.run(&args, carried).map_err(|e| step.named(e))?;
                    if let Some(states) = states.as_mut() {
                        states.insert(step.label.clone(), state);
                    }
                    outputs
                }
            };
            for (slot, value) in step.outputs.iter().zip(outputs) {
                if let Some(slot) = slot {
                    values[*slot] = Some(value);
                }
            }
            step.frees.iter().for_each(|&slot| values[slot] = None);
        }
        let output = |(info, slot): &(Info, usize)| {
            let value = values[*slot].clone();
            let value = value.ok_or_else(|| Error::format(format!("ONNX output {:?}", info.name), "was not made"))?;
            Ok((info.name.clone(), value))
        };
        self.outputs.iter().map(output).collect()
    }

    /// Checks the inputs and puts them into their slots.
    fn take_inputs(&self, inputs: &[(&str, Value)], values: &mut [Option<Value>]) -> Result<()> {
        const RUN: &str = "OnnxModel::run";
        let mut extents: HashMap<&str, usize> = HashMap::new();
        for (name, value) in inputs {
            let names = || self.inputs.iter().map(|(i, _)| i.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = self.inputs.iter().find(|(info, _)| info.name == *name);
            let (info, slot) = known.ok_or_else(|| Error::value(RUN, "inputs", names(), name))?;
            if values[*slot].is_some() {
                return Err(Error::value(RUN, "inputs", "each input once", format!("{name} twice")));
            }
            info.check(RUN, value, &mut extents)?;
            if let Value::Tensor(tensor) = value {
                self.device.check_same(RUN, "inputs", tensor)?;
            }
            values[*slot] = Some(value.clone());
        }
        match self.inputs.iter().find(|(_, slot)| values[*slot].is_none()) {
            Some((info, _)) => Err(Error::value(RUN, "inputs", format!("an input {:?}", info.name), "none")),
            None => Ok(()),
        }
    }
}

impl Info {
    /// Checks type and extents; `extents` are those that the names stand for in this run.
    fn check<'a>(&'a self, op: &'static str, value: &Value, extents: &mut HashMap<&'a str, usize>) -> Result<()> {
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
