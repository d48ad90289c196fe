//! Models for the tests.
#![allow(dead_code, reason = "each test file uses only some of these items")]

use std::path::{Path, PathBuf};

use engine::io::onnx::{self, Extent};
use engine::io::{TensorFile, recurrent_to_file};
use engine::nn::{Linear, Module, Recurrent, RecurrentConfig, Sequential};
use engine::{Cell, Device, Rng};
use pollster::block_on;

/// A layer with steps first, as PyTorch has by default.
pub fn layer(cell: Cell, input: usize, hidden: usize, layers: usize) -> Recurrent {
    let config = RecurrentConfig { layers, ..RecurrentConfig::new(cell, input, hidden) };
    config.build(&Device::cpu(), &mut Rng::new(3)).expect("layer")
}

pub fn linear(input: usize, output: usize) -> Linear {
    Linear::new(&Device::cpu(), input, output, true, &mut Rng::new(4)).expect("linear")
}

pub fn bytes(layer: &Recurrent) -> Vec<u8> {
    block_on(recurrent_to_file(layer)).and_then(|file| file.to_bytes()).expect("bytes")
}

/// A GRU under `gru` and a linear layer under `head`, as in the state dict of a module.
pub fn headed(layer: &Recurrent, head: &Linear) -> TensorFile {
    let mut file = TensorFile::default();
    for (prefix, parameters) in [("gru", layer.parameters()), ("head", head.parameters())] {
        for (name, parameter) in parameters {
            let values = parameter.read_blocking().expect("values");
            file.insert(&format!("{prefix}.{name}"), parameter.dims(), values);
        }
    }
    file
}

/// An ONNX model of a GRU of 3 features and 8 units and a linear layer to 2.
pub fn graph() -> Vec<u8> {
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(3, 8) };
    let gru = config.build(&Device::cpu(), &mut Rng::new(3)).expect("layer");
    let model = Sequential::new().push("gru", gru).push("head", linear(8, 2));
    let dims = vec![Extent::named("batch"), Extent::named("steps"), Extent::Fixed(3)];
    onnx::export_blocking(&model, &onnx::Input::new("x", dims)).expect("exported")
}

/// The library's own folder of files of other programs.
pub fn readers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/readers/import")
}

/// Writes models of every kind to a folder.
pub fn write_models(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    let gru = bytes(&layer(Cell::Gru, 3, 8, 2));
    write("gru.safetensors", &gru);
    write("truncated.safetensors", &gru[..gru.len() / 2]);
    write("lstm.safetensors", &bytes(&layer(Cell::Lstm, 1, 16, 1)));
    write("headed.safetensors", &headed(&layer(Cell::Gru, 3, 8, 1), &linear(8, 2)).to_bytes().expect("bytes"));
    let config = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(3, 8) };
    write("both.safetensors", &bytes(&config.build(&Device::cpu(), &mut Rng::new(3)).expect("layer")));
    let graph = graph();
    write("graph.onnx", &graph);
    write("truncated.onnx", &graph[..graph.len() / 2]);
    write("text.txt", b"no model");
    write("empty", b"");
    for name in ["rtneural.json", "proteus.json"] {
        std::fs::copy(readers().join(name), folder.join(name)).expect("copied");
    }
}

/// Numbers between -1 and 1.
pub fn signal(len: usize) -> Vec<f32> {
    (0..len).map(|k| (k as f32 * 0.7).sin()).collect()
}
