//! ONNX's own tests of recurrent nodes, version 1.16.2.

use std::fs;

use wgru::Device;
use wgru::io::onnx::{OnnxModel, read_tensor};

use crate::{data, on_every_backend};

/// ONNX's own tolerances.
const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

on_every_backend![onnx_node_tests_pass];

fn onnx_node_tests_pass(device: &Device) {
    let Some(suite) = data("suites/onnx_node_1.16.2") else { return };
    let (mut count, mut worst) = (0, 0.0f64);
    for case in fs::read_dir(suite).expect("the suite") {
        let case = case.expect("a folder").path();
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let read = |file: &str| fs::read(case.join(file)).expect("a file");
        let model = OnnxModel::load(device, &read("model.onnx")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tensor = |device: &Device, file: String| read_tensor(device, &read(&file)).expect("a tensor").1;
        let names: Vec<String> = model.inputs().map(|i| i.name.clone()).collect();
        let from = |i: usize| tensor(device, format!("test_data_set_0/input_{i}.pb"));
        let inputs: Vec<_> = names.iter().enumerate().map(|(i, n)| (n.as_str(), from(i))).collect();
        for (i, (output, got)) in model.run(&inputs).expect("run").into_iter().enumerate() {
            let want = tensor(&Device::cpu(), format!("test_data_set_0/output_{i}.pb"));
            assert_eq!(got.dims(), want.dims(), "{name}: {output}");
            let [got, want] = [got, want].map(|v| v.as_tensor().expect("floats").read_blocking().expect("read"));
            for (&g, &w) in got.iter().zip(&want) {
                let error = (g as f64 - w as f64).abs();
                assert!(error.is_finite(), "{name}: {output}: {g}, not {w}");
                assert!(error <= ABSOLUTE + RELATIVE * (w as f64).abs(), "{name}: {output}: {g}, not {w}");
                worst = worst.max(error);
            }
        }
        count += 1;
    }
    assert_eq!(count, 12, "cases of the suite");
    println!("{count} node tests on {}: worst error {worst:.1e}", device.info().name);
}
