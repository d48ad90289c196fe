//! LSTM, GRU and simple RNN layers against PyTorch and Keras: outputs, last states and every gradient.
//!
//! The fixtures come from `tests/golden/generate_recurrent.py`.

use safetensors::SafeTensors;
use serde_json::Value;
use wgru::nn::{Mode, Module, Padding, RecurrentConfig, RunOptions};
use wgru::{Activation, Cell, Device, Rng, Tensor};

use crate::common::recurrent::states;
use crate::common::{assert_close, fill};

/// Single precision over at most 21 consecutive steps, compared with float64.
const CPU: f64 = 2e-6;
/// GPU: a shader's `exp` is only accurate to a few ulp.
#[cfg(feature = "gpu")]
const GPU: f64 = 1e-5;
/// Lower bound on the value that errors are relative to, otherwise the tensor's largest: the cotangents are of order 1.
const FLOOR: f32 = 0.1;

const JSON: &str = include_str!("recurrent.json");
const TENSORS: &[u8] = include_bytes!("recurrent.safetensors");

struct Case(Value);

impl Case {
    fn all() -> Vec<Self> {
        let json: Value = serde_json::from_str(JSON).expect("recurrent.json");
        let cases: Vec<Self> = json["cases"].as_array().expect("cases").iter().cloned().map(Self).collect();
        assert_eq!(cases.len(), 31, "fixtures are missing");
        cases
    }

    fn size(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or_else(|| panic!("{key}"))
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key}"))
    }

    fn activation(&self, key: &str) -> Activation {
        match self.text(key) {
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "sigmoid" => Activation::Sigmoid,
            "softsign" => Activation::Softsign,
            // Keras 3 defines it as relu6(x + 3) / 6.
            "hard_sigmoid" => Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
            other => panic!("activation {other}"),
        }
    }

    fn config(&self) -> RecurrentConfig {
        let cell = match (self.text("cell"), self.flag("reset_after")) {
            ("lstm", _) => Cell::Lstm,
            ("gru", true) => Cell::Gru,
            ("gru", false) => Cell::GruResetBefore,
            _ => Cell::Rnn,
        };
        let (inner, gate) = (self.activation("activation"), self.activation("recurrent_activation"));
        let mut config = RecurrentConfig {
            projection: self.size("projection"),
            layers: self.size("layers"),
            bias: self.flag("bias"),
            batch_first: self.flag("batch_first"),
            bidirectional: self.flag("bidirectional"),
            reverse: self.flag("reverse"),
            activations: match cell {
                Cell::Gru | Cell::GruResetBefore => vec![gate, gate, inner],
                Cell::Lstm => vec![gate, gate, inner, gate, inner],
                _ => vec![inner],
            },
            ..RecurrentConfig::new(cell, self.size("input"), self.size("hidden"))
        };
        if self.text("oracle") == "keras" {
            config.options.padding = Padding::RepeatLast;
        }
        config
    }

    /// Keras' mask, in the layout of `x`.
    fn mask(&self) -> Option<Vec<bool>> {
        let rows: Vec<&str> = self.0["mask"].as_array()?.iter().map(|row| row.as_str().expect("a row")).collect();
        let (steps, batch) = (self.size("steps"), self.size("batch"));
        let flag = |t: usize, row: usize| rows[row].as_bytes()[t] == b'1';
        Some(match self.flag("batch_first") {
            true => (0..steps * batch).map(|i| flag(i % steps, i / steps)).collect(),
            false => (0..steps * batch).map(|i| flag(i / batch, i % batch)).collect(),
        })
    }
}

/// Runs a case. Returns the worst error.
fn run(device: &Device, case: &Case, config: &RecurrentConfig, tolerance: f64) -> f64 {
    let layer = config.clone().build(device, &mut Rng::new(0)).expect("build");
    let bound = 1.0 / (config.hidden as f32).sqrt();
    for (name, tensor) in layer.parameters() {
        let (kind, rest) = name.rsplit_once("_l").expect("PyTorch's names");
        let (index, direction) = rest.strip_suffix("_reverse").map_or((rest, 0), |index| (index, 1));
        let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"];
        let offset = names.iter().position(|k| *k == kind).expect("a known parameter") as u32;
        let stream = 10 * (2 * index.parse::<u32>().expect("layer") + direction) + offset;
        tensor.assign(&fill(stream, tensor.len(), bound)).expect("assign");
    }
    let (batch, steps, is_lstm) = (case.size("batch"), case.size("steps"), config.cell == Cell::Lstm);
    let order = |width| if config.batch_first { [batch, steps, width] } else { [steps, batch, width] };
    let tensor = |stream, dims: &[usize], scale| {
        Tensor::from_slice(device, &fill(stream, dims.iter().product(), scale), dims).expect("tensor")
    };
    let x = tensor(1000, &order(config.input), 1.0).requires_grad();
    let [h, c] = states(config, batch);
    let (h0, c0) = (tensor(1001, &h, 0.5).requires_grad(), tensor(1004, &c, 0.5).requires_grad());
    let (lengths, mask) = (case.0["lengths"].as_array(), case.mask());
    let lengths: Option<Vec<usize>> =
        lengths.map(|l| l.iter().map(|v| v.as_u64().expect("a length") as usize).collect());
    let c0 = is_lstm.then_some(&c0);
    let input =
        RunOptions { h0: Some(&h0), c0, lengths: lengths.as_deref(), mask: mask.as_deref(), ..Default::default() };
    let ran = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(0))).expect("run");

    let part = |y: &Tensor, stream| y.mul(&tensor(stream, y.dims(), 1.0)).and_then(|v| v.sum()).expect("a part");
    let mut loss = part(&ran.output, 1002).add(&part(&ran.h_n, 1003)).expect("loss");
    if let Some(c_n) = &ran.c_n {
        loss = loss.add(&part(c_n, 1005)).expect("loss");
    }
    loss.backward().expect("backward");
    let read = |t: &Tensor| t.read_blocking().expect("read");
    let grad = |t: &Tensor| read(&t.grad().expect("a gradient"));
    let mut got = vec![("y".to_string(), read(&ran.output)), ("h_n".into(), read(&ran.h_n))];
    got.extend(ran.c_n.iter().map(|c_n| ("c_n".into(), read(c_n))));
    got.extend([("dx".into(), grad(&x)), ("dh0".into(), grad(&h0))]);
    got.extend(c0.map(|c0| ("dc0".into(), grad(c0))));
    got.extend(layer.parameters().iter().map(|(name, p)| (format!("d.{name}"), grad(p))));

    let file = SafeTensors::deserialize(TENSORS).expect("recurrent.safetensors");
    let view = file.tensor(case.text("name")).expect("stored tensor");
    let mut want = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut worst = 0.0f64;
    for (name, got) in &got {
        let want: Vec<f64> = want.by_ref().take(got.len()).chain([FLOOR]).map(f64::from).collect();
        let got: Vec<f32> = got.iter().copied().chain([FLOOR]).collect();
        assert_close(&format!("{name} of {} on {}", case.0, device.info().name), &got, &want, tolerance);
        worst = worst.max(crate::common::relative_error(&got, &want));
    }
    assert_eq!(want.count(), 0, "stored values are left over");
    worst
}

fn run_all(device: &Device, tolerance: f64) {
    let worst = Case::all().iter().map(|case| run(device, case, &case.config(), tolerance)).fold(0.0, f64::max);
    println!("worst error on {}: {worst:.2e} of the largest value", device.info().name);
}

#[test]
fn recurrent_layers_match_pytorch_and_keras_on_the_cpu() {
    run_all(&Device::cpu(), CPU);
}

#[test]
fn recurrent_layers_match_pytorch_and_keras_on_the_twins() {
    run_all(&crate::common::twin(), CPU);
}

#[test]
#[cfg(feature = "gpu")]
fn recurrent_layers_match_pytorch_and_keras_on_the_gpu() {
    match crate::common::gpu() {
        Some(device) => run_all(&device, GPU),
        None => eprintln!("SKIPPED golden recurrent layers on the GPU: no adapter"),
    }
}

/// Negative control: where PyTorch and Keras differ, the results of one do not pass as the other's.
#[test]
#[cfg(panic = "unwind")]
fn other_semantics_are_rejected() {
    let rejected = |case: &Case, config: RecurrentConfig| {
        let run = std::panic::AssertUnwindSafe(|| run(&Device::cpu(), case, &config, 1e-3));
        assert!(std::panic::catch_unwind(run).is_err(), "{} passes as {config:?}", case.0);
    };
    for case in Case::all() {
        let config = case.config();
        if case.0["mask"].is_array() {
            let mut zero = config.clone();
            zero.options.padding = Padding::Zero;
            rejected(&case, zero);
        }
        if case.text("cell") == "gru" && config.bias {
            let other = if config.cell == Cell::Gru { Cell::GruResetBefore } else { Cell::Gru };
            rejected(&case, RecurrentConfig { cell: other, ..config.clone() });
        }
        if case.text("oracle") == "keras" {
            rejected(&case, RecurrentConfig { reverse: !config.reverse, ..config });
        }
    }
}
