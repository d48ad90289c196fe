//! The GRU against PyTorch, Keras and ONNX Runtime: output, last state and every gradient.
//!
//! The fixtures come from `tests/golden/generate.py`. Both sides generate the inputs with the same hash. For a
//! large tensor, the file holds 2,048 samples.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;
use wgru::nn::{Gru, Mode, Module, RecurrentConfig, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Rng, Tensor};

use crate::common::{assert_close, fill, mix};

/// CPU: single precision over at most 64 steps. For the worst measured error see `docs/accuracy.md`.
const CPU: f64 = 2e-6;
/// GPU: a shader's `exp` is only accurate to a few ulp, and sums run in a single sequence.
#[cfg(feature = "gpu")]
const GPU: f64 = 1e-5;
/// ONNX Runtime computes in single precision itself.
const SINGLE: f64 = 4e-6;

/// Errors are relative to the largest value of the whole tensor, but at least to this. The cotangents are of order 1,
/// so a much smaller gradient is the result of cancellation. (For the one such tensor in the fixtures, PyTorch in f32
/// is off by 7e-6 of its largest value, like this crate.)
const FLOOR: f64 = 0.1;

const JSON: &str = include_str!("gru.json");
const TENSORS: &[u8] = include_bytes!("gru.safetensors");

struct Case {
    json: Value,
    name: String,
}

impl Case {
    fn all() -> Vec<Self> {
        let json: Value = serde_json::from_str(JSON).expect("gru.json");
        let cases = json["cases"].as_array().expect("cases").clone();
        assert_eq!(cases.len(), 62, "fixtures are missing");
        cases.into_iter().map(|json| Self { name: json["name"].as_str().expect("name").into(), json }).collect()
    }

    fn size(&self, key: &str) -> usize {
        self.json[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.json[key].as_bool().unwrap_or_else(|| panic!("{key}"))
    }

    fn lengths(&self) -> Option<Vec<usize>> {
        let list = self.json["lengths"].as_array()?;
        Some(list.iter().map(|v| v.as_u64().expect("length") as usize).collect())
    }

    fn config(&self, plan: Option<Plan>) -> RecurrentConfig {
        let cell = if self.flag("reset_after") { Cell::Gru } else { Cell::GruResetBefore };
        RecurrentConfig {
            layers: self.size("layers"),
            bias: self.flag("bias"),
            batch_first: self.flag("batch_first"),
            bidirectional: self.flag("bidirectional"),
            plan,
            ..RecurrentConfig::new(cell, self.size("input"), self.size("hidden"))
        }
    }

    fn flops(&self) -> usize {
        let (h, i) = (self.size("hidden"), self.size("input"));
        let directions = 1 + self.flag("bidirectional") as usize;
        6 * h * (h + i) * self.size("batch") * self.size("steps") * directions * self.size("layers")
    }

    /// Compares a tensor with the stored one, or with its samples if only those are stored.
    fn check(&self, file: &SafeTensors, key: &str, got: &[f32], tolerance: f64) -> f64 {
        let view = file.tensor(&format!("{}.{key}", self.name)).expect("stored tensor");
        let want: Vec<f64> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64).collect();
        let sampled = self.json["sampled"].as_array().expect("sampled").iter().any(|v| v == key);
        let got: Vec<f32> = if sampled { samples(got) } else { got.to_vec() };
        let scale = self.json["max"][key].as_f64().expect("max").max(FLOOR);
        let want: Vec<f64> = want.iter().map(|v| v / scale).chain([1.0]).collect();
        let got: Vec<f32> = got.iter().map(|v| (*v as f64 / scale) as f32).chain([1.0]).collect();
        assert_close(&format!("{} {key}", self.name), &got, &want, tolerance);
        crate::common::relative_error(&got, &want)
    }
}

fn samples(values: &[f32]) -> Vec<f32> {
    let (n, count) = (values.len() as u64, 2048u64);
    let at = |k: u64| k * n / count + mix(k as u32) as u64 % (n / count).max(1);
    (0..count).map(|k| values[at(k) as usize]).collect()
}

/// Gives the GRU the fixtures' weights: stream `10·(2·layer + direction) + 0..4`.
fn load(gru: &Gru) {
    let bound = 1.0 / (gru.config().hidden as f32).sqrt();
    for (name, tensor) in gru.parameters() {
        let (kind, rest) = name.rsplit_once("_l").expect("PyTorch's names");
        let (layer, direction) = match rest.strip_suffix("_reverse") {
            Some(layer) => (layer, 1),
            None => (rest, 0),
        };
        let offset = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].iter().position(|k| *k == kind).expect("kind");
        let stream = 10 * (2 * layer.parse::<u32>().expect("layer") + direction) + offset as u32;
        tensor.assign(&fill(stream, tensor.len(), bound)).expect("assign");
    }
}

/// Runs one case forward and backward. Returns the worst error.
fn run(device: &Device, case: &Case, file: &SafeTensors, plan: Option<Plan>, tolerance: f64) -> f64 {
    let config = case.config(plan);
    let gru = config.clone().build(device, &mut Rng::new(0)).expect("build");
    load(&gru);
    let (batch, steps, h) = (case.size("batch"), case.size("steps"), config.hidden);
    let directions = 1 + config.bidirectional as usize;
    let order = |width| if config.batch_first { [batch, steps, width] } else { [steps, batch, width] };
    let tensor = |stream, dims: &[usize], scale| {
        Tensor::from_slice(device, &fill(stream, dims.iter().product(), scale), dims).expect("tensor")
    };
    let x = tensor(1000, &order(config.input), 1.0).requires_grad();
    let state = [config.layers * directions, batch, h];
    let h0 = if case.flag("h0") { tensor(1001, &state, 0.5) } else { Tensor::zeros(device, &state).expect("zeros") };
    let h0 = h0.requires_grad();
    let lengths = case.lengths();
    let input = RunOptions { h0: Some(&h0), lengths: lengths.as_deref(), ..Default::default() };
    let run = gru.run(&x, input, &mut Mode::Train(&mut Rng::new(0))).expect("run");

    let mut worst = case.check(file, "y", &run.output.read_blocking().expect("read"), tolerance);
    worst = worst.max(case.check(file, "h_n", &run.h_n.read_blocking().expect("read"), tolerance));
    if !case.flag("gradients") {
        return worst;
    }
    let dy = tensor(1002, &order(directions * h), 1.0);
    let dh_n = tensor(1003, &state, 1.0);
    let loss = run.output.mul(&dy).and_then(|a| a.sum()).expect("loss");
    let loss = run.h_n.mul(&dh_n).and_then(|a| a.sum()).and_then(|a| loss.add(&a)).expect("loss");
    loss.backward().expect("backward");
    let mut grads: BTreeMap<String, Tensor> = BTreeMap::new();
    grads.insert("dx".into(), x.grad().expect("dx"));
    grads.insert("dh0".into(), h0.grad().expect("dh0"));
    for (name, p) in gru.parameters() {
        grads.insert(format!("d.{name}"), p.grad().expect("gradient of every parameter"));
    }
    for (key, grad) in grads {
        worst = worst.max(case.check(file, &key, &grad.read_blocking().expect("read"), tolerance));
    }
    worst
}

/// Runs the cases of up to `most_flops`, and checks that there are `expected` of them.
fn run_all(device: &Device, plan: Option<Plan>, tolerance: f64, most_flops: usize, expected: usize) {
    let file = SafeTensors::deserialize(TENSORS).expect("gru.safetensors");
    let (mut worst, mut count) = (0.0f64, 0);
    for case in Case::all() {
        let too_wide = plan == Some(Plan::Whole) && device.is_gpu() && case.size("hidden") > 256;
        if too_wide || case.flops() > most_flops {
            continue;
        }
        let single = case.json["oracle"].as_str() == Some("onnxruntime-float32");
        worst = worst.max(run(device, &case, &file, plan, if single { tolerance.max(SINGLE) } else { tolerance }));
        count += 1;
    }
    assert_eq!(count, expected, "cases that ran");
    println!("{count} cases on {}: worst error {worst:.2e} of the largest value", device.info().name);
}

#[test]
fn gru_matches_the_oracles_on_the_cpu() {
    run_all(&Device::cpu(), None, CPU, usize::MAX, 62);
}

#[test]
fn gru_matches_the_oracles_on_the_twins_whole() {
    run_all(&crate::common::twin(), Some(Plan::Whole), CPU, 60_000_000, 59);
}

#[test]
fn gru_matches_the_oracles_on_the_twins_chain() {
    run_all(&crate::common::twin(), Some(Plan::Chain), CPU, 60_000_000, 59);
}

#[test]
fn gru_matches_the_oracles_on_the_cpu_by_steps() {
    run_all(&Device::cpu(), Some(Plan::Steps), CPU, 60_000_000, 59);
}

#[cfg(feature = "gpu")]
fn on_gpu(plan: Option<Plan>) {
    match crate::common::gpu() {
        Some(device) => run_all(&device, plan, GPU, 100_000_000, if plan == Some(Plan::Whole) { 53 } else { 59 }),
        None => eprintln!("SKIPPED golden on the GPU: no adapter"),
    }
}

#[test]
#[cfg(feature = "gpu")]
fn gru_matches_the_oracles_on_the_gpu() {
    on_gpu(None);
}

#[test]
#[cfg(feature = "gpu")]
fn gru_matches_the_oracles_on_the_gpu_whole() {
    on_gpu(Some(Plan::Whole));
}

#[test]
#[cfg(feature = "gpu")]
fn gru_matches_the_oracles_on_the_gpu_chain() {
    on_gpu(Some(Plan::Chain));
}

/// Negative control: the other reset form is outside every tolerance used here.
#[test]
#[should_panic(expected = "error")]
fn the_other_reset_form_is_rejected() {
    let file = SafeTensors::deserialize(TENSORS).expect("gru.safetensors");
    let mut case =
        Case::all().into_iter().find(|c| c.name.starts_with("keras") && c.size("hidden") == 67).expect("one");
    case.json["reset_after"] = Value::Bool(true);
    run(&Device::cpu(), &case, &file, None, 1e-3);
}
