//! Runs a graph, whose values and nodes are numbered.

use std::collections::{BTreeMap, HashMap};

use super::info::Info;
use super::meter::{Cost, Limits, Meter};
use super::ops::{Args, Control, Op, Recurrent, State};
use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::MapOp;
use crate::ops::elementwise::map;

/// States of recurrent nodes, by the node's name.
pub(super) type States = BTreeMap<String, State>;

/// A loaded model, without data that only loading needs: a file may hold a million nodes.
pub(super) struct Graph {
    pub device: Device,
    pub inputs: Vec<(Info, usize)>,
    /// Indices in `inputs`, by name.
    pub names: HashMap<String, usize>,
    /// Outputs, each with the rounding to the type that the file declares.
    pub outputs: Vec<(Info, Option<MapOp>)>,
    /// Number of elements of all weights, for [`Meter::of_run`].
    pub weights: u64,
    pub body: Body,
}

/// The nodes of a graph or of a subgraph.
pub(super) struct Body {
    /// Number of values.
    pub slots: usize,
    /// Values that exist before the first node runs.
    pub constants: Vec<(usize, Value)>,
    /// Slots of the outputs.
    pub outputs: Vec<usize>,
    pub steps: Vec<Step>,
    /// Inputs and outputs of all steps.
    pub links: Vec<Link>,
}

/// One node.
pub(super) struct Step {
    pub label: Box<str>,
    pub operator: &'static str,
    /// Number of leading inputs that may be integers on the device.
    pub whole: usize,
    pub op: Op,
    /// Index of its node in the list of the graph.
    pub node: u32,
    /// Start of its inputs, start of its outputs, and end of its outputs, in the links.
    pub links: [u32; 3],
}

/// Reference to a value that a node reads or produces, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    pub const NONE: Self = Self(u32::MAX);
    /// Flag that marks the last use of a value.
    const LAST: u32 = 1 << 31;
    /// Maximum number of values in a graph.
    pub const SLOTS: usize = (1 << 31) - 1;

    pub fn to(slot: usize) -> Self {
        Self(slot as u32)
    }

    pub fn slot(self) -> Option<usize> {
        (self != Self::NONE).then_some((self.0 & !Self::LAST) as usize)
    }

    pub fn last(self) -> Self {
        Self(self.0 | Self::LAST)
    }

    pub fn is_last(self) -> bool {
        self.0 & Self::LAST != 0
    }
}

/// The values of a run, with the bytes that the meter holds for them.
type Values = Vec<Option<(Value, u64)>>;

/// State shared by the nodes of a run.
pub(super) struct Run<'a> {
    pub device: &'a Device,
    /// States that a stream carries.
    pub states: Option<&'a mut States>,
    /// Collects the initial states of recurrent nodes that have no state yet.
    pub initial: Option<&'a mut States>,
    pub meter: Meter,
    /// Whether the run may wait for integers that a GPU computes.
    pub waits: bool,
}

impl Step {
    /// Whether this is not a recurrent node, or one that reads its sequence only forward.
    pub fn is_causal(&self) -> bool {
        if let Op::Recurrent(node) = &self.op { node.is_causal() } else { true }
    }

    /// Adds this node's name to an error.
    pub fn named(&self, source: Error) -> Error {
        match source {
            // A node of a subgraph has added its own name.
            named @ Error::Node { .. } => named,
            source => {
                Error::Node { node: self.label.to_string(), operator: self.operator.into(), source: Box::new(source) }
            }
        }
    }

    pub fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        match &self.op {
            Op::Function(f) => {
                run.meter.charge(f.cost(args)?)?;
                f.run(args)
            }
            Op::Control(control) => control.run(args, run),
            Op::Known(values) => Ok(values.to_vec()),
            Op::Recurrent(node) => self.recurrent(node, args, run),
            Op::Looped(looped) => match looped.inner(args, run)? {
                Some(values) => {
                    let inputs = values.each_ref().map(Option::as_ref);
                    let inner = Args { device: args.device, inputs: &inputs, waits: args.waits };
                    looped.outputs(args, &self.recurrent(&looped.node, &inner, run)?)
                }
                None => looped.whole.run(args, run),
            },
        }
    }

    /// Runs a recurrent node on its inputs, from the state that the stream carries.
    fn recurrent(&self, node: &Recurrent, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        run.meter.charge(node.cost(args)?)?;
        if node.is_given() {
            return Ok(node.run(args, None)?.0);
        }
        let carried = run.states.as_ref().and_then(|s| s.get(&*self.label));
        let (outputs, state) = node.run(args, carried)?;
        if let (None, Some(initial)) = (carried, run.initial.as_mut()) {
            initial.insert(self.label.to_string(), node.initial(args, &state)?);
        }
        if let Some(states) = run.states.as_mut() {
            states.insert(self.label.to_string(), state);
        }
        Ok(outputs)
    }

    /// Moves integer inputs from the device to the host, unless the node accepts them on the device. On the CPU device,
    /// a node that also reads integers on the host, and no floats, gets all of them there, to compute exactly.
    fn moved(&self, refs: &[Option<&Value>], run: &mut Run) -> Result<Vec<(usize, Value)>> {
        let is = |f: fn(&Value) -> bool| refs.iter().flatten().any(|v| f(v));
        if !is(|v| matches!(v, Value::Whole(_))) {
            return Ok(Vec::new());
        }
        let free = !run.device.is_gpu();
        let exact = free && is(|v| matches!(v, Value::Ints(_))) && !is(Value::is_float);
        let mut out = Vec::new();
        for (i, value) in refs.iter().enumerate() {
            let Some(value @ Value::Whole(tensor)) = value else { continue };
            if i < self.whole && !exact {
                continue;
            }
            if !free && !run.waits {
                let expected = "integers on the host; these are computed on a GPU, which only run_blocking waits for";
                return Err(Error::value("onnx", "input", expected, format!("input {i}")));
            }
            run.meter.charge(Cost::ints(tensor.len()))?;
            out.push((i, (*value).clone().on_host()?));
        }
        Ok(out)
    }
}

impl Body {
    /// Runs the nodes on values for the first slots. Returns the outputs.
    pub fn run(&self, first: impl IntoIterator<Item = Option<Value>>, run: &mut Run) -> Result<Vec<Value>> {
        let mut values: Values = vec![None; self.slots];
        for (slot, value) in &self.constants {
            values[*slot] = Some((value.clone(), 0));
        }
        for (slot, value) in values.iter_mut().zip(first) {
            *slot = value.map(|value| (value, 0));
        }
        for step in &self.steps {
            let [inputs, outputs, end] = step.links.map(|at| at as usize);
            let value = |link: &Link| values[link.slot()?].as_ref().map(|(value, _)| value);
            let mut refs: Vec<Option<&Value>> = self.links[inputs..outputs].iter().map(value).collect();
            let moved = step.moved(&refs, run).map_err(|e| step.named(e))?;
            moved.iter().for_each(|(i, value)| refs[*i] = Some(value));
            let made = step
                .run(&Args { device: run.device, inputs: &refs, waits: run.waits }, run)
                .map_err(|e| step.named(e))?;
            drop(refs);
            for (link, value) in self.links[outputs..end].iter().zip(made) {
                if let Some(slot) = link.slot() {
                    let bytes = value.bytes();
                    run.meter.hold(bytes);
                    values[slot] = Some((value, bytes));
                }
            }
            for link in self.links[inputs..end].iter().filter(|link| link.is_last()) {
                if let Some((_, bytes)) = link.slot().and_then(|slot| values[slot].take()) {
                    run.meter.release(bytes);
                }
            }
        }
        let missing = || Error::format("ONNX graph", "has an output that is never computed");
        let output = |slot: &usize| values[*slot].as_ref().map(|(value, _)| value.clone()).ok_or_else(missing);
        let outputs = self.outputs.iter().map(output).collect();
        values.iter().flatten().for_each(|(_, bytes)| run.meter.release(*bytes));
        outputs
    }

    /// Calls `f` for each recurrent node whose state a stream can carry, also in subgraphs that run once.
    pub fn recurrent<'a>(&'a self, f: &mut dyn FnMut(&'a Step)) {
        for step in &self.steps {
            match &step.op {
                Op::Recurrent(node) if !node.is_given() => f(step),
                Op::Looped(looped) if !looped.node.is_given() => f(step),
                Op::Control(control) => control.branches().iter().for_each(|body| body.recurrent(f)),
                _ => {}
            }
        }
    }
}

impl Graph {
    pub fn run(
        &self,
        inputs: &[(&str, Value)],
        limits: Limits,
        states: Option<&mut States>,
        initial: Option<&mut States>,
        waits: bool,
    ) -> Result<Vec<(String, Value)>> {
        let first = self.take_inputs(inputs)?;
        let elements = inputs.iter().map(|(_, value)| value.count() as u64).sum();
        let meter = Meter::of_run(limits, self.weights, elements);
        let mut run = Run { device: &self.device, states, initial, meter, waits };
        let made = self.rounded(self.body.run(first, &mut run)?)?;
        let output = |(value, (info, _)): (Value, &(Info, Option<MapOp>))| {
            let value = if self.device.is_gpu() { value } else { value.on_host()? };
            Ok((info.name.clone(), value))
        };
        made.into_iter().zip(&self.outputs).map(output).collect()
    }

    /// Rounds the outputs to the types that the file declares.
    pub fn rounded(&self, outputs: Vec<Value>) -> Result<Vec<Value>> {
        let rounded = |(value, (_, rounding)): (Value, &(Info, Option<MapOp>))| match (value, rounding) {
            (Value::Tensor(x), Some(op)) => Ok(map(*op, &x)?.into()),
            (value, _) => Ok(value),
        };
        outputs.into_iter().zip(&self.outputs).map(rounded).collect()
    }

    /// Returns the first names of the inputs, for an error message.
    fn input_names(&self) -> String {
        const SHOWN: usize = 8;
        let first: Vec<&str> = self.inputs.iter().take(SHOWN).map(|(info, _)| &*info.name).collect();
        match self.inputs.len().saturating_sub(SHOWN) {
            0 => first.join(", "),
            more => format!("{} and {more} more", first.join(", ")),
        }
    }

    /// Checks the inputs. Returns the values of the first slots.
    pub fn take_inputs(&self, inputs: &[(&str, Value)]) -> Result<Vec<Option<Value>>> {
        const RUN: &str = "OnnxModel::run";
        // The inputs of the graph have the first slots.
        let mut values: Vec<Option<Value>> = vec![None; self.inputs.len()];
        for (name, value) in inputs {
            let place = self.names.get(*name).ok_or_else(|| Error::value(RUN, "inputs", self.input_names(), name))?;
            let (info, slot) = &self.inputs[*place];
            if values[*slot].is_some() {
                return Err(Error::value(RUN, "inputs", "each input once", format!("{name} twice")));
            }
            info.check(RUN, value)?;
            if let Some(tensor) = value.on_device() {
                self.device.check_same(RUN, "inputs", tensor)?;
            }
            values[*slot] = Some(value.clone());
        }
        match self.inputs.iter().find(|(_, slot)| values[*slot].is_none()) {
            Some((info, _)) => Err(Error::value(RUN, "inputs", format!("an input {:?}", info.name), "none")),
            None => Ok(values),
        }
    }
}
