//! Models from `torch.onnx.export`, with a different batch size and number of steps; see `generate_pytorch.py`.

use wgru::io::TensorFile;
use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::common::{fill, relative_error};
use crate::on_every_backend;

/// Both sides compute in single precision.
const TOLERANCE: f64 = 1e-6;

const MODELS: [(&str, &[u8]); 4] = [
    ("gru", include_bytes!("pytorch/gru.onnx")),
    ("lstm", include_bytes!("pytorch/lstm.onnx")),
    ("rnn", include_bytes!("pytorch/rnn.onnx")),
    ("words", include_bytes!("pytorch/words.onnx")),
];
const OUTPUTS: &[u8] = include_bytes!("pytorch/outputs.safetensors");

on_every_backend![models_of_the_pytorch_exporter_match_pytorch];

fn models_of_the_pytorch_exporter_match_pytorch(device: &Device) {
    let wanted = TensorFile::from_safetensors("outputs", OUTPUTS).expect("outputs.safetensors");
    for (name, bytes) in MODELS {
        let model = OnnxModel::load(device, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let x: Value = if name == "words" {
            let words: Vec<i64> = (0..27).map(|j| (3 * j + 1) % 11).collect();
            Value::ints(&words, &[3, 9]).expect("words")
        } else {
            Tensor::from_slice(device, &fill(7, 3 * 9 * 4, 1.0), &[3, 9, 4]).expect("x").into()
        };
        let y = model.run(&[("x", x)]).unwrap_or_else(|e| panic!("{name}: {e}")).remove(0).1;
        let want = wanted.expect(name, y.dims()).expect(name);
        let want: Vec<f64> = want.iter().map(|&v| v.into()).collect();
        let error = relative_error(&y.as_tensor().expect("floats").read_blocking().expect("read"), &want);
        println!("PyTorch's {name} on {}: error {error:.1e}", device.info().name);
        assert!(error <= TOLERANCE, "{name}: {error:.1e}");
    }
}
