//! Saving and loading recurrent layers: every option is restored, and unknown ones are refused by name.

use wgru::io::{TensorFile, load_recurrent_blocking, recurrent_to_file, save_recurrent_blocking};
use wgru::nn::{Module, Padding, Recurrent, RecurrentConfig, RecurrentOptions};
use wgru::{Activation, Cell, Device, Rng};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![layers_load_with_every_option];

/// Every option that a file stores, with a non-default value.
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

/// A configuration of `cell` with every option that it has off its default.
fn config(cell: Cell, activations: &[Activation]) -> RecurrentConfig {
    RecurrentConfig {
        layers: 2,
        batch_first: true,
        dropout: 0.3,
        reverse: true,
        activations: activations.to_vec(),
        options: options(),
        ..RecurrentConfig::new(cell, 3, 5)
    }
}

fn gru() -> RecurrentConfig {
    let activations =
        [Activation::HardSigmoid { alpha: 0.3, beta: 0.4 }, Activation::Softsign, Activation::Elu { alpha: 0.9 }];
    let gru = config(Cell::GruResetBefore, &activations);
    RecurrentConfig { bias: false, bidirectional: true, reverse: false, ..gru }
}

fn lstm() -> RecurrentConfig {
    let activations = [
        Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
        Activation::ScaledTanh { alpha: 0.9, beta: 1.1 },
        Activation::Elu { alpha: 0.7 },
        Activation::Softsign,
        Activation::LeakyRelu { alpha: 0.1 },
    ];
    RecurrentConfig {
        projection: 4,
        peephole: true,
        input_forget: true,
        options: RecurrentOptions { zoneout_cell: 0.35, ..options() },
        ..config(Cell::Lstm, &activations)
    }
}

fn rnn() -> RecurrentConfig {
    RecurrentConfig { bias: false, ..config(Cell::RnnRelu, &[]) }
}

/// Sets learned initial states to nonzero values.
fn trained(layer: Recurrent) -> Recurrent {
    for (stream, (_, tensor)) in layer.parameters().iter().filter(|(name, _)| !name.contains("weight")).enumerate() {
        tensor.assign(&fill(stream as u32, tensor.len(), 0.5)).expect("assigned");
    }
    layer
}

fn same_values(a: &Recurrent, b: &Recurrent) {
    assert_eq!(a.parameters().len(), b.parameters().len());
    for ((name, a), (other, b)) in a.parameters().iter().zip(b.parameters()) {
        assert_eq!((name, a.read_blocking().expect("read")), (&other, b.read_blocking().expect("read")));
    }
}

fn layers_load_with_every_option(device: &Device) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    let rng = &mut Rng::new(4);
    let options = RecurrentOptions::default();
    let configs = [
        gru(),
        RecurrentConfig { bidirectional: false, reverse: true, bias: true, ..gru() },
        RecurrentConfig { options, ..gru() },
        lstm(),
        RecurrentConfig { bidirectional: true, reverse: false, projection: 0, bias: false, ..lstm() },
        RecurrentConfig { peephole: false, input_forget: false, ..lstm() },
        rnn(),
        RecurrentConfig { bidirectional: true, reverse: false, bias: true, ..rnn() },
        config(Cell::Rnn, &[Activation::Softsign]),
    ];
    let plain = Cell::ALL.map(|cell| RecurrentConfig { cell, ..RecurrentConfig::default() });
    for config in configs.into_iter().chain(plain) {
        let layer = trained(config.clone().build(device, rng).expect("layer"));
        save_recurrent_blocking(&layer, &path).expect("saved");
        let copy = load_recurrent_blocking(device, &TensorFile::open(&path).expect("opened")).expect("loaded");
        assert_eq!(*copy.config(), config);
        same_values(&copy, &layer);
    }
}

#[test]
fn unknown_options_are_refused_by_name() {
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
    refused("lstm.input_forget", "true", ["lstm.input_forget", "different kind"]);
    refused("gru.reverse", "maybe", ["gru.reverse", "maybe"]);
    refused("gru.activation.reset", "Sine", ["gru.activation.reset", "Sine"]);
    refused("gru.clip", "-1", ["clip", "-1"]);
    refused("gru.clip", "NaN", ["clip", "NaN"]);
    refused("gru.zoneout", "1e9", ["zoneout: expected", "1000000000"]);
    let mut foreign = file.clone();
    foreign.metadata.insert("author".into(), "somebody".into());
    let layer = load_recurrent_blocking(&device, &foreign).expect("keys that are not ours do not matter");
    assert_eq!(layer.config().cell, Cell::Gru);
}

#[test]
fn sizes_larger_than_the_file_are_refused_before_allocation() {
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
