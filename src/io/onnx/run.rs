//! Runs a graph, whose values and nodes are numbered.

use std::collections::{BTreeMap, HashMap};

use super::info::Info;
use super::meter::{Limits, Meter};
use super::ops::{Args, Op, State};
use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};

/// States of recurrent nodes, by the node's name.
pub(super) type States = BTreeMap<String, State>;

/// A loaded graph, without data that only loading needs: a file may hold a million nodes.
pub(super) struct Graph {
    pub device: Device,
    pub inputs: Vec<(Info, usize)>,
    /// Indices in `inputs`, by name.
    pub names: HashMap<String, usize>,
    pub outputs: Vec<(Info, usize)>,
    /// Number of values.
    pub slots: usize,
    /// Values that exist before the first node runs.
    pub constants: Vec<(usize, Value)>,
    /// Number of elements of all weights, for [`Meter::of_run`].
    pub weights: u64,
    pub steps: Vec<Step>,
    /// Inputs and outputs of all steps.
    pub links: Vec<Link>,
}

/// One node.
pub(super) struct Step {
    pub label: Box<str>,
    pub operator: &'static str,
    pub op: Op,
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

    fn is_last(self) -> bool {
        self.0 & Self::LAST != 0
    }
}

/// The values of a run, with the bytes that the meter holds for them.
type Values = Vec<Option<(Value, u64)>>;

impl Step {
    /// Adds this node's name to an error.
    fn named(&self, source: Error) -> Error {
        Error::Node { node: self.label.to_string(), operator: self.operator.into(), source: Box::new(source) }
    }

    fn run(&self, args: &Args, states: &mut Option<&mut States>, meter: &mut Meter) -> Result<Vec<Value>> {
        match &self.op {
            Op::Function(f) => {
                meter.charge(f.cost(args)?)?;
                f.run(args)
            }
            Op::Recurrent(node) => {
                meter.charge(node.cost(args)?)?;
                let carried = states.as_ref().and_then(|s| s.get(&*self.label));
                let (outputs, state) = node.run(args, carried)?;
                if let Some(states) = states.as_mut() {
                    states.insert(self.label.to_string(), state);
                }
                Ok(outputs)
            }
        }
    }
}

impl Graph {
    pub fn run(
        &self,
        inputs: &[(&str, Value)],
        limits: Limits,
        mut states: Option<&mut States>,
    ) -> Result<Vec<(String, Value)>> {
        let mut values: Values = vec![None; self.slots];
        for (slot, value) in &self.constants {
            values[*slot] = Some((value.clone(), 0));
        }
        self.take_inputs(inputs, &mut values)?;
        let elements = inputs.iter().map(|(_, value)| value.count() as u64).sum();
        let mut meter = Meter::of_run(limits, self.weights, elements);
        self.run_steps(&mut values, &mut states, &mut meter)?;
        let output = |(info, slot): &(Info, usize)| {
            let value = values[*slot].as_ref().map(|(value, _)| value.clone());
            let value = value.ok_or_else(|| Error::format(format!("ONNX output {:?}", info.name), "is missing"))?;
            Ok((info.name.clone(), value))
        };
        self.outputs.iter().map(output).collect()
    }

    fn run_steps(&self, values: &mut Values, states: &mut Option<&mut States>, meter: &mut Meter) -> Result<()> {
        for step in &self.steps {
            let [inputs, outputs, end] = step.links.map(|at| at as usize);
            let value = |link: &Link| values[link.slot()?].as_ref().map(|(value, _)| value);
            let refs: Vec<Option<&Value>> = self.links[inputs..outputs].iter().map(value).collect();
            let args = Args { device: &self.device, inputs: &refs };
            let made = step.run(&args, states, meter).map_err(|e| step.named(e))?;
            for (link, value) in self.links[outputs..end].iter().zip(made) {
                if let Some(slot) = link.slot() {
                    let bytes = value.bytes();
                    meter.hold(bytes);
                    values[slot] = Some((value, bytes));
                }
            }
            for link in self.links[inputs..end].iter().filter(|link| link.is_last()) {
                if let Some((_, bytes)) = link.slot().and_then(|slot| values[slot].take()) {
                    meter.release(bytes);
                }
            }
        }
        Ok(())
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

    /// Checks the inputs and puts them into their slots.
    fn take_inputs(&self, inputs: &[(&str, Value)], values: &mut Values) -> Result<()> {
        const RUN: &str = "OnnxModel::run";
        let mut extents: HashMap<&str, usize> = HashMap::new();
        for (name, value) in inputs {
            let place = self.names.get(*name).ok_or_else(|| Error::value(RUN, "inputs", self.input_names(), name))?;
            let (info, slot) = &self.inputs[*place];
            if values[*slot].is_some() {
                return Err(Error::value(RUN, "inputs", "each input once", format!("{name} twice")));
            }
            info.check(RUN, value, &mut extents)?;
            if let Value::Tensor(tensor) = value {
                self.device.check_same(RUN, "inputs", tensor)?;
            }
            values[*slot] = Some((value.clone(), 0));
        }
        match self.inputs.iter().find(|(_, slot)| values[*slot].is_none()) {
            Some((info, _)) => Err(Error::value(RUN, "inputs", format!("an input {:?}", info.name), "none")),
            None => Ok(()),
        }
    }
}
