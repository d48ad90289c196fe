//! Layers that go from PyTorch through every other format and back: the same bits, and the outputs on which the
//! frameworks agree (`golden/generate_layouts.py`).

use wgru::io::{
    RecurrentWeights, TensorFile, load_network, load_parameters, load_recurrent_blocking, onnx, parameters_to_file,
    to_nam_blocking, to_rtneural_blocking,
};
use wgru::nn::{Linear, Module, Recurrent, RecurrentConfig, Sequential};
use wgru::{Cell, Device, Error, Rng, Tensor};

use crate::common::assert_close;

const LAYOUTS: &[u8] = include_bytes!("../golden/layouts.safetensors");
/// Outputs of magnitude up to 1, over five steps in f32.
const OUTPUT: f64 = 1e-6;

fn case(name: &str) -> TensorFile {
    TensorFile::from_bytes("layouts", LAYOUTS).expect("read").under(name)
}

#[track_caller]
fn same(what: &str, got: &TensorFile, want: &TensorFile) {
    let bits = |file: &TensorFile| {
        let one = |name: &str| {
            let (dims, values) = file.get(name).expect(name);
            (name.to_string(), dims.to_vec(), values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let mut all: Vec<_> = file.names().map(one).collect();
        all.sort();
        all
    };
    assert!(want.names().count() > 0 && bits(got) == bits(want), "{what}");
}

fn parameters(weights: &RecurrentWeights) -> TensorFile {
    let mut file = TensorFile::default();
    weights.to_parameters(&mut file, 0, false);
    file
}

/// PyTorch's tensors of a case, with the second bias added to the first one if Keras has only one.
fn weights(name: &str, cell: Cell) -> TensorFile {
    let read = |file: &TensorFile| RecurrentWeights::from_pytorch(cell, file, 0, false).expect("pytorch");
    match cell {
        Cell::GruResetBefore => {
            let keras = RecurrentWeights::from_keras(cell, &case(name).under("keras")).expect("keras");
            parameters(&keras)
        }
        Cell::Gru => parameters(&read(&case(name).under("torch"))),
        _ => {
            let keras = read(&case(name).under("torch")).to_keras().expect("keras");
            parameters(&RecurrentWeights::from_keras(cell, &keras).expect("keras"))
        }
    }
}

/// A batch-first layer with these tensors.
fn layer(device: &Device, cell: Cell, file: &TensorFile) -> Recurrent {
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::new(cell, 3, 4) };
    let layer = config.build(device, &mut Rng::new(0)).expect("layer");
    load_parameters(&layer, file).expect("loaded");
    layer
}

/// Runs a model on a case's input and compares its output with that of the frameworks.
#[track_caller]
fn computes(device: &Device, what: &str, name: &str, model: &dyn Module) {
    let file = case(name);
    let (dims, x) = file.get("x").expect("x");
    let x = Tensor::from_slice(device, x, dims).expect("x");
    let got = model.forward(&x).expect("run").read_blocking().expect("read");
    let want: Vec<f64> = file.get("y").expect("y").1.iter().map(|&v| v.into()).collect();
    assert_close(&format!("{name}: {what}"), &got, &want, OUTPUT);
}

/// A linear layer that changes nothing, for formats that need one.
fn identity(device: &Device) -> Linear {
    let one: Vec<f32> = (0..16).map(|k| if k % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(device, values, dims).expect("tensor");
    Linear::from_parameters(tensor(&one, &[4, 4]), Some(tensor(&[0.0; 4], &[4]))).expect("linear")
}

const CASES: [(&str, Cell); 4] =
    [("gru", Cell::Gru), ("gru_before", Cell::GruResetBefore), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn)];

#[test]
fn layers_keep_their_bits_and_outputs_through_all_formats() {
    let device = &Device::cpu();
    for (name, cell) in CASES {
        let start = weights(name, cell);
        computes(device, "PyTorch", name, &layer(device, cell, &start));
        // PyTorch, Keras, ONNX, and back.
        let torch = RecurrentWeights::from_pytorch(cell, &start, 0, false).expect("pytorch");
        let keras = RecurrentWeights::from_keras(cell, &torch.to_keras().expect("keras")).expect("from keras");
        let onnx = RecurrentWeights::to_onnx(&[keras]).expect("onnx");
        let back = RecurrentWeights::from_onnx(cell, &onnx).expect("from onnx").remove(0);
        same(name, &parameters(&back), &start);
        // A whole ONNX model.
        let model = layer(device, cell, &parameters(&back));
        let dims = [2, 5, 3].map(onnx::Extent::Fixed).to_vec();
        let bytes = onnx::export_blocking(&model, &onnx::Input::new("x", dims)).expect("exported");
        let initializers = onnx::initializers(&bytes).expect("initializers");
        let tensors = |part: &str| {
            let found = initializers.names().find(|own| own.rsplit('/').next() == Some(part)).map(String::from);
            found.map(|own| initializers.get(&own).expect("there"))
        };
        let mut file = TensorFile::default();
        for part in ["W", "R", "B"] {
            let (dims, values) = tensors(part).expect(part);
            file.insert(part, dims, values.to_vec());
        }
        same(name, &parameters(&RecurrentWeights::from_onnx(cell, &file).expect("from onnx")[0]), &start);
        let x = case(name);
        let (dims, values) = x.get("x").expect("x");
        let x = Tensor::from_slice(device, values, dims).expect("x");
        let loaded = onnx::OnnxModel::load(device, &bytes).expect("loaded");
        let outputs = loaded.run(&[("x", x.into())]).expect("run");
        let got = outputs[0].1.as_tensor().expect("floats").read_blocking().expect("read");
        let want: Vec<f64> = case(name).get("y").expect("y").1.iter().map(|&v| v.into()).collect();
        assert_close(&format!("{name}: ONNX"), &got, &want, OUTPUT);
    }
}

#[test]
fn layers_keep_their_bits_and_outputs_through_formats_of_audio() {
    let device = &Device::cpu();
    for (name, cell) in CASES {
        let start = weights(name, cell);
        let model = Sequential::new().push("layer", layer(device, cell, &start)).push("out", identity(device));
        for (format, text) in [("RTNeural", to_rtneural_blocking(&model)), ("nam", to_nam_blocking(&model, None))] {
            let is_possible = match format {
                "RTNeural" => matches!(cell, Cell::Gru | Cell::Lstm),
                _ => cell == Cell::Lstm,
            };
            let text = match text {
                Err(Error::Value { arg: "model", got, .. }) if !is_possible => {
                    assert!(got.contains("\"layer\""), "{got}");
                    continue;
                }
                text => text.unwrap_or_else(|error| panic!("{name} as {format}: {error}")),
            };
            assert!(is_possible, "{name} as {format}");
            let file = TensorFile::import_bytes(format, text.as_bytes()).expect("imported");
            let found = file.layers();
            let [only] = &found[..] else { panic!("{found:?}") };
            let read = file.recurrent(&only.name).expect("layer");
            let read = RecurrentWeights::from_pytorch(cell, &read, 0, false).expect("weights");
            same(format, &parameters(&read), &start);
            let network = load_network(device, &file).expect("network");
            computes(device, format, name, &network);
            // The file that is read and written again is the same.
            let again = match format {
                "RTNeural" => to_rtneural_blocking(&network),
                _ => to_nam_blocking(&network, None),
            };
            assert_eq!(again.expect("written"), text);
        }
    }
}

/// Stacks, first states, activations and layers without bias, on weights whose decimal digits are long.
#[test]
fn whole_networks_come_back_from_formats_of_audio() {
    let (device, mut rng) = (Device::cpu(), Rng::new(3));
    let mut run = |lstm: RecurrentConfig, has_bias: bool, is_nam: bool| {
        let lstm = lstm.build(&device, &mut rng).expect("layer");
        let width = lstm.config().hidden;
        let head = Linear::new(&device, width, 2, has_bias, &mut rng).expect("linear");
        let model = Sequential::new().push("lstm", lstm).push("head", head);
        let model = if is_nam { model } else { model.push("tanh", wgru::nn::Tanh).push("relu", wgru::nn::Relu) };
        let text = if is_nam { to_nam_blocking(&model, Some(48_000.0)) } else { to_rtneural_blocking(&model) };
        let file = TensorFile::import_bytes("model", text.expect("written").as_bytes()).expect("imported");
        let network = load_network(&device, &file).expect("network");
        let x: Vec<f32> = (0..24).map(|k| (k as f32 * 0.7).sin()).collect();
        let x = Tensor::from_slice(&device, &x, &[2, 6, 2]).expect("x");
        let [want, got] = [&model as &dyn Module, &network].map(|m| m.forward(&x).expect("run").read_blocking());
        let want: Vec<f64> = want.expect("read").into_iter().map(f64::from).collect();
        assert_close("network", &got.expect("read"), &want, OUTPUT);
        file
    };
    let lstm = RecurrentConfig { batch_first: true, layers: 2, ..RecurrentConfig::lstm(2, 5) };
    let mut learned = lstm.clone();
    learned.options.learn_h0 = true;
    assert_eq!(run(learned, true, true).metadata["sample_rate"], "48000");
    run(RecurrentConfig { bias: false, ..lstm.clone() }, false, true);
    run(lstm.clone(), true, false);
    run(
        RecurrentConfig { bias: false, ..RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(2, 3) } },
        false,
        false,
    );
}

#[test]
fn networks_that_a_format_of_audio_cannot_hold_are_refused_with_the_reason() {
    let (device, mut rng) = (Device::cpu(), Rng::new(4));
    let lstm = RecurrentConfig::lstm(4, 4);
    let mut learned = lstm.clone();
    learned.options.learn_h0 = true;
    let mut clipped = lstm.clone();
    clipped.options.clip = Some(1.0);
    let with = |config: &RecurrentConfig, rng: &mut Rng| {
        let width = config.directions() * if config.projection > 0 { config.projection } else { config.hidden };
        let head = Linear::new(&device, width, 1, true, rng).expect("linear");
        Sequential::new().push("a", config.build(&device, rng).expect("layer")).push("b", head)
    };
    for (config, nam, word) in [
        (RecurrentConfig { bidirectional: true, ..lstm.clone() }, true, "both directions"),
        (RecurrentConfig { reverse: true, ..lstm.clone() }, true, "reverse"),
        (RecurrentConfig { projection: 2, ..lstm.clone() }, true, "projection"),
        (RecurrentConfig { peephole: true, ..lstm.clone() }, true, "peepholes"),
        (clipped, true, "clipping"),
        (RecurrentConfig::gru(4, 4), true, "a gru"),
        (RecurrentConfig { cell: Cell::GruResetBefore, ..RecurrentConfig::gru(4, 4) }, false, "reset before"),
        (RecurrentConfig::rnn(4, 4), false, "simple"),
        (learned, false, "learned"),
    ] {
        let model = with(&config, &mut rng);
        let text = if nam { to_nam_blocking(&model, None) } else { to_rtneural_blocking(&model) };
        let error = text.expect_err(word).to_string();
        assert!(error.contains(word) && error.contains("\"a\""), "{error}");
    }
    let model = with(&lstm, &mut rng).push("last", wgru::nn::LastStep { batch_first: false });
    let error = to_rtneural_blocking(&model).expect_err("no sequence").to_string();
    assert!(error.contains("\"last\"") && error.contains("every step"), "{error}");
    let one = lstm.build(&device, &mut rng).expect("layer");
    assert!(to_nam_blocking(&one, None).expect_err("no head").to_string().contains("linear layer"));
    assert!(to_rtneural_blocking(&one).is_ok());
    let mut file = pollster::block_on(parameters_to_file(&one)).expect("file");
    let (dims, mut values) = file.get("bias_ih_l0").map(|(d, v)| (d.to_vec(), v.to_vec())).expect("bias");
    values[3] = f32::NAN;
    let mut odd = TensorFile::default();
    for name in file.names().filter(|name| *name != "bias_ih_l0") {
        let (dims, values) = file.get(name).expect(name);
        odd.insert(name, dims, values.to_vec());
    }
    odd.insert("bias_ih_l0", &dims, values);
    file = odd;
    let odd = load_recurrent_blocking(&device, &file).expect("layer");
    assert!(to_rtneural_blocking(&odd).expect_err("NaN").to_string().contains("bias_ih_l0"));
}
