//! The GRU layer in every configuration: outputs, and gradients of `x`, `h0` and all parameters.

use wgru::nn::{Gru, Mode, Module, RecurrentConfig, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill, twin};
use crate::reference::gru::Network;
use crate::reference::{differences, dot, wide};

/// Up to eight consecutive cells in f32.
const FORWARD: f64 = 6e-7;
/// The same backward, plus a sum over twelve steps of sequences. Central differences in f64 are accurate to 1e-9.
const GRADIENT: f64 = 1.5e-6;

const STEPS: usize = 4;
const BATCH: usize = 3;
const INPUT: usize = 2;
const HIDDEN: usize = 3;

/// Everything except the plan and the order of the first two axes, which do not affect the result.
#[derive(Clone, Debug)]
struct Case {
    network: Network,
    lengths: Option<[usize; BATCH]>,
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for layers in [1, 2] {
        for (bidirectional, reverse) in [(false, false), (false, true), (true, false)] {
            for (bias, reset_before) in [(true, false), (true, true), (false, false), (false, true)] {
                for lengths in [None, Some([2, 4, 1])] {
                    let (input, hidden) = (INPUT, HIDDEN);
                    let network = Network { input, hidden, layers, bias, bidirectional, reverse, reset_before };
                    all.push(Case { network, lengths });
                }
            }
        }
    }
    all
}

fn layer(device: &Device, n: &Network, plan: Plan, batch_first: bool) -> Gru {
    let cell = if n.reset_before { Cell::GruResetBefore } else { Cell::Gru };
    let config = RecurrentConfig {
        layers: n.layers,
        bias: n.bias,
        bidirectional: n.bidirectional,
        reverse: n.reverse,
        batch_first,
        plan: Some(plan),
        ..RecurrentConfig::new(cell, n.input, n.hidden)
    };
    config.build(device, &mut Rng::new(5)).expect("a legal configuration")
}

/// Permutes `[T, B, width]` to `[B, T, width]`, or back with the extents swapped.
fn swapped<T: Copy>(values: &[T], [outer, inner]: [usize; 2]) -> Vec<T> {
    let width = values.len() / outer / inner;
    let row = |i: usize, o: usize| values[(o * inner + i) * width..][..width].to_vec();
    (0..inner).flat_map(|i| (0..outer).flat_map(move |o| row(i, o))).collect()
}

/// Which outputs the loss `Σ output·dy + Σ h_n·dh_n` includes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Both,
    Output,
    State,
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().expect("read back")
}

fn check(case: &Case, loss: Loss, plans: &[(Plan, bool)]) {
    let device = twin();
    let n = case.network;
    let directions = 1 + n.bidirectional as usize;
    let lengths = case.lengths.unwrap_or([STEPS; BATCH]);
    let x = fill(1, STEPS * BATCH * INPUT, 1.0);
    let h0 = fill(2, n.layers * directions * BATCH * HIDDEN, 0.9);
    let dy = fill(3, STEPS * BATCH * directions * HIDDEN, if loss == Loss::State { 0.0 } else { 1.0 });
    let dh_n = fill(4, h0.len(), if loss == Loss::Output { 0.0 } else { 1.0 });

    // The reference runs once for all plans, on x, h0 and the parameters.
    let parameters = layer(&device, &n, Plan::Chain, false).parameters();
    let inputs: Vec<Vec<f64>> =
        [wide(&x), wide(&h0)].into_iter().chain(parameters.iter().map(|(_, p)| wide(&read(p)))).collect();
    let forward = |v: &[Vec<f64>]| n.run(&v[2..], &v[0], &v[1], &lengths);
    let (want_y, want_h_n) = forward(&inputs);
    let want = differences(&inputs, |moved| {
        let (y, h_n) = forward(moved);
        dot(&y, &wide(&dy)) + dot(&h_n, &wide(&dh_n))
    });

    for &(plan, batch_first) in plans {
        let what = format!("{case:?}, {loss:?}, {plan}, batch first {batch_first}");
        let run = || -> Result<_> {
            let gru = layer(&device, &n, plan, batch_first);
            let by_time = |values: &[f32], dims: [usize; 3]| match batch_first {
                true => Tensor::from_slice(&device, &swapped(values, [STEPS, BATCH]), &[dims[1], dims[0], dims[2]]),
                false => Tensor::from_slice(&device, values, &dims),
            };
            let x = by_time(&x, [STEPS, BATCH, INPUT])?.requires_grad();
            let state = [n.layers * directions, BATCH, HIDDEN];
            let h0 = Tensor::from_slice(&device, &h0, &state)?.requires_grad();
            let lengths = case.lengths.as_ref().map(|l| &l[..]);
            let out = gru.run(
                &x,
                RunOptions { h0: Some(&h0), lengths, ..Default::default() },
                &mut Mode::Train(&mut Rng::new(0)),
            )?;
            let from_y = out.output.mul(&by_time(&dy, [STEPS, BATCH, directions * HIDDEN])?)?.sum()?;
            let from_h = out.h_n.mul(&Tensor::from_slice(&device, &dh_n, &state)?)?.sum()?;
            match loss {
                Loss::Both => from_y.add(&from_h)?,
                Loss::Output => from_y,
                Loss::State => from_h,
            }
            .backward()?;
            Ok((gru, x, h0, out))
        };
        let (gru, x, h0, out) = run().expect("forward and backward");
        let time_first = |v: Vec<f32>| if batch_first { swapped(&v, [BATCH, STEPS]) } else { v };
        assert_close(&format!("output of {what}"), &time_first(read(&out.output)), &want_y, FORWARD);
        assert_close(&format!("h_n of {what}"), &read(&out.h_n), &want_h_n, FORWARD);
        let grad = |name: &str, t: &Tensor| read(&t.grad().unwrap_or_else(|| panic!("{name} of {what}: no gradient")));
        assert_close(&format!("dx of {what}"), &time_first(grad("x", &x)), &want[0], GRADIENT);
        assert_close(&format!("dh0 of {what}"), &grad("h0", &h0), &want[1], GRADIENT);
        for ((name, parameter), want) in gru.parameters().iter().zip(&want[2..]) {
            assert_close(&format!("{name} of {what}"), &grad(name, parameter), want, GRADIENT);
        }
    }
}

const PLANS: [(Plan, bool); 5] =
    [(Plan::Whole, false), (Plan::Whole, true), (Plan::Chain, false), (Plan::Chain, true), (Plan::Steps, false)];

#[test]
fn gru_gradients_match_differences_in_every_configuration() {
    let all = cases();
    assert_eq!(all.len(), 48);
    all.iter().for_each(|case| check(case, Loss::Both, &PLANS));
}

#[test]
fn gru_gradients_match_when_only_one_output_is_used() {
    for case in cases().iter().filter(|case| case.network.bias && case.lengths.is_some()) {
        for loss in [Loss::Output, Loss::State] {
            check(case, loss, &PLANS[1..3]);
        }
    }
}

/// Negative control: the gradients of the other reset form are rejected.
#[test]
#[should_panic(expected = "output of")]
fn gru_gradients_of_the_other_reset_form_are_rejected() {
    let device = twin();
    let n = cases()[0].network;
    let gru = layer(&device, &Network { reset_before: true, ..n }, Plan::Whole, false);
    let (x, h0) = (fill(1, STEPS * BATCH * INPUT, 1.0), fill(2, BATCH * HIDDEN, 0.9));
    let parameters: Vec<Vec<f64>> = gru.parameters().iter().map(|(_, p)| wide(&read(p))).collect();
    let (want, _) = n.run(&parameters, &wide(&x), &wide(&h0), &[STEPS; BATCH]);
    let x = Tensor::from_slice(&device, &x, &[STEPS, BATCH, INPUT]).expect("uploaded");
    let h0 = Tensor::from_slice(&device, &h0, &[1, BATCH, HIDDEN]).expect("uploaded");
    let out = gru.run(&x, RunOptions { h0: Some(&h0), ..Default::default() }, &mut Mode::Eval).expect("run");
    assert_close("output of the other form", &read(&out.output), &want, FORWARD);
}

/// With dropout between the layers, the gradient is that of the network whose middle is scaled by the same mask.
#[test]
fn gru_dropout_gradient_uses_the_mask_of_the_forward_pass() {
    let device = twin();
    let (p, seed) = (0.4, 11);
    let config = RecurrentConfig { layers: 2, dropout: p, ..RecurrentConfig::gru(INPUT, HIDDEN) };
    let gru = config.build(&device, &mut Rng::new(5)).expect("a legal configuration");
    let ones = Tensor::full(&device, 1.0, &[STEPS, BATCH, HIDDEN]).expect("allocated");
    let mask = Mode::Train(&mut Rng::new(seed)).dropout(&ones, p).expect("the same draw");
    let mask = wide(&read(&mask));
    assert!(mask.contains(&0.0) && mask.iter().any(|&m| m > 1.0), "{mask:?}");

    let x = fill(1, STEPS * BATCH * INPUT, 1.0);
    let dy = fill(3, STEPS * BATCH * HIDDEN, 1.0);
    let leaf = Tensor::from_slice(&device, &x, &[STEPS, BATCH, INPUT]).expect("uploaded").requires_grad();
    let out = gru.run(&leaf, RunOptions::default(), &mut Mode::Train(&mut Rng::new(seed))).expect("run");
    let dy_tensor = Tensor::from_slice(&device, &dy, out.output.dims()).expect("uploaded");
    out.output.backward_with(&dy_tensor).expect("backward");

    let mut inputs = vec![wide(&x)];
    inputs.extend(gru.parameters().iter().map(|(_, p)| wide(&read(p))));
    let one = Network { layers: 1, ..cases()[0].network };
    let forward = |v: &[Vec<f64>]| {
        let zeros = vec![0.0; BATCH * HIDDEN];
        let (middle, _) = one.run(&v[1..5], &v[0], &zeros, &[STEPS; BATCH]);
        let middle: Vec<f64> = middle.iter().zip(&mask).map(|(v, m)| v * m).collect();
        Network { input: HIDDEN, ..one }.run(&v[5..], &middle, &zeros, &[STEPS; BATCH]).0
    };
    assert_close("output", &read(&out.output), &forward(&inputs), FORWARD);
    let want = differences(&inputs, |moved| dot(&forward(moved), &wide(&dy)));
    assert_close("dx", &read(&leaf.grad().expect("a gradient")), &want[0], GRADIENT);
    for ((name, parameter), want) in gru.parameters().iter().zip(&want[1..]) {
        assert_close(name, &read(&parameter.grad().expect("a gradient")), want, GRADIENT);
    }
}

/// Processors are slow with subnormal numbers, and gradients that vanish over many steps pass through them.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn gradients_that_vanish_are_zero_and_never_subnormal() -> Result<()> {
    for cell in Cell::ALL {
        let device = Device::cpu();
        let layer = RecurrentConfig::new(cell, 4, 16).build(&device, &mut Rng::new(1))?;
        let x = Tensor::from_slice(&device, &fill(2, 900 * 4, 1.0), &[900, 1, 4])?.requires_grad();
        let y = layer.forward_with(&x, &mut Mode::Train(&mut Rng::new(2)))?;
        y.slice(0, 899..900)?.sum()?.backward()?;
        let grad = x.grad().expect("a gradient").read_blocking()?;
        assert!(grad[..4].iter().all(|v| *v == 0.0), "{cell}: the gradient vanishes within 900 steps");
        assert!(grad[899 * 4..].iter().any(|v| v.abs() > 1e-4), "{cell}");
        let subnormal = grad.iter().filter(|v| v.is_subnormal()).count();
        assert!(subnormal <= 4, "{cell}: {subnormal} of {} are subnormal", grad.len());
    }
    Ok(())
}
