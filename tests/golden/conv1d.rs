//! Convolution over time against PyTorch in float64; see `tests/golden/sequences.py`.

use serde_json::Value;
use wgru::nn::{Axes, Conv1dConfig, Mode, Module};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

const CASES: &str = include_str!("conv1d.json");

/// Sums of a few dozen products in f32.
const TOLERANCE: f64 = 6e-7;

on_every_backend![conv1d_matches_pytorch];

fn run(device: &Device, case: &Value) -> Result<Vec<(&'static str, Vec<f32>)>> {
    let size = |key: &str| case[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize;
    let bias = case["bias"].as_bool().expect("bias");
    let config = Conv1dConfig {
        input: size("input"),
        output: size("output"),
        kernel: size("kernel"),
        stride: size("stride"),
        padding: size("padding"),
        dilation: size("dilation"),
        groups: size("groups"),
        bias,
        axes: Axes::ChannelsFirst,
    };
    let conv = config.build(device, &mut Rng::new(0))?;
    for ((_, parameter), stream) in conv.parameters().iter().zip([3011, 3012]) {
        parameter.assign(&fill(stream, parameter.len(), 1.0))?;
    }
    let dims = [size("batch"), size("input"), size("steps")];
    let x = Tensor::from_slice(device, &fill(3010, dims.iter().product(), 1.0), &dims)?.requires_grad();
    let y = conv.forward_with(&x, &mut Mode::Train(&mut Rng::new(0)))?;
    y.backward_with(&Tensor::from_slice(device, &fill(3013, y.len(), 1.0), y.dims())?)?;
    let mut all = vec![("y", y.read_blocking()?), ("dx", x.grad().expect("dx").read_blocking()?)];
    for ((_, parameter), name) in conv.parameters().iter().zip(["dw", "db"]) {
        all.push((name, parameter.grad().expect(name).read_blocking()?));
    }
    Ok(all)
}

fn conv1d_matches_pytorch(device: &Device) {
    let file: Value = serde_json::from_str(CASES).expect("conv1d.json");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 24);
    for (i, case) in cases.iter().enumerate() {
        for (name, got) in run(device, case).unwrap_or_else(|e| panic!("case {i}: {e}")) {
            let want: Vec<f64> =
                case[name].as_array().expect(name).iter().map(|v| v.as_f64().expect("a number")).collect();
            assert_close(&format!("{name} of case {i}"), &got, &want, TOLERANCE);
        }
    }
}
