//! Bound streams compute what streams compute, frame by frame.

use wgru::io::onnx::{OnnxModel, Stream, StreamOptions, Value};
use wgru::{Device, Tensor};

use crate::build::{Model, attribute_graph, attribute_int, floats, node, value};
use crate::common::fill;
use crate::data;

/// Compares calls with different values, in both forms of the stream.
fn agree(name: &str, stream: &mut Stream, inputs: &[(&str, Value)]) {
    let mut bound = stream.bind(inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (mut start, mut seen) = (vec![0.0; bound.state_len()], Vec::new());
    for round in 0..2 {
        for call in 0..4 {
            let mut fed = inputs.to_vec();
            for (i, (input, value)) in fed.iter_mut().enumerate() {
                if let Value::Tensor(x) = value {
                    let values = fill(10 * call + i as u32, x.len(), 1.0);
                    bound.input_mut(input).expect("an input").copy_from_slice(&values);
                    *value = Tensor::from_slice(x.device(), &values, x.dims()).expect("uploaded").into();
                }
            }
            bound.run();
            for (output, value) in stream.run(&fed).unwrap_or_else(|e| panic!("{name}: {e}")) {
                let got = bound.output(&output).expect("an output");
                match &value {
                    Value::Tensor(want) => assert_eq!(*got, want.read_blocking().expect("read"), "{name}: {output}"),
                    want => {
                        let got: Vec<i64> = got.iter().map(|&v| v as i64).collect();
                        assert_eq!(got, want.read_ints_blocking().expect("read"), "{name}: {output}");
                    }
                }
                seen.extend_from_slice(&got);
            }
            if (round, call) == (0, 1) {
                bound.save_state(&mut start).expect("saved");
            }
        }
        stream.reset();
        bound.reset();
    }
    let (first, second) = seen.split_at(seen.len() / 2);
    assert_eq!(first, second, "{name}: after a reset");
    bound.load_state(&start).expect("loaded");
    let mut again = vec![0.0; start.len()];
    bound.save_state(&mut again).expect("saved");
    assert_eq!(start, again, "{name}");
}

fn row(device: &Device, values: &[f32]) -> Value {
    Tensor::from_slice(device, values, &[1, values.len()]).expect("uploaded").into()
}

/// `y = x + s`, `t = s + x`
fn sums() -> Vec<u8> {
    Model {
        opset: 13,
        nodes: vec![node("Add", &["x", "state_in"], &["y"], &[]), node("Identity", &["y"], &["state_out"], &[])],
        initializers: vec![],
        inputs: vec![value("x", 1, &[-1, 2]), value("state_in", 1, &[-1, 2])],
        outputs: vec![value("y", 1, &[-1, 2]), value("state_out", 1, &[-1, 2])],
    }
    .bytes()
}

#[test]
fn pairs_and_nodes_are_carried() {
    let device = Device::cpu();
    let mut stream = OnnxModel::load(&device, &sums()).expect("loaded").stream().expect("a stream");
    agree("sums", &mut stream, &[("x", row(&device, &[1.0, 2.0]))]);
    let both = [("x", row(&device, &[1.0, 2.0])), ("state_in", row(&device, &[0.0, 0.0]))];
    agree("sums with a fed state", &mut stream, &both);
    let initial = ("h", &[1, 1, 1][..], vec![0.25]);
    for h in ["", "h"] {
        let gru = Model {
            opset: 13,
            nodes: vec![node("GRU", &["x", "W", "R", "", "", h], &["y", "hn"], &[attribute_int("hidden_size", 1)])],
            initializers: vec![
                floats("W", &[1, 3, 2], &fill(1, 6, 1.0)),
                floats("R", &[1, 3, 1], &fill(2, 3, 1.0)),
                floats(initial.0, initial.1, &initial.2),
            ],
            inputs: vec![value("x", 1, &[-1, 1, 2])],
            outputs: vec![value("y", 1, &[-1, 1, 1, 1])],
        };
        let mut stream = OnnxModel::load(&device, &gru.bytes()).expect("loaded").stream().expect("a stream");
        let x = Tensor::zeros(&device, &[3, 1, 2]).expect("x");
        agree("gru", &mut stream, &[("x", x.into())]);
    }
}

/// From the third run on, a model repeats the kernels of the second one.
#[test]
fn runs_for_equal_extents_agree_with_first_runs() {
    let device = Device::cpu();
    let load = || OnnxModel::load(&device, &sums()).expect("loaded");
    let model = load();
    for (call, rows) in [1, 1, 1, 1, 2, 1, 2, 2, 2].into_iter().enumerate() {
        let values = |i: u32| fill(2 * call as u32 + i, 2 * rows, 1.0);
        let value = |i: u32| Tensor::from_slice(&device, &values(i), &[rows, 2]).expect("uploaded").into();
        let fed: [(&str, Value); 2] = [("x", value(0)), ("state_in", value(1))];
        let run = |model: &OnnxModel| {
            let outputs = model.run(&fed).expect("run");
            outputs
                .iter()
                .map(|(_, y)| y.as_tensor().and_then(Tensor::read_blocking).expect("read"))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(&model), run(&load()), "call {call}");
    }
    // Outputs that are kept do not change.
    let x = || [("x", row(&device, &[1.0, 2.0])), ("state_in", row(&device, &[0.0, 0.0]))];
    let kept: Vec<Value> = (0..4).map(|_| model.run(&x()).expect("run")[0].1.clone()).collect();
    model.run(&[("x", row(&device, &[9.0, 9.0])), ("state_in", row(&device, &[9.0, 9.0]))]).expect("run");
    kept.iter().for_each(|y| assert_eq!(y.as_tensor().and_then(Tensor::read_blocking).expect("read"), [1.0, 2.0]));
    assert!(model.run(&[("x", row(&device, &[1.0, 2.0]))]).expect_err("no state").to_string().contains("state_in"));
}

#[test]
fn a_bound_stream_continues_from_the_stream() {
    let device = Device::cpu();
    let mut stream = OnnxModel::load(&device, &sums()).expect("loaded").stream().expect("a stream");
    let x = || [("x", row(&device, &[1.0, 2.0]))];
    stream.run(&x()).expect("run");
    let mut bound = stream.bind(&x()).expect("bound");
    assert_eq!(bound.inputs().collect::<Vec<_>>(), [("x", &[1, 2][..])]);
    assert_eq!(bound.outputs().map(|(name, _)| name).collect::<Vec<_>>(), ["y", "state_out"]);
    bound.input_mut("x").expect("x").copy_from_slice(&[1.0, 2.0]);
    bound.run();
    assert_eq!(*bound.output("y").expect("y"), [2.0, 4.0]);
    bound.reset();
    bound.run();
    assert_eq!(*bound.output("y").expect("y"), [1.0, 2.0]);

    assert!(bound.input_mut("state_in").err().expect("carried").to_string().contains("x"));
    assert!(bound.output("z").err().expect("no output").to_string().contains("state_out"));
    assert!(bound.load_state(&[0.0]).expect_err("two floats").to_string().contains("2 floats"));
    assert!(stream.bind(&[]).expect_err("no x").to_string().contains("\"x\""));
}

/// A loop that ends when the sum of the input exceeds a bound cannot be recorded, because the number of its rounds
/// depends on the input.
#[test]
fn control_flow_that_depends_on_the_input_is_refused() {
    let device = Device::cpu();
    let branch = |name: &str| {
        let graph = Model {
            opset: 13,
            nodes: vec![node(name, &["x", "x"], &["out"], &[])],
            initializers: vec![],
            inputs: vec![],
            outputs: vec![value("out", 1, &[1, 2])],
        };
        graph.graph()
    };
    let model = Model {
        opset: 13,
        nodes: vec![
            node("ReduceMax", &["x"], &["most"], &[attribute_int("keepdims", 0)]),
            node("Greater", &["most", "bound"], &["is_more"], &[]),
            node(
                "If",
                &["is_more"],
                &["y"],
                &[attribute_graph("then_branch", branch("Add")), attribute_graph("else_branch", branch("Mul"))],
            ),
        ],
        initializers: vec![floats("bound", &[], &[0.5])],
        inputs: vec![value("x", 1, &[1, 2])],
        outputs: vec![value("y", 1, &[1, 2])],
    };
    let mut stream = OnnxModel::load(&device, &model.bytes()).expect("loaded").stream().expect("a stream");
    let x = [("x", row(&device, &[1.0, 2.0]))];
    stream.run(&x).expect("runs without buffers");
    let error = stream.bind(&x).expect_err("the branch is not known").to_string();
    assert!(error.contains("depends on computed values"), "{error}");
}

#[test]
fn published_models_agree() {
    let Some(folder) = data("real") else { return };
    let device = Device::cpu();
    let zeros = |dims: &[usize]| Value::from(Tensor::zeros(&device, dims).expect("zeros"));
    let rate = || ("sr", Value::ints(&[16_000], &[]).expect("a rate"));
    for (name, inputs) in [
        ("snakers4_silero-vad/silero_vad.onnx", vec![("input", zeros(&[1, 576])), rate()]),
        ("snakers4_silero-vad/silero_vad_op18_ifless.onnx", vec![("input", zeros(&[1, 576])), rate()]),
        ("Xiaobin-Rong_gtcrn/gtcrn_simple.onnx", vec![("mix", zeros(&[1, 257, 1, 2]))]),
        ("breizhn_DTLN/model_1.onnx", vec![("input_2", zeros(&[1, 1, 257]))]),
        ("breizhn_DTLN/model_2.onnx", vec![("input_4", zeros(&[1, 1, 512]))]),
    ] {
        let model = OnnxModel::open(&device, folder.join(name)).expect(name);
        agree(name, &mut model.stream_with(&StreamOptions::default()).expect(name), &inputs);
    }
}
