//! ONNX files of a few bytes that demand gigabytes or hours, at load or run time.

use wgru::io::onnx::{Limits, OnnxModel, Value, initializers};
use wgru::{CpuOptions, Device, Error, Tensor};

use super::measured;
use super::onnx_build::{
    Bytes, Model, attribute_int, attribute_ints, attribute_tensor, attribute_text, floats, ints, node, value,
};

/// Computes on this thread, so that its memory and time are counted.
pub fn device() -> Device {
    Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() }).expect("a CPU")
}

/// A model from f32 `X` `[2, 3]` to `Y`.
pub fn model(nodes: Vec<Bytes>, initializers: Vec<Bytes>) -> Model {
    let inputs = vec![value("X", 1, &[2, 3])];
    Model { opset: 17, nodes, initializers, inputs, outputs: vec![value("Y", 1, &[])] }
}

pub fn list(name: &str, values: &[i64]) -> Bytes {
    ints(name, &[values.len() as i64], values)
}

pub fn run(what: &str, model: &OnnxModel, device: &Device) -> wgru::Result<Vec<(String, Value)>> {
    let x = Tensor::full(device, 0.5, &[2, 3]).expect("x");
    measured(what, || model.run(&[("X", x.into())]))
}

/// Asserts that the run is refused before anything large is allocated, and that the message names the node and its
/// budget.
#[track_caller]
pub fn refused(what: &str, model: &Model, operator: &str, limit: &str) {
    let device = device();
    let model = OnnxModel::load(&device, &model.bytes()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let error = run(what, &model, &device).expect_err(what);
    let text = error.to_string();
    assert!(text.contains("with_limits"), "{what}: {text}");
    let Error::Node { node, source, .. } = error else { panic!("{what}: {text}") };
    assert_eq!(node, format!("the {operator}"), "{what}: {text}");
    match *source {
        Error::Budget { limit: got, needed, allowed } => assert!(got == limit && needed > allowed, "{what}: {text}"),
        _ => panic!("{what}: {text}"),
    }
}

#[test]
fn onnx_extents_beside_zero_are_refused_at_load() {
    let of = |dims: &[i64], nodes: Vec<Bytes>, more: Vec<Bytes>| {
        let nodes = nodes.into_iter().chain([node("Gather", &["X", "y"], &["Y"], &[])]).collect();
        model(nodes, [vec![ints("a", dims, &[])], more].concat()).bytes()
    };
    let axis = |axis: i64| attribute_int("axis", axis);
    let huge = 1 << 40;
    for (what, bytes) in [
        ("split", of(&[huge, 0], vec![node("Split", &["a"], &["y"], &[axis(0)])], vec![])),
        (
            "slice",
            of(
                &[huge, 0],
                vec![node("Slice", &["a", "0", "1"], &["y"], &[])],
                vec![list("0", &[0]), list("1", &[huge])],
            ),
        ),
        ("concat", of(&[1 << 45, 0], vec![node("Concat", &["a", "a"], &["y"], &[axis(1)])], vec![])),
        ("gather", of(&[0, huge, huge], vec![node("Gather", &["a", "0"], &["y"], &[axis(0)])], vec![list("0", &[0])])),
        // Within 32 bits, but still an hour of loops.
        ("many rows", of(&[0x7fff_ffff, 0], vec![node("Concat", &["a", "a"], &["y"], &[axis(1)])], vec![])),
    ] {
        let text = measured(what, || OnnxModel::load(&device(), &bytes)).expect_err(what).to_string();
        assert!(text.contains("\"a\"") && text.len() < 1000, "{what}: {text}");
        assert!(measured(what, || initializers(&bytes)).is_err(), "{what}: read as weights");
    }
    // Exporters write empty lists, alone and beside a few rows.
    for dims in [vec![0], vec![3, 0]] {
        let bytes = of(&dims, vec![node("Concat", &["a", "a"], &["y"], &[axis(-1)])], vec![]);
        OnnxModel::load(&device(), &bytes).unwrap_or_else(|e| panic!("{dims:?}: {e}"));
    }
}

#[test]
fn onnx_extents_beside_zero_are_refused_in_a_run() {
    // A shape that comes from an input: a huge extent beside 0.
    let seven = attribute_tensor("value", ints("", &[1], &[7]));
    for (what, operator, first) in [
        ("expand", "Expand", node("Expand", &["one", "S"], &["e"], &[])),
        ("constant", "ConstantOfShape", node("ConstantOfShape", &["S"], &["e"], &[seven])),
        ("reshape", "Reshape", node("Reshape", &["none", "S"], &["e"], &[attribute_int("allowzero", 1)])),
    ] {
        let initializers = vec![ints("one", &[1, 1], &[1]), ints("none", &[0], &[]), list("0", &[0]), list("1", &[9])];
        let mut model = model(vec![first, node("Slice", &["e", "0", "1"], &["Y"], &[])], initializers);
        model.inputs = vec![value("S", 7, &[2])];
        model.outputs = vec![value("Y", 7, &[])];
        let model = OnnxModel::load(&device(), &model.bytes()).unwrap_or_else(|e| panic!("{what}: {e}"));
        for extent in [1 << 40, 0x7fff_ffff, i64::MAX] {
            let shape = Value::ints(&[extent, 0], &[2]).expect("a shape");
            let error = measured(what, || model.run(&[("S", shape)])).expect_err(what).to_string();
            assert!(error.contains(&format!("the {operator}")), "{what}: {error}");
        }
    }
    assert!(Value::ints(&[], &[1 << 40, 0]).is_err(), "as an input");
}

#[test]
fn onnx_runs_are_refused_before_they_take_more_than_their_limit() {
    let big = list("s", &[20_000, 20_000]);
    let one = floats("f", &[1], &[1.0]);
    let shape = node("Shape", &["X"], &["n"], &[]);
    // The shape is unknown at load, so nothing is computed then.
    let grown = |end: Vec<Bytes>| [vec![shape.clone(), node("Mul", &["n", "s"], &["t"], &[])], end].concat();
    let y = |operator: &str, inputs: &[&str], attributes: &[Bytes]| node(operator, inputs, &["Y"], attributes);
    let of_shape = || grown(vec![y("ConstantOfShape", &["t"], &[])]);
    refused("constant", &model(of_shape(), vec![big.clone()]), "ConstantOfShape", "memory");
    let expand = grown(vec![y("Expand", &["f", "t"], &[])]);
    refused("expand", &model(expand, vec![big, one]), "Expand", "memory");
    let pads = list("p", &[0, 1 << 14, 0, 1 << 14]);
    let pad = vec![node("Pad", &["X", "p"], &["e"], &[]), node("Transpose", &["e"], &["t"], &[])];
    let pad = [pad, vec![node("MatMul", &["t", "e"], &["Y"], &[])]].concat();
    refused("outer product", &model(pad, vec![pads]), "MatMul", "memory");
    let pad = vec![y("Pad", &["X", "p"], &[])];
    refused("pad", &model(pad, vec![list("p", &[1 << 14, 1 << 14, 0, 0])]), "Pad", "memory");

    let view = node("Unsqueeze", &["X", "0"], &["x"], &[]);
    let wide = |pads: &[i64]| node("Conv", &["x", "w"], &["Y"], &[attribute_ints("pads", pads)]);
    let conv = |pads: &[i64]| {
        model(vec![view.clone(), wide(pads)], vec![list("0", &[0]), floats("w", &[1, 2, 1], &[1.0, 1.0])])
    };
    refused("conv", &conv(&[1 << 30, 1 << 28]), "Conv", "memory");
    let same = [attribute_text("auto_pad", "SAME_UPPER"), attribute_ints("dilations", &[0x7000_0000])];
    let same = vec![view.clone(), node("Conv", &["x", "w"], &["Y"], &same)];
    let same = model(same, vec![list("0", &[0]), floats("w", &[1, 2, 2], &[1.0; 4])]);
    refused("dilated", &same, "Conv", "memory");

    let rows = vec![0i64; 1 << 15];
    let gather = vec![node("Gather", &["X", "i"], &["g"], &[]), y("Gather", &["g", "i"], &[attribute_int("axis", 1)])];
    refused("gather", &model(gather, vec![list("i", &rows)]), "Gather", "memory");
    let concat = |i: usize| {
        let (from, to) = (format!("{i}"), format!("{}", i + 1));
        node("Concat", &[&from, &from, &from, &from], &[&to], &[attribute_int("axis", 0)])
    };
    let mut doubled: Vec<Bytes> = (0..40).map(concat).collect();
    doubled.push(node("Relu", &["40"], &["Y"], &[]));
    doubled.insert(0, node("Identity", &["X"], &["0"], &[]));
    let device = device();
    let doubled = OnnxModel::load(&device, &model(doubled, vec![]).bytes()).expect("a model");
    let low = Limits { memory: Some(16 << 20), ..Limits::default() };
    let error = run("concat", &doubled.with_limits(low), &device).expect_err("4^40").to_string();
    assert!(error.contains("the Concat") && error.contains("with_limits"), "{error}");

    // Millions of sequences, from a computed shape; then recurrent steps.
    let weights = vec![floats("W", &[1, 3, 3], &[0.5; 9]), floats("R", &[1, 3, 1], &[0.5; 3])];
    let states = [view, node("Expand", &["x", "b"], &["e"], &[]), y("GRU", &["e", "W", "R"], &[])];
    let batch = |b: &[i64]| [weights.clone(), vec![list("0", &[0]), list("b", b)]].concat();
    refused("gru", &model(states.to_vec(), batch(&[3_600_000, 2, 3])), "GRU", "memory");
}

#[test]
fn onnx_runs_are_refused_before_they_take_more_work_than_their_limit() {
    let values = vec![0.001f32; 1 << 18];
    let square = floats("w", &[512, 512], &values);
    let mut nodes = vec![node("Expand", &["f", "s"], &["0"], &[])];
    for i in 0..100 {
        nodes.push(node("MatMul", &[&format!("{i}"), "w"], &[&format!("{}", i + 1)], &[]));
    }
    nodes.push(node("ReduceSum", &["100"], &["r"], &[attribute_int("keepdims", 0)]));
    nodes.push(node("Add", &["r", "X"], &["Y"], &[]));
    let chain = model(nodes, vec![square, floats("f", &[1, 1], &[1.0]), list("s", &[512, 512])]);
    refused("products", &chain, "MatMul", "work");
    let device = device();
    let free = OnnxModel::load(&device, &chain.bytes()).expect("a model");
    let free = free.with_limits(Limits { work: Some(u64::MAX), ..Limits::default() });
    let x = Tensor::full(&device, 0.5, &[2, 3]).expect("x");
    free.run(&[("X", x.into())]).expect("with a higher limit");
}

#[test]
fn onnx_limits_can_be_raised_and_lowered() {
    let device = device();
    let relu = model(vec![node("Relu", &["X"], &["Y"], &[])], vec![]);
    let model = OnnxModel::load(&device, &relu.bytes()).expect("a model");
    let with = |memory: u64| model.clone().with_limits(Limits { memory: Some(memory), ..Limits::default() });
    run("as much as needed", &with(24), &device).expect("24 bytes of Y");
    let error = run("too low", &with(23), &device).expect_err("a byte less");
    assert!(error.to_string().contains("the Relu"), "{error}");
    let mut stream = with(23).stream().expect("a stream");
    let x: Value = Tensor::full(&device, 0.5, &[2, 3]).expect("x").into();
    assert!(stream.run(&[("X", x)]).is_err(), "a stream has the limits of its model");
}

#[test]
fn onnx_values_count_until_their_last_use() {
    // A chain of any length holds two values at a time, while parallel nodes are all alive at once.
    let device = device();
    let name = |i: usize| format!("{i}");
    let relu = |from: &str, to: &str| node("Relu", &[from], &[to], &[]);
    let mut chain: Vec<Bytes> = (0..100).map(|i| relu(&name(i), &name(i + 1))).collect();
    chain.insert(0, relu("X", "0"));
    chain.push(relu("100", "Y"));
    let beside: Vec<String> = (0..100).map(name).collect();
    let mut wide: Vec<Bytes> = beside.iter().map(|n| relu("X", n)).collect();
    let all: Vec<&str> = beside.iter().map(String::as_str).collect();
    wide.push(node("Concat", &all, &["Y"], &[attribute_int("axis", 0)]));
    for (what, nodes, fits) in [("a chain", chain, true), ("side by side", wide, false)] {
        let model = OnnxModel::load(&device, &model(nodes, vec![]).bytes()).expect("a model");
        let model = model.with_limits(Limits { memory: Some(2 * 24 + 8), ..Limits::default() });
        assert_eq!(run(what, &model, &device).is_ok(), fits, "{what}");
    }
}

#[test]
fn onnx_integers_are_not_copied_before_the_limit_is_checked() {
    let inputs = vec!["I"; 400];
    let many = Model {
        nodes: vec![node("Concat", &inputs, &["Y"], &[attribute_int("axis", 0)])],
        inputs: vec![value("I", 7, &[-1])],
        outputs: vec![value("Y", 7, &[])],
        ..model(vec![], vec![])
    };
    let model = OnnxModel::load(&device(), &many.bytes()).expect("a model");
    let values = vec![1i64; 1 << 18];
    let input = Value::ints(&values, &[values.len()]).expect("integers");
    let error = measured("concat", || model.run(&[("I", input.clone())])).expect_err("too many").to_string();
    assert!(error.contains("the Concat"), "{error}");
}
