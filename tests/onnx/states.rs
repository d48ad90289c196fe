//! Streams of models that carry their state as inputs and outputs, and integers that a GPU computes.

use wgru::io::onnx::{OnnxModel, StreamOptions, Value};
use wgru::{Device, Tensor};

use crate::build::{Bytes, Model, attribute_graph, attribute_int, floats, ints, node, value};
use crate::on_every_backend;

on_every_backend![
    pairs_are_carried_unless_they_are_fed,
    states_of_nodes_are_carried_unless_an_input_gives_them,
    computed_integers_are_waited_for_only_on_request,
];

fn floats_of(value: &Value) -> Vec<f32> {
    value.as_tensor().expect("floats").read_blocking().expect("read")
}

fn row(device: &Device, values: &[f32]) -> Value {
    Tensor::from_slice(device, values, &[1, values.len()]).expect("uploaded").into()
}

/// `y = x + s`, `t = s + x`: a running sum, with the state under the given names.
fn sums(names: [&str; 2]) -> Vec<u8> {
    Model {
        opset: 13,
        nodes: vec![node("Add", &["x", names[0]], &["y"], &[]), node("Identity", &["y"], &[names[1]], &[])],
        initializers: vec![],
        inputs: vec![value("x", 1, &[-1, 2]), value(names[0], 1, &[-1, 2])],
        outputs: vec![value("y", 1, &[-1, 2]), value(names[1], 1, &[-1, 2])],
    }
    .bytes()
}

fn pairs_are_carried_unless_they_are_fed(device: &Device) {
    let load = |names| OnnxModel::load(device, &sums(names)).expect("loaded");
    let mut stream = load(["state_in", "state_out"]).stream().expect("a stream");
    assert_eq!(stream.pairs().collect::<Vec<_>>(), [["state_in", "state_out"]]);
    let x = || ("x", row(device, &[1.0, 2.0]));
    let y = |outputs: wgru::Result<Vec<(String, Value)>>| floats_of(&outputs.expect("run")[0].1);
    assert_eq!(y(stream.run(&[x()])), [1.0, 2.0], "from zeros");
    assert_eq!(y(stream.run(&[x()])), [2.0, 4.0], "from the last call");
    let kept = stream.snapshot();
    assert_eq!(kept.pairs.keys().collect::<Vec<_>>(), ["state_in"]);
    assert_eq!(y(stream.run(&[x(), ("state_in", row(device, &[10.0, 20.0]))])), [11.0, 22.0], "what is fed wins");
    assert_eq!(y(stream.run(&[x()])), [12.0, 24.0], "and continues");
    stream.reset();
    assert_eq!(y(stream.run(&[x()])), [1.0, 2.0]);
    stream.restore(kept.clone()).expect("restored");
    assert_eq!(y(stream.run(&[x()])), [3.0, 6.0]);
    // A failed call leaves the state.
    assert!(stream.run(&[]).expect_err("no x").to_string().contains("\"x\""));
    assert_eq!(y(stream.run(&[x()])), [4.0, 8.0]);
    let mut wrong = kept;
    wrong.pairs.insert("nobody".into(), row(device, &[0.0]));
    assert!(stream.restore(wrong).expect_err("no such pair").to_string().contains("nobody"));

    // Names that say nothing are named by the user, and the error says how.
    let model = load(["a", "b"]);
    let error = model.stream().expect("a stream").run(&[x()]).expect_err("a is not fed").to_string();
    assert!(error.contains("\"a\"") && error.contains("StreamOptions::pairs") && error.contains(" b"), "{error}");
    let with = |pair: [&str; 2]| {
        model.stream_with(&StreamOptions { pairs: Some(vec![pair.map(String::from)]), ..StreamOptions::default() })
    };
    let mut stream = with(["a", "b"]).expect("a stream");
    assert_eq!(y(stream.run(&[x()])), [1.0, 2.0]);
    assert_eq!(y(stream.run(&[x()])), [2.0, 4.0]);
    for pair in [["a", "nobody"], ["nobody", "b"]] {
        assert!(with(pair).expect_err("no such value").to_string().contains("nobody"));
    }
    let mut apart = load(["state_in", "state_out"])
        .stream_with(&StreamOptions { pairs: Some(vec![]), ..StreamOptions::default() })
        .expect("a stream");
    assert!(apart.run(&[x()]).expect_err("no pairs").to_string().contains("state_in"));
}

/// A GRU of one unit, with or without an initial state as input.
fn gru(h0: bool, hn: &str) -> Vec<u8> {
    let state = if h0 { "h0" } else { "" };
    let inputs = ["x", "W", "R", "", "", state];
    let inputs = if h0 { &inputs[..] } else { &inputs[..3] };
    let mut model = Model {
        opset: 14,
        nodes: vec![node("GRU", inputs, &["y", hn], &[attribute_int("hidden_size", 1)])],
        initializers: vec![floats("W", &[1, 3, 2], &[0.5; 6]), floats("R", &[1, 3, 1], &[0.5; 3])],
        inputs: vec![value("x", 1, &[-1, 1, 2])],
        outputs: vec![value("y", 1, &[-1, 1, 1, 1])],
    };
    if h0 {
        model.inputs.push(value("h0", 1, &[1, 1, 1]));
    }
    if !hn.is_empty() {
        model.outputs.push(value(hn, 1, &[1, 1, 1]));
    }
    model.bytes()
}

fn states_of_nodes_are_carried_unless_an_input_gives_them(device: &Device) {
    let x = || ("x", Tensor::full(device, 1.0, &[1, 1, 2]).expect("x").into());
    let y = |outputs: wgru::Result<Vec<(String, Value)>>| floats_of(&outputs.expect("run")[0].1)[0];
    let load = |h0, hn| OnnxModel::load(device, &gru(h0, hn)).expect("loaded");
    let mut inside = load(false, "").stream().expect("a stream");
    let [first, second] = [y(inside.run(&[x()])), y(inside.run(&[x()]))];
    assert!(first > 0.0 && second > first);
    // The same through a pair; and not twice.
    let mut outside = load(true, "hn").stream().expect("a stream");
    assert_eq!([y(outside.run(&[x()])), y(outside.run(&[x()]))], [first, second]);
    assert!(outside.snapshot().nodes.is_empty());
    // Without an output that continues it, the input must be fed, and it is what counts.
    let mut fed = load(true, "").stream().expect("a stream");
    let zero = || ("h0", Tensor::zeros(device, &[1, 1, 1]).expect("zeros").into());
    assert_eq!([y(fed.run(&[x(), zero()])), y(fed.run(&[x(), zero()]))], [first, first]);
    assert!(fed.run(&[x()]).expect_err("h0 is missing").to_string().contains("h0"));
    // An output alone changes nothing.
    let mut shown = load(false, "hn").stream().expect("a stream");
    assert_eq!([y(shown.run(&[x()])), y(shown.run(&[x()]))], [first, second]);
    let none = StreamOptions { nodes: Some(false), ..StreamOptions::default() };
    let mut fresh = load(false, "").stream_with(&none).expect("a stream");
    assert_eq!([y(fresh.run(&[x()])), y(fresh.run(&[x()]))], [first, first]);
}

/// Doubles `x` until its sum exceeds 100: the condition is computed from floats.
fn doubling() -> Vec<u8> {
    let body = [
        node("Add", &["h", "h"], &["h1"], &[]),
        node("ReduceSum", &["h1"], &["sum"], &[attribute_int("keepdims", 0)]),
        node("Less", &["sum", "most"], &["again"], &[]),
    ];
    let body = Bytes::default()
        .all(body, |b, n| b.raw(1, n))
        .raw(2, "body")
        .all([value("i", 7, &[]), value("c", 9, &[]), value("h", 1, &[1, 2])], |b, v| b.raw(11, v))
        .all([value("again", 9, &[]), value("h1", 1, &[1, 2])], |b, v| b.raw(12, v));
    Model {
        opset: 13,
        nodes: vec![
            node("Loop", &["M", "", "x"], &["y"], &[attribute_graph("body", body)]),
            node("ArgMax", &["y"], &["place"], &[attribute_int("axis", 1), attribute_int("keepdims", 0)]),
        ],
        initializers: vec![floats("most", &[], &[100.0]), ints("M", &[], &[50])],
        inputs: vec![value("x", 1, &[1, 2])],
        outputs: vec![value("y", 1, &[1, 2]), value("place", 7, &[1])],
    }
    .bytes()
}

fn computed_integers_are_waited_for_only_on_request(device: &Device) {
    let model = OnnxModel::load(device, &doubling()).expect("loaded");
    let x = || [("x", row(device, &[1.0, 2.0]))];
    let outputs = model.run_blocking(&x()).expect("run");
    assert_eq!(floats_of(&outputs[0].1), [64.0, 128.0]);
    assert_eq!(outputs[1].1.read_ints_blocking().expect("read"), [1]);
    match model.run(&x()) {
        Ok(outputs) => {
            assert!(!device.is_gpu());
            assert_eq!(outputs[1].1.as_ints().expect("integers"), [1]);
        }
        Err(error) => {
            let text = error.to_string();
            assert!(device.is_gpu() && text.contains("the Loop") && text.contains("run_blocking"), "{text}");
        }
    }
}
