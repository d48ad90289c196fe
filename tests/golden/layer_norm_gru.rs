//! The GRU with layer-normalized gates against PyTorch, and properties that any recurrent layer must have.
//!
//! The fixtures come from `tests/golden/generate_attention.py`.

use serde_json::Value;
use wgru::nn::{LayerNormGru, LayerNormGruConfig, LayerNormGruInput, LayerNormGruOutput, Mode, Module};
use wgru::train::{AdamConfig, Method, Optimizer, loss};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

/// Single precision against PyTorch's f64 over up to eight cells, each of which divides by a standard deviation twice.
/// Worst measured: 2e-6 (PyTorch in f32 is off by 9e-6 where a gate of 3 units has a variance of 1e-3).
const GOLDEN: f64 = 4e-6;
/// Products with a different number of rows may sum in a different order, which the normalization amplifies.
const ORDER: f64 = 2e-6;

on_every_backend![
    layer_norm_gru_matches_pytorch,
    two_parts_with_carried_state_equal_the_whole,
    reverse_is_flip_run_flip,
    a_sequence_does_not_see_its_batch,
    dropout_acts_between_layers_in_training,
    layer_norm_gru_learns_the_mean_of_its_input,
];

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn tensor(device: &Device, stream: u32, dims: &[usize], scale: f32) -> Tensor {
    let values = fill(stream, dims.iter().product(), scale);
    Tensor::from_slice(device, &values, dims).expect("uploaded")
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().expect("read back")
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

/// Gives the layer the fixtures' weights: layer l and direction d start at stream 2300 + 10 (2 l + d).
fn load(gru: &LayerNormGru) {
    let directions = 1 + gru.config().bidirectional as usize;
    for (i, (name, weight)) in gru.parameters().iter().enumerate() {
        let (layer, direction, kind) = (i / 6 / directions, i / 6 % directions, i % 6);
        let stream = 2300 + 10 * (2 * layer + direction) as u32 + kind as u32;
        let mut values = fill(stream, weight.len(), if kind < 2 { 1.0 } else { 0.5 });
        if name.starts_with("norm") && name.contains("weight") {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        weight.assign(&values).expect("assigned");
    }
}

fn swapped(x: &Tensor, batch_first: bool) -> Tensor {
    if batch_first { x.permute(&[1, 0, 2]).expect("three axes") } else { x.clone() }
}

fn layer_norm_gru_matches_pytorch(device: &Device) {
    let json: Value = serde_json::from_str(include_str!("attention.json")).expect("attention.json");
    let cases = json["layer_norm_gru"].as_array().expect("cases");
    assert_eq!(cases.len(), 6);
    for (case, batch_first) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let size = |key: &str| case[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize;
        let flag = |key: &str| case[key] == true;
        let [input, hidden, layers, steps, batch] = ["input", "hidden", "layers", "steps", "batch"].map(size);
        let (bidirectional, reverse) = (flag("bidirectional"), flag("reverse"));
        let config =
            LayerNormGruConfig { input, hidden, layers, batch_first, bidirectional, reverse, ..Default::default() };
        let gru = config.build(device, &mut Rng::new(0)).expect("a legal configuration");
        load(&gru);
        let x = tensor(device, 2200, &[steps, batch, input], 1.0).requires_grad();
        let states = layers * (1 + bidirectional as usize);
        let h0 = tensor(device, 2201, &[states, batch, hidden], 0.5).requires_grad();
        let lengths = case["lengths"].as_array().map(|_| numbers(&case["lengths"]));
        let lengths: Option<Vec<usize>> = lengths.map(|list| list.iter().map(|&v| v as usize).collect());
        let with = LayerNormGruInput { h0: Some(&h0), lengths: lengths.as_deref() };
        let out = gru.run(&swapped(&x, batch_first), with, &mut Mode::Train(&mut Rng::new(0))).expect("run");
        let y = swapped(&out.output, batch_first);

        let what = |name: &str| format!("{name} of {}, batch first {batch_first}", case["name"]);
        assert_close(&what("y"), &read(&y), &numbers(&case["y"]), GOLDEN);
        assert_close(&what("h_n"), &read(&out.h_n), &numbers(&case["h_n"]), GOLDEN);
        let from_y = y.mul(&tensor(device, 2202, y.dims(), 1.0)).and_then(|v| v.sum()).expect("loss");
        let from_h = out.h_n.mul(&tensor(device, 2203, out.h_n.dims(), 1.0)).and_then(|v| v.sum()).expect("loss");
        from_y.add(&from_h).and_then(|loss| loss.backward()).expect("backward");
        let mut leaves = vec![("dx".to_string(), x), ("dh0".to_string(), h0)];
        leaves.extend(gru.parameters().into_iter().map(|(name, weight)| (format!("d.{name}"), weight)));
        assert_eq!(leaves.len(), case["gradients"].as_object().expect("gradients").len());
        for (name, leaf) in leaves {
            let grad = leaf.grad().unwrap_or_else(|| panic!("{name}: no gradient"));
            assert_close(&what(&name), &read(&grad), &numbers(&case["gradients"][&name]), GOLDEN);
        }
    }
}

const STEPS: usize = 5;
const BATCH: usize = 3;
const INPUT: usize = 2;
const HIDDEN: usize = 4;

fn layer(device: &Device, config: LayerNormGruConfig) -> LayerNormGru {
    let config = LayerNormGruConfig { input: INPUT, hidden: HIDDEN, ..config };
    config.build(device, &mut Rng::new(7)).expect("a legal configuration")
}

fn input(device: &Device) -> Tensor {
    tensor(device, 1, &[STEPS, BATCH, INPUT], 1.0)
}

fn eval(gru: &LayerNormGru, x: &Tensor, input: LayerNormGruInput) -> LayerNormGruOutput {
    gru.run(x, input, &mut Mode::Eval).expect("run")
}

fn two_parts_with_carried_state_equal_the_whole(device: &Device) {
    let gru = layer(device, LayerNormGruConfig { layers: 2, ..Default::default() });
    let whole = eval(&gru, &input(device), LayerNormGruInput::default());
    assert!(!whole.output.is_tracked(), "evaluation records no tape");
    let parts = input(device).split(0, &[2, 3]).expect("parts");
    let first = eval(&gru, &parts[0], LayerNormGruInput::default());
    let second = eval(&gru, &parts[1], LayerNormGruInput { h0: Some(&first.h_n), lengths: None });
    let both = [read(&first.output), read(&second.output)].concat();
    assert_close("output", &both, &wide(&read(&whole.output)), ORDER);
    assert_close("h_n", &read(&second.h_n), &wide(&read(&whole.h_n)), ORDER);
}

fn reverse_is_flip_run_flip(device: &Device) {
    let flip = |x: &Tensor| {
        let parts = x.split(0, &[1; STEPS]).expect("steps");
        Tensor::concat(&parts.iter().rev().collect::<Vec<_>>(), 0).expect("steps")
    };
    let [forward, reverse] = [false, true]
        .map(|reverse| eval_with(device, reverse, &if reverse { flip(&input(device)) } else { input(device) }));
    assert_eq!(read(&flip(&reverse.output)), read(&forward.output));
    assert_eq!(read(&reverse.h_n), read(&forward.h_n));
}

fn eval_with(device: &Device, reverse: bool, x: &Tensor) -> LayerNormGruOutput {
    eval(&layer(device, LayerNormGruConfig { reverse, ..Default::default() }), x, LayerNormGruInput::default())
}

fn a_sequence_does_not_see_its_batch(device: &Device) {
    let gru = layer(device, LayerNormGruConfig { layers: 2, bidirectional: true, ..Default::default() });
    let lengths = [3, 5, 0];
    let h0 = tensor(device, 2, &[4, BATCH, HIDDEN], 0.5);
    let out = eval(&gru, &input(device), LayerNormGruInput { h0: Some(&h0), lengths: Some(&lengths) });
    for (row, &length) in lengths.iter().enumerate() {
        let y = read(&out.output.slice(1, row..row + 1).expect("a row"));
        let h_n = read(&out.h_n.slice(1, row..row + 1).expect("a row"));
        let start = h0.slice(1, row..row + 1).expect("a row");
        assert_eq!(y[length * 2 * HIDDEN..], vec![0.0; (STEPS - length) * 2 * HIDDEN], "padding of row {row}");
        if length == 0 {
            assert_eq!(h_n, read(&start), "nothing was read");
            continue;
        }
        // The sequence alone, cut to its length.
        let x = input(device).slice(1, row..row + 1).and_then(|x| x.slice(0, 0..length)).expect("a sequence");
        let alone = eval(&gru, &x, LayerNormGruInput { h0: Some(&start), lengths: None });
        assert_close("output", &y[..length * 2 * HIDDEN], &wide(&read(&alone.output)), ORDER);
        assert_close("h_n", &h_n, &wide(&read(&alone.h_n)), ORDER);
    }
}

fn dropout_acts_between_layers_in_training(device: &Device) {
    let gru = layer(device, LayerNormGruConfig { layers: 2, dropout: 0.5, ..Default::default() });
    let train = |seed| read(&gru.forward_with(&input(device), &mut Mode::Train(&mut Rng::new(seed))).expect("run"));
    let plain = read(&gru.forward(&input(device)).expect("run"));
    assert_eq!(train(1), train(1));
    assert!(train(1) != train(2) && train(1) != plain);
    let one = layer(device, LayerNormGruConfig { dropout: 0.5, ..Default::default() });
    let train = one.forward_with(&input(device), &mut Mode::Train(&mut Rng::new(1))).expect("run");
    assert_eq!(read(&train), read(&one.forward(&input(device)).expect("run")), "one layer has no dropout");
}

fn layer_norm_gru_learns_the_mean_of_its_input(device: &Device) {
    let gru = layer(device, LayerNormGruConfig::default());
    let x = input(device);
    let target = x.sum_axis(0).and_then(|sum| sum.sum_axis(2)?.scale(0.1)).expect("target");
    let adam = Method::Adam(AdamConfig::default());
    let mut optimizer = Optimizer::new(gru.parameters(), adam, 0.03).expect("optimizer");
    let mut rng = Rng::new(1);
    let mut update = || -> Result<Tensor> {
        optimizer.zero_grad();
        let out = gru.run(&x, LayerNormGruInput::default(), &mut Mode::Train(&mut rng))?;
        let loss = loss::mse(&out.h_n.slice(2, 0..1)?, &target)?;
        loss.backward()?;
        optimizer.step()?;
        Ok(loss)
    };
    let losses: Vec<f32> =
        (0..40).map(|_| update().and_then(|loss| loss.item_blocking()).expect("an update")).collect();
    assert!(losses[39] < 0.05 * losses[0], "{losses:?}");
}

#[test]
fn layer_norm_gru_refuses_invalid_input() {
    let device = Device::cpu();
    let rng = &mut Rng::new(0);
    let base = LayerNormGruConfig { input: 2, hidden: 3, layers: 2, ..Default::default() };
    let refused = |result: Result<()>, words: &[&str]| {
        let text = result.expect_err("refused").to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text:?} does not name {words:?}");
    };
    for (wrong, word) in [
        (LayerNormGruConfig { input: 0, ..base.clone() }, "input"),
        (LayerNormGruConfig { hidden: 1, ..base.clone() }, "hidden"),
        (LayerNormGruConfig { hidden: usize::MAX, ..base.clone() }, "shape"),
        (LayerNormGruConfig { layers: 0, ..base.clone() }, "layers"),
        (LayerNormGruConfig { dropout: 1.0, ..base.clone() }, "p"),
        (LayerNormGruConfig { bidirectional: true, reverse: true, ..base.clone() }, "reverse"),
    ] {
        refused(wrong.build(&device, rng).map(|_| ()), &["LayerNormGru", word]);
    }
    let gru = base.build(&device, rng).expect("a legal configuration");
    let zeros = |dims: &[usize]| Tensor::zeros(&device, dims).expect("zeros");
    let run = |x: &Tensor, input| gru.run(x, input, &mut Mode::Eval).map(|_| ());
    let (x, h0, none) = (zeros(&[4, 3, 2]), zeros(&[1, 3, 3]), LayerNormGruInput::default());
    refused(run(&zeros(&[4, 2]), none), &["x", "[steps, batch, 2]", "[4, 2]"]);
    refused(run(&zeros(&[4, 3, 3]), none), &["x", "[4, 3, 3]"]);
    refused(run(&x, LayerNormGruInput { h0: Some(&h0), ..none }), &["h0", "[2, 3, 3]"]);
    refused(run(&x, LayerNormGruInput { lengths: Some(&[4, 4]), ..none }), &["lengths", "[3]", "[2]"]);
    refused(run(&x, LayerNormGruInput { lengths: Some(&[4, 5, 0]), ..none }), &["lengths", "0..=4", "5"]);
    let indices = Tensor::from_indices(&device, &[0; 24], &[4, 3, 2]).expect("indices");
    refused(run(&indices, none), &["x", "f32", "u32"]);
}
