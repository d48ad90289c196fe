//! Every operator in several forms, against ONNX Runtime: see `generate_operators.py`.

use safetensors::SafeTensors;
use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::build::{Model, floats, node, value};
use crate::common::{assert_close, fill, relative_error};
use crate::on_every_backend;

/// A few functions after one another in single precision on both sides; `exp` of a shader is good to a few ulp.
const TOLERANCE: f64 = 1e-6;

const TENSORS: &[u8] = include_bytes!("operators.safetensors");

on_every_backend![operators_give_what_onnx_runtime_gives, powers_of_negative_numbers_have_their_sign];

fn operators_give_what_onnx_runtime_gives(device: &Device) {
    let file = SafeTensors::deserialize(TENSORS).expect("operators.safetensors");
    let (mut count, mut worst, mut failed) = (0, 0.0f64, Vec::new());
    for (name, bytes) in file.iter().filter_map(|(n, t)| Some((n.strip_suffix(".model")?, t.data()))) {
        let longs = |part: &str| -> Vec<i64> {
            let tensor = file.tensor(&format!("{name}.{part}")).expect(part);
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("eight"))).collect()
        };
        let dims: Vec<usize> = longs("dims").iter().map(|&d| d as usize).collect();
        let x = Tensor::from_slice(device, &fill(0, dims.iter().product(), 1.5), &dims).expect("uploaded");
        let ids: Vec<i64> = (0..6).map(|j| (5 * j + 2) % 4).collect();
        let run = OnnxModel::load(device, bytes).and_then(|model| {
            let mut inputs: Vec<(&str, Value)> = vec![("X", x.into())];
            if model.inputs().any(|i| i.name == "ids") {
                inputs.push(("ids", Value::ints(&ids, &[2, 3])?));
            }
            model.run(&inputs)
        });
        let got = match run {
            Ok(mut outputs) => outputs.remove(0).1,
            Err(error) => {
                failed.push(format!("{name}: {error}"));
                continue;
            }
        };
        let want = file.tensor(&format!("{name}.Y")).expect("an output");
        if got.dims() != want.shape() {
            failed.push(format!("{name}: extents {:?}, not {:?}", got.dims(), want.shape()));
            continue;
        }
        let error = match &got {
            Value::Ints(_) if got.as_ints().expect("integers") == longs("Y") => 0.0,
            Value::Ints(_) => f64::INFINITY,
            Value::Tensor(got) => {
                let number = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four")) as f64;
                let want: Vec<f64> = want.data().chunks_exact(4).map(number).collect();
                relative_error(&got.to_vec().expect("read"), &want)
            }
        };
        if error > TOLERANCE {
            failed.push(format!("{name}: error {error:.1e}"));
        }
        worst = worst.max(error);
        count += 1;
    }
    println!("{count} operators on {}: worst error {worst:.1e}", device.info().name);
    assert!(failed.is_empty(), "{} of them differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 110, "only {count} cases");
}

fn powers_of_negative_numbers_have_their_sign(device: &Device) {
    let model = |p: f32| {
        let model = Model {
            opset: 13,
            nodes: vec![node("Pow", &["X", "p"], &["Y"], &[])],
            initializers: vec![floats("p", &[], &[p])],
            inputs: vec![value("X", 1, &[-1])],
            outputs: vec![value("Y", 1, &[])],
        };
        OnnxModel::load(device, &model.bytes())
    };
    let x = [-1.5f32, -1.0, -0.5, 0.7, 1.0, 1.2];
    for p in [0, 1, 2, 5, 16, 17, 18, 63, -3, -17] {
        let input = Tensor::from_slice(device, &x, &[6]).expect("uploaded");
        let got = model(p as f32).and_then(|m| m.run(&[("X", input.into())])).expect("run").remove(0).1;
        // Each by itself: they differ by many orders.
        for (got, x) in got.as_tensor().expect("floats").to_vec().expect("read").iter().zip(x) {
            assert_close(&format!("{x}^{p}"), &[*got], &[f64::from(x).powi(p)], 4e-6);
        }
    }
    for p in [f32::NAN, f32::INFINITY, -3e9] {
        assert!(model(p).expect_err("no such power").to_string().contains("an exponent of"), "{p}");
    }
}
