//! ONNX models that are stacks of layers become networks: of this crate's export, of PyTorch's and Keras' exporters, and
//! by hand. `generate_stacks.py` writes the files in `stacks/`.

use std::sync::LazyLock;

use wgru::io::{
    ModelFile, Network, TensorFile, load_network, network_to_file, onnx, to_guitarml_blocking, to_nam_blocking,
    to_rtneural_blocking,
};
use wgru::nn::*;
use wgru::{Activation, Cell, Device, Error, Rng, Tensor};

use crate::build::{Bytes, Model, attribute_float, attribute_int, attribute_text, floats, ints, node, value};
use crate::common::{assert_close, fill};

/// The same layers with the same weights, but a product may use a different kernel.
const ROUNDING: f64 = 1e-6;
/// f32 against frameworks that compute in f32, too.
const OUTPUT: f64 = 2e-6;

/// One device for all, because tensors of two do not mix.
fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(Device::cpu);
    DEVICE.clone()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

fn read(x: &Tensor) -> Vec<f32> {
    x.read_blocking().expect("read")
}

/// Shapes and bits of all parameters in order, without their names.
fn bits(network: &dyn Module) -> Vec<(Vec<usize>, Vec<u32>)> {
    let one = |(_, t): (String, Tensor)| (t.dims().to_vec(), read(&t).iter().map(|v| v.to_bits()).collect());
    network.parameters().into_iter().map(one).collect()
}

/// A network with weights that are not alike.
fn network(layers: Sequential, skip: bool) -> Network {
    let device = device();
    for (k, (_, parameter)) in layers.parameters().iter().enumerate() {
        parameter.assign(&fill(400 + k as u32, parameter.len(), 0.7)).expect("assigned");
    }
    let single = load_network(
        &device,
        &TensorFile::import_bytes(
            "x.json",
            br#"{"layers": [{"type": "activation", "activation": "tanh"}], "x": [1.0]}"#,
        )
        .expect("json"),
    );
    let mut network = single.expect("network");
    (network.layers, network.skip) = (layers, skip);
    network
}

fn recurrent(config: RecurrentConfig) -> Recurrent {
    RecurrentConfig { batch_first: true, ..config }.build(&device(), &mut Rng::new(1)).expect("layer")
}

fn linear(from: usize, to: usize) -> Linear {
    Linear::new(&device(), from, to, true, &mut Rng::new(2)).expect("linear")
}

/// Names and networks: each kind of layer, stacks, directions, options, and the last step.
fn cases() -> Vec<(&'static str, Network)> {
    let gru = RecurrentConfig::gru(2, 5);
    let lstm = RecurrentConfig::lstm(1, 4);
    let last = |bidirectional, reverse| LastState { batch_first: true, bidirectional, reverse };
    let one = |layer: RecurrentConfig| Sequential::new().push("layer", recurrent(layer));
    let learned = RecurrentOptions { learn_h0: true, ..RecurrentOptions::default() };
    let clipped = RecurrentOptions { clip: Some(0.5), ..RecurrentOptions::default() };
    let hard = Activation::HardSigmoid { alpha: 0.3, beta: 0.4 };
    let activations = vec![hard, hard, Activation::Softsign, hard, Activation::ScaledTanh { alpha: 1.5, beta: 0.6 }];
    let norm = LayerNorm::new(&device(), 5).expect("norm");
    vec![
        ("amp", network(one(lstm.clone()).push("head", linear(4, 1)), true)),
        ("amp without skip", network(one(lstm.clone()).push("head", linear(4, 1)), false)),
        (
            "rtneural",
            network(
                Sequential::new()
                    .push("in", linear(2, 2))
                    .push("tanh", Tanh)
                    .push("gru", recurrent(gru.clone()))
                    .push("hidden", linear(5, 3))
                    .push("relu", Relu)
                    .push("head", linear(3, 1)),
                true,
            ),
        ),
        (
            "states",
            network(
                one(RecurrentConfig { layers: 2, options: learned, ..lstm.clone() }).push("head", linear(4, 1)),
                false,
            ),
        ),
        (
            "classifier",
            network(
                one(RecurrentConfig { layers: 2, bidirectional: true, ..gru.clone() })
                    .push("last", last(true, false))
                    .push("head", linear(10, 3)),
                false,
            ),
        ),
        (
            "backward",
            network(one(RecurrentConfig { reverse: true, ..gru.clone() }).push("last", last(false, true)), false),
        ),
        (
            "last step after a layer",
            network(
                one(gru.clone()).push("norm", norm).push("head", linear(5, 2)).push("last", last(false, false)),
                false,
            ),
        ),
        ("reset before", network(one(RecurrentConfig { cell: Cell::GruResetBefore, options: clipped, ..gru }), false)),
        (
            "peepholes",
            network(
                one(RecurrentConfig { peephole: true, input_forget: true, activations, bidirectional: true, ..lstm }),
                false,
            ),
        ),
        ("rnn", network(one(RecurrentConfig { bias: false, ..RecurrentConfig::rnn(3, 4) }), false)),
    ]
}

fn export(network: &Network) -> Vec<u8> {
    let input = onnx::Input::of(network).expect("an input");
    onnx::export_blocking(network, &input).expect("exported")
}

/// Runs a model on sequences `[2, 7, I]`, and returns extents and values.
fn output(model: &dyn Module, width: usize) -> (Vec<usize>, Vec<f32>) {
    let x = Tensor::from_slice(&device(), &fill(7, 14 * width, 1.0), &[2, 7, width]).expect("x");
    let y = model.forward(&x).expect("forward");
    (y.dims().to_vec(), read(&y))
}

#[test]
fn networks_survive_onnx_bit_for_bit() {
    let device = device();
    for (name, network) in cases() {
        let bytes = export(&network);
        let copy = onnx::load_network(&device, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(bits(&copy), bits(&network), "{name}");
        assert_eq!(copy.skip, network.skip, "{name}");
        let width = widths(&network.layers)[0].expect(name);
        let (dims, want) = output(&network, width);
        let (got_dims, got) = output(&copy, width);
        assert_eq!(got_dims, dims, "{name}");
        assert_close(name, &got, &wide(&want), ROUNDING);
        // ONNX gives the same, so that the network was not misread together with its export.
        let x = Tensor::from_slice(&device, &fill(7, 14 * width, 1.0), &[2, 7, width]).expect("x");
        let run = onnx::OnnxModel::load(&device, &bytes).expect(name).run(&[("x", x.into())]).expect(name);
        assert_close(name, &read(run[0].1.as_tensor().expect("floats")), &wide(&want), ROUNDING);
        // Names of layers with weights are kept.
        let names = |network: &Network| network.parameters().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&copy), names(&network), "{name}");
    }
}

#[test]
fn networks_of_onnx_reach_every_format() {
    let device = device();
    let mut written = [0; 3];
    for (name, network) in cases() {
        let copy = onnx::load_network(&device, &export(&network)).expect(name);
        // The same text means the same bits.
        let texts = |network: &Network| {
            [to_rtneural_blocking(network), to_guitarml_blocking(network), to_nam_blocking(network, None)]
        };
        for (k, (got, want)) in texts(&copy).into_iter().zip(texts(&network)).enumerate() {
            match (got, want) {
                (Ok(got), Ok(want)) => {
                    assert_eq!(got, want, "{name}");
                    let file = TensorFile::import_bytes("model.json", got.as_bytes()).expect(name);
                    let again = load_network(&device, &file).expect(name);
                    let width = widths(&network.layers)[0].expect(name);
                    assert_close(name, &output(&again, width).1, &wide(&output(&network, width).1), ROUNDING);
                    written[k] += 1;
                }
                (Err(got), Err(want)) => assert_eq!(got.code(), want.code(), "{name}: {got}"),
                (got, want) => panic!("{name}: {:?}, {:?}", got.err(), want.err()),
            }
        }
        // PyTorch's names, with metadata that tells the layers.
        let file = pollster::block_on(network_to_file(&copy)).expect(name);
        let again =
            load_network(&device, &TensorFile::from_bytes("x", &file.to_bytes().expect("bytes")).expect("file"));
        let again = again.expect(name);
        assert_eq!((bits(&again), again.skip), (bits(&network), network.skip), "{name}");
        // Keras' layout of each recurrent layer, whose biases Keras adds.
        for layer in file.layers().iter().filter(|layer| layer.layers == 1 && !layer.bidirectional) {
            let part = file.recurrent(&layer.name).expect(name);
            let weights = wgru::io::RecurrentWeights::from_pytorch(layer.cell, &part, 0, false).expect(name);
            let Ok(keras) = weights.to_keras() else { continue };
            let back = wgru::io::RecurrentWeights::from_keras(layer.cell, &keras).expect(name);
            assert_eq!(back.to_keras().expect(name).names().count(), keras.names().count(), "{name}");
        }
    }
    assert_eq!(written, [3, 2, 2], "networks of each format");
}

/// The names of the weights in the safetensors file are those of PyTorch's modules.
#[test]
fn weights_get_the_names_of_pytorch() {
    let (_, network) = cases().remove(4);
    let copy = onnx::load_network(&device(), &export(&network)).expect("network");
    let file = pollster::block_on(network_to_file(&copy)).expect("file");
    let mut names: Vec<&str> = file.names().filter(|name| !name.contains("_l1") && !name.contains("hh")).collect();
    names.sort_unstable();
    let want = [
        "head.bias",
        "head.weight",
        "layer.bias_ih_l0",
        "layer.bias_ih_l0_reverse",
        "layer.weight_ih_l0",
        "layer.weight_ih_l0_reverse",
    ];
    assert_eq!(names, want);
}

/// Weights of a GRU with an input of 2 and 3 units, by hand.
fn gru_model(nodes: Vec<Bytes>, x: Bytes, outputs: &[&str]) -> Model {
    let initializers = vec![
        floats("W", &[1, 9, 2], &fill(1, 18, 0.8)),
        floats("R", &[1, 9, 3], &fill(2, 27, 0.8)),
        floats("B", &[1, 18], &fill(3, 18, 0.8)),
        floats("head", &[3, 2], &fill(4, 6, 0.8)),
        floats("row", &[2, 3], &fill(4, 6, 0.8)),
        floats("bias", &[2], &fill(5, 2, 0.8)),
        floats("one", &[], &[2.0]),
        floats("state", &[1, 1, 3], &[0.25, -0.5, 0.75]),
        ints("first", &[1], &[1]),
        ints("flat", &[2], &[-1, 3]),
        ints("shape", &[3], &[2, -1, 2]),
        ints("last", &[], &[-1]),
    ];
    let outputs = outputs.iter().map(|name| value(name, 1, &[-1, -1, -1])).collect();
    Model { opset: 17, nodes, initializers, inputs: vec![x], outputs }
}

fn gru_node(x: &str, attributes: &[Bytes]) -> Bytes {
    let all = [&[attribute_int("hidden_size", 3), attribute_int("linear_before_reset", 1)], attributes].concat();
    node("GRU", &[x, "W", "R", "B"], &["Y", "Y_h"], &all)
}

fn transpose(x: &str, y: &str, axes: &[i64]) -> Bytes {
    node("Transpose", &[x], &[y], &[crate::build::attribute_ints("perm", axes)])
}

/// Compares a network with the ONNX model that it was made of, on sequences of other extents.
#[track_caller]
fn agrees(name: &str, bytes: &[u8], dims: [usize; 3], from_onnx: impl Fn(&Tensor) -> Tensor, time_first: bool) {
    let device = device();
    let network = onnx::load_network(&device, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let x = Tensor::from_slice(&device, &fill(9, dims.iter().product(), 1.0), &dims).expect("x");
    let want = onnx::OnnxModel::load(&device, bytes).expect(name).run(&[("x", x.clone().into())]).expect(name);
    let want = from_onnx(want[0].1.as_tensor().expect("floats"));
    let x = if time_first { x.permute(&[1, 0, 2]).expect("turned") } else { x };
    let got = network.forward(&x).expect(name);
    assert_eq!(got.dims(), want.dims(), "{name}");
    assert_close(name, &read(&got), &wide(&read(&want)), ROUNDING);
}

#[test]
fn every_layout_of_exporters_is_read() {
    let free = |width| value("x", 1, &[-1, -1, width]);
    let turned = |y: &Tensor| y.permute(&[1, 0, 2]).expect("turned");
    let same = |y: &Tensor| y.clone();
    // Time first, with all axes of the node's output.
    let four = |y: &Tensor| {
        let &[steps, _, batch, width] = y.dims() else { panic!("four axes") };
        y.reshape(&[steps, batch, width]).expect("three").permute(&[1, 0, 2]).expect("turned")
    };
    let model = gru_model(vec![gru_node("x", &[])], free(2), &["Y"]);
    agrees("time first", &model.bytes(), [5, 4, 2], four, true);
    // Batch first, the bias before the product of a flattened sequence, and the shape put back.
    let nodes = vec![
        transpose("x", "t", &[1, 0, 2]),
        gru_node("t", &[]),
        node("Squeeze", &["Y", "first"], &["s"], &[]),
        transpose("s", "b", &[1, 0, 2]),
        node("Reshape", &["b", "flat"], &["rows"], &[]),
        node("Gemm", &["rows", "row", "bias"], &["g"], &[attribute_int("transB", 1)]),
        node("Reshape", &["g", "shape"], &["r"], &[]),
        node("Tanh", &["r"], &["y"], &[]),
    ];
    agrees("batch first", &gru_model(nodes, value("x", 1, &[2, -1, 2]), &["y"]).bytes(), [2, 4, 2], same, false);
    // The same order of axes in the node.
    let batched = |y: &Tensor| {
        let &[batch, steps, _, width] = y.dims() else { panic!("four axes") };
        y.reshape(&[batch, steps, width]).expect("three")
    };
    let model = gru_model(vec![gru_node("x", &[attribute_int("layout", 1)])], free(2), &["Y"]);
    agrees("layout 1", &model.bytes(), [5, 4, 2], batched, false);
    // The last state, which a backward layer reaches at the first step, and a bias that comes first.
    let nodes = |direction| {
        vec![
            gru_node("x", &[attribute_text("direction", direction)]),
            node("Squeeze", &["Y_h"], &["s"], &[]),
            node("MatMul", &["s", "head"], &["m"], &[]),
            node("Add", &["bias", "m"], &["y"], &[]),
        ]
    };
    for direction in ["forward", "reverse"] {
        agrees(direction, &gru_model(nodes(direction), free(2), &["y"]).bytes(), [5, 4, 2], same, true);
    }
    // The last step of a layer's output, and numbers for all.
    let nodes = vec![
        gru_node("x", &[]),
        node("Squeeze", &["Y", "first"], &["s"], &[]),
        node("Gather", &["s", "last"], &["l"], &[attribute_int("axis", 0)]),
        node("Mul", &["l", "one"], &["p"], &[]),
        node("Add", &["p", "one"], &["q"], &[]),
        node("Elu", &["q"], &["y"], &[attribute_float("alpha", 0.5)]),
    ];
    agrees("last step", &gru_model(nodes, free(2), &["y"]).bytes(), [5, 4, 2], same, true);
    // The input is added through the same moves.
    let nodes = vec![
        gru_node("x", &[]),
        node("Squeeze", &["Y", "first"], &["s"], &[]),
        node("MatMul", &["s", "head"], &["m"], &[]),
        node("Add", &["x", "m"], &["y"], &[]),
    ];
    agrees("skip", &gru_model(nodes, free(2), &["y"]).bytes(), [5, 4, 2], turned, true);
}

/// States that a model takes and returns do not stand in the way of its network.
#[test]
fn states_beside_the_output_are_dropped() {
    let gru = |inputs: &[&str]| {
        let all = [attribute_int("hidden_size", 3), attribute_int("linear_before_reset", 1)];
        node("GRU", inputs, &["Y", "Y_h"], &all)
    };
    let mut model = gru_model(vec![gru(&["x", "W", "R", "B", "", "h"])], value("x", 1, &[-1, 1, 2]), &["Y_h", "Y"]);
    model.inputs.push(value("h", 1, &[1, 1, 3]));
    let network = onnx::load_network(&device(), &model.bytes()).expect("network");
    assert_eq!(widths(&network.layers), [Some(2), Some(3)]);
    let stream = network.stream(wgru::StreamOptions::default()).expect("a stream");
    assert_eq!(stream.widths(), [2, 3]);
    // A constant state is learned.
    let model = gru_model(vec![gru(&["x", "W", "R", "B", "", "state"])], value("x", 1, &[-1, 1, 2]), &["Y"]);
    let network = onnx::load_network(&device(), &model.bytes()).expect("network");
    let (_, first) = network.parameters().into_iter().find(|(name, _)| name == "gru.h0").expect("a state");
    assert_eq!(read(&first), [0.25, -0.5, 0.75]);
}

#[test]
fn the_first_node_that_does_not_fit_is_named() {
    let free = value("x", 1, &[-1, -1, 2]);
    let squeezed = || vec![gru_node("x", &[]), node("Squeeze", &["Y", "first"], &["s"], &[])];
    let with = |more: &[Bytes], outputs: &[&str]| {
        let nodes = [squeezed(), more.to_vec()].concat();
        gru_model(nodes, free.clone(), outputs).bytes()
    };
    let short = || crate::build::attribute_ints("axes", &[0]);
    let cases = [
        // The function, not what follows it.
        (with(&[node("Sin", &["s"], &["y1"], &[]), node("Tanh", &["y1"], &["y"], &[])], &["y"]), "the Sin"),
        (with(&[node("ReduceMean", &["s"], &["y"], &[short()])], &["y"]), "the ReduceMean"),
        // Reads the steps as sequences.
        (
            with(
                &[
                    transpose("s", "t", &[1, 0, 2]),
                    node("MatMul", &["t", "head"], &["m"], &[]),
                    node("GRU", &["m", "W", "R", "B"], &["y"], &[attribute_int("hidden_size", 3)]),
                ],
                &["y"],
            ),
            "the GRU",
        ),
        // A branch.
        (with(&[node("Tanh", &["s"], &["t"], &[]), node("Add", &["t", "s"], &["y"], &[])], &["y"]), "the Add"),
        (with(&[node("Tanh", &["s"], &["y"], &[])], &["y", "s"]), "outputs"),
    ];
    for (bytes, word) in &cases {
        let error = onnx::load_network(&device(), bytes).expect_err(word);
        assert!(matches!(error, Error::Unsupported { .. } | Error::Format { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    // Steps or features in another order, a bias along the steps, and a factor that depends on the number of steps.
    let backward = |axis: &str| node("Slice", &["s", "from", "to", axis, "from"], &["y"], &[]);
    let moved = [
        (vec![backward("axis 0")], "(output)"),
        (vec![backward("axis 2")], "(output)"),
        (
            vec![
                node("MatMul", &["s", "head"], &["m"], &[]),
                transpose("m", "t", &[1, 2, 0]),
                node("Add", &["t", "bias"], &["y"], &[]),
            ],
            "the Add",
        ),
        (
            vec![
                node("Shape", &["x"], &["extents"], &[]),
                node("Gather", &["extents", "zero"], &["steps"], &[]),
                node("Cast", &["steps"], &["factor"], &[attribute_int("to", 1)]),
                node("Mul", &["s", "factor"], &["y"], &[]),
            ],
            "the Mul",
        ),
    ];
    for (more, word) in moved {
        let nodes = [squeezed(), more].concat();
        let mut model = gru_model(nodes, value("x", 1, &[2, -1, 2]), &["y"]);
        let numbers = [("from", -1), ("to", -99), ("axis 0", 0), ("axis 2", 2), ("zero", 0)];
        model.initializers.extend(numbers.map(|(name, number)| ints(name, &[1], &[number])));
        let error = onnx::load_network(&device(), &model.bytes()).expect_err(word).to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    // A state that depends on the input.
    let all = [attribute_int("hidden_size", 2), attribute_int("linear_before_reset", 1)];
    let nodes = vec![
        node("Slice", &["x", "zero", "one"], &["h"], &[]),
        node("GRU", &["x", "W2", "R2", "", "", "h"], &["y"], &all),
    ];
    let mut model = gru_model(nodes, value("x", 1, &[4, 1, 2]), &["y"]);
    model.initializers = vec![
        floats("W2", &[1, 6, 2], &fill(1, 12, 0.8)),
        floats("R2", &[1, 6, 2], &fill(2, 12, 0.8)),
        ints("zero", &[1], &[0]),
        ints("one", &[1], &[1]),
    ];
    let error = onnx::load_network(&device(), &model.bytes()).expect_err("a state").to_string();
    assert!(error.contains("the GRU") && error.contains("initial states"), "{error}");
}

macro_rules! fixtures {
    ($folder:literal: $($name:literal),*) => {
        [$(($name, &include_bytes!(concat!($folder, "/", $name, ".onnx"))[..])),*]
    };
}

/// Compares the network of a model with a framework's output, batch first.
#[track_caller]
fn gives(name: &str, bytes: &[u8], x: (&[usize], &[f32]), want: &[f32]) {
    let device = device();
    let network = onnx::load_network(&device, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let got = network.forward(&Tensor::from_slice(&device, x.1, x.0).expect("x")).expect(name);
    assert_close(name, &read(&got), &wide(want), OUTPUT);
}

#[test]
fn models_of_pytorch_and_keras_become_networks() {
    let wanted = TensorFile::from_safetensors("outputs", include_bytes!("pytorch/outputs.safetensors")).expect("file");
    for (name, bytes) in fixtures!("pytorch": "lstm", "rnn") {
        gives(name, bytes, (&[3, 9, 4], &fill(7, 3 * 9 * 4, 1.0)), wanted.get(name).expect(name).1);
    }
    // The last step of both directions is not their last state.
    let [(name, gru)] = fixtures!("pytorch": "gru");
    let error = onnx::load_network(&device(), gru).expect_err(name).to_string();
    assert!(error.contains("last state"), "{error}");
    let arrays = TensorFile::from_npz("arrays", include_bytes!("loops/arrays.npz")).expect("arrays");
    for (name, bytes) in fixtures!("loops": "gru_before", "gru_relu", "gru_hard", "gru_no_bias", "rnn", "rnn_relu") {
        let [x, y] = ["x", "y"].map(|part| arrays.get(&format!("{name}.{part}")).expect(name));
        gives(name, bytes, x, y.1);
    }
    let [(name, masked)] = fixtures!("loops": "masked");
    assert!(onnx::load_network(&device(), masked).expect_err(name).to_string().contains("NotEqual"));
}

/// Both exporters of PyTorch, with the names and bits of its weights.
#[test]
fn stacks_of_both_exporters_of_pytorch_become_networks() {
    let file = |bytes: &[u8]| TensorFile::from_safetensors("stacks", bytes).expect("file");
    let outputs = file(include_bytes!("stacks/outputs.safetensors"));
    let weights = file(include_bytes!("stacks/weights.safetensors"));
    let models = fixtures!("stacks": "lstm_amp_script", "lstm_amp_dynamo", "gru_amp_script", "gru_amp_dynamo",
        "classifier_script", "classifier_dynamo", "steps_script", "steps_dynamo");
    for (name, bytes) in models {
        let (model, exporter) = name.rsplit_once('_').expect("an exporter");
        let width = if model.ends_with("amp") { 1 } else { 3 };
        let network = onnx::load_network(&device(), bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(network.skip, width == 1, "{name}");
        gives(name, bytes, (&[3, 9, width], &fill(7, 27 * width, 1.0)), outputs.get(model).expect(name).1);
        let want = weights.under(model);
        let got = pollster::block_on(network_to_file(&network)).expect(name);
        assert_eq!(got.names().count(), want.names().count(), "{name}");
        for own in want.names().filter(|_| exporter == "script") {
            let bits = |file: &TensorFile| {
                file.get(own).map(|(dims, v)| (dims.to_vec(), v.iter().map(|v| v.to_bits()).collect::<Vec<_>>()))
            };
            assert_eq!(bits(&got).unwrap_or_else(|e| panic!("{name}: {e}")), bits(&want).expect(own), "{name}: {own}");
        }
    }
}

/// Files with odd extents, low precision and separate weights.
#[test]
fn small_published_models_become_networks() {
    let Some(folder) = crate::data("real/synth") else { return };
    let load = |name: &str| ModelFile::open(folder.join(name)).expect(name).network(&device());
    for name in [
        "gru_base",
        "gru_dim_value_-1",
        "gru_dim_value_0",
        "gru_external",
        "gru_learned_h0_expand",
        "gru_fp16_keep_io",
        "lstm_f32",
    ] {
        let network = load(&format!("{name}.onnx")).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(widths(&network.layers), [Some(4), Some(8)], "{name}");
        let has_state = network.parameters().iter().any(|(name, _)| name.ends_with("h0"));
        assert_eq!(has_state, name == "gru_learned_h0_expand", "{name}");
    }
    for (name, word) in [("gru_maxpool_argmax", "ReduceMax"), ("lstm_dynamic_int8", "lstm_quant")] {
        let error = load(&format!("{name}.onnx")).expect_err(name).to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}
