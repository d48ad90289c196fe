//! Loops that are recurrent cells become recurrent nodes, and compute what the loop computes. `generate_loops.py` writes
//! the models.

use wgru::io::TensorFile;
use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::common::assert_close;
use crate::on_every_backend;

on_every_backend![recognized_loops_give_the_outputs_of_keras_and_of_the_loop];

/// f32 against Keras, which computes in f32, too.
const OUTPUT: f64 = 2e-6;

macro_rules! models {
    ($($name:literal),*) => {
        [$((
            $name,
            &include_bytes!(concat!("loops/", $name, ".onnx"))[..],
            &include_bytes!(concat!("loops/", $name, "_loop.onnx"))[..],
        )),*]
    };
}

/// Name, model, and the model whose loop is not recognized.
fn models() -> [(&'static str, &'static [u8], &'static [u8]); 8] {
    models!("gru_before", "gru_relu", "gru_hard", "gru_no_bias", "rnn", "rnn_relu", "masked", "three")
}

fn arrays() -> TensorFile {
    TensorFile::from_npz("arrays", include_bytes!("loops/arrays.npz")).expect("arrays")
}

/// Returns the first steps of a case's input `[2, 5, 3]`.
fn input(device: &Device, name: &str, steps: usize) -> Value {
    let arrays = arrays();
    let (dims, x) = arrays.get(&format!("{name}.x")).expect("x");
    let x = Tensor::from_slice(device, x, dims).expect("uploaded");
    x.slice(1, 0..steps).expect("steps").into()
}

fn read(outputs: wgru::Result<Vec<(String, Value)>>) -> Vec<f32> {
    outputs.expect("run")[0].1.as_tensor().expect("floats").read_blocking().expect("read")
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

/// Runs a model. Only `run_blocking` waits for the condition that a GPU computes.
fn run(model: &OnnxModel, x: Value) -> Vec<f32> {
    read(model.run_blocking(&[("x", x)]))
}

fn recognized_loops_give_the_outputs_of_keras_and_of_the_loop(device: &Device) {
    let arrays = arrays();
    for (name, model, whole) in models() {
        let [model, whole] = [model, whole].map(|bytes| OnnxModel::load(device, bytes).expect(name));
        let x = input(device, name, 5);
        let got = run(&model, x.clone());
        assert_close(name, &got, &wide(arrays.get(&format!("{name}.y")).expect("y").1), OUTPUT);
        assert_close(&format!("{name} as a loop"), &got, &wide(&run(&whole, x)), OUTPUT);
    }
}

/// A stream carries the state of a recurrent node, and not that of an iteration.
#[test]
fn streams_carry_the_states_of_recognized_loops() {
    let device = Device::cpu();
    for (name, model, whole) in models() {
        let nodes = |bytes: &[u8]| {
            let mut stream = OnnxModel::load(&device, bytes).expect(name).stream().expect(name);
            let outputs = read(stream.run(&[("x", input(&device, name, 5))]));
            (stream.snapshot().nodes.len(), outputs)
        };
        // The loop of three iterations has five steps.
        let is_recognized = !matches!(name, "masked" | "three");
        assert_eq!(nodes(model).0, usize::from(is_recognized), "{name}");
        assert_eq!(nodes(whole).0, 0, "{name}: the test compares with the loop");
    }
    for name in ["gru_before", "gru_hard", "rnn"] {
        let (_, bytes, _) = models().into_iter().find(|(own, ..)| *own == name).expect(name);
        let model = OnnxModel::load(&device, bytes).expect(name);
        let want = run(&model, input(&device, name, 5));
        let mut stream = model.stream().expect(name);
        let Value::Tensor(x) = input(&device, name, 5) else { panic!("floats") };
        for step in 0..5 {
            let got = read(stream.run(&[("x", x.slice(1, step..step + 1).expect("step").into())]));
            for (batch, got) in got.chunks_exact(4).enumerate() {
                let at = (batch * 5 + step) * 4;
                assert_close(name, got, &wide(&want[at..at + 4]), OUTPUT);
            }
        }
        stream.reset();
        assert_close(name, &read(stream.run(&[("x", x.into())])), &wide(&want), OUTPUT);
    }
}

/// The recognized node runs only where the loop takes every step.
#[test]
fn a_loop_with_a_limit_of_its_own_stops_there() {
    let device = Device::cpu();
    let (_, bytes, _) = models().into_iter().find(|(name, ..)| *name == "three").expect("three");
    let model = OnnxModel::load(&device, bytes).expect("loaded");
    let arrays = arrays();
    let want = wide(arrays.get("three.y").expect("y").1);
    for (steps, nodes) in [(3, 1), (4, 0), (5, 0)] {
        let mut stream = model.stream().expect("stream");
        assert_close("three", &read(stream.run(&[("x", input(&device, "three", steps))])), &want, OUTPUT);
        assert_eq!(stream.snapshot().nodes.len(), nodes, "{steps} steps");
    }
}
