//! Runs any model on arrays from `.npy` files.

use std::path::{Path, PathBuf};

use wgru::io::onnx::{Info, OnnxModel, Value};
use wgru::io::{TensorFile, write_atomically};
use wgru::{Device, Error, Result, Tensor};

/// Runs the model, and writes each output to `folder/<name>.npy`.
pub fn run(device: &Device, path: &Path, inputs: &[String], folder: &Path) -> Result<bool> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    };
    let model = OnnxModel::open(device, path)?;
    let mut values = Vec::new();
    for argument in inputs {
        let Some((name, file)) = argument.split_once('=') else {
            let why = "is not NAME=FILE.npy".to_string();
            return Err(Error::Format { what: format!("input {argument:?}"), why });
        };
        values.push((name, read(device, Path::new(file), model.inputs().find(|info| info.name == name))?));
    }
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    for (name, value) in model.run_blocking(&values)? {
        let mut file = TensorFile::default();
        file.insert(&name, value.dims(), floats(&value)?);
        let path: PathBuf = folder.join(format!("{}.npy", name.replace(['/', '\\'], "_")));
        write_atomically(&path, &file.to_npy(&name)?)?;
        println!("{}: {:?}", path.display(), value.dims());
    }
    Ok(true)
}

/// Reads an array as floats or integers, whichever the input takes.
fn read(device: &Device, path: &Path, info: Option<&Info>) -> Result<Value> {
    let file = TensorFile::open(path)?;
    let name = file.names().next().unwrap_or_default().to_string();
    let (dims, values) = file.get(&name)?;
    match info {
        Some(info) if !info.float => Value::ints(&values.iter().map(|&v| v as i64).collect::<Vec<_>>(), dims),
        _ => Ok(Tensor::from_slice(device, values, dims)?.into()),
    }
}

/// Returns the elements. Integers become floats.
fn floats(value: &Value) -> Result<Vec<f32>> {
    match value {
        Value::Tensor(tensor) => tensor.read_blocking(),
        _ => Ok(value.read_ints_blocking()?.into_iter().map(|v| v as f32).collect()),
    }
}
