//! Values at padded steps must not matter: NaN or infinity there must not affect an output, the gradient of a weight,
//! or the gradient of another step. PyTorch's packed sequences do not contain padded steps at all.

use wgru::nn::{
    AttentionConfig, KeyMask, LayerNormGruConfig, LayerNormGruInput, MinGruConfig, MinGruForm, MinGruInput, Mode,
    Module, Padding, RecurrentConfig, RecurrentOptions, RunOptions, Score,
};
use wgru::{Cell, Device, Rng, Tensor};

use crate::common::fill;
use crate::common::recurrent::PLANS;
use crate::on_every_backend;

on_every_backend![
    recurrent_layers_ignore_padding,
    recurrent_options_ignore_padding,
    a_reset_at_the_first_step_drops_the_first_state,
    min_gru_ignores_padding,
    layer_norm_gru_ignores_padding,
    attention_ignores_masked_keys,
];

const STEPS: usize = 7;
const BATCH: usize = 4;
/// One sequence is full, and one has no steps at all.
const LENGTHS: [usize; BATCH] = [STEPS, 0, 3, 5];
/// Values of the padding.
const STRAYS: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

type Results = Vec<(String, Vec<f32>)>;

fn tensor(device: &Device, values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_slice(device, values, dims).expect("allocated")
}

/// Random numbers `[steps, batch, width]`, with `stray` at padded steps.
fn padded(device: &Device, stream: u32, width: usize, stray: f32, counts: &dyn Fn(usize, usize) -> bool) -> Tensor {
    let mut values = fill(stream, STEPS * BATCH * width, 1.0);
    for (i, row) in values.chunks_exact_mut(width).enumerate() {
        if !counts(i / BATCH, i % BATCH) {
            row.fill(stray);
        }
    }
    tensor(device, &values, &[STEPS, BATCH, width]).requires_grad()
}

/// Initial states, with `stray` for the sequence without steps.
fn states(device: &Device, stream: u32, dims: &[usize], stray: f32) -> Tensor {
    let mut values = fill(stream, dims.iter().product(), 1.0);
    for state in values.chunks_exact_mut(BATCH * dims[2]) {
        state[dims[2]..2 * dims[2]].fill(stray);
    }
    tensor(device, &values, dims).requires_grad()
}

/// `Σ y·w` with random `w`.
fn pull(y: &Tensor, stream: u32) -> Tensor {
    y.mul(&tensor(y.device(), &fill(stream, y.len(), 1.0), y.dims())).and_then(|y| y.sum()).expect("sum")
}

/// The states of the sequences with steps, which are the first and the last two.
fn with_steps(h_n: &Tensor) -> Tensor {
    let parts = [h_n.slice(1, 0..1), h_n.slice(1, 2..BATCH)].map(|part| part.expect("part"));
    Tensor::concat(&[&parts[0], &parts[1]], 1).expect("states")
}

/// Returns outputs, last states, and all gradients of a loss.
fn results(loss: &Tensor, outputs: &[(&str, &Tensor)], leaves: Vec<(String, Tensor)>) -> Results {
    loss.backward().expect("backward");
    let outputs = outputs.iter().map(|(name, t)| (name.to_string(), t.read_blocking().expect("read")));
    let gradient = |(name, leaf): (String, Tensor)| {
        (format!("gradient of {name}"), leaf.grad().expect("a gradient").read_blocking().expect("read"))
    };
    outputs.chain(leaves.into_iter().map(gradient)).collect()
}

/// Asserts that the results with each stray value in the padding equal those with 0.
#[track_caller]
fn assert_padding_is_unseen(what: &str, run: impl Fn(f32) -> Results) {
    let want = run(0.0);
    assert!(want.iter().any(|(name, values)| name.contains("weight") && values.iter().any(|v| *v != 0.0)), "{what}");
    for stray in STRAYS {
        for ((name, want), (_, got)) in want.iter().zip(run(stray)) {
            assert!(got.iter().all(|v| v.is_finite()), "{what}, {stray} in the padding: {name} is {got:?}");
            assert_eq!(&got, want, "{what}, {stray} in the padding: {name}");
        }
    }
}

/// Asserts that the gradient of `x` is exactly 0 at padded steps.
#[track_caller]
fn assert_zero_at_padding(what: &str, dx: &[f32], width: usize, counts: &dyn Fn(usize, usize) -> bool) {
    for (i, row) in dx.chunks_exact(width).enumerate() {
        assert!(counts(i / BATCH, i % BATCH) || row.iter().all(|v| *v == 0.0), "{what}: {row:?} at {i}");
    }
}

/// Runs a layer with lengths, or with the corresponding mask minus two steps.
fn recurrent(device: &Device, config: &RecurrentConfig, stray: f32, masked: bool) -> Results {
    let counts = |t: usize, row: usize| t < LENGTHS[row] && !(masked && row == 3 && (t == 0 || t == 2));
    let layer = config.clone().build(device, &mut Rng::new(3)).expect("layer");
    let x = padded(device, 1, config.input, stray, &counts);
    let [h, c] = crate::common::recurrent::states(config, BATCH);
    let (h0, c0) = (states(device, 2, &h, stray), (config.cell == Cell::Lstm).then(|| states(device, 3, &c, stray)));
    let mask: Vec<bool> = (0..STEPS * BATCH).map(|i| counts(i / BATCH, i % BATCH)).collect();
    let mut input = RunOptions { h0: Some(&h0), c0: c0.as_ref(), ..Default::default() };
    if masked {
        input.mask = Some(&mask);
    } else {
        input.lengths = Some(&LENGTHS);
    }
    let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(7))).expect("run");
    let h_n = with_steps(&out.h_n);
    let mut loss = pull(&out.output, 8).add(&pull(&h_n, 9)).expect("loss");
    if let Some(c_n) = &out.c_n {
        loss = loss.add(&pull(&with_steps(c_n), 10)).expect("loss");
    }
    let leaves = [("x".to_string(), x.clone()), ("h0".into(), h0)].into_iter().chain(c0.map(|c| ("c0".into(), c)));
    let all = results(&loss, &[("output", &out.output), ("h_n", &h_n)], leaves.chain(layer.parameters()).collect());
    let what = format!("{config:?}, {stray} in the padding");
    assert_zero_at_padding(&what, &x.grad().expect("dx").read_blocking().expect("read"), config.input, &counts);
    all
}

fn recurrent_layers_ignore_padding(device: &Device) {
    for cell in Cell::ALL {
        for plan in PLANS {
            for (bidirectional, reverse) in [(false, false), (false, true), (true, false)] {
                for masked in [false, true] {
                    let layers = 1 + bidirectional as usize;
                    let config = RecurrentConfig {
                        plan: Some(plan),
                        bidirectional,
                        reverse,
                        layers,
                        ..RecurrentConfig::new(cell, 3, 5)
                    };
                    assert_padding_is_unseen(&format!("{config:?}"), |stray| recurrent(device, &config, stray, masked));
                }
            }
        }
    }
}

fn recurrent_options_ignore_padding(device: &Device) {
    let none = RecurrentOptions::default();
    let options = [
        RecurrentOptions { padding: Padding::RepeatLast, ..none },
        RecurrentOptions { recompute: true, ..none },
        RecurrentOptions { zoneout: 0.3, recurrent_dropout: 0.4, input_dropout: 0.3, ..none },
        RecurrentOptions { clip: Some(0.7), weight_dropout: 0.3, ..none },
    ];
    for cell in Cell::ALL {
        for options in options {
            let config = RecurrentConfig { options, bidirectional: true, ..RecurrentConfig::new(cell, 3, 5) };
            assert_padding_is_unseen(&format!("{config:?}"), |stray| recurrent(device, &config, stray, false));
        }
    }
    for (projection, peephole, input_forget) in [(2, false, false), (0, true, false), (3, true, true)] {
        let config = RecurrentConfig {
            projection,
            peephole,
            input_forget,
            bidirectional: true,
            ..RecurrentConfig::new(Cell::Lstm, 3, 5)
        };
        assert_padding_is_unseen(&format!("{config:?}"), |stray| recurrent(device, &config, stray, true));
    }
}

/// A sequence with a reset at step 0 starts from 0, whatever the initial state is, and passes no gradient to it.
fn a_reset_at_the_first_step_drops_the_first_state(device: &Device) {
    for cell in Cell::ALL {
        for plan in PLANS {
            let config = RecurrentConfig { plan: Some(plan), ..RecurrentConfig::new(cell, 3, 5) };
            let resets: Vec<bool> = (0..STEPS * BATCH).map(|i| i == 1 || i == 9).collect();
            assert_padding_is_unseen(&format!("{config:?}"), |stray| {
                let layer = config.clone().build(device, &mut Rng::new(3)).expect("layer");
                let x = padded(device, 1, 3, 0.0, &|_, _| true);
                let [h, c] = crate::common::recurrent::states(&config, BATCH);
                let h0 = states(device, 2, &h, stray);
                let c0 = (config.cell == Cell::Lstm).then(|| states(device, 3, &c, stray));
                let input = RunOptions { h0: Some(&h0), c0: c0.as_ref(), resets: Some(&resets), ..Default::default() };
                let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(7))).expect("run");
                let loss = pull(&out.output, 8).add(&pull(&out.h_n, 9)).expect("loss");
                let leaves = [("x".to_string(), x), ("h0".into(), h0)].into_iter().chain(layer.parameters());
                results(&loss, &[("output", &out.output), ("h_n", &out.h_n)], leaves.collect())
            });
        }
    }
}

fn min_gru_ignores_padding(device: &Device) {
    let counts = |t: usize, row: usize| t < LENGTHS[row];
    for form in [MinGruForm::Linear, MinGruForm::Log] {
        for (bidirectional, reverse) in [(false, false), (false, true), (true, false)] {
            let config =
                MinGruConfig { input: 3, hidden: 5, layers: 2, form, bidirectional, reverse, ..Default::default() };
            assert_padding_is_unseen(&format!("{config:?}"), |stray| {
                let layer = config.clone().build(device, &mut Rng::new(3)).expect("layer");
                let x = padded(device, 1, 3, stray, &counts);
                let dims = [2 * (1 + bidirectional as usize), BATCH, 5];
                // The initial states of the logarithmic form must not be negative.
                let h0 = states(device, 2, &dims, stray).detach().abs().expect("states").requires_grad();
                let input = MinGruInput { h0: Some(&h0), lengths: Some(&LENGTHS) };
                let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(7))).expect("run");
                let h_n = with_steps(&out.h_n);
                let loss = pull(&out.output, 8).add(&pull(&h_n, 9)).expect("loss");
                let leaves = [("x".to_string(), x.clone())].into_iter().chain(layer.parameters());
                let all = results(&loss, &[("output", &out.output), ("h_n", &h_n)], leaves.collect());
                let dx = x.grad().expect("dx").read_blocking().expect("read");
                assert_zero_at_padding(&format!("{config:?}"), &dx, 3, &counts);
                all
            });
        }
    }
}

fn layer_norm_gru_ignores_padding(device: &Device) {
    let counts = |t: usize, row: usize| t < LENGTHS[row];
    for (bidirectional, reverse) in [(false, true), (true, false)] {
        let config =
            LayerNormGruConfig { input: 3, hidden: 5, layers: 2, bidirectional, reverse, ..Default::default() };
        assert_padding_is_unseen(&format!("{config:?}"), |stray| {
            let layer = config.clone().build(device, &mut Rng::new(3)).expect("layer");
            let x = padded(device, 1, 3, stray, &counts);
            let h0 = states(device, 2, &[2 * (1 + bidirectional as usize), BATCH, 5], stray);
            let input = LayerNormGruInput { h0: Some(&h0), lengths: Some(&LENGTHS) };
            let out = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(7))).expect("run");
            let h_n = with_steps(&out.h_n);
            let loss = pull(&out.output, 8).add(&pull(&h_n, 9)).expect("loss");
            let leaves = [("x".to_string(), x.clone()), ("h0".into(), h0)].into_iter().chain(layer.parameters());
            let all = results(&loss, &[("output", &out.output), ("h_n", &h_n)], leaves.collect());
            let dx = x.grad().expect("dx").read_blocking().expect("read");
            assert_zero_at_padding(&format!("{config:?}"), &dx, 3, &counts);
            all
        });
    }
}

fn attention_ignores_masked_keys(device: &Device) {
    let counts = |t: usize, row: usize| t < LENGTHS[row];
    let keep: Vec<bool> = (0..BATCH * STEPS).map(|i| counts(i % STEPS, i / STEPS)).collect();
    for score in [Score::General, Score::Additive { units: 6 }] {
        for mask in [KeyMask::Lengths(&LENGTHS), KeyMask::Keep(&keep)] {
            let config = AttentionConfig { query: 4, key: 3, score, ..Default::default() };
            assert_padding_is_unseen(&format!("{config:?}"), |stray| {
                let attention = config.clone().build(device, &mut Rng::new(3)).expect("attention");
                let (keys, values) = (padded(device, 1, 3, stray, &counts), padded(device, 2, 2, stray, &counts));
                let query = tensor(device, &fill(3, 2 * BATCH * 4, 1.0), &[2, BATCH, 4]).requires_grad();
                let out = attention.run(&query, &keys, &values, mask, &Mode::Train(&mut Rng::new(7))).expect("run");
                let loss = pull(&out.context, 8).add(&pull(&out.weights, 9)).expect("loss");
                let leaves = [("query", &query), ("keys", &keys), ("values", &values)];
                let leaves = leaves.map(|(name, leaf)| (name.to_string(), leaf.clone()));
                let outputs = [("context", &out.context), ("attention", &out.weights)];
                let all = results(&loss, &outputs, leaves.into_iter().chain(attention.parameters()).collect());
                for (leaf, width) in [(&keys, 3), (&values, 2)] {
                    assert_zero_at_padding(
                        "keys",
                        &leaf.grad().expect("dk").read_blocking().expect("read"),
                        width,
                        &counts,
                    );
                }
                all
            });
        }
    }
}
