//! Published models that run frame by frame, in the folder of data. `tools/realtime` runs them, too.

use std::path::Path;

use wgru::io::onnx::{BoundStream, OnnxModel, Value};
use wgru::{Device, Tensor};

/// Path in the folder, name of the input and extents of a frame: DTLN, GTCRN, nsnet2 and Silero VAD.
const MODELS: [(&str, &str, &[usize]); 5] = [
    ("real/breizhn_DTLN/model_1.onnx", "input_2", &[1, 1, 257]),
    ("real/breizhn_DTLN/model_2.onnx", "input_4", &[1, 1, 512]),
    ("real/Xiaobin-Rong_gtcrn/gtcrn_simple.onnx", "mix", &[1, 257, 1, 2]),
    ("models/nsnet2/nsnet2-20ms-baseline.onnx", "input", &[1, 1, 161]),
    ("real/snakers4_silero-vad/silero_vad.onnx", "input", &[1, 576]),
];

/// Opens the models. Returns the path and the name of the input of each, with the model bound for single frames.
pub fn streams(folder: &Path) -> [(&'static str, &'static str, BoundStream); 5] {
    let device = Device::cpu();
    MODELS.map(|(path, input, frame)| {
        let model = OnnxModel::open(&device, folder.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut inputs: Vec<(&str, Value)> = vec![(input, Tensor::zeros(&device, frame).expect("a frame").into())];
        if model.inputs().any(|info| info.name == "sr") {
            inputs.push(("sr", Value::ints(&[16_000], &[]).expect("a rate")));
        }
        let stream = model.stream().and_then(|stream| stream.bind(&inputs)).unwrap_or_else(|e| panic!("{path}: {e}"));
        (path, input, stream)
    })
}
