//! All readers of untrusted bytes, each followed by typical use of its result.

use std::cell::RefCell;

use wgru::io::onnx::{Extent, Info, OnnxModel, Value, initializers, read_tensor};
use wgru::io::{self, RecurrentWeights, TensorFile};
use wgru::{Cell, CpuOptions, Device, Result, Tensor, Tuning};

use super::seeds;

/// A device that computes on this thread, so that its memory and time are counted.
pub fn device() -> Device {
    Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() }).expect("a CPU")
}

/// Checks that a file that was read can be written, and reads back the same.
pub fn comes_back(file: Result<TensorFile>) -> Result<()> {
    let mut file = file?;
    file.discard_unreadable();
    let bytes = file.to_bytes()?;
    // The writer's cost does not count toward the damaged file.
    if bytes.len() < 1 << 20 {
        let copy = TensorFile::from_safetensors("copy", &bytes).expect("written by this crate");
        let bits = |file: &TensorFile, name: &str| -> (Vec<usize>, Vec<u32>) {
            let (dims, values) = file.get(name).expect("there");
            (dims.to_vec(), values.iter().map(|v| v.to_bits()).collect())
        };
        assert_eq!(file.names().collect::<Vec<_>>(), copy.names().collect::<Vec<_>>());
        assert!(file.names().all(|name| bits(&file, name) == bits(&copy, name)), "other values after saving");
        assert!(file.metadata.iter().all(|(key, text)| copy.metadata.get(key) == Some(text)), "lost metadata");
    }
    Ok(())
}

/// Imports a file, and reads the recurrent layers in it.
pub fn import(bytes: &[u8]) -> Result<()> {
    let mut file = TensorFile::import_bytes("damaged", bytes)?;
    for layer in file.layers() {
        let mode = file.metadata.get(&format!("{}.merge_mode", layer.name));
        match file.recurrent(&layer.name) {
            Ok(_) => assert!(mode.is_none_or(|mode| mode == "concat"), "{} was not refused", layer.name),
            // Its output is not that of one of our layers, so it is only described.
            Err(error) => assert!(error.to_string().contains("merges its directions"), "a layer of the list: {error}"),
        }
    }
    let _ = io::load_network(&Device::cpu(), &file);
    file.discard_unreadable();
    comes_back(Ok(file))
}

pub fn layer(device: &Device, bytes: &[u8]) -> Result<()> {
    let file = TensorFile::from_safetensors("damaged", bytes)?;
    io::load_recurrent_blocking(device, &file).map(drop)
}

pub fn checkpoint(device: &Device, bytes: &[u8]) -> Result<()> {
    let file = TensorFile::from_safetensors("damaged", bytes)?;
    let (mut trainer, model) = seeds::run(device);
    let before = model_values(&model);
    let result = io::load_checkpoint(&mut trainer, &model, &file);
    assert!(result.is_ok() || before == model_values(&model), "half-loaded");
    let _ = io::load_parameters(&model, &file.under("model"));
    result
}

fn model_values(model: &dyn wgru::nn::Module) -> Vec<Vec<u32>> {
    let bits = |t: &Tensor| t.read_blocking().expect("read").iter().map(|v| v.to_bits()).collect();
    model.parameters().iter().map(|(_, t)| bits(t)).collect()
}

pub fn weights(bytes: &[u8]) -> Result<()> {
    let file = TensorFile::from_safetensors("damaged", bytes)?;
    let mut any = Err(wgru::Error::Stopped("no cell fits".into()));
    for cell in Cell::ALL {
        let torch = [false, true].map(|reverse| RecurrentWeights::from_pytorch(cell, &file, 0, reverse));
        let all = torch.into_iter().chain([RecurrentWeights::from_keras(cell, &file)]);
        let all = all.chain(RecurrentWeights::from_onnx(cell, &file).into_iter().flatten().map(Ok));
        for weights in all.flatten() {
            let mut other = TensorFile::default();
            weights.to_parameters(&mut other, 0, false);
            other.to_bytes().expect("whole tensors");
            let _ = (weights.to_keras(), RecurrentWeights::to_onnx(std::slice::from_ref(&weights)));
            any = Ok(());
        }
    }
    any
}

pub fn tuning(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let tuning = Tuning::from_json(&text)?;
    assert_eq!(Tuning::from_json(&tuning.to_json()).expect("written by this crate"), tuning);
    Ok(())
}

/// Loads a model. The run is measured separately, since its limits are higher.
pub fn onnx(device: &Device, loaded: &RefCell<Option<OnnxModel>>, bytes: &[u8]) -> Result<()> {
    let _ = initializers(bytes);
    let _ = read_tensor(device, bytes);
    let model = OnnxModel::load(device, bytes)?;
    *loaded.borrow_mut() = Some(model);
    Ok(())
}

/// Runs a model on inputs with the extents that it declares; free extents are small.
pub fn run_onnx(device: &Device, model: &OnnxModel) -> Result<()> {
    let inputs: Vec<(&str, Value)> =
        model.inputs().map(|info| Ok((info.name.as_str(), input(device, info)?))).collect::<Result<_>>()?;
    let outputs = model.run(&inputs)?;
    for (_, value) in &outputs {
        if let Ok(tensor) = value.as_tensor() {
            tensor.read_blocking()?;
        }
    }
    if let Ok(mut stream) = model.stream() {
        stream.run(&inputs)?;
        stream.run(&inputs)?;
    }
    Ok(())
}

fn input(device: &Device, info: &Info) -> Result<Value> {
    let extent = |extent: &Extent| match *extent {
        Extent::Fixed(n) => n,
        Extent::Named(_) | Extent::Free => 2,
    };
    let dims: Vec<usize> = info.dims.iter().flatten().map(extent).collect();
    let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= 1 << 16);
    let Some(len) = len else { return Err(wgru::Error::Stopped("an input too large to make".into())) };
    match info.float {
        true => Ok(Tensor::from_slice(device, &super::common::fill(1, len, 1.0), &dims)?.into()),
        false => Value::ints(&vec![1; len], &dims),
    }
}
