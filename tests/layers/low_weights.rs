//! Inference with low-precision recurrent weights equals inference with those weights rounded.
#![cfg(feature = "gpu")]

use half::{bf16, f16};
use wgru::nn::{Gru, Mode, Module, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Error, Precision, Rng, Tensor};

use crate::common::{assert_close, fill, gpu};

/// Two layers on the GPU against the CPU; the GPU's products sum in a different order.
const RUN: f64 = 4e-6;
/// Minimum effect of the rounding on the outputs below, which proves that they do not come from f32 weights.
const SEEN: f64 = 2e-5;

const LOW: [Precision; 3] = [Precision::F16, Precision::Bf16, Precision::Int8];
const STEPS: usize = 6;
const BATCH: usize = 5;

fn rounded(row: &[f32], weights: Precision) -> Vec<f32> {
    let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
    let round = |&v: &f32| match weights {
        Precision::F32 | Precision::Auto => v,
        Precision::F16 => f16::from_f32(v).to_f32(),
        Precision::Bf16 => bf16::from_f32(v).to_f32(),
        Precision::Int8 => (v / top * 127.0).round_ties_even() * (top / 127.0),
    };
    row.iter().map(round).collect()
}

/// Copies parameters, rounding the recurrent matrices.
fn copy(from: &Gru, to: &Gru, weights: Precision) {
    for ((name, from), (_, to)) in from.parameters().into_iter().zip(to.parameters()) {
        let values = from.read_blocking().expect("read");
        let rows = values.chunks(*from.dims().last().expect("an axis"));
        let stored = if name.starts_with("weight_hh") { weights } else { Precision::F32 };
        to.assign(&rows.flat_map(|row| rounded(row, stored)).collect::<Vec<_>>()).expect("written");
    }
}

fn build(device: &Device, config: &RecurrentConfig) -> Gru {
    config.clone().build(device, &mut Rng::new(5)).expect("layer")
}

fn run(gru: &Gru, device: &Device) -> [Vec<f32>; 2] {
    let c = gru.config();
    let dims = if c.batch_first { [BATCH, STEPS, c.input] } else { [STEPS, BATCH, c.input] };
    let x = Tensor::from_slice(device, &fill(1, STEPS * BATCH * c.input, 1.0), &dims).expect("x");
    let resets: Vec<bool> = (0..STEPS * BATCH).map(|i| i % 13 == 7).collect();
    let lengths = [STEPS, 1, 4, STEPS, 2];
    let input = RunOptions { lengths: Some(&lengths), resets: Some(&resets), ..Default::default() };
    let out = gru.run(&x, input, &mut Mode::Eval).expect("run");
    [out.output, out.h_n].map(|t| t.read_blocking().expect("read"))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

#[test]
fn low_precision_layers_match_layers_with_rounded_weights() {
    let Some(device) = gpu() else { return };
    let cpu = Device::cpu();
    for (hidden, plan) in [(19, Plan::Whole), (19, Plan::Chain), (66, Plan::Chain)] {
        for (cell, bidirectional, bias) in [
            (Cell::Gru, true, true),
            (Cell::GruResetBefore, false, true),
            (Cell::Gru, false, false),
            (Cell::Lstm, true, true),
            (Cell::Lstm, false, false),
            (Cell::Rnn, true, true),
            (Cell::RnnRelu, false, true),
        ] {
            let config = RecurrentConfig {
                layers: 2,
                bidirectional,
                bias,
                batch_first: bias,
                plan: Some(plan),
                ..RecurrentConfig::new(cell, 7, hidden)
            };
            let (full, want) = (build(&cpu, &config), build(&cpu, &config));
            for weights in LOW {
                let what = format!("{weights:?}, {config:?}");
                copy(&full, &want, weights);
                let low = build(&device, &config).with_weights(weights).expect("on a GPU");
                assert_eq!(low.weights(), weights);
                copy(&full, &low, Precision::F32);
                for ((got, want), full) in run(&low, &device).iter().zip(run(&want, &cpu)).zip(run(&full, &cpu)) {
                    assert_close(&what, got, &wide(&want), RUN);
                    let seen = crate::common::relative_error(got, &wide(&full));
                    assert!(seen > SEEN, "{what}: {seen:e} from f32");
                }
            }
        }
    }
}

#[test]
fn low_precision_layers_follow_their_parameters() {
    let Some(device) = gpu() else { return };
    let config = RecurrentConfig::gru(3, 21);
    let low = build(&device, &config).with_weights(Precision::Int8).expect("on a GPU");
    let before = run(&low, &device);
    let other = config.clone().build(&device, &mut Rng::new(9)).expect("layer");
    copy(&other, &low, Precision::F32);
    let after = run(&low, &device);
    assert!(crate::common::relative_error(&after[0], &wide(&before[0])) > 0.01);
    let whole = low.with_weights(Precision::F32).expect("as it was");
    let want = run(&build_like(&other, &device), &device);
    assert_close("f32 again", &run(&whole, &device)[0], &wide(&want[0]), RUN);
}

/// A copy of a layer, on the plan that f32 selects by itself.
fn build_like(gru: &Gru, device: &Device) -> Gru {
    let copied = build(device, gru.config());
    copy(gru, &copied, Precision::F32);
    copied
}

#[test]
fn low_precision_layers_take_a_fused_plan() {
    let Some(device) = gpu() else { return };
    for (cell, (hidden, plan)) in Cell::ALL
        .into_iter()
        .flat_map(|cell| [(64, Plan::Whole), (128, Plan::Whole), (132, Plan::Chain)].map(|case| (cell, case)))
    {
        let layer = build(&device, &RecurrentConfig { hidden, ..RecurrentConfig::new(cell, 1, hidden) });
        assert_eq!(layer.with_weights(Precision::F16).expect("on a GPU").plan(), plan, "{cell} {hidden}");
    }
}

fn refused<T>(result: wgru::Result<T>, words: [&str; 2]) {
    let Err(Error::Value { arg: "weights", expected, got, .. }) = result else { panic!("not refused: {words:?}") };
    assert!(expected.contains(words[0]) && got.contains(words[1]), "{expected}, {got}");
}

#[test]
fn low_precision_layers_refuse_training_the_cpu_and_options() {
    for weights in LOW {
        let cpu = build(&Device::cpu(), &RecurrentConfig::default());
        refused(cpu.with_weights(weights), ["StreamOptions::weights", &format!("{weights:?}")]);
    }
    assert!(build(&Device::cpu(), &RecurrentConfig::default()).with_weights(Precision::F32).is_ok());
    let Some(device) = gpu() else { return };
    let clip = RecurrentOptions { clip: Some(1.0), ..Default::default() };
    for config in [
        RecurrentConfig { options: clip, ..Default::default() },
        RecurrentConfig { plan: Some(Plan::Steps), ..Default::default() },
    ] {
        refused(build(&device, &config).with_weights(Precision::F16), ["these options", "F16"]);
    }
    let automatic = build(&device, &RecurrentConfig::default()).with_weights(Precision::Auto).expect("any layer");
    assert_eq!(automatic.weights(), Precision::F32);
    let gru = build(&device, &RecurrentConfig::default()).with_weights(Precision::Bf16).expect("on a GPU");
    let x = Tensor::zeros(&device, &[3, 2, 1]).expect("x");
    let run = |x: &Tensor, mode: &mut Mode| gru.run(x, RunOptions::default(), mode);
    refused(run(&x, &mut Mode::Train(&mut Rng::new(0))), ["training", "Bf16"]);
    refused(run(&x.requires_grad(), &mut Mode::Eval), ["gradients", "Bf16"]);
    assert!(run(&x, &mut Mode::Eval).is_ok());
}

/// A row that f16 cannot hold gives NaN instead of a wrong number; the first step affects no other unit.
#[test]
fn low_precision_layers_give_nan_for_weights_out_of_range() {
    let Some(device) = gpu() else { return };
    let gru =
        build(&device, &RecurrentConfig { hidden: 5, ..Default::default() }).with_weights(Precision::F16).expect("GPU");
    let (_, weight) = gru.parameters().into_iter().find(|(name, _)| name == "weight_hh_l0").expect("there");
    let mut values = weight.read_blocking().expect("read");
    values[2 * 5 + 1] = 1e5;
    weight.assign(&values).expect("written");
    let x = Tensor::zeros(&device, &[1, 2, 1]).expect("x");
    let y = gru.forward(&x).expect("run").read_blocking().expect("read");
    let spoiled: Vec<usize> = (0..10).filter(|&i| y[i].is_nan()).collect();
    assert_eq!(spoiled, [2, 7]);
}
