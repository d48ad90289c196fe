//! Loads models from files of any format.

use std::path::Path;

use engine::io::onnx::OnnxModel;
use engine::io::{LayerInfo, TensorFile, load_network, load_recurrent_blocking};
use engine::nn::{Linear, Module, Recurrent};
use engine::{Device, Error, Tensor};

use crate::failure::{Failure, Result};
use crate::network::Network;
use crate::status::WgruStatus;

/// Where a model comes from.
pub enum Source<'a> {
    Path(&'a Path),
    Bytes(&'a [u8]),
}

/// Which part of a file to load.
#[derive(Clone, Copy, Default)]
pub struct Part<'a> {
    /// Only the recurrent layer of this name.
    pub layer: Option<&'a str>,
    /// A linear layer to apply to the output of the recurrent layer.
    pub head: Option<&'a str>,
}

/// A model that was loaded.
pub enum Content {
    Recurrent { layer: Box<Recurrent>, head: Option<Linear> },
    Network(Network),
    Onnx(OnnxModel),
}

/// Loads a model, with the recurrent layers of the file.
pub fn load(device: &Device, source: Source, part: Part) -> Result<(Content, Vec<LayerInfo>)> {
    let read;
    let (bytes, imported) = match source {
        Source::Bytes(bytes) => (bytes, TensorFile::import_bytes("model", bytes)),
        Source::Path(path) => {
            let io = |source| Error::Io { path: path.into(), source };
            read = std::fs::read(path).map_err(io)?;
            // By path, because a file may name others in its folder.
            (&read[..], TensorFile::import(path))
        }
    };
    let file = match imported {
        Ok(file) => file,
        // Exporters write the version of the format first. Other files that begin like this give the error of
        // `import`, which names their kind.
        Err(error) if !bytes.starts_with(&[8]) && OnnxModel::check(bytes).is_err() => return Err(error.into()),
        Err(_) if part.layer.is_some() || part.head.is_some() => {
            return Err(Failure::value("options: layer and head: an ONNX model is loaded as a whole"));
        }
        Err(_) => {
            let model = match source {
                Source::Path(path) => OnnxModel::open(device, path),
                Source::Bytes(bytes) => OnnxModel::load(device, bytes),
            };
            return Ok((Content::Onnx(model?), Vec::new()));
        }
    };
    weights(device, &file, part)
}

fn weights(device: &Device, file: &TensorFile, part: Part) -> Result<(Content, Vec<LayerInfo>)> {
    let layers = file.layers();
    let head = part.head.map(|name| linear(device, file, name)).transpose()?;
    let recurrent = |file: &TensorFile| load_recurrent_blocking(device, file);
    let one = |layer: Recurrent, name: &str| {
        let layers = layers.iter().filter(|info| info.name == name).cloned().collect();
        (Content::Recurrent { layer: Box::new(layer), head: head.clone() }, layers)
    };
    if let Some(name) = part.layer {
        return Ok(one(recurrent(&file.recurrent(name)?)?, name));
    }
    let error = match load_network(device, file) {
        Ok(_) if head.is_some() => {
            return Err(Failure::value("options: head: the file describes a whole network; it needs no head"));
        }
        Ok(network) => {
            let network = Network::new(network, file.metadata.contains_key("kind"));
            return Ok((Content::Network(network), layers));
        }
        Err(error) => error,
    };
    // A file of wgru may hold a layer of a kind that only its metadata tells.
    if let Ok(layer) = recurrent(file) {
        return Ok(one(layer, ""));
    }
    match &layers[..] {
        [only] if !file.metadata.contains_key("layers") => {
            Ok(one(recurrent(&file.recurrent(&only.name)?)?, &only.name))
        }
        [] => Err(error.into()),
        several => {
            let names: Vec<&str> = several.iter().take(16).map(|layer| layer.name.as_str()).collect();
            let why = format!("{error}; set options.layer to run one of its recurrent layers alone: {names:?}");
            Err(Failure::Other(WgruStatus::Format, why))
        }
    }
}

/// Reads a linear layer by its name.
fn linear(device: &Device, file: &TensorFile, name: &str) -> Result<Linear> {
    let tensor = |part: &str| {
        let (dims, values) = file.get(&format!("{name}.{part}"))?;
        Tensor::from_slice(device, values, dims)
    };
    let bias = file.names().any(|own| own.strip_prefix(name) == Some(".bias"));
    let bias = if bias { Some(tensor("bias")?) } else { None };
    Ok(Linear::from_parameters(tensor("weight")?, bias)?)
}

impl Content {
    /// Returns the number of weights; 0 for an ONNX model.
    pub fn parameters(&self) -> usize {
        let count = |module: &dyn Module| engine::nn::parameter_count(module);
        match self {
            Content::Recurrent { layer, head } => count(&**layer) + head.as_ref().map_or(0, |head| count(head)),
            Content::Network(network) => count(network.module()),
            Content::Onnx(_) => 0,
        }
    }
}
