//! Fuzzes what is made of tensors with names and metadata: checkpoints, models, and weights in the layouts of PyTorch,
//! Keras and ONNX. The input is the header of a safetensors file, a zero, and the data; the length is added here,
//! because a wrong one would keep the fuzzer from everything else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::io::{RecurrentWeights, TensorFile, load_checkpoint, load_parameters, load_recurrent_blocking};
use wgru::nn::{Linear, Module};
use wgru::train::{AdamConfig, Method, Optimizer, TrainOptions, Trainer};
use wgru::{Cell, Device, Rng};

fuzz_target!(|bytes: &[u8]| {
    let (header, data) = bytes.split_at(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    let data = data.get(1..).unwrap_or_default();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, data].concat();
    let Ok(file) = TensorFile::from_safetensors("fuzz", &bytes) else { return };
    let device = Device::cpu();
    let _ = load_recurrent_blocking(&device, &file);
    for cell in Cell::ALL {
        let torch = [false, true].map(|reverse| RecurrentWeights::from_pytorch(cell, &file, 0, reverse));
        let onnx = RecurrentWeights::from_onnx(cell, &file).into_iter().flatten().map(Ok);
        for weights in torch.into_iter().chain([RecurrentWeights::from_keras(cell, &file)]).chain(onnx).flatten() {
            let _ = (weights.to_keras(), RecurrentWeights::to_onnx(std::slice::from_ref(&weights)));
        }
    }
    // The run that the seed was saved from.
    let mut rng = Rng::new(2);
    let model = Linear::new(&device, 2, 1, true, &mut rng).expect("a layer");
    let optimizer = Optimizer::new(model.parameters(), Method::Adam(AdamConfig::default()), 0.1).expect("an optimizer");
    let options = TrainOptions { epochs: 2, batch: 4, patience: Some(2), ..TrainOptions::default() };
    let _ = load_checkpoint(&mut Trainer::new(optimizer, options, rng), &model, &file);
    let _ = load_parameters(&model, &file.under("model"));
});
