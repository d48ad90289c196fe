//! Loads the nodes of a graph or subgraph: checks and builds each, and computes those whose inputs are known.

use std::collections::HashSet;

use super::check::{Problem, Report};
use super::element::ElementType;
use super::external::Files;
use super::links::{Links, Names, wrong};
use super::meter::Meter;
use super::ops::{self, Args, Builder, Op, Operator};
use super::proto::{Graph, Node, ValueInfo};
use super::run::{Body, Step};
use super::value::{Value, from_proto};
use crate::device::Device;
use crate::error::{Error, Result};

/// State shared by the loads of a graph and its subgraphs.
pub(super) struct Context<'a> {
    pub opset: i64,
    /// Program that wrote the file.
    pub producer: &'a str,
    pub device: &'a Device,
    /// A CPU device, for values that are computed at load time.
    pub host: &'a Device,
    pub files: &'a Files,
    pub meter: Meter,
    /// Number of elements of all weights.
    pub weights: u64,
    pub report: Report,
    /// Whether a node that is not supported is added to the report. Otherwise, it is an error.
    pub collects: bool,
}

/// Facts about a value that are known before a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    /// The value, on the host.
    pub value: Option<Box<Value>>,
    /// Whether it was computed from an input of the model, not only from the extents of one.
    pub fed: bool,
    /// Type that a cast named, if it is narrower than f32. The next cast rounds to it.
    pub narrow: Option<ElementType>,
}

/// The values that exist before the first node of a graph runs. They have the first slots.
pub(super) struct Inputs<'a> {
    pub infos: Vec<ValueInfo<'a>>,
    /// Names and facts, first of the infos, then of values of outer graphs.
    pub facts: Vec<(&'a str, Fact)>,
}

impl<'a> Inputs<'a> {
    /// The inputs of a model, without those that have an initializer.
    pub fn of_model(graph: &Graph<'a>) -> Result<Self> {
        let mut constants = HashSet::new();
        for tensor in graph.initializers() {
            constants.insert(tensor?.name);
        }
        let mut infos = Vec::with_capacity(graph.inputs.len());
        for bytes in &graph.inputs {
            let value = ValueInfo::parse(bytes)?;
            if !constants.contains(value.name) {
                infos.push(value);
            }
        }
        let fact = |value: &ValueInfo<'a>| (value.name, Fact { fed: true, ..Fact::default() });
        Ok(Self { facts: infos.iter().map(fact).collect(), infos })
    }
}

/// A loaded graph, and what is known about its outputs.
pub(super) struct Loaded {
    pub body: Body,
    /// Values of the outputs, on the host.
    pub known: Vec<Option<Value>>,
    /// Which of the [`Inputs`] the nodes read.
    pub read: Vec<bool>,
}

/// Loads a graph. `prefix` precedes the names of its nodes.
pub(super) fn load_body(context: &mut Context, graph: &Graph, inputs: Inputs, prefix: &str) -> Result<Loaded> {
    let (mut names, mut facts) = (Names::new(graph), Vec::new());
    let first = inputs.facts.len();
    for (name, fact) in inputs.facts {
        names.define(name, "input")?;
        facts.push(fact);
    }
    for tensor in graph.initializers() {
        let tensor = tensor?;
        names.define(tensor.name, "initializer")?;
        let tensor = context.files.resolve(tensor)?;
        let value = tensor.map(|tensor| from_proto(tensor, context.host)).transpose()?;
        facts.push(Fact { value: value.map(Box::new), ..Fact::default() });
    }
    let links = Links::new(graph, &mut names)?;
    facts.resize_with(names.len(), Fact::default);
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for bytes in &graph.outputs {
        let name = ValueInfo::parse(bytes)?.name;
        let slot = names.find(name);
        outputs.push(slot.ok_or_else(|| Error::format(format!("ONNX output {name:?}"), "is never computed"))?);
    }
    let order = links.order(&graph.nodes, &names)?;
    drop(names);

    let mut loader = Loader { context, facts, first, prefix, steps: Vec::new(), links };
    for index in order {
        let node = Node::parse(graph.nodes[index])?;
        match loader.node(index, &node) {
            Err(error) if loader.context.collects => loader.context.report.add(Problem::of(&node, prefix, error)),
            result => result?,
        }
    }
    loader.finish(outputs)
}

struct Loader<'a, 'c> {
    context: &'a mut Context<'c>,
    facts: Vec<Fact>,
    /// Number of values that exist before the first node.
    first: usize,
    prefix: &'a str,
    steps: Vec<Step>,
    links: Links,
}

impl Loader<'_, '_> {
    /// Checks and builds one node. Computes it if all of its inputs are known and its operator allows constant folding.
    fn node(&mut self, index: usize, node: &Node) -> Result<()> {
        let operator = find(node, self.context.opset)?;
        let [inputs, outputs] = self.links.of(index);
        let none = Fact::default();
        let facts: Vec<&Fact> = inputs.iter().map(|link| link.slot().map_or(&none, |slot| &self.facts[slot])).collect();
        let all_known = inputs.iter().zip(&facts).all(|(link, fact)| link.slot().is_none() || fact.value.is_some());
        let fed = operator.reads_values && facts.iter().any(|fact| fact.fed);
        let label = format!("{}{}", self.prefix, node.label());

        let mut builder = Builder::new(node, &label, inputs, &facts, self.context)?;
        let built = (operator.build)(&mut builder).map_err(|e| named(node, e))?;
        builder.finish()?;
        let (absorbed, narrow) = (std::mem::take(&mut builder.absorbed), builder.narrow);

        let known = match &built {
            Op::Known(values) => Some(values.to_vec()),
            Op::Function(f) if operator.folds && all_known => {
                let constants: Vec<Option<&Value>> = facts.iter().map(|fact| fact.value.as_deref()).collect();
                let args = Args { device: builder.host, inputs: &constants, waits: false };
                let values = f.cost(&args).and_then(|cost| builder.charge(cost)).and_then(|()| f.run(&args));
                let values: Result<Vec<Value>> =
                    values.and_then(|values| values.into_iter().map(Value::on_host).collect());
                Some(values.map_err(|e| named(node, e))?)
            }
            _ => None,
        };
        let held = absorbed.iter().filter_map(|&i| facts.get(i)?.value.as_deref());
        let held = held.map(|value| value.count() as u64).sum::<u64>();
        let is_known = known.is_some();
        let mut known = known.unwrap_or_default().into_iter();
        for link in outputs {
            let value = known.next().map(Box::new);
            if let Some(slot) = link.slot() {
                self.facts[slot] = Fact { value, fed, narrow };
            }
        }
        if !is_known {
            self.context.weights += held;
            let links = self.links.built(index, &absorbed);
            let (operator, whole) = (operator.name, operator.whole);
            self.steps.push(Step { label: label.into(), operator, whole, op: built, node: index as u32, links });
        }
        Ok(())
    }

    /// Moves the constants that are still read to the device, and marks the last read of each value.
    fn finish(self, outputs: Vec<usize>) -> Result<Loaded> {
        let Self { context, mut facts, first, mut steps, links, .. } = self;
        let mut links = links.into_list();
        let mut read = vec![false; facts.len()];
        outputs.iter().for_each(|slot| read[*slot] = true);
        for step in steps.iter().rev() {
            let [first, _, end] = step.links.map(|at| at as usize);
            for link in &mut links[first..end] {
                if let Some(slot) = link.slot()
                    && !std::mem::replace(&mut read[slot], true)
                {
                    *link = link.last();
                }
            }
        }
        let known = outputs.iter().map(|&slot| facts[slot].value.as_deref().cloned()).collect();
        let mut constants = Vec::new();
        // Values of outer graphs stay there.
        for (slot, fact) in facts.iter_mut().enumerate().skip(first).filter(|(slot, _)| read[*slot]) {
            match fact.value.take().map(|value| *value) {
                Some(Value::Tensor(t)) if t.device() != context.device => {
                    constants.push((slot, t.to_device_now(context.device)?.into()))
                }
                Some(value) => constants.push((slot, value)),
                None => {}
            }
        }
        steps.shrink_to_fit();
        context.weights += constants.iter().map(|(_, value): &(usize, Value)| value.count() as u64).sum::<u64>();
        read.truncate(first);
        let body = Body { slots: facts.len(), constants, outputs, steps, links };
        Ok(Loaded { body, known, read })
    }
}

/// Returns the operator of a node, after checking the number of its inputs and outputs.
fn find(node: &Node, opset: i64) -> Result<&'static Operator> {
    let refuse = |what: String| Err(Error::unsupported(node.label(), node.op_type, what));
    let Some(operator) = ops::find(node.domain, node.op_type) else {
        return match node.domain {
            "" | "ai.onnx" => refuse("the operator".into()),
            domain => refuse(format!("an operator of the domain {domain:?}")),
        };
    };
    if opset < operator.since {
        return refuse(format!("the operator in operator set {opset}"));
    }
    let (there, range) = (node.inputs, &operator.inputs);
    let needed = if *range.end() == usize::MAX { there } else { *range.start() };
    let may_omit = operator.omits;
    if !range.contains(&there) || (!may_omit && node.inputs().take(needed).any(str::is_empty)) {
        let expected = match (*range.start(), *range.end()) {
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) if least == most => format!("{least}"),
            (least, most) => format!("{least} to {most}"),
        };
        return Err(wrong(node, format!("it has {there} inputs, or omits a required one; expected {expected}")));
    }
    match node.outputs().skip(operator.outputs).find(|name| !name.is_empty()) {
        Some(name) => refuse(format!("its output {name:?}")),
        None => Ok(operator),
    }
}

/// Adds the node's name to an error, unless the error already contains it.
fn named(node: &Node, source: Error) -> Error {
    match source {
        Error::Budget { limit: "memory", needed, .. } => {
            wrong(node, format!("it expands the constants to {needed} bytes, out of proportion to the file"))
        }
        Error::Budget { needed, .. } => {
            wrong(node, format!("its constants take {needed} operations, out of proportion to the file"))
        }
        named @ (Error::Unsupported { .. } | Error::Node { .. }) => named,
        source => Error::Node { node: node.label().into(), operator: node.op_type.into(), source: Box::new(source) },
    }
}
