//! Models as people publish them, against ONNX Runtime; see `real/` in the data folder's SOURCES.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use wgru::io::TensorFile;
use wgru::io::onnx::{Info, OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::common::relative_error;
use crate::{data, on_every_backend};

/// Of the largest value. Networks of dozens of layers, in single precision on both sides.
const TOLERANCE: f64 = 1e-4;
/// ONNX Runtime quantizes hidden states of the sequences of a thread together, so that its own results differ by as
/// much between numbers of threads.
const QUANTIZED: f64 = 2e-2;

on_every_backend![published_models_match_onnx_runtime, small_models_match_onnx_runtime, streams_carry_pairs];

/// Inputs and outputs of one call, by name.
type Call = [BTreeMap<String, (Vec<usize>, Vec<f64>)>; 2];

/// Reads the calls beside a model. `TensorFile` reads integers as floats.
fn calls(model: &Path) -> Vec<Call> {
    let path = model.with_extension("onnx.ort.npz");
    let file = TensorFile::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut calls: Vec<Call> = Vec::new();
    for name in file.names() {
        let mut parts = name.splitn(3, '.');
        let mut part = || parts.next().expect("call.in.name");
        let (call, kind, value) = (part().parse::<usize>().expect("a number"), part(), part());
        calls.resize_with(calls.len().max(call + 1), Call::default);
        let (dims, values) = file.get(name).expect("an array");
        let values = values.iter().map(|&v| v.into()).collect();
        calls[call][(kind == "out") as usize].insert(value.replace('|', "/"), (dims.to_vec(), values));
    }
    calls
}

fn value(device: &Device, info: &Info, (dims, values): &(Vec<usize>, Vec<f64>)) -> Value {
    if info.float {
        let floats: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        return Tensor::from_slice(device, &floats, dims).expect("uploaded").into();
    }
    Value::ints(&values.iter().map(|&v| v as i64).collect::<Vec<_>>(), dims).expect("integers")
}

/// Compares an output. Integers must be equal.
fn error_of(what: &str, got: &Value, (dims, want): &(Vec<usize>, Vec<f64>)) -> f64 {
    assert_eq!(got.dims(), dims, "{what}");
    match got {
        Value::Tensor(got) => relative_error(&got.read_blocking().expect("read"), want),
        _ => {
            let got: Vec<f64> = got.read_ints_blocking().expect("read").iter().map(|&v| v as f64).collect();
            assert_eq!(&got, want, "{what}");
            0.0
        }
    }
}

const MODELS: &[(&str, &[[&str; 2]])] = &[
    ("snakers4_silero-vad/silero_vad.onnx", &[["state", "stateN"]]),
    ("snakers4_silero-vad/silero_vad_op18_ifless.onnx", &[["state", "stateN"]]),
    (
        "Xiaobin-Rong_gtcrn/gtcrn_simple.onnx",
        &[["conv_cache", "conv_cache_out"], ["tra_cache", "tra_cache_out"], ["inter_cache", "inter_cache_out"]],
    ),
    ("breizhn_DTLN/model_1.onnx", &[["input_3", "tf_op_layer_stack_2"]]),
    ("breizhn_DTLN/model_2.onnx", &[["input_5", "tf_op_layer_stack_5"]]),
];

fn published_models_match_onnx_runtime(device: &Device) {
    let Some(folder) = data("real") else { return };
    for (name, _) in MODELS {
        let path = folder.join(name);
        let model = OnnxModel::open(device, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut worst = 0.0f64;
        for [inputs, outputs] in calls(&path) {
            let fed: Vec<(&str, Value)> =
                (model.inputs()).map(|info| (info.name.as_str(), value(device, info, &inputs[&info.name]))).collect();
            for (output, got) in model.run(&fed).unwrap_or_else(|e| panic!("{name}: {e}")) {
                worst = worst.max(error_of(&format!("{name}: {output}"), &got, &outputs[&output]));
            }
        }
        println!("{name} on {}: worst error {worst:.1e}", device.info().name);
        assert!(worst <= TOLERANCE, "{name}: {worst:.1e}");
    }
}

/// Feeds the states only where the file's calls start from something else than zeros, in the first call.
fn streams_carry_pairs(device: &Device) {
    let Some(folder) = data("real") else { return };
    for (name, pairs) in MODELS {
        let path = folder.join(name);
        let model = OnnxModel::open(device, &path).expect("loaded");
        let mut stream = model.stream().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(stream.pairs().collect::<Vec<_>>(), *pairs, "{name}");
        let calls = calls(&path);
        let start = stream.snapshot();
        for round in 0..2 {
            let mut worst = 0.0f64;
            for (i, [inputs, outputs]) in calls.iter().enumerate() {
                let is_state = |info: &&Info| pairs.iter().any(|[input, _]| *input == info.name);
                let is_zero = |info: &&Info| inputs[&info.name].1.iter().all(|&v| v == 0.0);
                let fed: Vec<(&str, Value)> = (model.inputs())
                    .filter(|info| !is_state(info) || (i == 0 && !is_zero(info)))
                    .map(|info| (info.name.as_str(), value(device, info, &inputs[&info.name])))
                    .collect();
                for (output, got) in stream.run(&fed).unwrap_or_else(|e| panic!("{name}: {e}")) {
                    worst = worst.max(error_of(&format!("{name}: {output}"), &got, &outputs[&output]));
                }
            }
            assert!(worst <= TOLERANCE, "{name}, round {round}: {worst:.1e}");
            match round {
                0 => stream.reset(),
                _ => stream.restore(start.clone()).expect("restored"),
            }
        }
    }
}

fn small_models_match_onnx_runtime(device: &Device) {
    let Some(folder) = data("real/synth") else { return };
    let [gru, lstm] = ["expected_ort.npz", "expected_lstm_ort.npz"].map(|f| TensorFile::open(folder.join(f)).expect(f));
    for (name, file, keys, tolerance) in [
        ("gru_base", &gru, &["gru_base.Y", "gru_base.Yh"][..], 1e-6),
        ("gru_dim_value_-1", &gru, &["gru_base.Y", "gru_base.Yh"], 1e-6),
        ("gru_dim_value_0", &gru, &["gru_base.Y", "gru_base.Yh"], 1e-6),
        ("gru_dynamic_int8", &gru, &["gru_base.Y", "gru_base.Yh"], 1e-6),
        ("gru_external", &gru, &["gru_external.Y", "gru_external.Yh"], 1e-6),
        // Its weights are rounded to float16.
        ("gru_fp16_keep_io", &gru, &["gru_base.Y", "gru_base.Yh"], 2e-3),
        ("gru_learned_h0_expand", &gru, &["gru_learned_h0_expand.Y", "gru_learned_h0_expand.Yh"], 1e-6),
        ("gru_maxpool_argmax", &gru, &["gru_maxpool_argmax.m", "gru_maxpool_argmax.c"], 1e-6),
        ("lstm_f32", &lstm, &["Y_f32"], 1e-6),
        ("lstm_dynamic_int8", &lstm, &["Y_int8"], QUANTIZED),
    ] {
        let path = folder.join(format!("{name}.onnx"));
        let model = OnnxModel::open(device, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let report = OnnxModel::check(&fs::read(&path).expect("a file")).expect("a report");
        assert!(report.problems.is_empty(), "{name}: {report}");
        let (dims, x) = file.get("x").expect("x");
        let x = Tensor::from_slice(device, x, dims).expect("uploaded");
        let outputs = model.run(&[("x", x.into())]).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (key, (output, got)) in keys.iter().zip(outputs) {
            let (dims, want) = file.get(key).expect(key);
            let want = (dims.to_vec(), want.iter().map(|&v| v.into()).collect());
            let error = error_of(&format!("{name}: {output}"), &got, &want);
            println!("{name}.{output} on {}: {error:.1e}", device.info().name);
            assert!(error <= tolerance, "{name}: {output}: {error:.1e}");
        }
    }
}
