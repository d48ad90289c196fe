//! Fuzzes the readers of ONNX models and of ONNX's tensor files. Loading a model checks every node and evaluates
//! constant ones, so the operators run, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Device;
use wgru::io::onnx::{OnnxModel, read_tensor};

fuzz_target!(|bytes: &[u8]| {
    let device = Device::cpu();
    let _ = read_tensor(&device, bytes);
    let report = OnnxModel::check(bytes);
    if let Ok(model) = OnnxModel::load(&device, bytes) {
        assert!(report.is_ok_and(|report| report.problems.is_empty()), "loaded, but not checked");
        let _ = model.stream();
        assert!(model.run(&[("no such input", wgru::io::onnx::Value::ints(&[], &[0]).expect("none"))]).is_err());
    }
});
