//! ONNX streams, and inputs that do not fit

use wgru::io::onnx::{OnnxModel, Stream, Value};
use wgru::{Device, Error, Tensor};

use crate::build::{Bytes, Model, attribute_int, attribute_text, floats, node, value};
use crate::common::{assert_close, fill};
use crate::on_every_backend;

/// A step has the same operations in a short run as in a long one, but its products may sum in a different order.
const TOLERANCE: f64 = 1e-6;

on_every_backend![a_stream_in_parts_equals_the_whole];

/// An LSTM on 3 features and a GRU on its output, with 4 units each, starting from zeros in the graph. With two
/// directions it can be loaded, but not run.
fn model(direction: &str) -> Vec<u8> {
    let directions = 1 + (direction == "bidirectional") as i64;
    let weights = |name: &str, stream: u32, dims: [i64; 3]| {
        floats(name, &dims, &fill(stream, dims.iter().product::<i64>() as usize, 0.5))
    };
    let attributes = [attribute_int("hidden_size", 4), attribute_text("direction", direction)];
    let mut gru = attributes.to_vec();
    gru.push(attribute_int("linear_before_reset", 1));
    Model {
        opset: 11,
        nodes: vec![
            node("LSTM", &["x", "W", "R"], &["y", "", "c"], &attributes),
            node("Squeeze", &["y"], &["z"], &[crate::build::attribute_ints("axes", &[1])]),
            // Without a name, it is known by its output.
            Bytes::default()
                .all(["z", "V", "U"], |b, i| b.raw(1, i))
                .raw(2, "out")
                .raw(4, "GRU")
                .all(&gru, |b, a| b.raw(5, a)),
        ],
        initializers: vec![
            weights("W", 1, [directions, 16, 3]),
            weights("R", 2, [directions, 16, 4]),
            weights("V", 3, [directions, 12, 4]),
            weights("U", 4, [directions, 12, 4]),
        ],
        inputs: vec![value("x", 1, &[-1, -1, 3])],
        outputs: vec![value("out", 1, &[-1, 1, -1, 4])],
    }
    .bytes()
}

fn a_stream_in_parts_equals_the_whole(device: &Device) {
    const BATCH: usize = 2;
    let model = OnnxModel::load(device, &model("forward")).expect("loaded");
    let x = fill(9, 10 * BATCH * 3, 1.0);
    let part = |from: usize, to: usize| -> Value {
        let values = &x[from * BATCH * 3..to * BATCH * 3];
        Tensor::from_slice(device, values, &[to - from, BATCH, 3]).expect("uploaded").into()
    };
    let read = |run: wgru::Result<Vec<(String, Value)>>| {
        run.expect("run")[0].1.as_tensor().expect("floats").read_blocking().expect("read")
    };
    let whole: Vec<f64> = read(model.run(&[("x", part(0, 10))])).iter().map(|&v| v.into()).collect();
    let mut stream: Stream = model.stream().expect("causal");
    assert!(stream.states().is_empty());
    let parts = [(0, 3), (3, 4), (4, 10)].map(|(from, to)| read(stream.run(&[("x", part(from, to))]))).concat();
    assert_close("in parts", &parts, &whole, TOLERANCE);

    let states = stream.states();
    assert_eq!(states.keys().collect::<Vec<_>>(), ["out", "the LSTM"]);
    assert_eq!(states["out"].h.read_blocking().expect("read"), parts[9 * BATCH * 4..]);
    assert!(states["out"].c.is_none());
    assert_eq!(states["the LSTM"].c.as_ref().expect("a cell state").dims(), [1, BATCH, 4]);

    // Two streams of one model are independent.
    let mut other = model.stream().expect("causal");
    assert_close("another", &read(other.run(&[("x", part(0, 2))])), &whole[..2 * BATCH * 4], TOLERANCE);
    assert_ne!(read(stream.run(&[("x", part(0, 2))])), read(other.run(&[("x", part(0, 2))])));
    // A failed call leaves the states unchanged.
    let kept = stream.states()["out"].h.read_blocking().expect("read");
    let three = Tensor::zeros(device, &[1, 3, 3]).expect("zeros");
    let error = stream.run(&[("x", three.into())]).expect_err("states of two sequences").to_string();
    assert!(error.contains("the LSTM") && error.contains("h0"), "{error}");
    assert_eq!(stream.states()["out"].h.read_blocking().expect("read"), kept);
    stream.reset();
    assert_close("again", &read(stream.run(&[("x", part(0, 2))])), &whole[..2 * BATCH * 4], TOLERANCE);
    let unknown = [("nobody".to_string(), stream.states()["out"].clone())].into();
    assert!(stream.set_states(unknown).expect_err("no such node").to_string().contains("nobody"));
}

#[test]
fn a_stream_of_a_node_that_reads_from_the_end_is_refused() {
    for direction in ["reverse", "bidirectional"] {
        let model = OnnxModel::load(&Device::cpu(), &model(direction)).expect("loaded");
        let error = model.stream().expect_err(direction);
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("the LSTM"), "{error}");
    }
}

#[test]
fn mismatched_inputs_are_refused() {
    let device = Device::cpu();
    let named = |name: &str, dims: [&str; 2]| {
        let dim = |b: Bytes, d: &str| b.raw(1, Bytes::default().raw(2, d));
        let shape = Bytes::default().all(dims, dim);
        Bytes::default().raw(1, name).raw(2, Bytes::default().raw(1, Bytes::default().int(1, 1).raw(2, shape)))
    };
    let bytes = Model {
        opset: 13,
        nodes: vec![node("Add", &["a", "b"], &["y"], &[])],
        inputs: vec![named("a", ["batch", "time"]), named("b", ["batch", "time"])],
        outputs: vec![value("y", 1, &[])],
        ..Model::default()
    }
    .bytes();
    let model = OnnxModel::load(&device, &bytes).expect("loaded");
    let zeros = |dims: &[usize]| -> Value { Tensor::zeros(&device, dims).expect("zeros").into() };
    let refused = |inputs: &[(&str, Value)], word: &str| {
        let error = model.run(inputs).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    };
    assert!(model.run(&[("a", zeros(&[2, 3])), ("b", zeros(&[2, 3]))]).is_ok());
    refused(&[("a", zeros(&[2, 3]))], "\"b\"");
    refused(&[("a", zeros(&[2, 3])), ("a", zeros(&[2, 3]))], "a twice");
    refused(&[("a", zeros(&[2, 3])), ("c", zeros(&[2, 3]))], "a, b");
    // Exporters use a name for extents that differ, so the node is what refuses them.
    refused(&[("a", zeros(&[2, 3])), ("b", zeros(&[2, 4]))], "the Add");
    refused(&[("a", zeros(&[2, 3])), ("b", zeros(&[2]))], "[2]");
    refused(&[("a", zeros(&[2, 3])), ("b", Value::ints(&[0; 6], &[2, 3]).expect("ints"))], "floats");
    let elsewhere = Tensor::zeros(&Device::cpu(), &[2, 3]).expect("zeros");
    refused(&[("a", zeros(&[2, 3])), ("b", elsewhere.into())], "another device");
}
