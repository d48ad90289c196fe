//! Losses, schedules, optimizers and ten-step loss curves against PyTorch.

use serde_json::Value;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::loss::{self, CrossEntropyOptions};
use wgru::train::{AdamConfig, AdamWConfig, Method, Optimizer, Reduction, Schedule, SgdConfig, clip_grad_norm};
use wgru::{Device, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

/// Ten updates in single precision; the final weights and norms are allowed five times as much.
const CURVE: f64 = 2e-6;
/// One loss and its gradient. Worst measured: 3e-7.
const LOSS: f64 = 1e-6;

on_every_backend![losses_match_pytorch, loss_curves_match_pytorch];

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("fixture")
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number: {v}"))
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(number).collect()
}

fn dims(v: &Value) -> Vec<usize> {
    numbers(v).iter().map(|&d| d as usize).collect()
}

/// Returns a tensor from `{stream, shape, scale}` or `{values, shape}`.
fn floats(device: &Device, v: &Value) -> Tensor {
    let dims = dims(&v["shape"]);
    let values = match v.get("values") {
        Some(values) => numbers(values).iter().map(|&x| x as f32).collect(),
        None => fill(number(&v["stream"]) as u32, dims.iter().product(), number(&v["scale"]) as f32),
    };
    Tensor::from_slice(device, &values, &dims).expect("tensor")
}

fn losses_match_pytorch(device: &Device) {
    let file = json(include_str!("losses.json"));
    let rows = file["losses"].as_array().expect("losses");
    assert!(rows.len() >= 20);
    for row in rows {
        let name = row["name"].as_str().expect("name");
        let reduction = if row["reduction"] == "mean" { Reduction::Mean } else { Reduction::Sum };
        let x = floats(device, &row["input"]).requires_grad();
        let target = || floats(device, &row["target"]);
        let value = match row["loss"].as_str().expect("loss") {
            "mse" => loss::mse_with(&x, &target(), reduction),
            "l1" => loss::mae_with(&x, &target(), reduction),
            "huber" => loss::huber_with(&x, &target(), number(&row["delta"]) as f32, reduction),
            "bce_with_logits" => loss::bce_with_logits_with(&x, &target(), reduction),
            "cross_entropy" => {
                let ignored = number(&row["ignore_index"]);
                // PyTorch marks ignored rows with −100; indices are unsigned here, so it becomes u32::MAX − 1.
                let mark = |v: f64| if v < 0.0 { u32::MAX - 1 } else { v as u32 };
                let labels: Vec<u32> = numbers(&row["target"]["values"]).into_iter().map(mark).collect();
                let target = Tensor::from_indices(device, &labels, &[labels.len()]).expect("labels");
                let label_smoothing = number(&row["label_smoothing"]) as f32;
                let options =
                    CrossEntropyOptions { ignore_index: Some(mark(ignored)), label_smoothing, reduction, weight: None };
                loss::cross_entropy_with(&x, &target, options)
            }
            other => panic!("unknown loss {other}"),
        }
        .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_close(name, &value.read_blocking().expect("read"), &[number(&row["value"])], LOSS);
        value.backward().expect("backward");
        let grad = x.grad().expect("gradient").read_blocking().expect("read");
        assert_close(&format!("{name}: gradient"), &grad, &numbers(&row["grad"]), LOSS);
    }
}

/// As in PyTorch, the target of a pointwise loss has a gradient, too.
#[test]
fn losses_have_a_gradient_for_their_target() {
    let device = Device::cpu();
    let (x, t) = (fill(1, 6, 2.0), fill(2, 6, 1.0));
    let tensors = || [&x, &t].map(|v| Tensor::from_slice(&device, v, &[6]).expect("tensor").requires_grad());
    let [a, b] = tensors();
    loss::mse_with(&a, &b, Reduction::Sum).and_then(|l| l.backward()).expect("backward");
    let want: Vec<f64> = x.iter().zip(&t).map(|(&x, &t)| -2.0 * (x as f64 - t as f64)).collect();
    assert_close("mse", &b.grad().expect("target's").read_blocking().expect("read"), &want, LOSS);
    let [a, b] = tensors();
    loss::bce_with_logits_with(&a, &b, Reduction::Sum).and_then(|l| l.backward()).expect("backward");
    let want: Vec<f64> = x.iter().map(|&x| -(x as f64)).collect();
    assert_close("bce", &b.grad().expect("target's").read_blocking().expect("read"), &want, LOSS);
}

struct Model {
    gru: Gru,
    linear: Linear,
}

impl Model {
    /// The fixtures' model: GRU(5, 16), and Linear(16, 1) on the last state.
    fn new(device: &Device) -> Self {
        let mut rng = Rng::new(0);
        let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(5, 16) };
        let gru = config.build(device, &mut rng).expect("gru");
        let linear = Linear::new(device, 16, 1, true, &mut rng).expect("linear");
        for (stream, (_, p)) in gru.parameters().iter().enumerate() {
            p.assign(&fill(stream as u32, p.len(), 0.25)).expect("assign");
        }
        for (stream, (_, p)) in (40..).zip(linear.parameters()) {
            p.assign(&fill(stream, p.len(), 0.25)).expect("assign");
        }
        Self { gru, linear }
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        let named = |layer: &str, list: Vec<(String, Tensor)>| -> Vec<_> {
            list.into_iter().map(|(n, t)| (format!("{layer}.{n}"), t)).collect()
        };
        [named("gru", self.gru.parameters()), named("linear", self.linear.parameters())].concat()
    }

    fn loss(&self, x: &Tensor, target: &Tensor) -> Tensor {
        let mut rng = Rng::new(0);
        let mode = &mut Mode::Train(&mut rng);
        let run = self.gru.run(x, RunOptions::default(), mode).expect("run");
        let last = run.h_n.reshape(&[8, 16]).expect("reshape");
        let prediction = self.linear.forward_with(&last, mode).expect("linear");
        loss::mse(&prediction, target).expect("loss")
    }
}

fn method(curve: &Value) -> Method {
    let float = |key: &str| number(&curve[key]) as f32;
    let betas = || (number(&curve["betas"][0]) as f32, number(&curve["betas"][1]) as f32);
    match curve["optimizer"].as_str().expect("optimizer") {
        "sgd" => Method::Sgd(SgdConfig {
            momentum: float("momentum"),
            weight_decay: float("weight_decay"),
            nesterov: curve["nesterov"].as_bool().unwrap_or(false),
            ..SgdConfig::default()
        }),
        "adam" => Method::Adam(AdamConfig { betas: betas(), eps: float("eps"), weight_decay: float("weight_decay") }),
        "adamw" => {
            Method::AdamW(AdamWConfig { betas: betas(), eps: float("eps"), weight_decay: float("weight_decay") })
        }
        other => panic!("unknown optimizer {other}"),
    }
}

fn loss_curves_match_pytorch(device: &Device) {
    let file = json(include_str!("training.json"));
    let x = Tensor::from_slice(device, &fill(1000, 8 * 12 * 5, 1.0), &[8, 12, 5]).expect("x");
    let target = Tensor::from_slice(device, &fill(1004, 8, 1.0), &[8, 1]).expect("target");
    let curves = file["curves"].as_array().expect("curves");
    assert!(curves.len() >= 7);
    for curve in curves {
        let name = curve["name"].as_str().expect("name");
        let model = Model::new(device);
        let mut optimizer = Optimizer::new(model.parameters(), method(curve), number(&curve["lr"])).expect("optimizer");
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            optimizer.zero_grad();
            let loss = model.loss(&x, &target);
            loss.backward().expect("backward");
            let most = curve["clip_grad_norm"].as_f64().unwrap_or(f64::INFINITY) as f32;
            let norm = clip_grad_norm(&model.parameters(), most).expect("clip").expect("gradients");
            losses.push(loss.item_blocking().expect("loss"));
            norms.push(norm.item_blocking().expect("norm"));
            optimizer.step().expect("step");
        }
        losses.push(model.loss(&x, &target).item_blocking().expect("loss"));
        assert_close(&format!("{name}: losses"), &losses, &numbers(&curve["losses"]), CURVE);
        assert_close(&format!("{name}: norms"), &norms, &numbers(&curve["grad_norms"]), 5.0 * CURVE);
        for (parameter, tensor) in model.parameters() {
            let values = tensor.read_blocking().expect("read");
            let square: f64 = values.iter().map(|&v| v as f64 * v as f64).sum();
            let want = number(&curve["final"][&parameter]["sum_sq"]);
            assert_close(&format!("{name}: {parameter}"), &[square as f32], &[want], 5.0 * CURVE);
        }
    }
}

#[test]
fn schedules_match_pytorch() {
    let file = json(include_str!("schedules.json"));
    let mut checked = 0;
    for row in file["schedules"].as_array().expect("schedules") {
        let (base, schedule) = match row["name"].as_str().expect("name") {
            "step" => {
                let every = number(&row["step_size"]) as u64;
                (number(&row["base_lr"]), Schedule::Step { every, gamma: number(&row["gamma"]) })
            }
            "cosine" | "cosine_past" => {
                let (steps, min) = (number(&row["T_max"]) as u64, number(&row["eta_min"]));
                (number(&row["base_lr"]), Schedule::Cosine { steps, min })
            }
            "one_cycle" => (number(&row["max_lr"]), Schedule::OneCycle { steps: 30 }),
            _ => continue,
        };
        for (step, want) in numbers(&row["values"]).into_iter().enumerate() {
            let got = schedule.rate(base, step as u64);
            assert!((got - want).abs() <= 1e-12 * base, "{row}: step {step}: {got}, not {want}");
        }
        checked += 1;
    }
    assert_eq!(checked, 4);
}
