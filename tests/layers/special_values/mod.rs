//! Zeros, saturated gates, huge numbers, infinities and NaN give the same result on every device and with every plan,
//! and match the equations in f64 where f32 neither overflows nor underflows along the way.

mod others;

use wgru::nn::{HostInput, HostOutput, Mode, Module, Recurrent, RecurrentConfig, RunOptions, run_f64};
use wgru::{Cell, CpuOptions, Device, Rng, Tensor};

use crate::common::recurrent::PLANS;
use crate::common::{gpu, twin};

/// Small, but still normal after some halvings, since GPUs may flush subnormals to 0 (SwiftShader in Chromium does).
const TINY: f32 = 3e-36;
/// Values of inputs, states and weights.
const VALUES: [f32; 16] = [
    0.0,
    TINY,
    -TINY,
    1.0,
    -1.0,
    88.0,
    -88.0,
    104.0,
    -104.0,
    1e30,
    -1e36,
    f32::MAX,
    -f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];
/// Different summation order and fused multiply-adds, relative to the largest number of the row.
const TOLERANCE: f64 = 4e-6;
const STEPS: usize = 2;

/// The twins, every instruction set of this machine, and the GPU.
fn devices() -> Vec<Device> {
    let with = |isa: &str| Device::cpu_with(CpuOptions { isa: Some(isa.into()), ..Default::default() }).ok();
    let isas = ["avx512", "avx2", "neon", "relaxed-simd", "simd128", "portable"];
    let all: Vec<Device> = [twin()].into_iter().chain(isas.into_iter().filter_map(with)).chain(gpu()).collect();
    assert!(all.len() >= 2, "the portable path runs everywhere");
    all
}

/// One sequence: the input at every step, and the initial states.
#[derive(Clone, Copy, Debug)]
struct Row {
    x: f32,
    h: f32,
    c: f32,
}

/// Every pair of values for two of the three, the third fixed.
fn rows(has_cell: bool) -> Vec<Row> {
    let mut all = Vec::new();
    for a in VALUES {
        for b in VALUES {
            all.push(Row { x: a, h: b, c: 0.5 });
            if has_cell {
                all.extend([Row { x: a, h: 0.5, c: b }, Row { x: 0.5, h: a, c: b }]);
            }
        }
    }
    all
}

/// The weights of one unit: `w_ih`, `w_hh`, `b_ih`, `b_hh` of every gate.
type Weights = [Vec<f32>; 4];

/// Some sets of small weights, then sets in which one weight takes every value.
fn weights(gates: usize) -> Vec<Weights> {
    let same = |v: f32| vec![v; gates];
    let turns =
        |from: usize| (0..gates).map(|g| if (g + from).is_multiple_of(2) { 1.0 } else { -1.0 }).collect::<Vec<f32>>();
    let mut all = vec![
        [same(0.0), same(1.0), same(0.0), same(0.0)],
        [same(1.0), same(1.0), same(0.0), same(0.0)],
        [same(1.0), same(-1.0), same(0.5), same(0.0)],
        [turns(0), turns(1), same(0.0), same(-0.5)],
        [turns(1), same(0.0), same(0.0), same(0.0)],
    ];
    for v in VALUES {
        for g in 0..gates {
            for part in 0..2 {
                let mut one: Weights = [turns(1), turns(0), same(0.0), same(0.0)];
                one[part][g] = v;
                all.push(one);
            }
            // Sums of three huge numbers depend on their order.
            if v.abs() < 1e30 || !v.is_finite() {
                let mut one: Weights = [turns(1), turns(0), same(0.0), same(0.0)];
                one[2 + g % 2][g] = v;
                all.push(one);
            }
        }
    }
    all
}

/// Returns whether a number is infinite or NaN, and its sign.
fn class(v: f64) -> i32 {
    match v {
        v if v.is_nan() => 2,
        v if v.is_infinite() => v.signum() as i32,
        _ => 0,
    }
}

/// Whether two results agree; finite ones within the rounding of numbers as large as `scale`.
fn agree(a: f64, b: f64, scale: f64) -> bool {
    let is_close = || (a - b).abs() <= TOLERANCE * scale.max(a.abs()).max(b.abs());
    class(a) == class(b) && (class(a) != 0 || is_close())
}

/// The largest finite number of a row.
fn scale(row: &Row) -> f64 {
    [row.x, row.h, row.c].into_iter().filter(|v| v.is_finite()).fold(1.0, |top, v| top.max(f64::from(v.abs())))
}

fn set(layer: &Recurrent, weights: &Weights) {
    for (name, parameter) in layer.parameters() {
        let part = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].iter().position(|p| name.starts_with(p));
        parameter.assign(&weights[part.expect("a weight or a bias")]).expect("assign");
    }
}

/// The results of a run, and the gradients of input and states.
struct Answer {
    /// `[rows, parts]`: outputs, last states, gradients.
    parts: Vec<Vec<f64>>,
}

fn run(device: &Device, config: &RecurrentConfig, weights: &Weights, rows: &[Row], gradients: bool) -> Answer {
    let layer = config.clone().build(device, &mut Rng::new(0)).expect("layer");
    set(&layer, weights);
    let tensor = |values: Vec<f32>, steps: usize| {
        let tensor = Tensor::from_slice(device, &values.repeat(steps), &[steps, rows.len(), 1]).expect("allocated");
        if gradients { tensor.requires_grad() } else { tensor }
    };
    let x = tensor(rows.iter().map(|r| r.x).collect(), STEPS);
    let h0 = tensor(rows.iter().map(|r| r.h).collect(), 1);
    let c0 = (config.cell == Cell::Lstm).then(|| tensor(rows.iter().map(|r| r.c).collect(), 1));
    let input = RunOptions { h0: Some(&h0), c0: c0.as_ref(), ..Default::default() };
    let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(0))).expect("run");
    let mut all = vec![out.output.clone(), out.h_n];
    all.extend(out.c_n);
    if gradients {
        out.output.sum().and_then(|y| y.backward()).expect("backward");
        all.extend([&x, &h0].into_iter().chain(&c0).map(|leaf| leaf.grad().expect("a gradient")));
    }
    let all: Vec<Vec<f32>> = all.iter().map(|t| t.read_blocking().expect("read")).collect();
    let of_row = |i: usize| all.iter().flat_map(move |part| part.iter().skip(i).step_by(rows.len())).map(|&v| v as f64);
    Answer { parts: (0..rows.len()).map(|i| of_row(i).collect()).collect() }
}

/// Lists the differences between the results of the rows.
fn differences(what: &str, rows: &[Row], got: &Answer, want: &Answer, skip: impl Fn(usize) -> bool) -> Vec<String> {
    assert_eq!((got.parts.len(), want.parts.len()), (rows.len(), rows.len()), "{what}");
    let compared = (0..rows.len()).filter(|&i| !skip(i));
    let differs = |&i: &usize| {
        let (got, want) = (&got.parts[i], &want.parts[i]);
        assert_eq!(got.len(), want.len(), "{what}");
        !got.iter().zip(want).all(|(&g, &w)| agree(g, w, scale(&rows[i])))
    };
    let text = |i: usize| format!("{what}: {:?} gives {:?}, not {:?}", rows[i], got.parts[i], want.parts[i]);
    compared.filter(differs).map(text).collect()
}

#[track_caller]
fn assert_none(differences: &[String]) {
    let shown: Vec<&String> = differences.iter().step_by(differences.len().div_ceil(12).max(1)).collect();
    assert!(differences.is_empty(), "{} differences, among them\n{shown:#?}", differences.len());
}

/// Every cell with every plan.
fn configs() -> Vec<RecurrentConfig> {
    let by = |cell, plan| RecurrentConfig { plan: Some(plan), ..RecurrentConfig::new(cell, 1, 1) };
    Cell::ALL.into_iter().flat_map(|cell| PLANS.map(move |plan| by(cell, plan))).collect()
}

#[test]
fn every_device_matches_the_twins() {
    let (devices, mut all) = (devices(), Vec::new());
    for config in configs() {
        let rows = rows(config.cell == Cell::Lstm);
        for (number, weights) in weights(config.cell.gates()).iter().enumerate() {
            // Gradients of huge weights overflow depending on the order of their products.
            let gradients = number < 5;
            let want = run(&devices[0], &config, weights, &rows, gradients);
            for device in &devices[1..] {
                // Every run waits for the GPU, so this uses only a sample of the weights.
                if device.is_gpu() && number >= 5 && number % 4 != 0 {
                    continue;
                }
                let got = run(device, &config, weights, &rows, gradients);
                let what = format!("{:?} by {:?} on {}, {weights:?}", config.cell, config.plan, device.info().name);
                all.extend(differences(&what, &rows, &got, &want, |_| false));
            }
        }
    }
    assert_none(&all);
}

/// The results of the equations in f64.
fn oracle(config: &RecurrentConfig, weights: &Weights, rows: &[Row]) -> (HostOutput, Answer) {
    let layer = config.clone().build(&Device::cpu(), &mut Rng::new(0)).expect("layer");
    set(&layer, weights);
    let of = |f: fn(&Row) -> f32| rows.iter().map(f).collect::<Vec<f32>>();
    let input = HostInput {
        x: of(|r| r.x).repeat(STEPS),
        dims: [STEPS, rows.len(), 1],
        h0: Some(of(|r| r.h)),
        c0: (config.cell == Cell::Lstm).then(|| of(|r| r.c)),
        ..Default::default()
    };
    let run = pollster::block_on(run_f64(&layer, &input)).expect("run");
    let all = [&run.output, &run.h_n, &run.c_n];
    let of_row = |i: usize| all.into_iter().flat_map(|part| part.iter().skip(i).step_by(rows.len())).copied().collect();
    let parts = (0..rows.len()).map(of_row).collect();
    (run, Answer { parts })
}

/// Whether f32 may overflow, or a gate or state of the row is too small for it.
fn leaves_f32(config: &RecurrentConfig, run: &HostOutput, weights: &Weights, rows: &[Row], i: usize) -> bool {
    let largest = weights.iter().flatten().filter(|v| v.is_finite()).fold(1.0f64, |top, v| top.max(f64::from(v.abs())));
    let parts = run.gates[0].iter().chain([&run.output, &run.c_n]);
    let mut values = parts.flat_map(|part| part.iter().skip(i).step_by(rows.len()));
    let is_subnormal = |v: &f64| *v != 0.0 && v.abs() < f64::from(TINY);
    // Without a bound, the state is multiplied by a weight again.
    let twice = if config.cell == Cell::RnnRelu { largest } else { 1.0 };
    4.0 * twice * largest * scale(&rows[i]) > f64::from(f32::MAX) || values.any(is_subnormal)
}

#[test]
fn every_plan_matches_the_equations() {
    let (device, mut all, mut compared) = (Device::cpu(), Vec::new(), 0);
    for config in configs() {
        let rows = rows(config.cell == Cell::Lstm);
        for weights in weights(config.cell.gates()) {
            let (run_64, want) = oracle(&config, &weights, &rows);
            let got = run(&device, &config, &weights, &rows, false);
            let what = format!("{:?} by {:?}, {weights:?}", config.cell, config.plan);
            let skipped: Vec<bool> =
                (0..rows.len()).map(|i| leaves_f32(&config, &run_64, &weights, &rows, i)).collect();
            compared += skipped.iter().filter(|skip| !**skip).count();
            all.extend(differences(&what, &rows, &got, &want, |i| skipped[i]));
        }
    }
    assert!(compared > 200_000, "{compared} rows were compared");
    assert_none(&all);
}

/// Regression: a gate of 0 does not mask an infinite state, since 0·∞ is NaN, in PyTorch too.
#[test]
fn a_closed_gate_times_an_infinite_state_is_nan() {
    for device in devices() {
        for plan in &PLANS {
            let config = RecurrentConfig { plan: Some(*plan), ..RecurrentConfig::gru(1, 1) };
            let zeros = vec![0.0; 3];
            let weights = [zeros.clone(), vec![1.0; 3], zeros.clone(), zeros];
            let row = Row { x: 0.0, h: f32::NEG_INFINITY, c: 0.0 };
            let answer = run(&device, &config, &weights, &[row], false);
            assert!(answer.parts[0].iter().all(|v| v.is_nan()), "{plan:?} on {}", device.info().name);
        }
    }
}
