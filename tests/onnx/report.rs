//! Reports, warnings, separate files, and old operator sets.

use wgru::io::onnx::OnnxModel;
use wgru::{Device, Error, Tensor};

use crate::build::{Bytes, Model, attribute_graph, attribute_int, attribute_text, floats, node, value};
use crate::common::{assert_close, fill};

fn model(opset: i64, nodes: Vec<Bytes>, initializers: Vec<Bytes>) -> Model {
    let inputs = vec![value("X", 1, &[2, 3])];
    Model { opset, nodes, initializers, inputs, outputs: vec![value("Y", 1, &[])] }
}

/// A subgraph without inputs, from nodes to one output.
fn graph(nodes: &[Bytes], output: &str) -> Bytes {
    Bytes::default().all(nodes, |b, n| b.raw(1, n)).raw(2, "body").raw(12, value(output, 1, &[]))
}

#[test]
fn check_lists_everything_that_is_not_supported() {
    let inner = graph(&[node("Hardmax", &["X"], &["h"], &[])], "h");
    let other = graph(&[node("Relu", &["X"], &["r"], &[attribute_int("slope", 1)])], "r");
    let branches = [attribute_graph("then_branch", inner), attribute_graph("else_branch", other)];
    let attention = node("QAttention", &["X"], &["q"], &[]).raw(7, "com.microsoft");
    let nodes = vec![
        node("If", &["c"], &["a"], &branches),
        attention,
        node("LSTM", &["X", "W", "R"], &["l"], &[attribute_text("direction", "sideways")]),
        node("Resize", &["X", "", "s"], &["z"], &[attribute_text("mode", "cubic")]),
        node("Add", &["a", "z"], &["Y"], &[]),
    ];
    let constants =
        vec![floats("W", &[1, 4, 3], &[0.0; 12]), floats("R", &[1, 4, 1], &[0.0; 4]), floats("s", &[2], &[1.0; 2])];
    let mut bytes = model(13, nodes, constants);
    bytes.inputs.push(value("c", 9, &[]));
    let report = OnnxModel::check(&bytes.bytes()).expect("a report");
    let text = report.to_string();
    assert_eq!(report.problems.len(), 5, "{text}");
    for (node, operator, what) in [
        ("the If.then_branch/the Hardmax", "Hardmax", "the operator"),
        ("the If.else_branch/the Relu", "Relu", "slope"),
        ("the QAttention", "QAttention", "com.microsoft"),
        ("the LSTM", "LSTM", "sideways"),
        ("the Resize", "Resize", "cubic"),
    ] {
        let found = report.problems.iter().find(|p| p.node == node).unwrap_or_else(|| panic!("{node} in {text}"));
        assert!(found.operator == operator && found.what.contains(what), "{text}");
        assert!(text.contains(node) && text.contains(what), "{text}");
    }
    // Loading reports one of them.
    let error = OnnxModel::load(&Device::cpu(), &bytes.bytes()).expect_err("not supported");
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let old = Model { opset: 5, ..model(5, vec![node("Relu", &["X"], &["Y"], &[])], vec![]) };
    assert!(OnnxModel::check(&old.bytes()).expect("a report").to_string().contains("operator set 5"));
    assert!(OnnxModel::check(b"no model").is_err());
}

#[test]
fn a_faulty_export_of_pytorch_is_a_warning() {
    let gru = |linear: i64, bias: f32, producer: &str| {
        let attributes = [attribute_int("hidden_size", 2), attribute_int("linear_before_reset", linear)];
        let mut b = vec![0.5; 12];
        b[6..].fill(bias);
        let constants =
            vec![floats("W", &[1, 6, 3], &[0.5; 18]), floats("R", &[1, 6, 2], &[0.25; 12]), floats("B", &[1, 12], &b)];
        let mut model = model(14, vec![node("GRU", &["X", "W", "R", "B"], &["Y"], &attributes)], constants);
        model.inputs = vec![value("X", 1, &[-1, -1, 3])];
        let bytes = [model.bytes(), Bytes::default().raw(2, producer).0].concat();
        OnnxModel::check(&bytes).expect("a report").warnings
    };
    let warnings = gru(0, 0.1, "pytorch");
    assert!(warnings.len() == 1 && warnings[0].contains("the GRU"), "{warnings:?}");
    assert!(warnings[0].contains("linear_before_reset"), "{warnings:?}");
    assert!(gru(1, 0.1, "pytorch").is_empty() && gru(0, 0.0, "pytorch").is_empty() && gru(0, 0.1, "CNTK").is_empty());
}

/// A tensor of f32 whose data is in another file.
fn external(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> Bytes {
    let entry = |b: Bytes, (key, value): &(&str, &str)| b.raw(13, Bytes::default().raw(1, key).raw(2, value));
    Bytes::default().all(dims, |b, &d| b.int(1, d)).int(2, 1).raw(8, name).all(entries, entry).int(14, 1)
}

#[test]
fn external_data_is_read_by_name_offset_and_length() {
    let device = Device::cpu();
    let add = |entries: &[(&str, &str)]| {
        model(13, vec![node("Add", &["X", "w"], &["Y"], &[])], vec![external("w", &[3], entries)]).bytes()
    };
    let entries = [("location", "weights.bin"), ("offset", "4"), ("length", "12")];
    let data: Vec<u8> = [9.0f32, 1.0, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut asked = Vec::new();
    let model = OnnxModel::load_with(&device, &add(&entries), |name| {
        asked.push(name.to_string());
        Ok(data.clone())
    });
    let x = Tensor::zeros(&device, &[2, 3]).expect("zeros");
    let y = model.expect("loaded").run(&[("X", x.into())]).expect("run").remove(0).1;
    assert_eq!(y.as_tensor().expect("floats").read_blocking().expect("read"), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    assert_eq!(asked, ["weights.bin"]);

    let refused = |bytes: &[u8], words: &[&str]| {
        let text = OnnxModel::load_with(&device, bytes, |_| Ok(data.clone())).expect_err("refused").to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let text = OnnxModel::load(&device, &add(&entries)).expect_err("no file").to_string();
    assert!(text.contains("\"w\"") && text.contains("weights.bin") && text.contains("OnnxModel::open"), "{text}");
    assert!(OnnxModel::check(&add(&entries)).expect("a report").problems.is_empty());
    refused(&add(&[("location", "weights.bin"), ("offset", "8"), ("length", "12")]), &["\"w\"", "16 bytes"]);
    refused(&add(&[("location", "weights.bin"), ("length", "8")]), &["\"w\"", "2 elements"]);
    refused(&add(&[("location", "weights.bin"), ("offset", "-4")]), &["offset"]);
    refused(&add(&[("offset", "0")]), &["\"w\"", "without a name"]);
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn external_data_stays_in_the_folder_of_the_model() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("model");
    std::fs::create_dir_all(folder.join("part")).expect("a folder");
    let data: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    for file in [outer.path().join("secret"), folder.join("own"), folder.join("part/own")] {
        std::fs::write(file, &data).expect("written");
    }
    let open = |location: &str| {
        let w = external("w", &[3], &[("location", location)]);
        let bytes = model(13, vec![node("Add", &["X", "w"], &["Y"], &[])], vec![w]).bytes();
        std::fs::write(folder.join("model.onnx"), bytes).expect("written");
        OnnxModel::open(&Device::cpu(), folder.join("model.onnx"))
    };
    for location in ["own", "./own", "part/own"] {
        open(location).unwrap_or_else(|e| panic!("{location}: {e}"));
    }
    let absolute = outer.path().join("secret").to_string_lossy().into_owned();
    for location in ["../secret", "part/../../secret", &absolute, "part", "a\\own", "c:own", "/", "."] {
        let text = open(location).expect_err(location).to_string();
        assert!(text.contains("external data"), "{location}: {text}");
    }
    assert!(matches!(open("missing").expect_err("missing"), Error::Io { .. }));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).expect("a link");
        std::os::unix::fs::symlink(outer.path(), folder.join("up")).expect("a link");
        for location in ["link", "up/secret"] {
            let text = open(location).expect_err(location).to_string();
            assert!(text.contains("leads out of the folder"), "{location}: {text}");
        }
    }
}

#[test]
fn operands_of_operator_set_6_align_at_an_axis() {
    let device = Device::cpu();
    let attributes = [attribute_int("broadcast", 1), attribute_int("axis", 0)];
    let model = model(6, vec![node("Add", &["X", "w"], &["Y"], &attributes)], vec![floats("w", &[2], &[10.0, 20.0])]);
    let x = Tensor::zeros(&device, &[2, 3]).expect("zeros");
    let y = OnnxModel::load(&device, &model.bytes()).expect("loaded").run(&[("X", x.into())]).expect("run").remove(0).1;
    let y = y.as_tensor().expect("floats").read_blocking().expect("read");
    assert_eq!(y, [10.0, 10.0, 10.0, 20.0, 20.0, 20.0]);
}

#[test]
fn extents_of_old_exporters_are_free() {
    let device = Device::cpu();
    // One name for two extents, and the extents 0 and -1.
    let dim = |b: Bytes, dim: Bytes| b.raw(1, dim);
    let shape = [Bytes::default().raw(2, "N"), Bytes::default().raw(2, "N"), Bytes::default().int(1, 0)];
    let shape = Bytes::default().all(shape, dim).raw(1, Bytes::default().int(1, -1));
    let input = Bytes::default().raw(1, "X").raw(2, Bytes::default().raw(1, Bytes::default().int(1, 1).raw(2, shape)));
    let mut model = model(13, vec![node("Relu", &["X"], &["Y"], &[])], vec![]);
    model.inputs = vec![input];
    let model = OnnxModel::load(&device, &model.bytes()).expect("loaded");
    for dims in [[2, 3, 4, 5], [1, 1, 1, 1]] {
        let x = Tensor::zeros(&device, &dims).expect("zeros");
        assert_eq!(model.run(&[("X", x.into())]).expect("run")[0].1.dims(), dims);
    }
}

/// `LSTM` with weights in 8 bits against the same node in f32.
#[test]
fn quantized_lstms_are_close_to_those_in_f32() {
    let device = Device::cpu();
    let (input, hidden) = (3, 4);
    let q = |stream: u32, rows: usize| -> Vec<i8> {
        fill(stream, 4 * hidden * rows, 100.0).iter().map(|&v| v.round() as i8).collect()
    };
    let tensor = |name: &str, rows: usize, values: &[i8]| {
        let raw: Vec<u8> = values.iter().map(|&v| v as u8).collect();
        let dims = [1, rows as i64, 4 * hidden as i64];
        Bytes::default().all(dims, |b, d| b.int(1, d)).int(2, 3).raw(8, name).raw(9, raw)
    };
    let (w, r) = (q(1, input), q(2, hidden));
    let zero = Bytes::default().int(1, 1).int(2, 3).raw(8, "z").raw(9, [0u8]);
    let inputs = ["X", "W", "R", "", "", "", "", "", "s", "z", "s", "z"];
    let hidden_size = [attribute_int("hidden_size", hidden as i64)];
    let quantized = node("DynamicQuantizeLSTM", &inputs, &["Y"], &hidden_size).raw(7, "com.microsoft");
    let constants = vec![tensor("W", input, &w), tensor("R", hidden, &r), floats("s", &[1], &[0.01]), zero];
    // The layout of the f32 node is transposed.
    let turned = |rows: usize, q: &[i8]| -> Vec<f32> {
        (0..4 * hidden * rows).map(|i| f32::from(q[i % rows * 4 * hidden + i / rows]) * 0.01).collect()
    };
    let plain = vec![
        floats("W", &[1, 4 * hidden as i64, input as i64], &turned(input, &w)),
        floats("R", &[1, 4 * hidden as i64, hidden as i64], &turned(hidden, &r)),
    ];
    let x = Tensor::from_slice(&device, &fill(3, 5 * 2 * input, 1.0), &[5, 2, input]).expect("x");
    let run = |node: Bytes, constants: Vec<Bytes>| {
        let mut model = model(14, vec![node], constants);
        model.inputs = vec![value("X", 1, &[-1, -1, input as i64])];
        let model = OnnxModel::load(&device, &model.bytes()).expect("loaded");
        let y = model.run(&[("X", x.clone().into())]).expect("run").remove(0).1;
        y.as_tensor().expect("floats").read_blocking().expect("read")
    };
    let want: Vec<f64> =
        run(node("LSTM", &["X", "W", "R"], &["Y"], &hidden_size), plain).iter().map(|&v| v.into()).collect();
    let got = run(quantized, constants);
    assert_close("in 8 bits", &got, &want, 2e-2);
    assert!(got.iter().zip(&want).any(|(g, w)| f64::from(*g) != *w), "nothing was rounded");
}
