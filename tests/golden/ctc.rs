//! The CTC loss (connectionist temporal classification) against PyTorch in float64; see `tests/golden/sequences.py`.

use serde_json::Value;
use wgru::train::Reduction;
use wgru::train::loss::{self, CtcOptions};
use wgru::{Device, Result, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

const CASES: &str = include_str!("ctc.json");

/// Sums of up to sixteen steps in f32.
const LOSS: f64 = 5e-7;
/// The gradient of a logit is the difference of two probabilities, with a rounding error of 1e-8 where the largest is
/// 0.002. PyTorch itself is off by 3e-5 in f32.
const GRADIENT: f64 = 1e-5;

on_every_backend![ctc_matches_pytorch];

fn size(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize
}

fn sizes(case: &Value, key: &str) -> Vec<usize> {
    case[key].as_array().expect(key).iter().map(|v| v.as_u64().expect(key) as usize).collect()
}

/// `null` stands for a value that is not finite.
fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().expect(key).iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Compares where the expected value is finite; elsewhere the result must not be finite either.
#[track_caller]
fn compare(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let finite: Vec<bool> = want.iter().map(|v| v.is_finite()).collect();
    assert_eq!(got.iter().map(|v| v.is_finite()).collect::<Vec<_>>(), finite, "{what}: which values are finite");
    let pairs = got.iter().zip(want).filter(|(_, want)| want.is_finite());
    let (got, want): (Vec<f32>, Vec<f64>) = pairs.map(|(g, w)| (*g, *w)).unzip();
    if !want.is_empty() {
        assert_close(what, &got, &want, tolerance);
    }
}

fn run(device: &Device, case: &Value) -> Result<(Vec<f32>, Vec<f32>)> {
    let dims = ["steps", "batch", "classes"].map(|key| size(case, key));
    let scale = case["scale"].as_f64().expect("scale") as f32;
    let x = Tensor::from_slice(device, &fill(3000, dims.iter().product(), scale), &dims)?.requires_grad();
    let reduction = match case["reduction"].as_str().expect("reduction") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => Reduction::None,
    };
    let zero_infinity = case["zero_infinity"].as_bool().expect("zero_infinity");
    let options = CtcOptions { blank: size(case, "blank") as u32, reduction, zero_infinity };
    let targets: Vec<u32> = sizes(case, "targets").iter().map(|&t| t as u32).collect();
    let (steps, labels) = (sizes(case, "input_lengths"), sizes(case, "target_lengths"));
    let loss = loss::ctc_with(&x.log_softmax()?, &targets, &steps, &labels, options)?;
    loss.backward_with(&Tensor::from_slice(device, &fill(3001, loss.len(), 1.0), loss.dims())?)?;
    Ok((loss.read_blocking()?, x.grad().expect("a gradient").read_blocking()?))
}

fn ctc_matches_pytorch(device: &Device) {
    let file: Value = serde_json::from_str(CASES).expect("ctc.json");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 24);
    let infinite = |case: &&Value| case["loss"].as_array().is_some_and(|loss| loss.contains(&Value::Null));
    assert!(cases.iter().filter(infinite).count() >= 3, "too few cases without a path");
    for (i, case) in cases.iter().enumerate() {
        let (loss, grad) = run(device, case).unwrap_or_else(|e| panic!("case {i}: {e}"));
        compare(&format!("loss of case {i}"), &loss, &numbers(case, "loss"), LOSS);
        compare(&format!("gradient of case {i}"), &grad, &numbers(case, "grad"), GRADIENT);
    }
}
