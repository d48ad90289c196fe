//! Models of any kind of file.

use std::path::Path;

use wgru::io::onnx::{OnnxModel, Value};
use wgru::io::{self, ModelFile, Network, TensorFile};
use wgru::nn::{Module, Recurrent};
use wgru::{Device, Tensor};

use crate::failure::{Failure, Result};

/// A model on a device.
pub enum Model {
    Onnx(OnnxModel),
    Network {
        network: Network,
        /// Extents of one sequence that the file tells, such as steps and features; `None` for those left open.
        extents: Vec<Option<usize>>,
    },
    Recurrent(Recurrent),
}

/// Returns the extents of a sequence in the configuration of a Keras model, without the batch.
fn extents(file: &TensorFile) -> Vec<Option<usize>> {
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let first = text("input").or(text("layers")).and_then(|names| names.split(' ').next()).unwrap_or_default();
    let keys = ["batch_shape", "batch_input_shape"];
    let dims = keys.iter().find_map(|key| text(&format!("{first}.{key}"))).unwrap_or_default();
    dims.split(' ').skip(1).map(|extent| extent.parse().ok()).collect()
}

impl Model {
    /// Loads a model: the whole network if the file describes it, else its recurrent layer. With `layer`, only the
    /// recurrent layer of this name.
    pub fn load(device: &Device, path: &Path, layer: Option<&str>) -> Result<Self> {
        let file = ModelFile::open(path)?;
        Ok(match file.load_blocking(device, layer)? {
            io::Model::Onnx(model) => Self::Onnx(model),
            io::Model::Recurrent(layer) => Self::Recurrent(layer),
            io::Model::Network(network) => {
                let extents = if let ModelFile::Weights(file) = &file { extents(file) } else { Vec::new() };
                Self::Network { network, extents }
            }
        })
    }

    /// Runs the model on inputs by name, and returns the outputs by name.
    pub fn run(&self, inputs: &[(String, Value)]) -> Result<Vec<(String, Value)>> {
        let module: &dyn Module = match self {
            Model::Onnx(model) => {
                let inputs: Vec<(&str, Value)> =
                    inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                return Ok(model.run_blocking(&inputs)?);
            }
            Model::Network { network, .. } => network,
            Model::Recurrent(layer) => layer,
        };
        let [(_, x)] = inputs else {
            return Err(Failure::arguments(format!("--input: expected one, got {}", inputs.len())));
        };
        Ok(vec![("y".into(), module.forward(x.as_tensor()?)?.into())])
    }

    /// Returns the module of a model other than ONNX.
    pub fn module(&self) -> Option<&dyn Module> {
        match self {
            Model::Onnx(_) => None,
            Model::Network { network, .. } => Some(network),
            Model::Recurrent(layer) => Some(layer),
        }
    }
}

/// Reads the elements back. Integers become floats.
pub fn floats(value: &Value) -> Result<Vec<f32>> {
    Ok(match value {
        Value::Tensor(tensor) => tensor.read_blocking()?,
        _ => value.read_ints_blocking()?.into_iter().map(|v| v as f32).collect(),
    })
}

/// Returns indices if every value is a whole number from 0 on, for networks that begin with an embedding.
pub fn indices(device: &Device, values: &[f32], dims: &[usize]) -> Result<Tensor> {
    let whole: Option<Vec<u32>> =
        values.iter().map(|&v| (v >= 0.0 && v.fract() == 0.0 && v < 16_777_216.0).then_some(v as u32)).collect();
    let whole = whole.ok_or_else(|| Failure::arguments("--input: expected indices, whole numbers from 0 on"))?;
    Ok(Tensor::from_indices(device, &whole, dims)?)
}
