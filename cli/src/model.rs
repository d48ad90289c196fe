//! Models of any kind of file.

use std::path::Path;

use wgru::io::onnx::Value;
use wgru::io::{Model, ModelFile};
use wgru::{Device, Tensor};

use crate::failure::{Failure, Result};

/// Loads a model: the whole network if the file describes it, else its recurrent layer. With `layer`, only the recurrent
/// layer of this name.
pub fn load(device: &Device, path: &Path, layer: Option<&str>) -> Result<Model> {
    Ok(ModelFile::open(path)?.load_blocking(device, layer)?)
}

/// Runs a model on inputs by name, and returns the outputs by name.
pub fn run(model: &Model, inputs: &[(String, Value)]) -> Result<Vec<(String, Value)>> {
    if model.module().is_some() && inputs.len() != 1 {
        return Err(Failure::arguments(format!("--input: expected one, got {}", inputs.len())));
    }
    let inputs: Vec<(&str, Value)> = inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    Ok(model.run_blocking(&inputs)?)
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
