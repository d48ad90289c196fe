//! Recurrent layers in files: every option comes back, and what is not understood is refused by name.

mod common;

use common::fill;
use wgru::io::{TensorFile, load_recurrent_blocking, recurrent_to_file, save_recurrent_blocking};
use wgru::nn::{GruActivations, LstmActivations, Module, Padding, RecurrentConfig, RecurrentOptions};
use wgru::{Activation, Cell, Device, Rng};

on_every_backend![layers_come_back_with_every_option];

/// Every option that a file holds off its default.
fn options() -> RecurrentOptions {
    RecurrentOptions {
        clip: Some(0.7),
        padding: Padding::RepeatLast,
        input_dropout: 0.1,
        recurrent_dropout: 0.2,
        zoneout: 0.15,
        zoneout_cell: 0.0,
        weight_dropout: 0.25,
        learn_h0: true,
        recompute: false,
    }
}

fn gru() -> RecurrentConfig {
    RecurrentConfig {
        input: 3,
        hidden: 5,
        layers: 2,
        bias: false,
        batch_first: true,
        dropout: 0.3,
        bidirectional: true,
        reverse: false,
        cell: Cell::GruResetBefore,
        activations: GruActivations {
            reset: Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
            update: Activation::Softsign,
            candidate: Activation::Elu { alpha: 0.9 },
        },
        options: options(),
        plan: None,
    }
}

fn lstm() -> RecurrentConfig {
    RecurrentConfig {
        cell: Cell::Lstm,
        input: 3,
        hidden: 5,
        projection: 4,
        layers: 2,
        bias: true,
        batch_first: true,
        dropout: 0.3,
        bidirectional: false,
        reverse: true,
        peephole: true,
        input_forget: true,
        activations: LstmActivations {
            input: Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
            forget: Activation::ScaledTanh { alpha: 0.9, beta: 1.1 },
            cell: Activation::Elu { alpha: 0.7 },
            output: Activation::Softsign,
            hidden: Activation::LeakyRelu { alpha: 0.1 },
        },
        options: RecurrentOptions { zoneout_cell: 0.35, ..options() },
        plan: None,
    }
}

fn rnn() -> RecurrentConfig {
    RecurrentConfig {
        cell: Cell::Rnn,
        input: 3,
        hidden: 5,
        layers: 2,
        bias: false,
        batch_first: true,
        dropout: 0.3,
        bidirectional: false,
        reverse: true,
        activation: Activation::Relu,
        options: options(),
        plan: None,
    }
}

/// Learned first states away from 0.
fn trained<L: Module>(layer: L) -> L {
    for (stream, (_, tensor)) in layer.parameters().iter().filter(|(name, _)| !name.contains("weight")).enumerate() {
        tensor.assign(&fill(stream as u32, tensor.len(), 0.5)).expect("assigned");
    }
    layer
}

fn same_values(a: &dyn Module, b: &dyn Module) {
    assert_eq!(a.parameters().len(), b.parameters().len());
    for ((name, a), (other, b)) in a.parameters().iter().zip(b.parameters()) {
        assert_eq!((name, a.to_vec().expect("read")), (&other, b.to_vec().expect("read")));
    }
}

fn layers_come_back_with_every_option(device: &Device) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    let rng = &mut Rng::new(4);
    let reverse = RecurrentConfig { bidirectional: false, reverse: true, bias: true, ..gru() };
    for config in
        [gru(), reverse, RecurrentConfig { options: RecurrentOptions::default(), ..gru() }, RecurrentConfig::default()]
    {
        let layer = trained(config.clone().build(device, rng).expect("gru"));
        save_recurrent_blocking(&layer, &path).expect("saved");
        let copy = load_recurrent_blocking(device, &TensorFile::open(&path).expect("opened")).expect("loaded");
        assert_eq!(*copy.config(), config);
        same_values(&copy, &layer);
    }
    let both =
        RecurrentConfig { cell: Cell::Lstm, bidirectional: true, reverse: false, projection: 0, bias: false, ..lstm() };
    let plain = RecurrentConfig { cell: Cell::Lstm, peephole: false, input_forget: false, ..lstm() };
    for config in [lstm(), both, plain, RecurrentConfig::default()] {
        let layer = trained(config.clone().build(device, rng).expect("lstm"));
        save_recurrent_blocking(&layer, &path).expect("saved");
        let copy = load_recurrent_blocking(device, &TensorFile::open(&path).expect("opened")).expect("loaded");
        assert_eq!(*copy.config(), config);
        same_values(&copy, &layer);
    }
    for config in [
        rnn(),
        RecurrentConfig { cell: Cell::Rnn, bidirectional: true, reverse: false, bias: true, ..rnn() },
        RecurrentConfig::default(),
    ] {
        let layer = trained(config.clone().build(device, rng).expect("rnn"));
        save_recurrent_blocking(&layer, &path).expect("saved");
        let copy = load_recurrent_blocking(device, &TensorFile::open(&path).expect("opened")).expect("loaded");
        assert_eq!(*copy.config(), config);
        same_values(&copy, &layer);
    }
}

#[test]
fn options_that_are_not_understood_are_refused_by_name() {
    let (device, rng) = (Device::cpu(), &mut Rng::new(1));
    let gru = RecurrentConfig::default().build(&device, rng).expect("gru");
    let file = pollster::block_on(recurrent_to_file(&gru)).expect("file");
    let refused = |key: &str, text: &str, words: [&str; 2]| {
        let mut other = file.clone();
        other.metadata.insert(key.into(), text.into());
        let error = load_recurrent_blocking(&device, &other).map(drop).expect_err(key).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{key}: {error}");
    };
    refused("gru.sparsity", "0.5", ["gru.sparsity", "unknown"]);
    refused("gru.activation.cell", "Tanh", ["gru.activation.cell", "unknown"]);
    refused("gru.zoneout_cell", "0.5", ["gru.zoneout_cell", "unknown"]);
    refused("gru.input_forget", "true", ["gru.input_forget", "unknown"]);
    refused("lstm.input_forget", "true", ["lstm.input_forget", "another kind"]);
    refused("gru.reverse", "maybe", ["gru.reverse", "maybe"]);
    refused("gru.activation.reset", "Sine", ["gru.activation.reset", "Sine"]);
    refused("gru.clip", "-1", ["clip", "-1"]);
    refused("gru.clip", "NaN", ["clip", "NaN"]);
    refused("gru.zoneout", "1e9", ["zoneout is out of range", "1000000000"]);
    let mut foreign = file.clone();
    foreign.metadata.insert("author".into(), "somebody".into());
    load_recurrent_blocking(&device, &foreign).expect("keys that are not ours do not matter");
    assert!(
        load_recurrent_blocking(&device, &file).map(drop).is_err()
            && load_recurrent_blocking(&device, &file).map(drop).is_err()
    );
}

#[test]
fn sizes_that_the_file_does_not_hold_are_refused_before_they_are_made() {
    let device = Device::cpu();
    // The recurrent matrix would be 4·10¹² bytes.
    let mut file = TensorFile::default();
    file.insert("weight_ih_l0", &[3_000_000, 1], vec![0.0; 3_000_000]);
    let error = load_recurrent_blocking(&device, &file).map(drop).expect_err("gru").to_string();
    assert!(error.contains("weight_hh_l0"), "{error}");
    file.insert("weight_hr_l0", &[1, 750_000], vec![0.0; 750_000]);
    let error = load_recurrent_blocking(&device, &file).map(drop).expect_err("lstm").to_string();
    assert!(error.contains("weight_hh_l0"), "{error}");
    for dims in [&[][..], &[0, 4], &[4, 0], &[7, 2], &[4]] {
        let mut file = TensorFile::default();
        file.insert("weight_ih_l0", dims, vec![0.0; dims.iter().product()]);
        let error = load_recurrent_blocking(&device, &file).map(drop).expect_err("lstm").to_string();
        assert!(error.contains("weight_"), "{error}");
    }
}
