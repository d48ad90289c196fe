//! Loads a file into an executable graph, and checks everything that does not depend on the inputs.

use std::collections::HashMap;

use super::info::{Extent, Info};
use super::links::{Links, Names, wrong};
use super::meter::Meter;
use super::ops::{self, Args, Builder, Op, Operator};
use super::proto::{Dim, Model, Node, ValueInfo};
use super::run::{Graph, Link, Step};
use super::value::{ElementType, Value, from_proto};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::shape::MAX_RANK;

/// Supported operator sets.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;

/// Parses and checks a file, and builds its graph.
pub fn load(device: &Device, bytes: &[u8]) -> Result<Graph> {
    let Model { opset, graph } = Model::parse(bytes)?;
    let opset = check_opset(opset)?;
    let host = if device.is_gpu() { Device::cpu() } else { device.clone() };
    let (mut names, mut known) = (Names::new(&graph), Vec::new());
    for tensor in graph.initializers() {
        let tensor = tensor?;
        names.define(tensor.name, "initializer")?;
        known.push(Some(Box::new(from_proto(tensor, &host)?)));
    }
    let inputs = take_inputs(&graph.inputs, &mut names, known.len())?;
    let links = Links::new(&graph, &mut names)?;
    known.resize_with(names.len(), || None);
    let outputs = outputs(&graph.outputs, &names)?;
    let order = links.order(&graph.nodes, &names)?;
    drop(names);

    let meter = Meter::of_load(bytes.len());
    let mut loader = Loader { opset, device, host, known, meter, weights: 0, steps: Vec::new(), links };
    for index in order {
        loader.node(index, &Node::parse(graph.nodes[index])?)?;
    }
    loader.finish(inputs, outputs)
}

/// Returns the float initializers of an ONNX file by name, for example to build a layer or a stream from its weights;
/// see [`RecurrentWeights::from_onnx`](crate::io::RecurrentWeights::from_onnx).
///
/// # Errors
/// [`Error::Format`] for a damaged file. The operators of the graph need not be supported.
pub fn initializers(bytes: &[u8]) -> Result<TensorFile> {
    let model = Model::parse(bytes)?;
    let (host, mut file) = (Device::cpu(), TensorFile::default());
    let mut names = Names::new(&model.graph);
    for proto in model.graph.initializers() {
        let proto = proto?;
        let name = proto.name;
        names.define(name, "initializer")?;
        if let Value::Tensor(tensor) = from_proto(proto, &host)? {
            file.insert(name, tensor.dims(), tensor.read_now()?);
        }
    }
    Ok(file)
}

fn check_opset(opset: Option<i64>) -> Result<i64> {
    match opset {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        None => Err(Error::format("ONNX model", "declares no operator set for ai.onnx")),
        Some(other) => {
            let (first, last) = (OPSETS.start(), OPSETS.end());
            Err(Error::format("ONNX model", format!("operator set {other}; {first} to {last} are supported")))
        }
    }
}

/// Defines the inputs of the graph. Skips those that are initializers, which have the first `constants` slots.
fn take_inputs<'a>(infos: &[&'a [u8]], names: &mut Names<'a>, constants: usize) -> Result<Vec<(Info, usize)>> {
    let mut out = Vec::with_capacity(infos.len());
    for bytes in infos {
        let value = ValueInfo::parse(bytes)?;
        let is_constant = names.find(value.name).is_some_and(|slot| slot < constants);
        if !is_constant {
            out.push((info(&value)?, names.define(value.name, "input")?));
        }
    }
    Ok(out)
}

fn outputs(infos: &[&[u8]], names: &Names) -> Result<Vec<(Info, usize)>> {
    let output = |bytes: &&[u8]| {
        let value = ValueInfo::parse(bytes)?;
        let slot = names.find(value.name);
        let slot = slot.ok_or_else(|| Error::format(format!("ONNX output {:?}", value.name), "is never computed"))?;
        Ok((info(&value)?, slot))
    };
    let mut out = Vec::with_capacity(infos.len());
    for bytes in infos {
        out.push(output(bytes)?);
    }
    Ok(out)
}

struct Loader<'a> {
    opset: i64,
    device: &'a Device,
    /// A CPU device, for values that are computed at load time.
    host: Device,
    /// Values that are known at load time, on the host.
    known: Vec<Option<Box<Value>>>,
    meter: Meter,
    /// Number of weight elements that nodes store themselves.
    weights: u64,
    steps: Vec<Step>,
    links: Links,
}

impl Loader<'_> {
    /// Checks and builds one node. Computes it if all of its inputs are known and its operator allows constant folding.
    fn node(&mut self, index: usize, node: &Node) -> Result<()> {
        let operator = find(node, self.opset)?;
        let [inputs, outputs] = self.links.of(index);
        let constant = |link: &Link| link.slot().and_then(|slot| self.known[slot].as_deref());
        let constants: Vec<Option<&Value>> = inputs.iter().map(constant).collect();
        let all_known = inputs.iter().zip(&constants).all(|(link, value)| link.slot().is_none() || value.is_some());

        let devices = [self.device, &self.host];
        let mut builder = Builder::new(node, inputs, self.opset, devices, &constants, &mut self.meter)?;
        let built = (operator.build)(&mut builder).map_err(|e| named(node, e))?;
        builder.finish()?;
        let absorbed = std::mem::take(&mut builder.absorbed);

        if let (true, true, Op::Function(f)) = (operator.folds, all_known, &built) {
            let args = Args { device: &self.host, inputs: &constants };
            let values = f.cost(&args).and_then(|cost| builder.charge(cost)).and_then(|()| f.run(&args));
            let values = values.map_err(|e| named(node, e))?;
            for (link, value) in outputs.iter().zip(values) {
                if let Some(slot) = link.slot() {
                    self.known[slot] = Some(Box::new(value));
                }
            }
            return Ok(());
        }
        let held = absorbed.iter().filter_map(|&i| constants.get(i).copied().flatten());
        self.weights += held.map(|value| value.count() as u64).sum::<u64>();
        let links = self.links.built(index, &absorbed);
        self.steps.push(Step { label: node.label().into(), operator: operator.name, op: built, links });
        Ok(())
    }

    /// Moves the constants that are still read to the device, and marks the last read of each value.
    fn finish(self, inputs: Vec<(Info, usize)>, outputs: Vec<(Info, usize)>) -> Result<Graph> {
        let Self { device, mut known, weights, mut steps, links, .. } = self;
        let mut links = links.into_list();
        let mut read = vec![false; known.len()];
        outputs.iter().for_each(|(_, slot)| read[*slot] = true);
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
        let mut constants = Vec::new();
        for (slot, value) in known.iter_mut().enumerate().filter(|(slot, _)| read[*slot]) {
            match value.take().map(|value| *value) {
                Some(Value::Tensor(t)) if t.device() != device => {
                    constants.push((slot, t.to_device_now(device)?.into()))
                }
                Some(value) => constants.push((slot, value)),
                None => {}
            }
        }
        let names: HashMap<String, usize> =
            inputs.iter().enumerate().map(|(place, (info, _))| (info.name.clone(), place)).collect();
        steps.shrink_to_fit();
        let weights = weights + constants.iter().map(|(_, value): &(usize, Value)| value.count() as u64).sum::<u64>();
        let (device, slots) = (device.clone(), known.len());
        Ok(Graph { device, inputs, names, outputs, slots, constants, weights, steps, links })
    }
}

/// Returns the operator of a node, after checking the number of its inputs and outputs.
fn find(node: &Node, opset: i64) -> Result<&'static Operator> {
    let refuse = |what: String| Err(Error::unsupported(node.label(), node.op_type, what));
    if !matches!(node.domain, "" | "ai.onnx") {
        return refuse(format!("an operator of the domain {:?}", node.domain));
    }
    let Some(operator) = ops::find(node.op_type) else { return refuse("the operator".into()) };
    if opset < operator.since {
        return refuse(format!("the operator in operator set {opset}"));
    }
    let (there, range) = (node.inputs, &operator.inputs);
    let needed = if *range.end() == usize::MAX { there } else { *range.start() };
    if !range.contains(&there) || node.inputs().take(needed).any(str::is_empty) {
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

fn info(value: &ValueInfo) -> Result<Info> {
    let bad = |why: String| Error::format(format!("ONNX value {:?}", value.name), why);
    // Files may omit the type of an output.
    let float = match value.data_type {
        0 => true,
        number => ElementType::of(number)
            .map_err(|name| bad(format!("holds elements of type {name}, which is not supported")))?
            .is_float(),
    };
    let extent = |dim: &Dim| match *dim {
        Dim::Fixed(n @ 1..=0x7fff_ffff) => Ok(Extent::Fixed(n as usize)),
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
