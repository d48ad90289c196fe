//! Every operator in several forms, against ONNX Runtime; see `generate_operators.py`.

use safetensors::SafeTensors;
use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::build::{Bytes, Model, attribute_int, floats, ints, node, value};
use crate::common::{assert_close, fill, relative_error};
use crate::on_every_backend;

/// A few consecutive functions in single precision on both sides; a shader's `exp` is accurate to a few ulp.
const TOLERANCE: f64 = 1e-6;

/// ONNX Runtime's own error, against f64.
const FOURIER: f64 = 3e-6;

const TENSORS: &[u8] = include_bytes!("operators.safetensors");

on_every_backend![operators_match_onnx_runtime, powers_of_negative_numbers_have_their_sign, extremes_with_nan_are_nan];

fn operators_match_onnx_runtime(device: &Device) {
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
            Value::Ints(_) | Value::Whole(_) => {
                let want = file.tensor(&format!("{name}.Y")).expect("an output");
                let want: Vec<i64> = match want.dtype() {
                    safetensors::Dtype::I64 => longs("Y"),
                    safetensors::Dtype::I8 => want.data().iter().map(|&b| (b as i8).into()).collect(),
                    safetensors::Dtype::I32 => want
                        .data()
                        .chunks_exact(4)
                        .map(|b| i32::from_le_bytes(b.try_into().expect("four")).into())
                        .collect(),
                    _ => want.data().iter().map(|&b| b.into()).collect(),
                };
                if got.read_ints_blocking().expect("integers") == want { 0.0 } else { f64::INFINITY }
            }
            Value::Tensor(got) => {
                let number = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four")) as f64;
                let want: Vec<f64> = want.data().chunks_exact(4).map(number).collect();
                relative_error(&got.read_blocking().expect("read"), &want)
            }
        };
        if error > if name.starts_with("DFT") { FOURIER } else { TOLERANCE } {
            failed.push(format!("{name}: error {error:.1e}"));
        }
        worst = worst.max(error);
        count += 1;
    }
    println!("{count} operators on {}: worst error {worst:.1e}", device.info().name);
    assert!(failed.is_empty(), "{} of them differ:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 260, "only {count} cases");
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
        // Compared one by one, since they differ by many orders of magnitude.
        for (got, x) in got.as_tensor().expect("floats").read_blocking().expect("read").iter().zip(x) {
            assert_close(&format!("{x}^{p}"), &[*got], &[f64::from(x).powi(p)], 4e-6);
        }
    }
    for p in [f32::NAN, f32::INFINITY, -3e9] {
        assert!(model(p).expect_err("no such power").to_string().contains("an exponent of"), "{p}");
    }
}

/// A node on f32 `X`, with constants.
fn loaded(device: &Device, opset: i64, node: Bytes, initializers: Vec<Bytes>) -> wgru::Result<OnnxModel> {
    let (inputs, outputs) = (vec![value("X", 1, &[-1])], vec![value("Y", 1, &[])]);
    OnnxModel::load(device, &Model { opset, nodes: vec![node], initializers, inputs, outputs }.bytes())
}

/// A NaN limit makes a minimum NaN, while a clip ignores it, as in ONNX Runtime 1.23.
fn extremes_with_nan_are_nan(device: &Device) {
    let (x, nan) = ([1.5, f32::NAN, -2.0, f32::INFINITY], f32::NAN);
    let all = [nan; 4];
    for (operator, limits, want) in [
        ("Min", &[nan][..], all),
        ("Max", &[nan], all),
        ("Min", &[1.0, nan, 3.0], all),
        ("Max", &[nan, 1.0], all),
        ("Min", &[1.0], [1.0, nan, -2.0, 1.0]),
        ("Max", &[1.0], [1.5, nan, 1.0, f32::INFINITY]),
        ("Clip", &[nan, nan], x),
        ("Clip", &[nan, 1.0], [1.0, nan, -2.0, 1.0]),
        ("Clip", &[0.0, nan], [1.5, nan, 0.0, f32::INFINITY]),
        ("Relu", &[], [1.5, nan, 0.0, f32::INFINITY]),
    ] {
        let names: Vec<String> = (0..limits.len()).map(|i| format!("p{i}")).collect();
        let inputs: Vec<&str> = ["X"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let constants = names.iter().zip(limits).map(|(name, &v)| floats(name, &[], &[v])).collect();
        let model = loaded(device, 13, node(operator, &inputs, &["Y"], &[]), constants).expect("loaded");
        let input = Tensor::from_slice(device, &x, &[4]).expect("uploaded");
        let got = model.run(&[("X", input.into())]).expect("run").remove(0).1;
        let got = got.as_tensor().expect("floats").read_blocking().expect("read");
        let same = |(got, want): (&f32, &f32)| got == want || (got.is_nan() && want.is_nan());
        assert!(got.len() == 4 && got.iter().zip(&want).all(same), "{operator} {limits:?}: {got:?}, not {want:?}");
    }
}

#[test]
fn uneven_splits_need_stated_sizes() {
    let device = Device::cpu();
    let split = |opset: i64, len: usize, inputs: &[&str], stated: Option<i64>| {
        let attributes: Vec<Bytes> = stated.iter().map(|&n| attribute_int("num_outputs", n)).collect();
        let split = node("Split", inputs, &["a", "b", "Y"], &attributes);
        let x = Tensor::zeros(&device, &[len]).expect("zeros");
        loaded(&device, opset, split, vec![ints("s", &[3], &[2, 2, 2])])?.run(&[("X", x.into())])
    };
    for opset in [11, 13, 17] {
        assert_eq!(split(opset, 6, &["X"], None).expect("equal parts")[0].1.dims(), [2], "{opset}");
        let error = split(opset, 7, &["X"], None).expect_err("7 in 3").to_string();
        assert!(error.contains("the Split") && error.contains("got 7"), "{error}");
    }
    assert_eq!(split(18, 7, &["X"], Some(3)).expect("3, 3 and 1")[0].1.dims(), [1]);
    split(18, 6, &["X", "s"], None).expect("sizes");
    for (what, result) in [
        ("neither", split(18, 6, &["X"], None)),
        ("both", split(18, 6, &["X", "s"], Some(3))),
        ("num_outputs 2", split(18, 6, &["X"], Some(2))),
        ("got 1", split(18, 1, &["X"], Some(3))),
    ] {
        let error = result.expect_err(what).to_string();
        assert!(error.contains("the Split") && error.contains(what), "{what}: {error}");
    }
}
