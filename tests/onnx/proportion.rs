//! Loading an ONNX file, and the resulting messages, must stay in proportion to the file.

use wgru::Tensor;
use wgru::io::onnx::{OnnxModel, Value, initializers, read_tensor};

use super::allocator::measure;
use super::measured;
use super::onnx_build::{Bytes, attribute_float, attribute_ints, attribute_text, floats, node, value};
use super::onnx_limits::{device, list, model, run};

#[test]
fn onnx_constants_that_nodes_copy_stay_in_proportion_to_the_file() {
    // Each node takes 60 bytes, and would hold its own copy of the weights.
    let (w, r) = (vec![0.5; 3 * 64 * 64], vec![0.25; 3 * 64 * 64]);
    let nodes = (0..4000).map(|i| node("GRU", &["X", "W", "R"], &[&format!("Y{i}")], &[])).collect();
    let mut many = model(nodes, vec![floats("W", &[1, 192, 64], &w), floats("R", &[1, 192, 64], &r)]);
    many.inputs = vec![value("X", 1, &[-1, -1, 64])];
    many.outputs = vec![value("Y0", 1, &[])];
    let text = measured("layers", || OnnxModel::load(&device(), &many.bytes())).expect_err("400 MB").to_string();
    assert!(text.contains("the GRU") && text.contains("proportion"), "{text}");
}

#[test]
fn onnx_tensors_with_two_kinds_of_data_are_refused() {
    let two = |tensor: Bytes| {
        let bytes = model(vec![node("Add", &["X", "a"], &["Y"], &[])], vec![tensor.clone()]).bytes();
        let load = measured("two kinds", || OnnxModel::load(&device(), &bytes)).map(drop);
        let alone = read_tensor(&device(), &tensor.0).map(drop);
        for text in [load, initializers(&bytes).map(drop), alone].map(|r| r.map_err(|e| e.to_string())) {
            let text = text.expect_err("two kinds of data");
            assert!(text.contains("\"a\"") && text.contains("twice"), "{text}");
        }
    };
    let whole = || floats("a", &[1], &[1.0]);
    two(whole().float(4, 2.0));
    two(whole().raw(9, 2.0f32.to_le_bytes()));
    two(Bytes::default().int(1, 2).int(2, 1).raw(8, "a").float(4, 1.0).int(5, 3));
    two(Bytes::default().int(1, 2).int(2, 7).raw(8, "a").int(5, 1).int(7, 3));
    // An empty field beside the data does not count.
    read_tensor(&device(), &whole().raw(4, []).0).expect("one kind of data");
}

#[test]
fn onnx_weights_of_one_name_are_refused() {
    let twice =
        model(vec![node("Relu", &["X"], &["Y"], &[])], vec![floats("a", &[1], &[0.0]), floats("a", &[1], &[1.0])]);
    let text = initializers(&twice.bytes()).map(drop).expect_err("one name").to_string();
    assert!(text.contains("\"a\"") && text.contains("twice"), "{text}");
}

#[test]
fn onnx_models_of_many_inputs_run_in_time() {
    const COUNT: usize = 30_000;
    let names: Vec<String> = (0..COUNT).map(|i| format!("x{i}")).collect();
    let mut many = model(vec![node("Add", &["x0", "x1"], &["Y"], &[])], vec![]);
    many.inputs = names.iter().map(|name| value(name, 1, &[1])).collect();
    let device = device();
    let model = measured("load", || OnnxModel::load(&device, &many.bytes())).expect("a model");
    let x: Value = Tensor::full(&device, 0.5, &[1]).expect("x").into();
    let inputs: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), x.clone())).collect();
    let (result, used) = measure("many inputs", 0, || model.run(&inputs));
    result.expect("a run");
    assert!(used.time.as_millis() < 200, "{used:?}");
    let text = model.run(&[("other", x)]).expect_err("no such input").to_string();
    assert!(text.contains("other") && text.contains("x0") && text.len() < 1000, "{text}");
}

#[test]
fn onnx_models_of_many_nodes_load_in_time() {
    const COUNT: usize = 250_000;
    let name = |i: usize| format!("{i:x}");
    let nodes = |i: usize| {
        let b = Bytes::default().raw(1, name(i)).raw(2, name(i + 1));
        b.raw(4, "Abs")
    };
    let mut graph = Bytes::default();
    for i in 0..COUNT {
        graph = graph.raw(1, nodes(i));
    }
    let graph = graph.raw(11, value("0", 1, &[1])).raw(12, value(&name(COUNT), 1, &[1]));
    let bytes = Bytes::default().int(1, 8).raw(7, graph).raw(8, Bytes::default().raw(1, "").int(2, 17)).0;
    let (model, used) = measure("many nodes", 0, || OnnxModel::load(&device(), &bytes));
    drop(model.expect("a model"));
    assert!(used.memory < 12 * bytes.len(), "{used:?} for {} bytes", bytes.len());
    assert!(used.time.as_secs_f32() < 1.0, "{used:?}");
}

#[test]
fn onnx_lists_of_many_small_things_stay_in_proportion_to_the_file() {
    const COUNT: usize = 3 << 20;
    let relu = || node("Relu", &["X"], &["Y"], &[]);
    let dims: Vec<i64> = vec![0; COUNT];
    let packed: Vec<u8> = vec![1; COUNT];
    let value_of = |dims: Bytes| Bytes::default().raw(1, "X").raw(2, Bytes::default().raw(1, dims.int(1, 1)));
    let many_dims = value_of(Bytes::default().raw(2, Bytes::default().all(&dims, |b, _| b.raw(1, []))));
    let cases = [
        ("attributes", relu().all(&dims, |b, _| b.raw(5, [])), None),
        ("inputs", relu().all(&dims, |b, _| b.raw(1, [])), None),
        ("outputs", relu().all(&dims, |b, _| b.raw(2, [])), None),
        ("texts", relu().raw(5, Bytes::default().raw(1, "a").int(20, 8).all(&dims, |b, _| b.raw(9, []))), None),
        ("integers", relu().raw(5, Bytes::default().raw(1, "a").int(20, 7).raw(8, &packed)), None),
        ("axes", relu(), Some(many_dims)),
    ];
    for (what, node, input) in cases {
        let mut model = model(vec![node], vec![]);
        model.inputs = input.map_or(model.inputs, |input| vec![input]);
        let bytes = model.bytes();
        let (result, used) = measure("lists", 0, || OnnxModel::load(&device(), &bytes));
        // Omitted outputs are not an error.
        let text = result.map_or_else(|error| error.to_string(), |_| "read".into());
        assert!(text.len() < 3000, "{what}: a message of {} bytes", text.len());
        assert!(used.memory < 20 * bytes.len(), "{what}: {used:?} for {} bytes", bytes.len());
    }
    let sets = Bytes::default().all(&dims, |b, _| b.raw(8, Bytes::default().raw(1, "o")));
    let (result, used) = measure("operator sets", 0, || OnnxModel::load(&device(), &sets.0));
    assert!(result.is_err() && used.memory < 20 * sets.0.len(), "{used:?}");
}

#[test]
fn onnx_messages_do_not_repeat_long_lists() {
    let many = vec![1i64; 100_000];
    let device = device();
    for (what, node) in [
        ("reshape", node("Reshape", &["X", "i"], &["Y"], &[])),
        ("expand", node("Expand", &["X", "i"], &["Y"], &[])),
        ("pad", node("Pad", &["X", "i"], &["Y"], &[])),
        ("constant", node("ConstantOfShape", &["i"], &["Y"], &[])),
        ("transpose", node("Transpose", &["X"], &["Y"], &[attribute_ints("perm", &many)])),
        ("split", node("Split", &["X", "i"], &["Y", "Z"], &[])),
        ("conv", node("Conv", &["X", "i"], &["Y"], &[attribute_ints("pads", &many)])),
        ("mode", node("Pad", &["X", "i"], &["Y"], &[attribute_text("mode", &"m".repeat(1 << 20))])),
        ("slope", node("LeakyRelu", &["X"], &["Y"], &[attribute_float("beta", 1.0)])),
    ] {
        let bytes = model(vec![node], vec![list("i", &many)]).bytes();
        let text = match OnnxModel::load(&device, &bytes) {
            Err(error) => error.to_string(),
            Ok(model) => run(what, &model, &device).expect_err(what).to_string(),
        };
        assert!(text.len() < 2000, "{what}: {} bytes: {}", text.len(), &text[..200]);
    }
}
