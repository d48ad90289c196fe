//! Models of any kind of file.

use std::path::Path;

use wgru::io::onnx::{OnnxModel, Value};
use wgru::io::{Network, TensorFile, load_network, load_recurrent_blocking};
use wgru::nn::{Module, Recurrent};
use wgru::{Device, Tensor};

use crate::failure::{Failure, Result};

/// The content of a file.
pub enum File {
    /// An ONNX model, as bytes.
    Onnx(Vec<u8>),
    Weights(TensorFile),
}

/// Reads a file of any kind.
pub fn read(path: &Path) -> Result<File> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    let is_named = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
    // Exporters write the version of the format first. A damaged model is an ONNX model, a page by that name is not.
    let is_onnx = is_named && bytes.starts_with(&[8]);
    match TensorFile::import(path) {
        Ok(file) => Ok(File::Weights(file)),
        Err(_) if is_onnx || OnnxModel::check(&bytes).is_ok() => Ok(File::Onnx(bytes)),
        Err(error) => Err(error.into()),
    }
}

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
        let file = match read(path)? {
            File::Onnx(_) if layer.is_some() => {
                return Err(Failure::arguments("--layer: an ONNX model is run as a whole"));
            }
            File::Onnx(_) => return Ok(Model::Onnx(OnnxModel::open(device, path)?)),
            File::Weights(file) => file,
        };
        let load = |name: &str| Ok(Model::Recurrent(load_recurrent_blocking(device, &file.recurrent(name)?)?));
        if let Some(name) = layer {
            return load(name);
        }
        let network = match load_network(device, &file) {
            Ok(network) => return Ok(Model::Network { network, extents: extents(&file) }),
            Err(error) => error,
        };
        // A file of this crate may hold a layer of a kind that only its metadata tells.
        if let Ok(layer) = load_recurrent_blocking(device, &file) {
            return Ok(Model::Recurrent(layer));
        }
        match &file.layers()[..] {
            [only] if !file.metadata.contains_key("layers") => load(&only.name),
            [] => Err(network.into()),
            several => {
                let names: Vec<&str> = several.iter().take(16).map(|layer| layer.name.as_str()).collect();
                let why = format!("{network}; a recurrent layer of it can be chosen with --layer: {names:?}");
                Err(Failure::file(path, why))
            }
        }
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
