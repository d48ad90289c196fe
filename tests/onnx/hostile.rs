//! Malicious ONNX files.

use wgru::Device;
use wgru::io::onnx::OnnxModel;

use super::onnx_build::{
    Bytes, Model, attribute_float, attribute_graph, attribute_int, attribute_ints, attribute_tensor, attribute_text,
    floats, ints, node, value,
};

/// `Y = GRU(X, W, R)` with constant weights: 3 features, 2 units.
fn gru(attributes: &[Bytes]) -> Model {
    Model {
        opset: 14,
        nodes: vec![node("GRU", &["X", "W", "R"], &["Y"], attributes)],
        initializers: vec![floats("W", &[1, 6, 3], &[0.5; 18]), floats("R", &[1, 6, 2], &[0.25; 12])],
        inputs: vec![value("X", 1, &[-1, -1, 3])],
        outputs: vec![value("Y", 1, &[-1, 1, -1, 2])],
    }
}

/// A single node from `X` `[2, 3]` to `Y`.
fn one(node: Bytes, initializers: Vec<Bytes>) -> Model {
    Model {
        opset: 14,
        nodes: vec![node],
        initializers,
        inputs: vec![value("X", 1, &[2, 3])],
        outputs: vec![value("Y", 1, &[])],
    }
}

fn load(what: &str, bytes: &[u8]) -> wgru::Result<OnnxModel> {
    super::measured(what, || OnnxModel::load(&Device::cpu(), bytes))
}

/// Asserts that the file is refused with a message that contains all of `words`.
#[track_caller]
fn refused(what: &str, model: &Model, words: &[&str]) {
    let text = match load(what, &model.bytes()) {
        Ok(_) => panic!("{what}: was read"),
        Err(error) => error.to_string(),
    };
    assert!(words.iter().all(|w| text.contains(w)), "{what}: {text}");
    assert!(text.len() < 3000, "{what}: a message of {} bytes", text.len());
}

#[test]
fn an_onnx_file_cut_anywhere_is_refused() {
    let bytes = gru(&[attribute_int("hidden_size", 2)]).bytes();
    load("whole", &bytes).expect("the whole file");
    for end in 0..bytes.len() {
        // A cut between two fields can leave a model without its operator set or its graph.
        assert!(load("cut", &bytes[..end]).is_err(), "{end} of {}", bytes.len());
    }
}

#[test]
fn onnx_files_with_any_bit_flipped_are_read_or_refused() {
    let bytes = gru(&[attribute_int("hidden_size", 2), attribute_text("direction", "forward")]).bytes();
    let mut refused = 0;
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused += load("flipped", &flipped).is_err() as usize;
    }
    assert!(refused > bytes.len(), "only {refused} of {} were refused", 8 * bytes.len());
}

#[test]
fn onnx_nodes_that_are_not_implemented_are_named() {
    let unary = |operator: &str, attributes: &[Bytes]| one(node(operator, &["X"], &["Y"], attributes), vec![]);
    refused("operator", &unary("Hardmax", &[]), &["the Hardmax", "Hardmax", "operator"]);
    refused("attribute", &unary("Relu", &[attribute_float("slope", 1.0)]), &["the Relu", "slope"]);
    let body = |depth: usize| {
        (0..depth).fold(Bytes::default(), |b, _| {
            Bytes::default().raw(1, Bytes::default().raw(2, "y").raw(4, "If").raw(5, attribute_graph("g", b)))
        })
    };
    refused("subgraph", &unary("Relu", &[attribute_graph("body", body(1))]), &["the Relu", "body", "graph"]);
    refused("deep nesting", &unary("Relu", &[attribute_graph("body", body(2000))]), &["the Relu", "body", "graph"]);
    refused("direction", &gru(&[attribute_text("direction", "sideways")]), &["the GRU", "GRU", "sideways"]);
    refused("type", &gru(&[attribute_text("hidden_size", "2")]), &["the GRU", "hidden_size"]);
    refused("twice", &gru(&[attribute_int("layout", 0), attribute_int("layout", 1)]), &["the GRU", "layout"]);
    refused("size", &gru(&[attribute_int("hidden_size", 1 << 40)]), &["the GRU", "hidden_size"]);
    refused("wrong size", &gru(&[attribute_int("hidden_size", 1 << 30)]), &["the GRU", "GRU"]);
    for opset in [0, 5, 23, i64::MAX] {
        refused("operator set", &Model { opset, ..gru(&[]) }, &["operator set"]);
    }
    let mut other = gru(&[]);
    other.nodes[0] = other.nodes[0].clone().raw(7, "com.microsoft");
    refused("domain", &other, &["the GRU", "com.microsoft"]);
}

#[test]
fn invalid_onnx_graphs_are_refused() {
    let chain = |pairs: &[(&str, &str)]| Model {
        nodes: pairs.iter().map(|(from, to)| node("Relu", &[from], &[to], &[])).collect(),
        ..one(Bytes::default(), vec![])
    };
    refused("cycle", &chain(&[("X", "a"), ("c", "b"), ("b", "c"), ("a", "Y")]), &["the Relu", "Relu"]);
    refused("own output", &chain(&[("Y", "Y")]), &["the Relu"]);
    refused("missing", &chain(&[("Z", "Y")]), &["the Relu", "\"Z\""]);
    refused("made twice", &chain(&[("X", "Y"), ("X", "Y")]), &["\"Y\"", "twice"]);
    refused("input made", &chain(&[("X", "Y"), ("Y", "X")]), &["\"X\"", "twice"]);
    refused("no output", &chain(&[("X", "Z")]), &["\"Y\""]);
    let double =
        Model { initializers: vec![floats("a", &[1], &[0.0]), floats("a", &[1], &[0.0])], ..chain(&[("X", "Y")]) };
    refused("initializer twice", &double, &["\"a\"", "twice"]);
    // In the wrong order, but valid.
    load("order", &chain(&[("a", "Y"), ("X", "a")]).bytes()).expect("sorted at load");
    let many: Vec<Bytes> =
        (0..20_000).map(|i| node("Relu", &[&format!("{i}")], &[&format!("{}", i + 1)], &[])).collect();
    let long = Model {
        nodes: many.into_iter().rev().collect(),
        inputs: vec![value("0", 1, &[1])],
        outputs: vec![value("20000", 1, &[1])],
        ..gru(&[])
    };
    load("long chain", &long.bytes()).expect("long, but sound");
}

#[test]
fn inconsistent_onnx_tensors_are_refused() {
    let with = |tensor: Bytes| one(node("Add", &["X", "a"], &["Y"], &[]), vec![tensor]);
    refused("few", &with(floats("a", &[2, 3], &[0.0; 5])), &["\"a\"", "[2, 3]"]);
    refused("huge", &with(floats("a", &[1 << 40, 1 << 40], &[0.0])), &["\"a\""]);
    refused("overflow", &with(floats("a", &[i64::MAX, i64::MAX], &[0.0])), &["\"a\""]);
    refused("negative", &with(floats("a", &[-1], &[0.0])), &["\"a\"", "negative"]);
    // A list without elements can only be an optional input.
    let empty = load("empty", &with(floats("a", &[0], &[])).bytes()).expect("an empty list");
    let x = wgru::Tensor::zeros(&Device::cpu(), &[2, 3]).expect("zeros");
    assert!(super::measured("empty", || empty.run(&[("X", x.into())])).is_err());
    refused("many axes", &with(floats("a", &[1; 9], &[0.0])), &["\"a\"", "9 axes"]);
    refused("external", &with(floats("a", &[1], &[0.0]).int(14, 1)), &["\"a\"", "separate file"]);
    refused("external place", &with(floats("a", &[1], &[0.0]).raw(13, "x")), &["external_data"]);
    let place = Bytes::default().raw(1, "location").raw(2, "f");
    let both = floats("a", &[1], &[0.0]).raw(13, place).int(14, 1);
    refused("external and here", &with(both), &["\"a\"", "separate file"]);
    refused("text", &with(Bytes::default().int(1, 1).int(2, 8).raw(6, "hello").raw(8, "a")), &["\"a\"", "string"]);
    refused("part", &with(Bytes::default().int(1, 1).int(2, 1).raw(8, "a").raw(9, [0; 3])), &["\"a\"", "within"]);
    let nameless = Bytes::default().int(2, 1);
    refused("nameless", &with(nameless), &["without a name"]);
    let many = Model { initializers: vec![Bytes::default(); 2 << 20], ..with(Bytes::default()) };
    refused("many empty ones", &many, &["without a name"]);
    let mut outputs = gru(&[]);
    outputs.outputs = vec![Bytes::default(); 2 << 20];
    refused("many empty outputs", &outputs, &["without a name"]);
    let long = "n".repeat(1 << 20);
    refused("long name", &with(floats(&long, &[1], &[0.0])), &["more than 1024 bytes"]);
    let mut axes = gru(&[]);
    axes.inputs[0] = value("X", 1, &[1; 9]);
    refused("input of 9 axes", &axes, &["\"X\"", "9 axes"]);
}

#[test]
fn onnx_constants_stay_in_proportion_to_the_file() {
    // A shape of 10^9, then doublings, then a table of indices: each takes a few bytes of the file.
    let shaped = |operator: &str, shape: &[i64], attributes: &[Bytes]| Model {
        nodes: vec![node(operator, &["s"], &["a"], attributes), node("Add", &["X", "a"], &["Y"], &[])],
        ..one(Bytes::default(), vec![ints("s", &[shape.len() as i64], shape)])
    };
    refused("giant", &shaped("ConstantOfShape", &[1000, 1000, 1000], &[]), &["the ConstantOfShape", "proportion"]);
    refused("uncountable", &shaped("ConstantOfShape", &[i64::MAX; 3], &[]), &["the ConstantOfShape"]);
    let of_ints = attribute_tensor("value", ints("", &[1], &[7]));
    refused("giant integers", &shaped("ConstantOfShape", &[1 << 22], &[of_ints]), &["the ConstantOfShape"]);
    let concat = |i: usize| {
        let (from, to) = (format!("{i}"), format!("{}", i + 1));
        node("Concat", &[&from, &from], &[&to], &[attribute_int("axis", 0)])
    };
    let mut nodes: Vec<Bytes> = (0..40).map(concat).collect();
    nodes.push(node("Add", &["X", "40"], &["Y"], &[]));
    for constant in [floats("0", &[1], &[1.0]), ints("0", &[1], &[1])] {
        let doubled = Model { nodes: nodes.clone(), ..one(Bytes::default(), vec![constant]) };
        refused("doublings", &doubled, &["the Concat", "proportion"]);
    }
    let outer = Model {
        nodes: vec![
            node("Unsqueeze", &["a", "one"], &["b"], &[]),
            node("Mul", &["a", "b"], &["c"], &[]),
            node("Add", &["X", "c"], &["Y"], &[]),
        ],
        ..one(Bytes::default(), vec![floats("a", &[10_000], &[1.0; 10_000]), ints("one", &[1], &[1])])
    };
    refused("outer product", &outer, &["the Mul", "proportion"]);
    let gathered = Model {
        nodes: vec![node("Gather", &["a", "i"], &["b"], &[]), node("Add", &["X", "b"], &["Y"], &[])],
        ..one(Bytes::default(), vec![floats("a", &[2, 5000], &[1.0; 10_000]), ints("i", &[10_000], &[1; 10_000])])
    };
    refused("gather", &gathered, &["the Gather", "proportion"]);
    let many = vec![0; 500_000];
    let axes = Model {
        nodes: vec![node("Unsqueeze", &["X", "i"], &["Y"], &[])],
        ..one(Bytes::default(), vec![ints("i", &[many.len() as i64], &many)])
    };
    let device = Device::cpu();
    let model = OnnxModel::load(&device, &axes.bytes()).expect("nothing is computed at load");
    let x = wgru::Tensor::zeros(&device, &[2, 3]).expect("zeros");
    let error = super::measured("run", || model.run(&[("X", x.into())])).expect_err("half a million axes").to_string();
    assert!(error.contains("the Unsqueeze"), "{error}");
    refused(
        "squeeze",
        &one(node("Squeeze", &["X"], &["Y"], &[attribute_ints("axes", &[0])]), vec![]),
        &["the Squeeze"],
    );
}

#[test]
fn empty_onnx_integer_tensors_are_safe() {
    // A slice of an empty tensor, from its end.
    let list = |name: &str, v: i64| ints(name, &[1], &[v]);
    let initializers = vec![
        ints("s", &[3], &[1, 2, 3]),
        list("0", 0),
        list("-1", -1),
        list("low", i64::MIN),
        floats("f", &[1], &[1.0]),
    ];
    let backwards = Model {
        nodes: vec![
            node("Slice", &["s", "0", "0"], &["e"], &[]),
            node("Slice", &["e", "-1", "low", "0", "-1"], &["n"], &[]),
            node("Concat", &["n", "0", "0"], &["r"], &[attribute_int("axis", 0)]),
            node("Gather", &["X", "r"], &["Y"], &[]),
        ],
        ..one(Bytes::default(), initializers)
    };
    load("backwards", &backwards.bytes()).expect("an empty slice");
    // Extents beside a 0 whose product exceeds any integer.
    let of_ints = attribute_tensor("value", ints("", &[1], &[7]));
    let empty = Model {
        nodes: vec![
            node("ConstantOfShape", &["d"], &["e"], &[of_ints]),
            node("Gather", &["e", "0"], &["g"], &[attribute_int("axis", 1)]),
            node("Gather", &["X", "g"], &["Y"], &[]),
        ],
        ..one(Bytes::default(), vec![ints("d", &[3], &[0, 1 << 40, 1 << 40]), list("0", 0)])
    };
    refused("giant emptiness", &empty, &["the ConstantOfShape"]);
}

#[test]
fn onnx_extremes_of_integers_and_floats_are_refused() {
    let device = Device::cpu();
    let mixed = one(node("Max", &["I", "X"], &["Y"], &[]), vec![]);
    let mixed = Model { inputs: vec![value("I", 7, &[2, 3]), value("X", 1, &[2, 3])], ..mixed };
    let model = OnnxModel::load(&device, &mixed.bytes()).expect("types are those of the inputs");
    let x = wgru::Tensor::zeros(&device, &[2, 3]).expect("zeros");
    let i = wgru::io::onnx::Value::ints(&[0; 6], &[2, 3]).expect("ints");
    let error = model.run(&[("I", i), ("X", x.into())]).expect_err("one of each").to_string();
    assert!(error.contains("the Max"), "{error}");
}
