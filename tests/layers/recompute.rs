//! Memory use of training: recomputing gates in backward gives the same gradients with less memory, and gradients that
//! were not requested are not computed.

use wgru::nn::{Conv1dConfig, Linear, Mode, Module, Padding, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::{Cell, Device, Error, Rng, Tensor};

use crate::common::recurrent::{PLANS, states};
use crate::common::{assert_close, fill};
use crate::on_every_backend;

on_every_backend![recomputation_does_not_change_gradients, memory_is_less_than_half];

/// Sums over the steps in a different order.
const ORDER: f64 = 1e-6;

/// Chunks of five steps; the last one has four.
const STEPS: usize = 19;
const BATCH: usize = 3;

/// Output, last states, and the gradients of `x`, the initial states and every parameter.
fn run(device: &Device, config: &RecurrentConfig) -> Vec<(String, Vec<f32>)> {
    let layer = config.clone().build(device, &mut Rng::new(3)).expect("layer");
    let tensor = |stream: u32, dims: &[usize]| {
        let values = fill(stream, dims.iter().product(), 1.0);
        Tensor::from_slice(device, &values, dims).expect("allocated").requires_grad()
    };
    let x = tensor(1, &[STEPS, BATCH, config.input]);
    let [h, c] = states(config, BATCH);
    let (h0, c0) = (tensor(2, &h), (config.cell == Cell::Lstm).then(|| tensor(3, &c)));
    let mask: Vec<bool> = fill(4, STEPS * BATCH, 1.0).iter().map(|v| *v < 0.6).collect();
    let resets: Vec<bool> = fill(5, STEPS * BATCH, 1.0).iter().map(|v| *v < -0.4).collect();
    let input = RunOptions {
        h0: Some(&h0),
        c0: c0.as_ref(),
        lengths: Some(&[STEPS, 0, 11]),
        mask: Some(&mask),
        resets: Some(&resets),
        ..Default::default()
    };
    let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(7))).expect("run");
    let pull = |y: &Tensor, stream: u32| {
        let weights = Tensor::from_slice(device, &fill(stream, y.len(), 1.0), y.dims()).expect("allocated");
        y.mul(&weights).and_then(|y| y.sum()).expect("sum")
    };
    let loss = pull(&out.output, 8).add(&pull(&out.h_n, 9)).expect("loss");
    loss.backward().expect("backward");
    let mut all = vec![("output".to_string(), out.output.read_blocking()), ("h_n".into(), out.h_n.read_blocking())];
    let leaves = [("x".to_string(), x), ("h0".into(), h0)].into_iter().chain(c0.map(|c| ("c0".into(), c)));
    for (name, leaf) in leaves.chain(layer.parameters()) {
        all.push((format!("gradient of {name}"), leaf.grad().expect("a gradient").read_blocking()));
    }
    all.into_iter().map(|(name, values)| (name, values.expect("read"))).collect()
}

fn recomputation_does_not_change_gradients(device: &Device) {
    for cell in Cell::ALL {
        for (bidirectional, reverse) in [(false, false), (false, true), (true, false)] {
            for plan in PLANS.map(Some) {
                let options = RecurrentOptions { padding: Padding::RepeatLast, ..Default::default() };
                let config = RecurrentConfig {
                    bidirectional,
                    reverse,
                    layers: 2,
                    dropout: 0.2,
                    options,
                    plan,
                    ..RecurrentConfig::new(cell, 3, 5)
                };
                let want = run(device, &config);
                let options = RecurrentOptions { recompute: true, ..options };
                let got = run(device, &RecurrentConfig { options, ..config.clone() });
                for ((name, want), (_, got)) in want.iter().zip(&got) {
                    let want: Vec<f64> = want.iter().map(|&v| v as f64).collect();
                    assert_close(&format!("{name} of {config:?}"), got, &want, ORDER);
                }
            }
        }
    }
}

fn memory_is_less_than_half(device: &Device) {
    let peak = |recompute: bool| {
        let options = RecurrentOptions { recompute, ..Default::default() };
        let config = RecurrentConfig { options, ..RecurrentConfig::gru(8, 8) };
        let gru = config.build(device, &mut Rng::new(0)).expect("gru");
        let x = Tensor::zeros(device, &[900, 4, 8]).expect("allocated").requires_grad();
        device.reset_peak();
        let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut Rng::new(0))).expect("run").output;
        y.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
        device.memory_use().peak
    };
    let (without, with) = (peak(false), peak(true));
    assert!(2 * with < without, "{with} bytes against {without}");
    assert_eq!(device.memory_use().live, 0, "all memory is freed");
}

#[test]
fn unsupported_recomputation_is_refused() {
    let device = Device::cpu();
    for options in [
        RecurrentOptions { zoneout: 0.1, recompute: true, ..Default::default() },
        RecurrentOptions { recurrent_dropout: 0.1, recompute: true, ..Default::default() },
    ] {
        let refused = RecurrentConfig { options, ..Default::default() }.build(&device, &mut Rng::new(0)).err();
        assert!(matches!(refused, Some(Error::Value { arg: "recompute", .. })), "{refused:?}");
    }
    let options = RecurrentOptions { recompute: true, ..Default::default() };
    let gru = RecurrentConfig { options, ..Default::default() }.build(&device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::zeros(&device, &[2, 1, 1]).expect("allocated");
    let input = RunOptions { resets: Some(&[false, true]), reset_to_h0: true, ..Default::default() };
    let refused = gru.run(&x, input, &mut Mode::Eval).err();
    assert!(matches!(refused, Some(Error::Value { arg: "reset_to_h0", .. })), "{refused:?}");
}

/// Inputs are rarely on the tape, and their gradients would be as large as the inputs.
#[test]
fn gradients_of_inputs_off_the_tape_take_no_memory() {
    let device = Device::cpu();
    let grown = |loss: &Tensor| {
        let before = device.memory_use().live;
        device.reset_peak();
        loss.backward().expect("backward");
        device.memory_use().peak - before
    };
    let x = Tensor::zeros(&device, &[64, 8, 256]).expect("x");
    let bytes = 4 * x.len();
    let linear = Linear::new(&device, 256, 4, true, &mut Rng::new(1)).expect("linear");
    let loss =
        |x: &Tensor| linear.forward_with(x, &mut Mode::Train(&mut Rng::new(2))).and_then(|y| y.mean()).expect("loss");
    assert!(grown(&loss(&x)) < bytes / 2, "linear");
    assert!(grown(&loss(&x.requires_grad())) >= bytes, "linear, with the gradient of the input");
    let conv = Conv1dConfig { input: 256, output: 4, kernel: 1, ..Conv1dConfig::default() };
    let conv = conv.build(&device, &mut Rng::new(1)).expect("conv1d");
    let loss =
        |x: &Tensor| conv.forward_with(x, &mut Mode::Train(&mut Rng::new(2))).and_then(|y| y.mean()).expect("loss");
    assert!(grown(&loss(&x)) < bytes + bytes / 2, "conv1d: only the windows");
    assert!(grown(&loss(&x.requires_grad())) >= 2 * bytes, "conv1d, with the gradient of the input");
}
