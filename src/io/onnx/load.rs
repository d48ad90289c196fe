//! Loads a file into an executable graph, and checks everything that does not depend on the inputs.

use super::check::{Problem, Report};
use super::element::ElementType;
use super::external::{Files, Read};
use super::info::{Extent, Info};
use super::links::Names;
use super::loader::{Context, Inputs, Loaded, load_body};
use super::meter::Meter;
use super::proto::{Dim, Model, ValueInfo};
use super::run::Graph;
use super::value::{Value, from_proto};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::shape::MAX_RANK;

/// Supported operator sets.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=22;

/// Parses and checks a file, and builds its graph. `read` returns the content of separate files.
pub fn load(device: &Device, bytes: &[u8], read: Option<&mut Read>) -> Result<Graph> {
    let model = Model::parse(bytes)?;
    check_opset(model.opset)?;
    let files = Files::of(&model.graph, read)?;
    let (graph, report) = build(device, bytes, model, files, false)?;
    report.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    Ok(graph)
}

/// Checks every node of a file. Only a file that cannot be parsed is an error.
pub fn check(bytes: &[u8]) -> Result<Report> {
    let mut model = Model::parse(bytes)?;
    let opset = check_opset(model.opset);
    if opset.is_err() {
        model.opset = model.opset.map(|v| v.clamp(*OPSETS.start(), *OPSETS.end())).or(Some(*OPSETS.end()));
    }
    let mut report = build(&Device::cpu(), bytes, model, Files::skipped(), true)?.1;
    if let Err(error) = opset {
        report.add(Problem { node: String::new(), operator: String::new(), what: error.to_string() });
    }
    Ok(report)
}

fn build(device: &Device, bytes: &[u8], model: Model, files: Files, all: bool) -> Result<(Graph, Report)> {
    let Model { opset, producer, graph } = model;
    let host = if device.is_gpu() { Device::cpu() } else { device.clone() };
    let mut context = Context {
        opset: opset.unwrap_or_default(),
        producer,
        device,
        host: &host,
        files: &files,
        meter: Meter::of_load(bytes.len().saturating_add(files.bytes())),
        weights: 0,
        report: Report::default(),
        collects: all,
    };
    let inputs = Inputs::of_model(&graph)?;
    let infos = inputs.infos.iter().map(|value| info(value)).collect::<Result<Vec<_>>>()?;
    let Loaded { body, .. } = load_body(&mut context, &graph, inputs, "")?;
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for bytes in &graph.outputs {
        let value = ValueInfo::parse(bytes)?;
        let rounding = ElementType::of(value.data_type).ok().and_then(ElementType::rounding);
        outputs.push((info(&value)?, rounding));
    }

    let names = infos.iter().enumerate().map(|(place, info)| (info.name.clone(), place)).collect();
    let inputs = infos.into_iter().enumerate().map(|(slot, info)| (info, slot)).collect();
    let weights = context.weights;
    let graph = Graph { device: device.clone(), inputs, names, outputs, weights, body };
    Ok((graph, context.report))
}

/// Returns the float initializers of an ONNX file by name, for example to build a layer or a stream from its weights;
/// see [`RecurrentWeights::from_onnx`](crate::io::RecurrentWeights::from_onnx).
///
/// # Errors
/// [`Error::Format`] for a damaged file. The operators of the graph need not be supported.
pub fn initializers(bytes: &[u8]) -> Result<TensorFile> {
    let model = Model::parse(bytes)?;
    let files = Files::of(&model.graph, None)?;
    let (host, mut file) = (Device::cpu(), TensorFile::default());
    let mut names = Names::new(&model.graph);
    for proto in model.graph.initializers() {
        let proto = proto?;
        let name = proto.name;
        names.define(name, "initializer")?;
        if let Some(proto) = files.resolve(proto)?
            && let Value::Tensor(tensor) = from_proto(proto, &host)?
        {
            file.add(name, tensor.dims(), tensor.read_now()?);
        }
    }
    Ok(file)
}

fn check_opset(opset: Option<i64>) -> Result<()> {
    match opset {
        Some(version) if OPSETS.contains(&version) => Ok(()),
        None => Err(Error::format("ONNX model", "declares no operator set for ai.onnx")),
        Some(other) => {
            let (first, last) = (OPSETS.start(), OPSETS.end());
            Err(Error::format("ONNX model", format!("operator set {other}; {first} to {last} are supported")))
        }
    }
}

/// Returns the public description of an input or output.
fn info(value: &ValueInfo) -> Result<Info> {
    let bad = |why: String| Error::format(format!("ONNX value {:?}", value.name), why);
    let float = match value.data_type {
        0 => true,
        kind => ElementType::of(kind)
            .map_err(|name| bad(format!("holds elements of type {name}, which is not supported")))?
            .is_float(),
    };
    let extent = |dim: &Dim| match *dim {
        Dim::Fixed(n @ 1..=0x7fff_ffff) => Ok(Extent::Fixed(n as usize)),
        // Old exporters write 0, -1 or -3 for an extent that varies.
        Dim::Fixed(..=0) => Ok(Extent::Free),
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
