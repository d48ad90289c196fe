//! Exported models are byte-identical to the files in `exported/`, and give the same numbers in ONNX Runtime and when
//! this crate reads them. `WGRU_UPDATE=1` rewrites the files; run `generate_exported.py` afterwards.

use wgru::io::TensorFile;
use wgru::io::onnx::{self, Extent, Input, OnnxModel, Value};
use wgru::nn::*;
use wgru::{Activation, Cell, Device, Error, Rng, Tensor};

use crate::common::{fill, relative_error};
use crate::on_every_backend;

/// ONNX Runtime and this crate both compute in single precision.
const TOLERANCE: f64 = 1e-5;
/// The file and the model are the same layers with the same weights, but a product may use a different kernel.
const ROUNDING: f64 = 1e-6;

const BATCH: usize = 3;
const STEPS: usize = 5;

on_every_backend![exported_models_match_onnx_runtime];

struct Case {
    name: &'static str,
    model: Sequential,
    input: Input,
    /// The input's extents in this test.
    dims: Vec<usize>,
}

fn cases(device: &Device) -> Vec<Case> {
    let rng = &mut Rng::new(0);
    let free = |batch_first: bool, width: usize| {
        let [b, t] = [Extent::named("batch"), Extent::named("time")];
        Input::new("x", if batch_first { vec![b, t, Extent::Fixed(width)] } else { vec![t, b, Extent::Fixed(width)] })
    };
    let gru = RecurrentConfig::gru(4, 5);
    let lstm = RecurrentConfig::lstm(4, 3);
    let linear = |from, to, rng: &mut Rng| Linear::new(device, from, to, true, rng).expect("linear");
    let both = RecurrentConfig { layers: 2, bidirectional: true, batch_first: true, dropout: 0.1, ..gru.clone() };
    let before = RecurrentConfig {
        cell: Cell::GruResetBefore,
        reverse: true,
        options: RecurrentOptions { clip: Some(0.5), ..RecurrentOptions::default() },
        ..gru.clone()
    };
    let hard = Activation::HardSigmoid { alpha: 0.3, beta: 0.4 };
    let scaled = Activation::ScaledTanh { alpha: 1.5, beta: 0.6 };
    let activations = vec![hard, hard, Activation::Softsign, hard, scaled];
    let peepholes =
        RecurrentConfig { peephole: true, input_forget: true, bidirectional: true, activations, ..lstm.clone() };
    let rnn = RecurrentConfig {
        activations: vec![Activation::Elu { alpha: 0.7 }],
        bias: false,
        ..RecurrentConfig::rnn(4, 6)
    };
    let conv =
        Conv1dConfig { input: 4, output: 6, kernel: 3, stride: 2, padding: 1, groups: 2, ..Conv1dConfig::default() };
    let words = Input { indices: true, ..Input::new("words", vec![Extent::named("batch"), Extent::named("time")]) };
    let batch_first = RecurrentConfig { batch_first: true, ..lstm };
    let case = |name, model, input: Input| {
        let time_first = matches!(&input.dims[0], Extent::Named(n) if n == "time");
        let mut dims = if time_first { vec![STEPS, BATCH] } else { vec![BATCH, STEPS] };
        dims.extend((!input.indices).then_some(4));
        Case { name, model, input, dims }
    };
    vec![
        case(
            "classifier",
            Sequential::new()
                .push("gru", both.build(device, rng).expect("gru"))
                .push("last", LastState { batch_first: true, bidirectional: true, reverse: false })
                .push("drop", Dropout::new(0.5).expect("dropout"))
                .push("head", linear(10, 2, rng)),
            free(true, 4),
        ),
        case(
            "reset_before",
            Sequential::new()
                .push("gru", before.build(device, rng).expect("gru"))
                .push("head", Sequential::new().push("inner", linear(5, 3, rng)).push("tanh", Tanh)),
            free(false, 4),
        ),
        case("peepholes", Sequential::new().push("lstm", peepholes.build(device, rng).expect("lstm")), free(false, 4)),
        case(
            "normalized",
            Sequential::new()
                .push("rnn", rnn.build(device, rng).expect("rnn"))
                .push("norm", LayerNorm::new(device, 6).expect("norm"))
                .push("relu", Relu)
                .push("head", Linear::new(device, 6, 2, false, rng).expect("linear")),
            free(false, 4),
        ),
        case(
            "words",
            Sequential::new()
                .push("embedding", Embedding::new(device, 7, 4, rng).expect("embedding"))
                .push("lstm", batch_first.build(device, rng).expect("lstm"))
                .push("head", linear(3, 7, rng)),
            words,
        ),
        case(
            "windows",
            Sequential::new()
                .push("conv", conv.build(device, rng).expect("conv"))
                .push("gru", RecurrentConfig { input: 6, ..gru.clone() }.build(device, rng).expect("gru")),
            free(false, 4),
        ),
        case("nothing", Sequential::new().push("drop", Dropout::new(0.5).expect("dropout")), free(false, 4)),
        case(
            "last_step",
            Sequential::new()
                .push("gru", RecurrentConfig { batch_first: true, ..gru.clone() }.build(device, rng).expect("gru"))
                .push("last", LastStep { batch_first: true }),
            free(true, 4),
        ),
    ]
}

fn exported_models_match_onnx_runtime(device: &Device) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/exported");
    let wanted = TensorFile::open(folder.join("outputs.safetensors"));
    let mut worst = [0.0f64; 2];
    for (k, Case { name, model, input, dims }) in cases(device).into_iter().enumerate() {
        for (i, (_, parameter)) in model.parameters().iter().enumerate() {
            parameter.assign(&fill((1000 * k + i) as u32, parameter.len(), 0.5)).expect("assigned");
        }
        let bytes = onnx::export_blocking(&model, &input).unwrap_or_else(|e| panic!("{name}: {e}"));
        let path = folder.join(format!("{name}.onnx"));
        if std::env::var("WGRU_UPDATE").is_ok() {
            std::fs::write(&path, &bytes).expect("written");
            continue;
        }
        assert!(
            bytes == std::fs::read(&path).expect("a committed file"),
            "{name}: other bytes than {}",
            path.display()
        );

        let len: usize = dims.iter().product();
        let words: Vec<u32> = (0..len as u32).map(|j| (3 * j + 1) % 7).collect();
        let (x, value): (Tensor, Value) = if input.indices {
            let ids: Vec<i64> = words.iter().map(|&w| w.into()).collect();
            (Tensor::from_indices(device, &words, &dims).expect("x"), Value::ints(&ids, &dims).expect("ids"))
        } else {
            let x = Tensor::from_slice(device, &fill(9000 + k as u32, len, 1.0), &dims).expect("x");
            (x.clone(), x.into())
        };
        let ours = model.forward(&x).expect("forward");
        let want = wanted.as_ref().expect("outputs.safetensors").expect(name, ours.dims()).expect(name);
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let ours = ours.read_blocking().expect("read");
        let read = OnnxModel::load(device, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = read.run(&[(input.name.as_str(), value)]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = read[0].1.as_tensor().expect("floats").read_blocking().expect("read");
        let errors = [relative_error(&ours, &wide(want)), relative_error(&read, &wide(&ours))];
        assert!(errors[0] <= TOLERANCE && errors[1] <= ROUNDING, "{name}: {errors:?}");
        worst = [worst[0].max(errors[0]), worst[1].max(errors[1])];
    }
    println!(
        "exported models on {}: {:.1e} off ONNX Runtime, {:.1e} when read",
        device.info().name,
        worst[0],
        worst[1]
    );
}

#[test]
fn layers_without_a_form_in_onnx_are_refused_by_name() {
    let device = Device::cpu();
    let input = Input::new("x", vec![Extent::Free, Extent::Free, Extent::Fixed(4)]);
    let refused = |model: Sequential, word: &str| match onnx::export_blocking(&model, &input) {
        Err(error @ (Error::Unsupported { .. } | Error::Shape { .. })) => {
            let text = error.to_string();
            assert!(text.contains("odd") && text.contains(word), "{text}");
        }
        other => panic!("{word}: {:?}", other.map(|b| b.len())),
    };
    let rng = &mut Rng::new(0);
    let lstm = RecurrentConfig { projection: 2, ..RecurrentConfig::lstm(4, 3) }.build(&device, rng);
    refused(Sequential::new().push("odd", lstm.expect("lstm")), "projection");
    let options = RecurrentOptions { zoneout: 0.1, ..RecurrentOptions::default() };
    let gru = RecurrentConfig { options, ..RecurrentConfig::gru(4, 3) }.build(&device, rng);
    refused(Sequential::new().push("odd", gru.expect("gru")), "zoneout");
    let activations = vec![Activation::Relu, Activation::Sigmoid, Activation::Tanh];
    let gru = RecurrentConfig { activations, ..RecurrentConfig::gru(4, 3) }.build(&device, rng);
    refused(Sequential::new().push("odd", gru.expect("gru")), "activations");
    refused(Sequential::new().push("odd", Linear::new(&device, 3, 1, true, rng).expect("linear")), "last extent of 3");
    refused(Sequential::new().push("odd", Embedding::new(&device, 3, 1, rng).expect("embedding")), "indices");
    let mut attention = Sequential::new();
    attention = attention.push("odd", Attention::new(&device, AttentionConfig::default(), rng).expect("attention"));
    refused(attention, "unknown kind");
    let conv = Conv1dConfig { input: 4, output: 2, kernel: 5, axes: Axes::BatchFirst, ..Conv1dConfig::default() };
    let short = Input::new("x", vec![Extent::Free, Extent::Fixed(4), Extent::Fixed(4)]);
    let conv = Sequential::new().push("odd", conv.build(&device, rng).expect("conv"));
    assert!(onnx::export_blocking(&conv, &short).expect_err("no step").to_string().contains("as many steps"));
}

#[test]
fn duplicate_names_are_refused() {
    let device = Device::cpu();
    let twice = |model: &Sequential, input: &str| {
        let input = Input::new(input, vec![Extent::Free, Extent::Fixed(4)]);
        let error = onnx::export_blocking(model, &input).expect_err("a duplicate name").to_string();
        assert!(error.contains("twice"), "{error}");
    };
    twice(&Sequential::new().push("a", Relu).push("a", Relu), "x");
    let linear = Linear::new(&device, 4, 1, true, &mut Rng::new(0)).expect("linear");
    twice(&Sequential::new().push("a", linear), "a.bias");
}

/// A network of RTNeural with a layer of every activation that ONNX has an operator for.
#[test]
fn activations_of_networks_are_exported() {
    let names = [
        "tanh",
        "relu",
        "sigmoid",
        "elu",
        "softplus",
        "softsign",
        "hard_sigmoid",
        "leaky_relu",
        "softmax",
        "log_softmax",
    ];
    let device = Device::cpu();
    for name in names {
        let gru =
            r#"{ "type": "gru", "weights": [[[0.5, -0.4, 0.3]], [[0.2, 0.1, -0.3]], [[0, 0.1, 0], [0, 0, 0.2]]] }"#;
        let dense = format!(
            r#"{{ "type": "dense", "activation": "{name}", "weights": [[[3.0, -2.0, 0.5]], [0.1, 0.2, -0.3]] }}"#
        );
        let text = format!(r#"{{ "layers": [{gru}, {dense}] }}"#);
        let file = TensorFile::import_bytes("model.json", text.as_bytes()).expect("a file");
        let network = wgru::io::load_network(&device, &file).expect("a network");
        let input = Input::of(&network).expect("a known input");
        assert_eq!(input.dims, [Extent::named("batch"), Extent::named("time"), Extent::Fixed(1)]);
        let bytes = onnx::export_blocking(&network, &input).expect("a file");
        let x = Tensor::from_slice(&device, &fill(3, 2 * 9, 3.0), &[2, 9, 1]).expect("a tensor");
        let run = OnnxModel::load(&device, &bytes).expect("a model").run(&[("x", x.clone().into())]).expect("a run");
        let copy = run[0].1.as_tensor().and_then(Tensor::read_blocking).expect("numbers");
        let own = network.forward(&x).and_then(|y| y.read_blocking()).expect("numbers");
        let error = relative_error(&copy, &own.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
        assert!(error < ROUNDING, "{name}: {error}");
        assert!(own.iter().any(|v| *v != own[0]), "{name}: all outputs are the same");
    }
}
