//! From a file's bytes to a graph that runs: everything is checked here

use std::collections::HashMap;

use super::model::{Extent, Graph, Info, Step};
use super::ops::{self, Args, Builder, Op, Operator};
use super::proto::{self, Dim, Model, Node, ValueInfo};
use super::value::{ElementType, Value, from_proto};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::shape::MAX_RANK;

/// Operator sets whose attributes and inputs are known.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;

/// Elements that constants computed at load may have, beside [`FOLDED_SHARE`] for each byte of the file: a few bytes
/// cannot ask for much memory.
const FOLDED: usize = 1 << 21;
const FOLDED_SHARE: usize = 2;

/// Reads, checks and builds.
pub fn load(device: &Device, bytes: &[u8]) -> Result<Graph> {
    let model = Model::parse(bytes)?;
    let opset = opset(&model)?;
    let graph = model.graph.ok_or_else(|| Error::format("ONNX model", "holds no graph"))?;
    let host = if device.is_gpu() { Device::cpu() } else { device.clone() };
    let mut loader = Loader {
        opset,
        device,
        host,
        slots: HashMap::new(),
        known: Vec::new(),
        budget: FOLDED + FOLDED_SHARE * bytes.len(),
        steps: Vec::new(),
    };
    for tensor in &graph.initializers {
        let slot = loader.define(tensor.name, "initializer")?;
        loader.known[slot] = Some(from_proto(tensor, &loader.host)?);
    }
    let inputs = loader.inputs(&graph.inputs)?;
    for node in &graph.nodes {
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            loader.define(output, "output of a node")?;
        }
    }
    for index in loader.order(&graph.nodes)? {
        loader.node(&graph.nodes[index])?;
    }
    let outputs = loader.outputs(&graph.outputs)?;
    loader.finish(inputs, outputs)
}

/// The floats among the initializers of an ONNX file, by name: the weights, for a layer or a stream of its own (see
/// [`RecurrentWeights::from_onnx`](crate::io::RecurrentWeights::from_onnx)).
///
/// # Errors
/// [`Error::Format`] as [`OnnxModel::load`](super::OnnxModel::load), whatever the file's operators.
pub fn initializers(bytes: &[u8]) -> Result<TensorFile> {
    let model = Model::parse(bytes)?;
    let graph = model.graph.ok_or_else(|| Error::format("ONNX model", "holds no graph"))?;
    let (host, mut file) = (Device::cpu(), TensorFile::default());
    for proto in &graph.initializers {
        let value = from_proto(proto, &host)?;
        if let Ok(tensor) = value.as_tensor() {
            file.insert(proto.name, tensor.dims(), tensor.to_vec()?);
        }
    }
    Ok(file)
}

fn opset(model: &Model) -> Result<i64> {
    let own: Vec<i64> = model.opsets.iter().filter(|(domain, _)| is_onnx(domain)).map(|o| o.1).collect();
    match own[..] {
        [version] if OPSETS.contains(&version) => Ok(version),
        [] => Err(Error::format("ONNX model", "names no operator set of ai.onnx")),
        _ => {
            let (first, last) = (OPSETS.start(), OPSETS.end());
            Err(Error::format("ONNX model", format!("operator set {own:?}; {first} to {last} are supported")))
        }
    }
}

fn is_onnx(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

struct Loader<'a> {
    opset: i64,
    device: &'a Device,
    /// A CPU, for what is computed at load.
    host: Device,
    /// Numbers of the values, by name.
    slots: HashMap<String, usize>,
    /// Values that are known at load, on the host.
    known: Vec<Option<Value>>,
    /// Elements that constants may still have.
    budget: usize,
    steps: Vec<Step>,
}

impl Loader<'_> {
    /// A number for a new value.
    fn define(&mut self, name: &str, what: &str) -> Result<usize> {
        let bad = |why: &str| Err(Error::format(format!("ONNX {what} {name:?}"), why));
        if name.is_empty() {
            return bad("has no name");
        }
        let slot = self.known.len();
        if self.slots.insert(name.into(), slot).is_some() {
            return bad("is a name that stands twice");
        }
        self.known.push(None);
        Ok(slot)
    }

    /// The inputs that are no initializers.
    fn inputs(&mut self, infos: &[ValueInfo]) -> Result<Vec<(Info, usize)>> {
        let mut out = Vec::new();
        for value in infos {
            let is_constant = self.slots.get(value.name).is_some_and(|&slot| self.known[slot].is_some());
            if !is_constant {
                let info = info(value)?;
                out.push((info, self.define(value.name, "input")?));
            }
        }
        Ok(out)
    }

    fn outputs(&self, infos: &[ValueInfo]) -> Result<Vec<(Info, usize)>> {
        let output = |value: &ValueInfo| {
            let slot = self.slots.get(value.name);
            let slot = slot.ok_or_else(|| Error::format(format!("ONNX output {:?}", value.name), "is never made"))?;
            Ok((info(value)?, *slot))
        };
        infos.iter().map(output).collect()
    }

    /// The nodes, each after all whose outputs it reads.
    fn order(&self, nodes: &[Node]) -> Result<Vec<usize>> {
        let mut maker: HashMap<&str, usize> = HashMap::new();
        for (i, node) in nodes.iter().enumerate() {
            maker.extend(node.outputs.iter().filter(|o| !o.is_empty()).map(|&o| (o, i)));
        }
        let mut missing = vec![0; nodes.len()];
        let mut readers = vec![Vec::new(); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            for &input in node.inputs.iter().filter(|n| !n.is_empty()) {
                if let Some(&from) = maker.get(input) {
                    missing[i] += 1;
                    readers[from].push(i);
                } else if !self.slots.contains_key(input) {
                    return Err(wrong(node, format!("its input {input:?} is never made")));
                }
            }
        }
        let mut order: Vec<usize> = (0..nodes.len()).filter(|&i| missing[i] == 0).collect();
        let mut next = 0;
        while let Some(&done) = order.get(next) {
            next += 1;
            for &reader in &readers[done] {
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    order.push(reader);
                }
            }
        }
        match (0..nodes.len()).find(|&i| missing[i] > 0) {
            Some(i) => Err(wrong(&nodes[i], "it depends on its own output".into())),
            None => Ok(order),
        }
    }

    /// Checks and builds one node; computes it where all of its inputs are known.
    fn node(&mut self, node: &Node) -> Result<()> {
        let operator = self.operator(node)?;
        let inputs: Vec<Option<usize>> = node.inputs.iter().map(|name| self.slots.get(*name).copied()).collect();
        let outputs: Vec<Option<usize>> = node.outputs.iter().map(|name| self.slots.get(*name).copied()).collect();
        let constants: Vec<Option<&Value>> =
            inputs.iter().map(|slot| slot.and_then(|s| self.known[s].as_ref())).collect();
        let all_known = inputs.iter().zip(&constants).all(|(slot, value)| slot.is_none() || value.is_some());
        let fold = operator.fold.filter(|_| all_known);

        let mut builder = Builder::new(node, self.opset, [self.device, &self.host], &constants)?;
        let built = (operator.build)(&mut builder).map_err(|e| named(node, e))?;
        builder.finish()?;
        let absorbed = std::mem::take(&mut builder.absorbed);

        if let (Some(cost), Op::Function(f)) = (fold, &built) {
            let args = Args { device: &self.host, inputs: &constants };
            let cost = cost(&args).map_err(|e| named(node, e))?;
            let left = self.budget.checked_sub(cost);
            let left =
                left.ok_or_else(|| wrong(node, format!("a constant of {cost} elements, out of all proportion")))?;
            let values = f(&args).map_err(|e| named(node, e))?;
            self.budget = left;
            for (slot, value) in outputs.iter().zip(values) {
                if let Some(slot) = slot {
                    self.known[*slot] = Some(value);
                }
            }
            return Ok(());
        }
        let kept = |(i, slot): (usize, &Option<usize>)| slot.filter(|_| !absorbed.contains(&i));
        let inputs = inputs.iter().enumerate().map(kept).collect();
        let label = node.label().to_string();
        self.steps.push(Step { label, operator: operator.name, op: built, inputs, outputs, frees: Vec::new() });
        Ok(())
    }

    /// The operator of a node, whose numbers of inputs and outputs fit.
    fn operator(&self, node: &Node) -> Result<&'static Operator> {
        let refuse = |what: String| {
            let (node, operator) = (node.label().to_string(), node.op_type.to_string());
            Err(Error::Unsupported { node, operator, what })
        };
        if !is_onnx(node.domain) {
            return refuse(format!("an operator of the domain {:?}", node.domain));
        }
        let Some(operator) = ops::find(node.op_type) else { return refuse("the operator".into()) };
        if self.opset < operator.since {
            return refuse(format!("the operator in operator set {}", self.opset));
        }
        let (there, range) = (node.inputs.len(), &operator.inputs);
        let needed = if *range.end() == usize::MAX { there } else { *range.start() };
        if !range.contains(&there) || node.inputs.iter().take(needed).any(|name| name.is_empty()) {
            return Err(wrong(node, format!("{there} inputs where {range:?} are expected, or one is left out")));
        }
        match node.outputs.iter().skip(operator.outputs).find(|name| !name.is_empty()) {
            Some(name) => refuse(format!("its output {name:?}")),
            None => Ok(operator),
        }
    }

    /// Moves the constants that are still read to the device, and notes where each value is read last.
    fn finish(mut self, inputs: Vec<(Info, usize)>, outputs: Vec<(Info, usize)>) -> Result<Graph> {
        let mut kept = vec![false; self.known.len()];
        outputs.iter().for_each(|(_, slot)| kept[*slot] = true);
        let mut read = kept.clone();
        for step in self.steps.iter_mut().rev() {
            for slot in step.inputs.iter().chain(&step.outputs).flatten() {
                if !std::mem::replace(&mut read[*slot], true) {
                    step.frees.push(*slot);
                }
            }
        }
        let mut constants = Vec::new();
        for (slot, value) in self.known.iter_mut().enumerate().filter(|(slot, _)| read[*slot]) {
            match value.take() {
                Some(Value::Tensor(t)) if t.device() != self.device => {
                    constants.push((slot, t.to_device(self.device)?.into()));
                }
                Some(value) => constants.push((slot, value)),
                None => {}
            }
        }
        Ok(Graph {
            device: self.device.clone(),
            inputs,
            outputs,
            slots: self.known.len(),
            constants,
            steps: self.steps,
        })
    }
}

fn wrong(node: &Node, why: String) -> Error {
    Error::format(format!("ONNX node {:?} ({})", node.label(), node.op_type), why)
}

/// The error with the node's name, unless it has one.
fn named(node: &Node, source: Error) -> Error {
    match source {
        named @ (Error::Unsupported { .. } | Error::Node { .. }) => named,
        source => Error::Node { node: node.label().into(), operator: node.op_type.into(), source: Box::new(source) },
    }
}

fn info(value: &proto::ValueInfo) -> Result<Info> {
    let bad = |why: String| Error::format(format!("ONNX value {:?}", value.name), why);
    // An output may leave its type open.
    let float = match value.data_type {
        0 => true,
        number => ElementType::of(number)
            .map_err(|name| bad(format!("holds elements of type {name}, which is not supported")))?
            .is_float(),
    };
    let extent = |dim: &Dim| match *dim {
        Dim::Fixed(n @ 1..) => Ok(Extent::Fixed(n as usize)),
        Dim::Fixed(n) => Err(bad(format!("has an extent of {n}"))),
        Dim::Named(name) => Ok(Extent::Named(name.into())),
        Dim::Free => Ok(Extent::Free),
    };
    let dims = value.dims.as_ref().map(|dims| dims.iter().map(extent).collect::<Result<Vec<_>>>()).transpose()?;
    match &dims {
        Some(dims) if dims.len() > MAX_RANK => {
            Err(bad(format!("has {} axes; at most {MAX_RANK} are supported", dims.len())))
        }
        _ => Ok(Info { name: value.name.into(), dims, float }),
    }
}
