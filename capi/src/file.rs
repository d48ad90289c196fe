//! Loads models from files of any format.

use std::path::Path;

use engine::io::onnx::OnnxModel;
use engine::io::{self, LayerInfo, ModelFile, Network, TensorFile};
use engine::nn::{Linear, Module, Recurrent};
use engine::{Device, Tensor};

use crate::failure::{Failure, Result};

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
    let file = match source {
        Source::Bytes(bytes) => ModelFile::from_bytes("model", bytes.to_vec())?,
        Source::Path(path) => ModelFile::open(path)?,
    };
    let (layers, model) = (file.layers(), file.load_blocking(device, part.layer)?);
    Ok(match (model, &file) {
        (io::Model::Recurrent(layer), ModelFile::Weights(file)) => {
            let head = part.head.map(|name| linear(device, file, name)).transpose()?;
            let is_it = |info: &LayerInfo| part.layer.is_none_or(|name| info.name == name);
            (Content::Recurrent { layer: Box::new(layer), head }, layers.into_iter().filter(is_it).collect())
        }
        (io::Model::Network(_), _) if part.head.is_some() => {
            return Err(Failure::value("options: head: the file describes a whole network; it needs no head"));
        }
        (io::Model::Network(network), ModelFile::Weights(_)) => (Content::Network(network), layers),
        _ if part.head.is_some() => {
            return Err(Failure::value("options: head: an ONNX model is loaded as a whole"));
        }
        (io::Model::Onnx(model), _) => (Content::Onnx(model), layers),
        (_, ModelFile::Onnx { .. }) => unreachable!("an ONNX file gives an ONNX model"),
    })
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
            Content::Network(network) => count(network),
            Content::Onnx(_) => 0,
        }
    }
}
