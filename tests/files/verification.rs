//! Runs stored in model files: layers agree with f64, and every classical import mistake is caught and named.

use wgru::io::{TensorFile, add_verification, compare, load_recurrent_blocking, recurrent_to_file, verify};
use wgru::nn::{HostInput, Module, Padding, Recurrent, RecurrentConfig, RecurrentOptions};
use wgru::{Activation, Cell, Device, Rng};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![layers_agree_with_their_run_in_f64, correct_imports_pass_and_mistakes_are_named,];

/// f32 against f64: gates and states of at most 2, over 7 steps and 2 layers.
const F64: f64 = 1e-6;

/// Sets all parameters, including biases and learned initial states, to nonzero values.
fn trained(layer: Recurrent) -> Recurrent {
    for (stream, (_, tensor)) in layer.parameters().iter().enumerate() {
        tensor.assign(&fill(stream as u32, tensor.len(), 0.8)).expect("assigned");
    }
    layer
}

fn agrees(what: &str, layer: &Recurrent, input: &HostInput) {
    let comparison = pollster::block_on(compare(layer, input, F64)).expect("compared");
    // Above 0, since single precision never reproduces f64 exactly.
    assert!(comparison.largest > 0.0 && comparison.largest <= F64, "{what}: {comparison:?}");
    assert!(comparison.first.is_none(), "{what}: {comparison:?}");
    println!("{what} on {}: {:.1e}", comparison.device, comparison.largest);
}

/// The input, with lengths, masks and resets.
fn marked(input: &HostInput, steps: usize, batch: usize, reset_to_h0: bool) -> HostInput {
    let mask = (0..steps * batch).map(|i| i % 5 != 3).collect();
    let resets = (0..steps * batch).map(|i| i % 4 == 0).collect();
    HostInput { lengths: None, mask: Some(mask), resets: Some(resets), reset_to_h0, ..input.clone() }
}

fn layers_agree_with_their_run_in_f64(device: &Device) {
    let rng = &mut Rng::new(9);
    let options = RecurrentOptions {
        clip: Some(0.9),
        padding: Padding::RepeatLast,
        zoneout: 0.15,
        learn_h0: true,
        ..RecurrentOptions::default()
    };
    let activations =
        vec![Activation::HardSigmoid { alpha: 0.3, beta: 0.4 }, Activation::Softsign, Activation::Elu { alpha: 0.9 }];
    let of = |cell: Cell| RecurrentConfig { layers: 2, ..RecurrentConfig::new(cell, 3, 5) };
    let bidirectional = true;
    let configs = [
        of(Cell::Gru),
        RecurrentConfig { bidirectional, batch_first: true, ..of(Cell::Gru) },
        RecurrentConfig { reverse: true, bias: false, ..of(Cell::GruResetBefore) },
        RecurrentConfig { bidirectional, activations: activations.clone(), options, ..of(Cell::Gru) },
        RecurrentConfig { activations, options, batch_first: true, ..of(Cell::GruResetBefore) },
        of(Cell::Lstm),
        RecurrentConfig { projection: 4, bidirectional, peephole: true, ..of(Cell::Lstm) },
        RecurrentConfig {
            projection: 4,
            input_forget: true,
            peephole: true,
            batch_first: true,
            reverse: true,
            ..of(Cell::Lstm)
        },
        RecurrentConfig { bidirectional, options: RecurrentOptions { zoneout_cell: 0.3, ..options }, ..of(Cell::Lstm) },
        RecurrentConfig { bidirectional, ..of(Cell::Rnn) },
        RecurrentConfig { bidirectional, options, ..of(Cell::Rnn) },
        RecurrentConfig { bidirectional, ..of(Cell::RnnRelu) },
    ];
    for (i, config) in configs.into_iter().enumerate() {
        let what = format!("{} {i}", config.cell);
        let layer = trained(config.build(device, rng).expect("layer"));
        let input = HostInput::random(&layer, 7, 3, rng);
        agrees(&what, &layer, &input);
        agrees(&format!("{what} masked"), &layer, &marked(&input, 7, 3, i % 2 == 0));
        agrees(&format!("{what} from its own state"), &layer, &HostInput { h0: None, c0: None, ..input });
    }
}

/// A correct file: a bidirectional GRU with a stored run of `steps` steps and `batch` sequences.
fn written(config: RecurrentConfig, steps: usize, batch: usize) -> TensorFile {
    let (device, rng) = (Device::cpu(), &mut Rng::new(3));
    let gru = trained(config.build(&device, rng).expect("gru"));
    let mut file = pollster::block_on(recurrent_to_file(&gru)).expect("file");
    let input = HostInput::random(&gru, steps, batch, rng);
    pollster::block_on(add_verification(&gru, &input, &mut file)).expect("added");
    file
}

/// Returns only the metadata.
fn empty(file: &TensorFile) -> TensorFile {
    let mut out = TensorFile::default();
    out.metadata = file.metadata.clone();
    out
}

/// Returns the file with tensor `name` replaced by the result of `change`.
fn with(file: &TensorFile, name: &str, change: impl Fn(&[f32]) -> Vec<f32>) -> TensorFile {
    let mut out = empty(file);
    for other in file.names() {
        let (dims, values) = file.get(other).expect("there");
        out.insert(other, dims, if other == name { change(values) } else { values.to_vec() });
    }
    out
}

/// Reorders the three blocks of a tensor.
fn gates(values: &[f32], order: [usize; 3]) -> Vec<f32> {
    let block = values.len() / 3;
    order.iter().flat_map(|&k| values[k * block..(k + 1) * block].to_vec()).collect()
}

/// Transposes each of three square matrices.
fn transposed(values: &[f32], h: usize) -> Vec<f32> {
    let at = |g: usize, i: usize, j: usize| values[(g * h + j) * h + i];
    (0..3 * h * h).map(|k| at(k / h / h, k / h % h, k % h)).collect()
}

fn correct_imports_pass_and_mistakes_are_named(device: &Device) {
    const H: usize = 5;
    let config = RecurrentConfig { layers: 2, bidirectional: true, batch_first: true, ..RecurrentConfig::gru(3, H) };
    let file = written(config.clone(), 6, 3);
    let gru = load_recurrent_blocking(device, &file).expect("the right import");
    let largest = pollster::block_on(verify(&gru, &file)).expect("verified");
    assert!(largest > 0.0 && largest <= F64, "{largest:e}");

    let refused = |what: &str, wrong: &TensorFile, words: &[&str]| {
        let error = load_recurrent_blocking(device, wrong).map(drop).expect_err(what).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{what}: {error}");
        assert!(error.contains("verify") || error.contains(&device.info().name), "{what}: {error}");
        println!("{what}: {error}");
    };
    let mut swapped = file.clone();
    for part in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
        swapped = with(&swapped, part, |values| gates(values, [1, 0, 2]));
    }
    refused("z and r swapped", &swapped, &["layer 0, forward direction, step 0, gate reset"]);
    let mut second = file.clone();
    for part in ["weight_ih_l1_reverse", "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse"] {
        second = with(&second, part, |values| gates(values, [1, 0, 2]));
    }
    refused("z and r swapped, second layer", &second, &["layer 1, reverse direction, step 5, gate reset"]);

    let mut before = file.clone();
    before.metadata.insert("gru.reset_after".into(), "false".into());
    refused("reset before for after", &before, &["layer 0, forward direction, step 0, gate candidate"]);

    let (_, hh) = file.get("bias_hh_l0").expect("there");
    let merged = with(&file, "bias_ih_l0", |ih| ih.iter().zip(hh).map(|(a, b)| a + b).collect());
    let merged = with(&merged, "bias_hh_l0", |hh| vec![0.0; hh.len()]);
    refused("biases merged", &merged, &["layer 0, forward direction, step 0, gate candidate"]);

    let turned = with(&file, "weight_hh_l0_reverse", |values| transposed(values, H));
    refused("W_hh transposed", &turned, &["layer 0, reverse direction, step 5, gate reset"]);

    // The output of the reverse direction in processing order, as Keras returns it.
    let misaligned = with(&file, "verify.output", |values| {
        let at = |k: usize| [k / (12 * H), k / (2 * H) % 6, k % (2 * H)];
        let place = |[row, t, j]: [usize; 3]| (row * 6 + if j < H { t } else { 5 - t }) * 2 * H + j;
        (0..values.len()).map(|k| values[place(at(k))]).collect()
    });
    refused("reverse misaligned", &misaligned, &["layer 1, reverse direction, step 5, output"]);

    let mut time_first = file.clone();
    time_first.metadata.insert("gru.batch_first".into(), "false".into());
    refused("batch and time swapped", &time_first, &["verify.", "batch and time"]);
    let square = written(config, 3, 3);
    let mut time_first = square.clone();
    time_first.metadata.insert("gru.batch_first".into(), "false".into());
    refused("batch and time swapped, as many", &time_first, &["layer 0, forward direction, step 0, gate reset"]);

    let one_way = written(RecurrentConfig { reverse: true, ..RecurrentConfig::gru(3, H) }, 6, 3);
    let mut forwards = one_way.clone();
    forwards.metadata.remove("gru.reverse");
    refused("wrong direction", &forwards, &["layer 0, forward direction, step 0, gate reset"]);
}

#[test]
fn lstm_and_rnn_are_checked_and_a_missing_run_can_be_demanded() {
    let (device, rng) = (Device::cpu(), &mut Rng::new(5));
    let block = |values: &[f32]| [&values[values.len() / 2..], &values[..values.len() / 2]].concat();
    let lstm = RecurrentConfig { projection: 2, peephole: true, ..RecurrentConfig::lstm(2, 3) };
    let lstm = trained(lstm.build(&device, rng).expect("lstm"));
    let mut file = pollster::block_on(recurrent_to_file(&lstm)).expect("file");
    load_recurrent_blocking(&device, &file).expect("without a run");
    let error = pollster::block_on(verify(&lstm, &file)).expect_err("none").to_string();
    assert!(error.contains("verify.x") && error.contains("no run"), "{error}");
    let input = HostInput::random(&lstm, 4, 2, rng);
    pollster::block_on(add_verification(&lstm, &input, &mut file)).expect("added");
    load_recurrent_blocking(&device, &file).expect("the right import");
    let error = load_recurrent_blocking(&device, &with(&file, "weight_peephole_l0", block))
        .map(drop)
        .expect_err("peephole")
        .to_string();
    assert!(error.contains("step 0, gate input"), "{error}");
    let error = load_recurrent_blocking(&device, &with(&file, "weight_hr_l0", block))
        .map(drop)
        .expect_err("projection")
        .to_string();
    assert!(error.contains("step 0, output"), "{error}");

    let rnn = trained(RecurrentConfig::rnn(2, 3).build(&device, rng).expect("rnn"));
    let mut file = pollster::block_on(recurrent_to_file(&rnn)).expect("file");
    let input = HostInput::random(&rnn, 4, 2, rng);
    pollster::block_on(add_verification(&rnn, &input, &mut file)).expect("added");
    load_recurrent_blocking(&device, &file).expect("the right import");
    file.metadata.insert("rnn.activation.state".into(), "Relu".into());
    let error = load_recurrent_blocking(&device, &file).map(drop).expect_err("activation").to_string();
    assert!(error.contains("step 0, gate state"), "{error}");
}

#[test]
fn damaged_runs_are_refused_by_name() {
    let file = written(RecurrentConfig::gru(3, 5), 4, 2);
    let refused = |what: &str, wrong: &TensorFile| {
        let error = load_recurrent_blocking(&Device::cpu(), wrong).map(drop).expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    for (key, text) in
        [("tolerance", "1e9"), ("tolerance", "NaN"), ("tolerance", "-1"), ("tolerance", "x"), ("seed", "1")]
    {
        let mut wrong = file.clone();
        wrong.metadata.insert(format!("verify.{key}"), text.into());
        refused(key, &wrong);
    }
    let mut without = file.clone();
    without.metadata.remove("verify.tolerance");
    refused("tolerance", &without);
    for value in [-1.0, 0.5, 5.0, f32::NAN, 3e9] {
        refused("lengths", &with(&file, "verify.lengths", |l| vec![value; l.len()]));
    }
    refused("output", &with(&file, "verify.output", |v| vec![f32::NAN; v.len()]));
    let renamed = |from: &str, to: &str| {
        let mut out = empty(&file);
        for name in file.names() {
            let (dims, values) = file.get(name).expect("there");
            out.insert(if name == from { to } else { name }, dims, values.to_vec());
        }
        out
    };
    refused("verify.output", &renamed("verify.output", "verify.l0.extra"));
    refused("verify.l1.reset", &renamed("verify.l0.reset", "verify.l1.reset"));
    refused("c0", &renamed("verify.h0", "verify.c0"));
    refused("verify.x", &renamed("verify.x", "verify.y"));
    // Another program may store only the output.
    let mut bare = empty(&file);
    for name in file.names().filter(|name| !name.starts_with("verify.l0") && !name.ends_with("h_n")) {
        let (dims, values) = file.get(name).expect("there");
        bare.insert(name, dims, values.to_vec());
    }
    load_recurrent_blocking(&Device::cpu(), &bare).expect("the output alone");
    refused("output", &with(&bare, "verify.output", |v| v.iter().map(|v| v + 0.01).collect()));
}

#[test]
fn non_finite_runs_are_compared_but_not_stored() {
    let mut rng = Rng::new(2);
    let layer = RecurrentConfig::gru(3, 5).build(&Device::cpu(), &mut rng).expect("gru");
    let mut input = HostInput::random(&layer, 4, 2, &mut rng);
    input.x[0] = f32::NAN;
    let error = pollster::block_on(add_verification(&layer, &input, &mut TensorFile::default()));
    assert!(error.expect_err("NaN").to_string().contains("finite"));
    // Both give NaN, so they agree.
    agrees("NaN", &layer, &input);
}
