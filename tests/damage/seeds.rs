//! Good files to damage: fixtures of this tree, files generated here, and those of a data folder.

use std::path::Path;

use wgru::io::{RecurrentWeights, TensorFile, add_verification, checkpoint_to_file, onnx, recurrent_to_file};
use wgru::nn::{
    HostInput, LastState, LayerNorm, Linear, Module, RecurrentConfig, RecurrentOptions, Relu, Sequential, Tanh,
};
use wgru::train::{AdamConfig, HostData, Method, Optimizer, TrainOptions, Trainer, loss};
use wgru::{Cell, Device, Rng};

use super::deep::Form;

/// Larger files are damaged less often, since each copy takes time.
const SMALL: usize = 100_000;
/// Larger files are left out.
const LARGEST: usize = 12_000_000;

/// Measured choices, as JSON.
pub const TUNING: &str = r#"{ "wgru_tuning": 1, "adapters": {
    "a card": { "product 64 128 256 across split": "outer 4", "gru 256 32 any": "chain" },
    "another": { "gru 64 1 fused": "whole", "product 1 8 64 mixed whole": "rows 1" } } }"#;

pub struct Seed {
    pub name: String,
    pub bytes: Vec<u8>,
    pub form: Form,
}

impl Seed {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let name = name.into();
        Self { form: Form::of(&name, &bytes), name, bytes }
    }

    pub fn is_small(&self) -> bool {
        self.bytes.len() <= SMALL
    }
}

/// Returns the files of this tree and of `WGRU_DATA` whose names end in one of `endings`.
pub fn files(endings: &[&str]) -> Vec<Seed> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut out = Vec::new();
    for folder in ["readers", "golden", "onnx/exported", "onnx/loops", "onnx/pytorch", "onnx/stacks"] {
        collect(&tests.join(folder), endings, &mut out);
    }
    if let Some(data) = std::env::var_os("WGRU_DATA") {
        for folder in ["real", "hostile", "models", "suites"] {
            collect(&Path::new(&data).join(folder), endings, &mut out);
        }
    }
    out
}

fn collect(folder: &Path, endings: &[&str], out: &mut Vec<Seed>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    // Sorted, so that a case number means the same on every machine.
    paths.sort();
    for path in paths {
        let name = path.display().to_string();
        if path.is_dir() {
            collect(&path, endings, out);
        } else if endings.iter().any(|end| name.ends_with(end)) {
            let bytes = std::fs::read(&path).expect("a readable file");
            if bytes.len() <= LARGEST {
                out.push(Seed::new(name, bytes));
            }
        }
    }
}

fn made(name: &str, file: &TensorFile) -> Seed {
    Seed::new(format!("{name}.safetensors"), file.to_bytes().expect("bytes"))
}

async fn layer_file(device: &Device, config: RecurrentConfig, rng: &mut Rng) -> TensorFile {
    let layer = config.build(device, rng).expect("a layer");
    let mut file = recurrent_to_file(&layer).await.expect("a file");
    let input = HostInput::random(&layer, 4, 2, rng);
    add_verification(&layer, &input, &mut file).await.expect("a run");
    file
}

/// Recurrent layers of every kind with all their options, with a stored run to verify them.
pub fn layers(device: &Device) -> Vec<Seed> {
    let rng = &mut Rng::new(1);
    let gru = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(2, 3) };
    let lstm = RecurrentConfig { projection: 3, peephole: true, ..RecurrentConfig::lstm(2, 4) };
    let rnn = RecurrentConfig { layers: 2, ..RecurrentConfig::rnn(2, 3) };
    pollster::block_on(async {
        vec![
            made("a GRU", &layer_file(device, gru, rng).await),
            made("an LSTM", &layer_file(device, lstm, rng).await),
            made("an RNN", &layer_file(device, rnn, rng).await),
        ]
    })
}

/// A trainer and a model as [`checkpoints`] expects them.
pub fn run(device: &Device) -> (Trainer, Linear) {
    let mut rng = Rng::new(2);
    let model = Linear::new(device, 2, 1, true, &mut rng).expect("a layer");
    let method = Method::Adam(AdamConfig::default());
    let optimizer = Optimizer::new(model.parameters(), method, 0.1).expect("an optimizer");
    let options = TrainOptions { epochs: 2, batch: 4, patience: Some(2), ..TrainOptions::default() };
    (Trainer::new(optimizer, options, rng), model)
}

/// Checkpoints with every optional part.
pub fn checkpoints(device: &Device) -> Vec<Seed> {
    let (mut trainer, model) = run(device);
    let x: Vec<f32> = (0..16).map(|k| k as f32 / 16.0).collect();
    let data = HostData::new(device, x.clone(), &[2]).and_then(|data| data.with_targets(x[..8].to_vec(), &[1]));
    let data = data.expect("data");
    trainer.fit_blocking(&model, &data, Some(&data), loss::mse).expect("trained");
    let file = pollster::block_on(checkpoint_to_file(&trainer, &model)).expect("a file");
    vec![made("a checkpoint", &file)]
}

/// ONNX models of one or a few nodes: every operator in several forms.
pub fn operators() -> Vec<Seed> {
    let bytes = include_bytes!("../onnx/operators.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).expect("operators.safetensors");
    let models = file.iter().filter_map(|(name, tensor)| Some((name.strip_suffix(".model")?, tensor.data())));
    let mut out: Vec<Seed> = models.map(|(name, model)| Seed::new(format!("{name}.onnx"), model.to_vec())).collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// ONNX models of networks: every kind of layer that a stack can have.
pub fn networks(device: &Device) -> Vec<Seed> {
    let rng = &mut Rng::new(4);
    let recurrent = |config: RecurrentConfig, rng: &mut Rng| {
        RecurrentConfig { batch_first: true, ..config }.build(device, rng).expect("a layer")
    };
    let linear = |from, to, rng: &mut Rng| Linear::new(device, from, to, true, rng).expect("a layer");
    let last = |bidirectional, reverse| LastState { batch_first: true, bidirectional, reverse };
    let learned = RecurrentOptions { learn_h0: true, clip: Some(0.5), ..RecurrentOptions::default() };
    let (gru, lstm) = (RecurrentConfig::gru(2, 3), RecurrentConfig::lstm(2, 3));
    let list = [
        (
            "layers",
            Sequential::new()
                .push("in", linear(2, 2, rng))
                .push("tanh", Tanh)
                .push("gru", recurrent(gru.clone(), rng))
                .push("norm", LayerNorm::new(device, 3).expect("a layer"))
                .push("relu", Relu)
                .push("head", linear(3, 1, rng)),
        ),
        (
            "directions",
            Sequential::new()
                .push("gru", recurrent(RecurrentConfig { layers: 2, bidirectional: true, ..gru.clone() }, rng))
                .push("last", last(true, false))
                .push("head", linear(6, 2, rng)),
        ),
        (
            "backward",
            Sequential::new()
                .push("gru", recurrent(RecurrentConfig { reverse: true, bias: false, ..gru }, rng))
                .push("last", last(false, true)),
        ),
        (
            "states",
            Sequential::new().push("lstm", recurrent(RecurrentConfig { options: learned, ..lstm.clone() }, rng)),
        ),
        ("peepholes", Sequential::new().push("lstm", recurrent(RecurrentConfig { peephole: true, ..lstm }, rng))),
        (
            "rnn",
            Sequential::new()
                .push("rnn", recurrent(RecurrentConfig::rnn(2, 3), rng))
                .push("head", linear(3, 2, rng))
                .push("last", last(false, false)),
        ),
    ];
    let export = |model: &Sequential| onnx::export_blocking(model, &onnx::Input::of(model).expect("an input"));
    list.iter().map(|(name, model)| Seed::new(format!("{name}.onnx"), export(model).expect("exported"))).collect()
}

/// Weights of recurrent layers in the layouts of Keras, PyTorch and ONNX.
pub fn weights(device: &Device) -> Vec<Seed> {
    let gru = RecurrentConfig::gru(2, 3).build(device, &mut Rng::new(3)).expect("gru");
    let file = pollster::block_on(recurrent_to_file(&gru)).expect("a file");
    let weights = RecurrentWeights::from_pytorch(Cell::Gru, &file, 0, false).expect("weights");
    let onnx = RecurrentWeights::to_onnx(&[weights.clone(), weights.clone()]).expect("two directions");
    vec![
        made("PyTorch's weights", &file),
        made("Keras' weights", &weights.to_keras().expect("kernels")),
        made("ONNX's weights", &onnx),
    ]
}

/// A model of Neural Amp Modeler: an LSTM of 1 input and 2 units.
pub fn nam() -> String {
    let weights: Vec<f32> = (0..4 * 2 * 3 + 6 * 2 + 3).map(|k| k as f32 / 64.0 - 0.25).collect();
    let config = r#""config": {"input_size": 1, "hidden_size": 2, "num_layers": 1}"#;
    format!(r#"{{"version": "0.5.4", "architecture": "LSTM", {config}, "weights": {weights:?}, "sample_rate": 48000}}"#)
}

/// A text file of RNNoise with small layers.
pub fn rnnoise_text() -> String {
    let mut text = String::from("rnnoise-nu model file version 1\n");
    for (input, units, is_gru) in
        [(3, 2, false), (2, 2, true), (4, 2, true), (5, 3, true), (3, 4, false), (2, 1, false)]
    {
        let rows = if is_gru { 3 * units } else { units };
        let count = input * rows + if is_gru { units * rows } else { 0 } + rows;
        text += &format!("{input} {units} 1\n{}\n", "-7 ".repeat(count));
    }
    text
}

/// Binary weights of RNNoise: a GRU with a sparse recurrent kernel, and a dense layer of int8.
pub fn rnnoise_binary() -> Vec<u8> {
    let floats = |n: usize| (0..n).flat_map(|k| (k as f32 / 8.0).to_le_bytes()).collect::<Vec<u8>>();
    let index: Vec<u8> = [1u32, 4, 1, 0, 1, 4].iter().flat_map(|v| v.to_le_bytes()).collect();
    let arrays = [
        ("gru_input_weights_float", floats(4 * 24)),
        ("gru_input_bias", floats(24)),
        ("gru_recurrent_weights_int8", vec![3; 96]),
        ("gru_recurrent_weights_idx", index),
        ("gru_recurrent_scale", floats(24)),
        ("gru_recurrent_weights_diag", floats(24)),
        ("gru_recurrent_bias", floats(24)),
        ("out_weights_int8", vec![9; 64]),
        ("out_scale", floats(8)),
        ("out_bias", floats(8)),
    ];
    let mut out = Vec::new();
    for (name, data) in arrays {
        let start = out.len();
        let padded = data.len().next_multiple_of(64);
        out.extend(
            [&b"DNNw"[..], &[0; 8], &(data.len() as u32).to_le_bytes(), &(padded as u32).to_le_bytes()].concat(),
        );
        out.extend(name.as_bytes());
        out.resize(start + 64, 0);
        out.extend(data);
        out.resize(start + 64 + padded, 0);
    }
    out
}
