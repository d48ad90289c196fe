//! Valid ONNX graphs of a few bytes whose operators and subgraphs demand gigabytes or hours. Each is refused by name
//! before it takes them, and the limit can be raised.

use wgru::io::onnx::{Limits, OnnxModel, load_network};

use super::measured;
use super::onnx_build::{
    Bytes, Model, attribute_graph, attribute_int, attribute_ints, attribute_text, floats, ints, node, value,
};
use super::onnx_limits::{device, list, model, refused, run};

/// A subgraph with inputs and outputs of any type.
fn graph(nodes: Vec<Bytes>, inputs: &[&str], outputs: &[&str]) -> Bytes {
    Bytes::default()
        .all(nodes, |b, n| b.raw(1, n))
        .raw(2, "body")
        .all(inputs, |b, name| b.raw(11, value(name, 0, &[])))
        .all(outputs, |b, name| b.raw(12, value(name, 0, &[])))
}

fn y(operator: &str, inputs: &[&str], attributes: &[Bytes]) -> Bytes {
    node(operator, inputs, &["Y"], attributes)
}

#[test]
fn operators_that_expand_are_refused() {
    let shape = node("Shape", &["X"], &["n"], &[]);
    let huge = || vec![list("h", &[3_000, 3_000])];
    let grown = |last: Vec<Bytes>| [vec![shape.clone(), node("Mul", &["n", "h"], &["t"], &[])], last].concat();
    refused("tile", &model(grown(vec![y("Tile", &["X", "t"], &[])]), huge()), "Tile", "memory");
    let scalar = |name: &str, v: i64| ints(name, &[], &[v]);
    let range = vec![
        node("Size", &["X"], &["s"], &[]),
        node("Mul", &["s", "m"], &["e"], &[]),
        node("Range", &["0", "e", "1"], &["r"], &[]),
        node("Cast", &["r"], &["Y"], &[attribute_int("to", 1)]),
    ];
    refused("range", &model(range, vec![scalar("0", 0), scalar("1", 1), scalar("m", 1 << 28)]), "Range", "memory");
    let hot = vec![
        node("Size", &["X"], &["s"], &[]),
        node("Mul", &["s", "m"], &["d"], &[]),
        y("OneHot", &["n", "d", "v"], &[]),
    ];
    let hot = [vec![shape.clone()], hot].concat();
    refused("one hot", &model(hot, vec![scalar("m", 1 << 26), floats("v", &[2], &[0.0, 1.0])]), "OneHot", "memory");
    let sizes = vec![ints("sizes", &[2], &[40_000, 40_000])];
    let mode = attribute_text("mode", "nearest");
    refused("resize", &model(vec![y("Resize", &["X", "", "", "sizes"], &[mode])], sizes), "Resize", "memory");
    let pads = vec![list("p", &[0, 0, 1, 1 << 30])];
    let edge = attribute_text("mode", "edge");
    refused("pad", &model(vec![y("Pad", &["X", "p"], &[edge])], pads), "Pad", "memory");

    let x = node("Unsqueeze", &["X", "0"], &["x"], &[]);
    let weights = || vec![list("0", &[0]), floats("w", &[2, 1, 1], &[1.0, 1.0])];
    let transposed = |attribute: Bytes| vec![x.clone(), y("ConvTranspose", &["x", "w"], &[attribute])];
    refused("strides", &model(transposed(attribute_ints("strides", &[1 << 28])), weights()), "ConvTranspose", "memory");
    let padding = attribute_ints("output_padding", &[1 << 29]);
    refused("output padding", &model(transposed(padding), weights()), "ConvTranspose", "memory");
    let window = [attribute_ints("kernel_shape", &[1 << 15]), attribute_ints("pads", &[1 << 15, 1 << 15])];
    refused(
        "window",
        &model(vec![x.clone(), y("MaxPool", &["x"], &window)], vec![list("0", &[0])]),
        "MaxPool",
        "memory",
    );
    let dft = vec![node("Unsqueeze", &["X", "2"], &["x"], &[]), y("DFT", &["x", "len"], &[])];
    refused("dft", &model(dft, vec![list("2", &[2]), scalar("len", 40_000)]), "DFT", "memory");
    let indices = vec![list("i", &vec![0; 1 << 15]), list("s", &[1 << 15, 1])];
    let gather = vec![
        node("Reshape", &["i", "s"], &["j"], &[]),
        node("Reshape", &["X", "f"], &["x"], &[]),
        node("Tile", &["x", "k"], &["t"], &[]),
        y("GatherND", &["t", "j"], &[]),
    ];
    let more = vec![list("f", &[1, 6]), list("k", &[1, 5000])];
    refused("gather", &model(gather, [indices, more].concat()), "GatherND", "memory");
    let sum = vec![node("Tile", &["X", "k"], &["t"], &[]), y("CumSum", &["t", "a"], &[])];
    refused("cumsum", &model(sum, vec![list("k", &[1, 10_000]), scalar("a", 1)]), "CumSum", "memory");
    let best = vec![node("Tile", &["X", "k"], &["t"], &[]), node("TopK", &["t", "n"], &["Y", "p"], &[])];
    refused("topk", &model(best, vec![list("k", &[1, 5000]), list("n", &[15_000])]), "TopK", "work");
    let letters = attribute_text("equation", "ab,cd->abcd");
    let product = vec![node("Tile", &["X", "k"], &["t"], &[]), y("Einsum", &["t", "t"], &[letters])];
    refused("einsum", &model(product, vec![list("k", &[1, 10_000])]), "Einsum", "memory");
}

/// A loop over `h`, which starts with `X`: the body makes `h1`, and the condition `c1` from `c`.
fn looped(trips: &str, nodes: Vec<Bytes>, outputs: &[&str]) -> Model {
    let mut nodes = nodes;
    nodes.push(node("Identity", &["c"], &["c1"], &[]));
    let body = graph(nodes, &["i", "c", "h"], &[&["c1", "h1"], outputs].concat());
    let made: Vec<String> = outputs.iter().map(|name| format!("all {name}")).collect();
    let names: Vec<&str> = ["Y"].into_iter().chain(made.iter().map(String::as_str)).collect();
    let constants = vec![ints("M", &[], &[i64::MAX]), ints("t", &[], &[1]), list("2", &[2, 1])];
    model(vec![node("Loop", &[trips, "t", "X"], &names, &[attribute_graph("body", body)])], constants)
}

/// Asserts that the run is refused by a budget, wherever in the graph.
#[track_caller]
fn exceeds(what: &str, model: &Model, limits: Limits) {
    let device = device();
    let model = OnnxModel::load(&device, &model.bytes()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let error = run(what, &model.with_limits(limits), &device).expect_err(what).to_string();
    assert!(error.contains("with_limits"), "{what}: {error}");
}

/// Bodies of loops are analyzed in bounded time and memory, even if their expressions grow with every node.
#[test]
fn bodies_with_terms_that_double_are_loaded_in_time() {
    let name = |letter: char, k: usize| format!("{letter}{k}");
    let mut nodes = vec![
        node("Add", &["i", "one"], &["next"], &[]),
        node("Less", &["next", "most"], &["b0"], &[]),
        node("MatMul", &["h", "w"], &["s0"], &[]),
    ];
    for k in 0..60 {
        nodes.push(node("And", &[&name('b', k), &name('b', k)], &[&name('b', k + 1)], &[]));
        nodes.push(node("Add", &[&name('s', k), "bias"], &[&name('s', k + 1)], &[]));
    }
    nodes.push(node("Tanh", &["s60"], &["h1"], &[]));
    let body = graph(nodes, &["i", "c", "h"], &["b60", "h1"]);
    let wide = |name: &str, dims: &[i64]| floats(name, dims, &vec![0.5; 50_000]);
    let numbers = [ints("one", &[], &[1]), ints("most", &[], &[1]), ints("t", &[], &[1])];
    let constants = [&numbers[..], &[wide("w", &[1, 50_000]), wide("bias", &[50_000])]].concat();
    let loops: Vec<Bytes> = (0..20)
        .map(|k| node("Loop", &["", "t", "X"], &[&name('Y', k)], &[attribute_graph("body", body.clone())]))
        .collect();
    let last = node("Identity", &["Y0"], &["Y"], &[]);
    let bytes = model([loops, vec![last]].concat(), constants).bytes();
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let loaded = measured("terms that double", || OnnxModel::load(&device(), &bytes));
    assert!(loaded.is_ok(), "{:?}", loaded.err());
}

#[test]
fn loops_without_an_end_are_refused() {
    let tanh = || vec![node("Tanh", &["h"], &["h1"], &[])];
    let plain = Limits::default();
    exceeds("forever", &looped("", tanh(), &[]), plain);
    exceeds("often", &looped("M", tanh(), &[]), plain);
    exceeds("nothing to do", &looped("", vec![node("Identity", &["h"], &["h1"], &[])], &[]), plain);
    // Values that double in every iteration, and values that are stacked.
    exceeds("doubling", &looped("", vec![node("Tile", &["h", "2"], &["h1"], &[])], &[]), plain);
    let both = vec![node("Tanh", &["h"], &["h1"], &[]), node("Tanh", &["h1"], &["o"], &[])];
    exceeds("stacking", &looped("", both, &["o"]), Limits { memory: Some(1 << 20), ..plain });
    // A loop in a loop, where each one alone is short.
    let inner = graph(
        vec![node("Tanh", &["g"], &["g1"], &[]), node("Identity", &["d"], &["d1"], &[])],
        &["j", "d", "g"],
        &["d1", "g1"],
    );
    let inner = node("Loop", &["few", "", "h"], &["h1"], &[attribute_graph("body", inner)]);
    let mut nested = looped("few", vec![inner], &[]);
    nested.initializers.push(ints("few", &[], &[1 << 16]));
    exceeds("nested", &nested, plain);
    // The same model runs if the caller allows it.
    let device = device();
    let mut short = looped("few", tanh(), &[]);
    short.initializers.push(ints("few", &[], &[300]));
    let loaded = OnnxModel::load(&device, &short.bytes()).expect("a model");
    let low = Limits { work: Some(1 << 16), ..plain };
    assert!(run("low", &loaded.clone().with_limits(low), &device).is_err());
    run("enough", &loaded, &device).expect("300 iterations");
}

#[test]
fn loops_hold_the_memory_of_one_iteration() {
    let nodes = vec![node("Tanh", &["h"], &["g"], &[]), node("Tanh", &["g"], &["h1"], &[])];
    let mut counted = looped("few", nodes, &[]);
    counted.initializers.push(ints("few", &[], &[500]));
    let device = device();
    let model = OnnxModel::load(&device, &counted.bytes()).expect("a model");
    let limits = Limits { memory: Some(200), ..Limits::default() };
    run("500 iterations", &model.with_limits(limits), &device).expect("a few values of 24 bytes");
}

#[test]
fn nested_subgraphs_are_bounded() {
    let nested = |depth: usize| {
        let leaf = graph(vec![node("Relu", &["X"], &["r"], &[])], &[], &["r"]);
        let body = (0..depth).fold(leaf, |inner, i| {
            let (out, branch) = (format!("o{i}"), attribute_graph("then_branch", inner));
            let other = graph(vec![node("Relu", &["X"], &["r"], &[])], &[], &["r"]);
            let branches = [branch, attribute_graph("else_branch", other)];
            graph(vec![node("If", &["c"], &[&out], &branches)], &[], &[&out])
        });
        let other = graph(vec![node("Relu", &["X"], &["r"], &[])], &[], &["r"]);
        let branches = [attribute_graph("then_branch", body), attribute_graph("else_branch", other)];
        let mut model = model(vec![y("If", &["c"], &branches)], vec![]);
        model.inputs.push(value("c", 9, &[]));
        model.bytes()
    };
    measured("few", || OnnxModel::load(&device(), &nested(6))).expect("7 levels");
    for depth in [40, 2000] {
        let error = measured("deep", || OnnxModel::load(&device(), &nested(depth))).expect_err("too deep").to_string();
        assert!(error.contains("levels deep"), "{error}");
    }
    // A constant that many subgraphs read is stored once.
    let big = floats("big", &[1 << 16], &vec![0.5; 1 << 16]);
    let branch = || graph(vec![node("Add", &["X", "big"], &["r"], &[])], &[], &["r"]);
    let many: Vec<Bytes> = (0..5000)
        .map(|i| {
            let branches = [attribute_graph("then_branch", branch()), attribute_graph("else_branch", branch())];
            node("If", &["c"], &[&format!("y{i}")], &branches)
        })
        .collect();
    let mut wide = model([many, vec![y("Identity", &["X"], &[])]].concat(), vec![big]);
    wide.inputs.push(value("c", 9, &[]));
    let bytes = wide.bytes();
    measured("wide", || OnnxModel::load(&device(), &bytes)).expect("5000 branches");
}

#[test]
fn broken_subgraphs_are_named() {
    let load = |what: &str, node: Bytes, constants: Vec<Bytes>| {
        let error = measured(what, || OnnxModel::load(&device(), &model(vec![node], constants).bytes()));
        let error = error.expect_err(what).to_string();
        assert!(error.contains("the ") && error.len() < 1000, "{what}: {error}");
        error
    };
    let body = |inputs: &[&str], outputs: &[&str]| {
        attribute_graph("body", graph(vec![node("Relu", &["X"], &["r"], &[])], inputs, outputs))
    };
    let m = || vec![ints("M", &[], &[3])];
    load("no body", y("Loop", &["M", "", "X"], &[]), m());
    load("not a graph", y("Loop", &["M", "", "X"], &[attribute_int("body", 1)]), m());
    load("inputs", y("Loop", &["M", "", "X"], &[body(&["i", "c"], &["r", "r"])]), m());
    load("outputs", y("Loop", &["M", "", "X"], &[body(&["i", "c", "h"], &["r"])]), m());
    let free =
        attribute_graph("body", graph(vec![node("Relu", &["nowhere"], &["r"], &[])], &["i", "c", "h"], &["r", "r"]));
    assert!(load("unknown name", y("Loop", &["M", "", "X"], &[free]), m()).contains("nowhere"));
    let cycle = graph(vec![node("Relu", &["b"], &["a"], &[]), node("Relu", &["a"], &["b"], &[])], &[], &["a"]);
    let branches = [attribute_graph("then_branch", cycle.clone()), attribute_graph("else_branch", cycle)];
    load("cycle", y("If", &["M"], &branches), m());
    for sequences in [0, 3, -1, i64::MAX] {
        let attributes = [body(&["h"], &["r"]), attribute_int("num_scan_inputs", sequences)];
        load("sequences", y("Scan", &["X"], &attributes), vec![]);
    }
}

/// Looking for the layers of a model takes no more than a run.
#[test]
fn networks_with_many_large_values_are_refused() {
    let of = |dims: &[i64], mut nodes: Vec<Bytes>, initializers: Vec<Bytes>, outputs: Vec<Bytes>| {
        let last = format!("t{}", nodes.len());
        let last = if nodes.is_empty() { "X" } else { &last };
        nodes.push(node("Identity", &[last], &["Y"], &[]));
        Model { opset: 17, nodes, initializers, inputs: vec![value("X", 1, dims)], outputs }.bytes()
    };
    let refused = |what: &str, bytes: &[u8]| {
        let error = measured(what, || load_network(&device(), bytes)).map(|_| ()).expect_err(what).to_string();
        assert!(error.contains("too much") || error.contains("too large"), "{what}: {error}");
    };
    let y = || vec![value("Y", 1, &[-1, -1, -1])];
    let name = |k: usize| if k == 0 { "X".to_string() } else { format!("t{k}") };
    let chain = |operator: &str, more: &[&str], attributes: &[Bytes]| -> Vec<Bytes> {
        let step = |k: usize| {
            let from = name(k);
            node(operator, &[&[from.as_str()], more].concat(), &[&name(k + 1)], attributes)
        };
        (0..2000).map(step).collect()
    };
    refused("extents", &of(&[1, 1 << 24, 2], chain("Identity", &[], &[]), vec![], y()));
    let turn = attribute_ints("perm", &[1, 0, 2]);
    refused("transposes", &of(&[1, 1 << 20, 2], chain("Transpose", &[], &[turn]), vec![], y()));
    let large = vec![list("to", &[1000, 1000, 2])];
    let spread = (1..2000).map(|k| node("Expand", &["X", "to"], &[&name(k)], &[])).collect();
    refused("expanded", &of(&[1, 1, 2], spread, large, y()));
    let sums = (1..20_000).map(|k| node("Add", &["X", "X"], &[&name(k)], &[])).collect();
    refused("sums", &of(&[1, 1 << 20, 2], sums, vec![], y()));
    let same = (0..20_000).map(|_| value("X", 1, &[-1, -1, -1])).collect();
    refused("outputs", &of(&[1, 1 << 20, 2], vec![], vec![], same));
    let weights = vec![floats("w", &[256, 256], &[0.5; 1 << 16])];
    refused("shared weights", &of(&[1, 1, 256], chain("MatMul", &["w"], &[]), weights, y()));
}
