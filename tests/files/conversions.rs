//! Weight conversion between PyTorch, Keras and ONNX, against tensors that `golden/generate_layouts.py` lays out gate
//! by gate, and whose outputs the three frameworks agree on.

use wgru::io::{RecurrentWeights, TensorFile, load_parameters, load_recurrent_blocking};
use wgru::nn::{Module, RecurrentConfig};
use wgru::{Cell, Device, Error, Rng, Tensor};

use crate::common::assert_close;
use crate::on_every_backend;

on_every_backend![converted_grus_match_keras_and_onnx, converted_lstms_and_simple_layers_match_keras_and_onnx];

const LAYOUTS: &[u8] = include_bytes!("../golden/layouts.safetensors");
/// Outputs of magnitude up to 1, over five steps in f32.
const OUTPUT: f64 = 1e-6;

fn case(name: &str) -> TensorFile {
    TensorFile::from_bytes("layouts", LAYOUTS).expect("read").under(name)
}

/// Asserts that both files hold the same tensors, bit for bit.
#[track_caller]
fn same(what: &str, got: &TensorFile, want: &TensorFile) {
    let names = |f: &TensorFile| {
        let mut names: Vec<String> = f.names().map(String::from).collect();
        names.sort();
        names
    };
    assert!(!names(want).is_empty() && names(got) == names(want), "{what}: {:?} {:?}", names(got), names(want));
    for name in names(want) {
        let ((gd, gv), (wd, wv)) = (got.get(&name).expect("there"), want.get(&name).expect("there"));
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(gd == wd && bits(gv) == bits(wv), "{what}: {name} {gd:?} {wd:?}");
    }
}

fn torch(cell: Cell, file: &TensorFile) -> Vec<RecurrentWeights> {
    let both = file.names().any(|n| n.ends_with("_reverse"));
    let read = |reverse| RecurrentWeights::from_pytorch(cell, file, 0, reverse).expect("pytorch");
    if both { vec![read(false), read(true)] } else { vec![read(false)] }
}

fn parameters(directions: &[RecurrentWeights]) -> TensorFile {
    let mut file = TensorFile::default();
    directions.iter().zip([false, true]).for_each(|(w, reverse)| w.to_parameters(&mut file, 0, reverse));
    file
}

#[test]
fn pytorch_and_onnx_differ_only_in_layout() {
    let cases = [("gru", Cell::Gru), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn), ("lstm_peephole", Cell::Lstm)];
    let both = [("gru_both", Cell::Gru), ("lstm_both", Cell::Lstm), ("rnn_both", Cell::Rnn)];
    for (name, cell) in cases.into_iter().chain(both) {
        let (ours, onnx) = (case(name).under("torch"), case(name).under("onnx"));
        let there = RecurrentWeights::to_onnx(&torch(cell, &ours)).expect("onnx");
        same(name, &there, &onnx);
        let back = RecurrentWeights::from_onnx(cell, &onnx).expect("from onnx");
        same(name, &parameters(&back), &ours);
        let bit = there.metadata.get("linear_before_reset").map(String::as_str);
        assert_eq!(bit, (cell == Cell::Gru).then_some("1"), "{name}");
    }
}

#[test]
fn pytorch_and_keras_differ_in_layout_and_number_of_biases() {
    for (name, cell) in [("gru", Cell::Gru), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn)] {
        let (ours, keras) = (case(name).under("torch"), case(name).under("keras"));
        same(name, &torch(cell, &ours)[0].to_keras().expect("keras"), &keras);
        let read = RecurrentWeights::from_keras(cell, &keras).expect("from keras");
        let mut back = TensorFile::default();
        read.to_pytorch(&mut back, 0, false).expect("pytorch");
        if cell == Cell::Gru {
            same(name, &back, &ours);
        } else {
            let (_, hh) = back.get("bias_hh_l0").expect("there");
            assert!(hh.iter().all(|b| b.to_bits() == 0), "{name}: the second bias is zero");
        }
        // The round trips through PyTorch and ONNX are bit-exact, although PyTorch stores two biases.
        same(name, &torch(cell, &back)[0].to_keras().expect("keras"), &keras);
        let onnx = RecurrentWeights::to_onnx(&[read]).expect("onnx");
        let again = RecurrentWeights::from_onnx(cell, &onnx).expect("from onnx");
        same(name, &again[0].to_keras().expect("keras"), &keras);
    }
}

#[test]
fn reset_before_grus_convert_between_keras_and_onnx_only() {
    let file = case("gru_before");
    let read = RecurrentWeights::from_keras(Cell::GruResetBefore, &file.under("keras")).expect("from keras");
    let onnx = RecurrentWeights::to_onnx(std::slice::from_ref(&read)).expect("onnx");
    assert_eq!(onnx.metadata["linear_before_reset"], "0");
    let back = RecurrentWeights::from_onnx(Cell::GruResetBefore, &onnx).expect("from onnx");
    same("round trip", &back[0].to_keras().expect("keras"), &file.under("keras"));
    // ONNX's two biases merge into Keras' single bias.
    let merged = RecurrentWeights::from_onnx(Cell::GruResetBefore, &file.under("onnx")).expect("from onnx");
    same("merged", &merged[0].to_keras().expect("keras"), &file.under("keras"));
    let error = read.to_pytorch(&mut TensorFile::default(), 0, false).expect_err("PyTorch has no reset-before GRU");
    assert!(matches!(error, Error::Value { arg: "reset_after", .. }), "{error}");
}

#[test]
fn layers_without_bias_convert_without_bias() {
    for (name, cell) in [("gru", Cell::Gru), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn)] {
        let mut bare = TensorFile::default();
        for part in ["weight_ih_l0", "weight_hh_l0"] {
            let file = case(name).under("torch");
            let (dims, values) = file.get(part).expect("there");
            bare.insert(part, dims, values.to_vec());
        }
        let weights = torch(cell, &bare);
        let (keras, onnx) = (weights[0].to_keras().expect("keras"), RecurrentWeights::to_onnx(&weights).expect("onnx"));
        assert!(!keras.names().chain(onnx.names()).any(|n| n == "bias" || n == "B"), "{name}");
        same(name, &parameters(&[RecurrentWeights::from_keras(cell, &keras).expect("from keras")]), &bare);
        same(name, &parameters(&RecurrentWeights::from_onnx(cell, &onnx).expect("from onnx")), &bare);
    }
}

#[test]
fn layers_that_a_format_cannot_store_are_refused() {
    let peephole = torch(Cell::Lstm, &case("lstm_peephole").under("torch"));
    let mut projected = case("lstm").under("torch");
    let mut file = TensorFile::default();
    for name in projected.names() {
        let (dims, values) = projected.get(name).expect("there");
        match name {
            "weight_hh_l0" => file.insert(name, &[16, 2], values[..32].to_vec()),
            _ => file.insert(name, dims, values.to_vec()),
        }
    }
    file.insert("weight_hr_l0", &[2, 4], vec![0.5; 8]);
    projected = file;
    let projection = torch(Cell::Lstm, &projected);
    same("projection", &parameters(&projection), &projected);

    let (gru, lstm) = (torch(Cell::Gru, &case("gru").under("torch")), torch(Cell::Lstm, &case("lstm").under("torch")));
    let no_file = &mut TensorFile::default();
    let cases = [
        ("peephole", peephole[0].to_pytorch(no_file, 0, false)),
        ("peephole", peephole[0].to_keras().map(drop)),
        ("projection", projection[0].to_keras().map(drop)),
        ("projection", RecurrentWeights::to_onnx(&projection).map(drop)),
        ("directions", RecurrentWeights::to_onnx(&[]).map(drop)),
        ("directions", RecurrentWeights::to_onnx(&[gru[0].clone(), lstm[0].clone()]).map(drop)),
        ("directions", RecurrentWeights::to_onnx(&[lstm[0].clone(), peephole[0].clone()]).map(drop)),
    ];
    for (arg, result) in cases {
        match result {
            Err(Error::Value { arg: got, .. }) => assert_eq!(got, arg),
            other => panic!("{arg}: {other:?}"),
        }
    }
    assert_eq!(no_file.names().count(), 0, "a failed conversion writes nothing");
}

#[test]
fn tensors_of_another_layer_are_refused_by_name() {
    let refused = |result: wgru::Result<()>, word: &str| {
        let error = result.expect_err(word);
        assert!(matches!(&error, Error::Format { .. }) && error.to_string().contains(word), "{error}");
    };
    let keras = |cell, name: &str| RecurrentWeights::from_keras(cell, &case(name).under("keras")).map(drop);
    refused(keras(Cell::GruResetBefore, "gru"), "\"bias\"");
    refused(keras(Cell::Gru, "gru_before"), "\"bias\"");
    refused(keras(Cell::Lstm, "gru"), "kernel");
    refused(keras(Cell::Rnn, "nothing"), "kernel");
    let onnx = |cell, name: &str| RecurrentWeights::from_onnx(cell, &case(name).under("onnx")).map(drop);
    refused(onnx(Cell::Lstm, "gru"), "\"R\"");
    refused(onnx(Cell::Rnn, "nothing"), "\"R\"");
    let pytorch =
        |cell, name: &str| RecurrentWeights::from_pytorch(cell, &case(name).under("torch"), 0, false).map(drop);
    refused(pytorch(Cell::Lstm, "gru"), "weight_hh_l0");
    refused(pytorch(Cell::Rnn, "lstm"), "weight_hh_l0");
    refused(pytorch(Cell::Gru, "nothing"), "weight_ih_l0");
    // A tensor whose number of values does not match its shape.
    let mut short = TensorFile::default();
    short.insert("R", &[1, 12, 4], vec![0.0; 3]);
    short.insert("W", &[1, 12, 3], vec![0.0; 36]);
    refused(RecurrentWeights::from_onnx(Cell::Gru, &short).map(drop), "\"R\"");
}

/// A case's weights from another framework, under this crate's names.
fn converted(name: &str, cell: Cell, framework: &str) -> TensorFile {
    let file = case(name).under(framework);
    parameters(&match framework {
        "keras" => vec![RecurrentWeights::from_keras(cell, &file).expect("from keras")],
        _ => RecurrentWeights::from_onnx(cell, &file).expect("from onnx"),
    })
}

/// Runs a layer on a case's input and compares its output with the expected one.
#[track_caller]
fn computes(device: &Device, name: &str, framework: &str, layer: &dyn Module) {
    let file = case(name);
    let (dims, x) = file.get("x").expect("x");
    let x = Tensor::from_slice(device, x, dims).expect("x");
    let got = layer.forward(&x).expect("run").read_blocking().expect("read");
    let want: Vec<f64> = file.get("y").expect("y").1.iter().map(|&v| v as f64).collect();
    assert_close(&format!("{name} from {framework}"), &got, &want, OUTPUT);
}

fn converted_grus_match_keras_and_onnx(device: &Device) {
    for (name, cell, framework) in [
        ("gru", Cell::Gru, "keras"),
        ("gru", Cell::Gru, "onnx"),
        ("gru_both", Cell::Gru, "onnx"),
        ("gru_before", Cell::GruResetBefore, "keras"),
        ("gru_before", Cell::GruResetBefore, "onnx"),
    ] {
        let mut model = converted(name, cell, framework);
        model.metadata.insert("gru.batch_first".into(), "true".into());
        model.metadata.insert("gru.reset_after".into(), (cell == Cell::Gru).to_string());
        computes(device, name, framework, &load_recurrent_blocking(device, &model).expect("loaded"));
    }
}

fn converted_lstms_and_simple_layers_match_keras_and_onnx(device: &Device) {
    for (name, cell, framework) in [
        ("lstm", Cell::Lstm, "keras"),
        ("lstm", Cell::Lstm, "onnx"),
        ("lstm_both", Cell::Lstm, "onnx"),
        ("lstm_peephole", Cell::Lstm, "onnx"),
        ("rnn", Cell::Rnn, "keras"),
        ("rnn", Cell::Rnn, "onnx"),
        ("rnn_both", Cell::Rnn, "onnx"),
    ] {
        let (bidirectional, peephole) = (name.ends_with("both"), name == "lstm_peephole");
        let config = RecurrentConfig { batch_first: true, bidirectional, peephole, ..RecurrentConfig::new(cell, 3, 4) };
        let layer = config.build(device, &mut Rng::new(0)).expect("layer");
        load_parameters(&layer, &converted(name, cell, framework)).expect("loaded");
        computes(device, name, framework, &layer);
    }
}
