//! `wgru info`: what a file is, and what this crate makes of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wgru::Device;
use wgru::io::onnx::{self, Extent, Info, OnnxModel};
use wgru::io::{ModelFile, TensorFile, load_network};
use wgru::nn::parameter_count;

use crate::failure::{Failure, Result};
use crate::graph::operators;
use crate::output::{Answer, Output};

/// Describes a file: its kind, recurrent layers, parameters, operators, and unsupported parts.
///
/// The exit code is 1 if an ONNX model contains nodes that are not supported.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A file of any kind.
    file: PathBuf,
    /// Lists all tensors as well.
    #[arg(long)]
    tensors: bool,
}

pub fn info(args: &Args, out: &Output) -> Result<Answer> {
    match ModelFile::open(&args.file)? {
        ModelFile::Onnx { bytes, .. } => onnx_model(&args.file, &bytes, out),
        ModelFile::Weights(file) => weights(args, &file, out),
    }
}

/// Names the format of a file by its first bytes.
fn format(path: &Path) -> Result<&'static str> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    Ok(match &bytes[..] {
        [0x89, b'H', b'D', b'F', ..] => "HDF5",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "NumPy array",
        [b'P', b'K', ..] if has(b"model.weights.h5") => "Keras archive",
        [b'P', b'K', ..] if has(b"data.pkl") && has(b"constants.pkl") => "TorchScript archive",
        [b'P', b'K', ..] if has(b"data.pkl") => "PyTorch archive",
        [b'P', b'K', ..] if has(b"_weights_config.json") || has(b"serialized_state_dict.pt") => "torch.export program",
        [b'P', b'K', ..] => "NumPy archive",
        [0x80, ..] => "pickle",
        [b'D', b'N', b'N', b'w', ..] | [b'r', b'n', b'n', b'o', ..] => "RNNoise",
        [_, _, _, _, _, _, _, _, b'{', ..] => "safetensors",
        bytes if bytes.trim_ascii_start().starts_with(b"{") => "JSON",
        _ => "tar archive",
    })
}

fn weights(args: &Args, file: &TensorFile, out: &Output) -> Result<Answer> {
    let format = format(&args.file)?;
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let model = match (text("kind"), text("class_name")) {
        (Some(kind), _) => Some(kind.to_string()),
        (_, Some(class)) => Some(format!("Keras {class}, version {}", text("keras_version").unwrap_or("unknown"))),
        _ => None,
    };
    let count: usize = file.names().filter_map(|name| file.get(name).ok()).map(|(_, values)| values.len()).sum();
    out.line(format!("{}: {format}, {} tensors, {count} numbers", args.file.display(), file.names().count()));
    model.iter().for_each(|model| out.line(format!("model: {model}")));
    let mut layers = Vec::new();
    for layer in file.layers() {
        let directions = if layer.bidirectional { ", both directions" } else { "" };
        let name = if layer.name.is_empty() { "(the whole file)" } else { &layer.name };
        out.line(format!(
            "layer {name}: {}, {} to {}, {} in a stack{directions}",
            layer.cell, layer.input, layer.hidden, layer.layers
        ));
        layers.push(json!({
            "name": layer.name, "cell": layer.cell.to_string(), "input": layer.input, "hidden": layer.hidden,
            "layers": layer.layers, "bidirectional": layer.bidirectional,
        }));
    }
    let network = match load_network(&Device::cpu(), file) {
        Ok(network) => {
            let parameters = parameter_count(&network);
            out.line(format!("network: {:?}, {parameters} parameters", network.layers));
            json!({ "loads": true, "parameters": parameters })
        }
        Err(error) => {
            // Files of weights only are not expected to describe a network.
            if model.is_some() {
                out.line(format!("no network: {error}"));
            }
            json!({ "loads": false, "why": error.to_string() })
        }
    };
    let unreadable: Vec<Value> =
        file.unreadable().map(|(name, why)| json!({ "name": name, "why": format!("{name} {why}") })).collect();
    file.unreadable().for_each(|(name, why)| out.line(format!("not readable: {name} {why}")));
    let mut tensors = Vec::new();
    for name in file.names().filter(|_| args.tensors) {
        let (dims, _) = file.get(name)?;
        out.line(format!("tensor {name}: {dims:?}"));
        tensors.push(json!({ "name": name, "dims": dims }));
    }
    Ok(Answer::yes(json!({
        "file": args.file.display().to_string(), "format": format, "model": model, "numbers": count,
        "layers": layers, "network": network, "unreadable": unreadable, "tensors": tensors,
        "tensor_count": file.names().count(),
    })))
}

/// Returns the extents of an input or output as text.
pub fn extents(info: &Info) -> String {
    let text = |extent: &Extent| match extent {
        Extent::Fixed(n) => n.to_string(),
        Extent::Named(name) => name.clone(),
        Extent::Free => "?".into(),
    };
    match &info.dims {
        Some(dims) => format!("[{}]", dims.iter().map(text).collect::<Vec<_>>().join(", ")),
        None => "[…]".into(),
    }
}

fn onnx_model(path: &Path, bytes: &[u8], out: &Output) -> Result<Answer> {
    let report = OnnxModel::check(bytes)?;
    let operators = operators(bytes);
    // Weights in other files are counted only if the model loads.
    let count: usize = onnx::initializers(bytes)
        .map(|file| file.names().filter_map(|name| file.get(name).ok()).map(|(_, values)| values.len()).sum())
        .unwrap_or(0);
    let nodes: usize = operators.values().sum();
    out.line(format!("{}: ONNX model, {nodes} nodes, {count} numbers in weights", path.display()));
    let list: Vec<String> = operators.iter().map(|(name, count)| format!("{name} × {count}")).collect();
    out.line(format!("operators: {}", list.join(", ")));
    for problem in &report.problems {
        out.line(format!("not supported: {problem}"));
    }
    for warning in &report.warnings {
        out.line(format!("warning: {warning}"));
    }
    if report.more > 0 {
        out.line(format!("and {} more", report.more));
    }
    let model = OnnxModel::open(&Device::cpu(), path);
    let ends = |ends: Vec<&Info>, what: &str| -> Vec<Value> {
        let describe = |info: &&Info| {
            let kind = if info.float { "floats" } else { "integers" };
            out.line(format!("{what} {}: {} {kind}", info.name, extents(info)));
            json!({ "name": info.name, "extents": extents(info), "float": info.float })
        };
        ends.iter().map(describe).collect()
    };
    let (inputs, outputs, error) = match &model {
        Ok(model) => (ends(model.inputs().collect(), "input"), ends(model.outputs().collect(), "output"), None),
        Err(error) => {
            if report.problems.is_empty() {
                out.line(format!("does not load: {error}"));
            }
            (Vec::new(), Vec::new(), Some(error.to_string()))
        }
    };
    let problem =
        |problem: &onnx::Problem| json!({ "node": problem.node, "operator": problem.operator, "what": problem.what });
    let json = json!({
        "file": path.display().to_string(), "format": "ONNX", "nodes": nodes, "numbers": count, "operators": operators,
        "missing": report.problems.iter().map(problem).collect::<Vec<_>>(), "warnings": report.warnings,
        "more": report.more, "inputs": inputs, "outputs": outputs, "error": error,
    });
    Ok(Answer { json, yes: model.is_ok() })
}
