//! Values excluded by an attribute or a length never affect a node's outputs, even if they are NaN. The expected
//! numbers come from ONNX Runtime 1.32.

use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::build::{Model, attribute_float, attribute_int, attribute_text, floats, node, value};
use crate::common::fill;
use crate::on_every_backend;

on_every_backend![sequences_without_steps_end_at_zero, gemm_without_c_does_not_read_it];

fn sequences_without_steps_end_at_zero(device: &Device) {
    let [steps, batch, input, hidden] = [3, 3, 2, 2];
    for (op, gates) in [("GRU", 3), ("LSTM", 4), ("RNN", 1)] {
        for (direction, directions) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
            let (inputs, outputs): (&[&str], &[&str]) = match op {
                "LSTM" => (&["X", "W", "R", "", "sequence_lens", "h", "c"], &["Y", "Y_h", "Y_c"]),
                _ => (&["X", "W", "R", "", "sequence_lens", "h"], &["Y", "Y_h"]),
            };
            let attributes = [attribute_int("hidden_size", 2), attribute_text("direction", direction)];
            let constant = |name, stream, dims: [usize; 3]| {
                floats(name, &dims.map(|d| d as i64), &fill(stream, dims.iter().product(), 1.0))
            };
            let states = &inputs[5..];
            let model = Model {
                opset: 14,
                nodes: vec![node(op, inputs, outputs, &attributes)],
                initializers: vec![
                    constant("W", 1, [directions, gates * hidden, input]),
                    constant("R", 2, [directions, gates * hidden, hidden]),
                ],
                inputs: [value("X", 1, &[-1; 3]), value("sequence_lens", 6, &[-1])]
                    .into_iter()
                    .chain(states.iter().map(|name| value(name, 1, &[-1; 3])))
                    .collect(),
                outputs: outputs.iter().map(|o| value(o, 1, &[-1; 4][..if *o == "Y" { 4 } else { 3 }])).collect(),
            };
            let model = OnnxModel::load(device, &model.bytes()).expect("load");
            for stray in [f32::NAN, f32::INFINITY] {
                let tensor = |stream, dims: [usize; 3], middle: Option<f32>| -> Value {
                    let mut values = fill(stream, dims.iter().product(), 1.0);
                    let of_middle = |(i, v): (usize, &mut f32)| {
                        if i / dims[2] % batch == 1 {
                            *v = middle.unwrap_or(*v);
                        }
                    };
                    values.iter_mut().enumerate().for_each(of_middle);
                    Tensor::from_slice(device, &values, &dims).expect("allocated").into()
                };
                let mut given = vec![
                    ("X", tensor(3, [steps, batch, input], Some(stray))),
                    ("sequence_lens", Value::ints(&[3, 0, 1], &[3]).expect("lengths")),
                ];
                for (i, name) in states.iter().enumerate() {
                    given.push((name, tensor(4 + i as u32, [directions, batch, hidden], Some(stray))));
                }
                for (name, output) in model.run(&given).expect("run") {
                    let values = output.as_tensor().and_then(|t| t.read_blocking()).expect("floats");
                    for (i, v) in values.iter().enumerate() {
                        let is_right = if i / hidden % batch == 1 { *v == 0.0 } else { v.is_finite() };
                        assert!(is_right, "{op} {direction}, {stray}: {name} is {values:?}");
                    }
                }
            }
        }
    }
}

fn gemm_without_c_does_not_read_it(device: &Device) {
    let model = Model {
        opset: 13,
        nodes: vec![node("Gemm", &["A", "B", "C"], &["Y"], &[attribute_float("beta", 0.0)])],
        inputs: ["A", "B", "C"].map(|name| value(name, 1, &[-1, -1])).to_vec(),
        outputs: vec![value("Y", 1, &[-1, -1])],
        ..Model::default()
    };
    let model = OnnxModel::load(device, &model.bytes()).expect("load");
    let tensor = |v: [f32; 4]| -> Value { Tensor::from_slice(device, &v, &[2, 2]).expect("allocated").into() };
    let inputs = [
        ("A", tensor([1.0, 2.0, 3.0, 4.0])),
        ("B", tensor([1.0, 0.0, 0.0, 1.0])),
        ("C", tensor([f32::NAN, f32::INFINITY, 1.0, 1.0])),
    ];
    let outputs = model.run(&inputs).expect("run");
    let (_, y) = outputs.into_iter().next().expect("an output");
    assert_eq!(y.as_tensor().and_then(|t| t.read_blocking()).expect("floats"), [1.0, 2.0, 3.0, 4.0]);
}
