//! Files that only `TensorFile::import` reads, and checkpoints with foreign objects. `readers/generate_import.py`
//! writes the fixtures.

use std::path::PathBuf;

use wgru::io::{TensorFile, load_network, load_recurrent_blocking};
use wgru::nn::{Mode, Module, RunOptions};
use wgru::{Activation, Cell, Device, Error, Tensor};

use crate::common::assert_close;

/// Outputs of f32 against f64 or PyTorch.
const OUTPUT: f64 = 1e-6;

macro_rules! fixture {
    ($name:literal) => {
        TensorFile::import_bytes($name, include_bytes!(concat!("../readers/import/", $name))).expect($name)
    };
}

/// Element k is (7 k mod 11 - 5) / 4.
fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|k| ((7 * k % 11) as f32 - 5.0) / 4.0).collect()
}

fn names(file: &TensorFile) -> Vec<&str> {
    file.names().collect()
}

#[track_caller]
fn same(got: &TensorFile, want: &TensorFile) {
    assert_eq!(names(got), names(want));
    for name in want.names() {
        assert_eq!(got.get(name).expect(name), want.get(name).expect(name), "{name}");
    }
}

/// Returns a file of the real data, if there are any.
fn real(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("WGRU_DATA").map(|data| PathBuf::from(data).join("real").join(name));
    match path {
        Some(path) => {
            assert!(path.is_file(), "WGRU_DATA is set, but {} does not exist", path.display());
            Some(path)
        }
        None => {
            eprintln!("SKIPPED: WGRU_DATA is not set, so there is no real/{name}");
            None
        }
    }
}

/// Runs the recurrent layer under `prefix` on `x` `[steps, input]`.
fn recurrent(file: &TensorFile, prefix: &str, x: &[f32]) -> Vec<f32> {
    let device = Device::cpu();
    let layer = load_recurrent_blocking(&device, &file.under(prefix)).expect(prefix);
    let input = layer.config().input;
    let x = Tensor::from_slice(&device, x, &[x.len() / input, 1, input]).expect("x");
    let run = layer.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
    run.output.read_blocking().expect("read")
}

/// `y = x · Wᵀ + b` on `[steps, input]`.
fn dense(file: &TensorFile, prefix: &str, x: &[f32]) -> Vec<f32> {
    let part = file.under(prefix);
    let (dims, w) = part.get("weight").expect("weight");
    let [output, input] = dims.try_into().expect("a matrix");
    let b = part.get("bias").map_or(vec![0.0; output], |(_, b)| b.to_vec());
    let row = |x: &[f32], o: usize| b[o] + (0..input).map(|i| x[i] * w[o * input + i]).sum::<f32>();
    x.chunks_exact(input).flat_map(|x| (0..output).map(|o| row(x, o)).collect::<Vec<_>>()).collect()
}

/// Runs a whole network on one sequence of one feature.
fn network(file: &TensorFile, x: &[f32]) -> Vec<f32> {
    let device = Device::cpu();
    let network = load_network(&device, file).expect("a network");
    let x = Tensor::from_slice(&device, x, &[1, x.len(), 1]).expect("x");
    network.forward(&x).expect("run").read_blocking().expect("read")
}

fn close(what: &str, got: &[f32], want: &[f32], tolerance: f64) {
    let want: Vec<f64> = want.iter().map(|&v| v.into()).collect();
    assert_close(what, got, &want, tolerance);
}

fn column(path: PathBuf) -> Vec<f32> {
    let text = std::fs::read_to_string(path).expect("a column");
    text.split_whitespace().map(|v| v.parse().expect("a number")).collect()
}

#[test]
fn rtneural_and_aidax_networks_give_their_outputs() {
    for (file, kind, x, y) in [
        (fixture!("rtneural.json"), "rtneural", "x", "y"),
        (fixture!("aidax.json"), "aida-x", "input_batch", "output_batch"),
    ] {
        assert_eq!(file.metadata["kind"], kind);
        let (x, y) = (file.get(x).expect("x").1, file.get(y).expect("y").1);
        close(kind, &network(&file, x), y, OUTPUT);
    }
    assert_eq!(fixture!("aidax.json").metadata["out_gain"], "-1.5");
    for name in ["gru", "lstm_1d"] {
        let file = |end: &str| real(&format!("jatinchowdhury18_RTNeural/{name}{end}"));
        let Some(model) = file(".json") else { return };
        let model = TensorFile::import(model).expect(name);
        let [x, y] = ["_x_python.csv", "_y_python.csv"].map(|end| column(file(end).expect("there")));
        close(name, &network(&model, &x), &y, 1e-5);
    }
}

#[test]
fn pytorch_and_guitarml_networks_in_json_give_their_outputs() {
    let file = fixture!("proteus.json");
    assert_eq!((&*file.metadata["kind"], &*file.metadata["skip"]), ("guitarml", "true"));
    let (x, y) = (file.get("x").expect("x").1, file.get("y").expect("y").1);
    close("proteus", &network(&file, x), y, OUTPUT);
    same(&fixture!("torch.json").under("rec"), &file.under("rec"));
    let file = |end: &str| real(&format!("jatinchowdhury18_RTNeural/gru_torch{end}"));
    let Some(model) = file(".json") else { return };
    let model = TensorFile::import(model).expect("read");
    let [x, y] = ["_x_python.csv", "_y_python.csv"].map(|end| column(file(end).expect("there")));
    let out = recurrent(&model, "gru2", &recurrent(&model, "gru", &x));
    close("gru_torch", &dense(&model, "dense", &out), &y, 1e-5);
}

/// An LSTM as NeuralAmpModelerCore computes it, from the flat list of weights.
fn nam_in_f64(weights: &[f64], hidden: usize, layers: usize, x: &[f32]) -> Vec<f64> {
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let mut rest = weights;
    let mut take = |len: usize| {
        let (taken, after) = rest.split_at(len);
        rest = after;
        taken.to_vec()
    };
    let mut cells = Vec::new();
    for layer in 0..layers {
        let width = if layer == 0 { 1 } else { hidden };
        cells.push((take(4 * hidden * (width + hidden)), take(4 * hidden), take(hidden), take(hidden)));
    }
    let (head, bias) = (take(hidden), take(1)[0]);
    let step = |&x: &f32| {
        let mut value = vec![f64::from(x)];
        for (w, b, h, c) in &mut cells {
            let xh = [&value[..], h].concat();
            let row = |r: usize| b[r] + xh.iter().enumerate().map(|(k, v)| w[r * xh.len() + k] * v).sum::<f64>();
            let gates: Vec<f64> = (0..4 * hidden).map(row).collect();
            for k in 0..hidden {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + k]);
                c[k] = sigmoid(f) * c[k] + sigmoid(i) * g.tanh();
                h[k] = sigmoid(o) * c[k].tanh();
            }
            value = h.clone();
        }
        bias + value.iter().zip(&head).map(|(h, w)| h * w).sum::<f64>()
    };
    x.iter().map(step).collect()
}

#[test]
fn nam_files_give_the_outputs_of_their_equations() {
    let x: Vec<f32> = (0..40).map(|k| (k as f32 / 3.0).sin()).collect();
    let check = |file: &TensorFile, weights: &[f64], hidden: usize, layers: usize| {
        assert_eq!(file.metadata["kind"], "nam");
        assert_close("nam", &network(file, &x), &nam_in_f64(weights, hidden, layers, &x), OUTPUT);
    };
    let (hidden, layers) = (2, 2);
    let count = 4 * hidden * (1 + hidden) + 8 * hidden * hidden + layers * 6 * hidden + hidden + 1;
    let list: Vec<f32> = ramp(count);
    let model = |config: &str, list: &[f32]| {
        format!(
            r#"{{"version": "0.5.4", "architecture": "LSTM", "config": {config}, "weights": {list:?},
                "metadata": {{"gain": 0.5, "input_level_dbu": 18.3}}, "sample_rate": 48000}}"#
        )
    };
    let good = r#"{"input_size": 1, "hidden_size": 2, "num_layers": 2}"#;
    let file = TensorFile::import_bytes("nam", model(good, &list).as_bytes()).expect("read");
    check(&file, &list.iter().map(|&v| v.into()).collect::<Vec<_>>(), hidden, layers);
    assert_eq!((&*file.metadata["sample_rate"], &*file.metadata["metadata.gain"]), ("48000", "0.5"));
    for (text, word) in [
        (model(good, &list[1..]), "expected a head of 2 units"),
        (model(good, &list[..40]), "too few"),
        (model(r#"{"input_size": 1, "hidden_size": 0, "num_layers": 2}"#, &list), "1 to 65,536"),
        (model(good, &list).replace("LSTM", "WaveNet"), "\"WaveNet\""),
    ] {
        let error = TensorFile::import_bytes("nam", text.as_bytes()).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
    let Some(path) = real("sdatkinson_NeuralAmpModelerCore/lstm.nam") else { return };
    let text = std::fs::read_to_string(&path).expect("read");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let weights: Vec<f64> =
        json["weights"].as_array().expect("list").iter().map(|v| v.as_f64().expect("number")).collect();
    check(&TensorFile::import(path).expect("read"), &weights, 3, 1);
}

/// The weights of a layer of a text file of RNNoise, as integers.
fn integers(n: usize) -> Vec<i8> {
    (0..n).map(|k| (37 * k % 101) as i8 - 50).collect()
}

#[test]
fn rnnoise_text_files_are_read_in_their_layout() {
    let mut text = String::from("rnnoise-nu model file version 1\n");
    for (input, units, activation, gru) in
        [(3, 2, 0, false), (2, 2, 0, true), (4, 2, 2, true), (5, 3, 0, true), (3, 4, 1, false), (2, 1, 1, false)]
    {
        let rows = if gru { 3 * units } else { units };
        let count = input * rows + if gru { units * rows } else { 0 } + rows;
        let numbers: Vec<String> = integers(count).iter().map(|v| v.to_string()).collect();
        text += &format!("{input} {units} {activation}\n{}\n", numbers.join(" "));
    }
    let file = TensorFile::import_bytes("rnnn", text.as_bytes()).expect("read");
    let (dims, weight) = file.get("input_dense.weight").expect("dense");
    // The kernel is [in, out].
    assert_eq!((dims, weight[1]), (&[2, 3][..], f32::from(integers(6)[2]) / 256.0));
    assert_eq!(file.metadata["denoise_output.activation"], "sigmoid");
    let layer = load_recurrent_blocking(&Device::cpu(), &file.under("noise_gru")).expect("gru");
    let config = layer.config();
    assert_eq!((config.cell, config.input, config.hidden), (Cell::GruResetBefore, 4, 2));
    assert_eq!(config.activations()[2], Activation::Relu);
    // Gates z r h of Keras are r z n here: row 0 is gate r of unit 0, column 2 of the kernel.
    assert_eq!(file.get("noise_gru.weight_ih_l0").expect("w").1[1], f32::from(integers(24)[6 + 2]) / 256.0);
    for (bad, word) in [
        (text.replace("3 2 0\n", "3 129 0\n"), "at most 128"),
        (text.replace("3 2 0\n", "3 2 3\n"), "activation"),
        (text.trim_end().to_string() + " 1", "after its last layer"),
        (text[..text.len() - 4].to_string(), "cut short"),
        (text.replace("-50", "-500"), "8 bits"),
    ] {
        let error = TensorFile::import_bytes("rnnn", bad.as_bytes()).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn rnnoise_binary_weights_are_read_sparse_and_dense() {
    let record = |name: &str, kind: u32, data: &[u8]| {
        let mut head = [&b"DNNw"[..], &0u32.to_le_bytes(), &kind.to_le_bytes()].concat();
        let padded = data.len().next_multiple_of(64);
        head.extend([data.len() as u32, padded as u32].iter().flat_map(|n| n.to_le_bytes()));
        head.extend(name.as_bytes());
        head.resize(64, 0);
        [head, data.to_vec(), vec![0; padded - data.len()]].concat()
    };
    let floats = |v: &[f32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let words = |v: &[u32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // A GRU of 4 inputs and 8 units. The recurrent kernel has one block of int8 per 8 outputs, and a diagonal.
    let kernel = ramp(4 * 24);
    let block: Vec<u8> = (0..96u8).collect();
    let bytes = [
        record("gru_input_weights_float", 0, &floats(&kernel)),
        record("gru_input_bias", 0, &floats(&ramp(24))),
        record("gru_recurrent_weights_int8", 3, &block),
        record("gru_recurrent_weights_idx", 1, &words(&[1, 4, 1, 0, 1, 4])),
        record("gru_recurrent_scale", 0, &floats(&[1.0 / 127.0; 24])),
        record("gru_recurrent_weights_diag", 0, &floats(&[0.5; 24])),
        record("gru_recurrent_bias", 0, &floats(&[0.25; 24])),
        record("out_weights_float", 0, &floats(&ramp(8 * 3))),
        record("out_bias", 0, &floats(&ramp(3))),
    ]
    .concat();
    let file = TensorFile::import_bytes("blob", &bytes).expect("read");
    assert_eq!(names(&file).len(), 6);
    let (dims, w) = file.get("gru.weight_ih_l0").expect("w");
    assert_eq!(dims, [24, 4]);
    // Gates z r h: row 0, gate r of unit 0, is column 8.
    assert_eq!([w[0], w[1]], [kernel[8], kernel[24 + 8]]);
    let (_, u) = file.get("gru.weight_hh_l0").expect("u");
    // Gate z of unit 1 is row 9: the first block, outputs 0 to 7 by inputs 4 to 7; the diagonal is at input 1.
    let row: Vec<f32> = u[9 * 8..10 * 8].to_vec();
    let want = [0.0, 0.5, 0.0, 0.0, 4.0, 5.0, 6.0, 7.0];
    assert!(row.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?}");
    load_recurrent_blocking(&Device::cpu(), &file.under("gru")).expect("gru");
    assert_eq!(file.get("out.weight").expect("out").0, [3, 8]);
    let cut = |at: usize| TensorFile::import_bytes("blob", &bytes[..at]).expect_err("cut").to_string();
    assert!(cut(70).contains("cut short") && cut(32).contains("damaged"));
    let twice = [&bytes[..], &record("out_bias", 0, &floats(&ramp(3)))].concat();
    let error = TensorFile::import_bytes("blob", &twice).expect_err("twice").to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn modules_saved_as_a_whole_equal_their_state_dict() {
    let (whole, state) = (fixture!("module.pt"), fixture!("state.pt"));
    assert_eq!(names(&whole).into_iter().filter(|name| *name != "scratch").collect::<Vec<_>>(), names(&state));
    for name in state.names() {
        assert_eq!(whole.get(name).expect(name), state.get(name).expect(name), "{name}");
    }
    assert_eq!((&*whole.metadata["levels"], &*whole.metadata["gru.hidden_size"]), ("3", "3"));
    load_recurrent_blocking(&Device::cpu(), &whole.under("gru")).expect("gru");
    let (Some(whole), Some(state)) = (real("mjhydri_BeatNet/model-1.pt"), real("mjhydri_BeatNet/model_1_weights.pt"))
    else {
        return;
    };
    same(&TensorFile::import(whole).expect("whole"), &TensorFile::open(state).expect("state"));
}

#[test]
fn torchscript_and_exported_programs_are_read_by_their_module_tree() {
    let (traced, state) = (fixture!("traced.pt"), fixture!("state.pt"));
    for name in ["gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0", "gru.bias_hh_l0", "head.weight", "scale"] {
        assert_eq!(traced.get(name).expect(name), state.get(name).expect(name), "{name}");
        assert_eq!(fixture!("program.pt2").get(name).expect(name), state.get(name).expect(name), "{name}");
    }
    load_recurrent_blocking(&Device::cpu(), &traced.under("gru")).expect("gru");
    let frozen = fixture!("frozen.pt");
    assert_eq!(names(&frozen), ["constants.0", "constants.1"]);
    let Some(path) = real("unitreerobotics_unitree_rl_gym/motion.pt") else { return };
    let file = TensorFile::import(path).expect("motion.pt");
    let layer = load_recurrent_blocking(&Device::cpu(), &file.under("memory")).expect("lstm");
    assert_eq!((layer.config().cell, layer.config().input, layer.config().hidden), (Cell::Lstm, 47, 64));
    assert_eq!(file.get("actor.2.weight").expect("actor").0, [12, 32]);
    assert_eq!(names(&file).len(), 10);
}

#[test]
fn checkpoints_with_foreign_objects_are_read() {
    let file = fixture!("lightning.ckpt");
    load_recurrent_blocking(&Device::cpu(), &file.under("state_dict.gru")).expect("gru");
    let text = |key: &str| file.metadata[key].as_str();
    assert_eq!((text("best"), text("callbacks.b"), text("hyper_parameters.width")), ("0.25", "0.5", "3"));
    assert_eq!(text("hyper_parameters.extra"), "more");
}

#[test]
fn unreadable_tensors_are_errors_only_when_used() {
    let mut file = fixture!("odd.pt");
    assert_eq!(names(&file), ["good"]);
    assert_eq!(file.get("good").expect("good").1, ramp(2));
    for (name, word) in [
        ("large", "I64 that f32 cannot hold"),
        ("float8", "UntypedStorage"),
        ("complex", "ComplexFloatStorage"),
        ("sparse", "_rebuild_sparse_tensor"),
        ("quantized", "_rebuild_qtensor"),
        ("conjugate", "ComplexFloatStorage"),
    ] {
        assert!(file.unreadable().any(|(unread, _)| unread == name), "{name}");
        let error = file.get(name).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains(word), "{error}");
    }
    assert!(matches!(file.to_bytes(), Err(Error::Format { .. })), "a copy would lose tensors");
    file.insert("large", &[1], vec![0.5]);
    assert_eq!(file.get("large").expect("replaced"), (&[1][..], &[0.5][..]));
    assert!(file.unreadable().all(|(unread, _)| unread != "large"));
    file.discard_unreadable();
    assert!(file.to_bytes().is_ok());
}

#[test]
fn plain_pickles_are_read_with_arrays_and_tensors() {
    for file in [fixture!("arrays2.pkl"), fixture!("arrays4.pkl"), fixture!("arrays5.pkl")] {
        assert_eq!(names(&file), ["big", "f4", "f8", "fortran", "i8"]);
        for (name, dims) in [("f4", &[2, 3][..]), ("fortran", &[2, 3]), ("f8", &[4]), ("big", &[3])] {
            assert_eq!(file.get(name).expect(name), (dims, &ramp(dims.iter().product())[..]), "{name}");
        }
        assert_eq!(file.get("i8").expect("i8").1, [0.0, 1.0, 2.0]);
        assert_eq!((&*file.metadata["scalar"], &*file.metadata["count"]), ("2.5", "7"));
        assert!(file.get("objects").expect_err("objects").to_string().contains("type"));
    }
    let file = fixture!("tensors.pkl");
    let base = ramp(12);
    assert_eq!(file.get("base").expect("base"), (&[4, 3][..], &base[..]));
    let view: Vec<f32> = (0..8).map(|k| base[k % 4 * 3 + 1 + k / 4]).collect();
    assert_eq!(file.get("view").expect("view"), (&[2, 4][..], &view[..]));
}

#[test]
fn tar_files_of_early_pytorch_are_read() {
    let (file, base) = (fixture!("early.tar"), ramp(8));
    assert_eq!(file.get("a").expect("a"), (&[2, 2][..], &[base[1], base[3], base[2], base[4]][..]));
    assert_eq!(file.get("b.0").expect("b"), (&[2][..], &base[6..]));
    assert_eq!(file.metadata["b.1"], "5");
    let Some(path) = real("tracel-ai_burn/tar_float32.tar") else { return };
    let file = TensorFile::import(path).expect("tar");
    assert_eq!(file.get("tensor").expect("tensor"), (&[4][..], &[1.0, 2.5, -3.7, 0.0][..]));
}

#[test]
fn wrappers_of_pytorch_are_seen_through() {
    let file = fixture!("weight_norm.pt").under("state_dict");
    let mut checked = 0;
    for want in file.names().filter_map(|name| name.strip_prefix("want.")) {
        let (dims, values) = file.get(want).expect(want);
        let (want_dims, expected) = file.get(&format!("want.{want}")).expect(want);
        assert_eq!(dims, want_dims, "{want}");
        close(want, values, expected, 1e-6);
        checked += 1;
    }
    assert_eq!(checked, 6);
    assert!(!file.names().any(|name| ["_g", "_v", "original0", "original1"].iter().any(|end| name.ends_with(end))));
    load_recurrent_blocking(&Device::cpu(), &file.under("old.gru")).expect("gru");
    // `open` keeps names and weights as they are in the file.
    let raw = TensorFile::from_bytes("raw", include_bytes!("../readers/import/weight_norm.pt")).expect("read");
    assert!(raw.names().any(|name| name == "state_dict.module._orig_mod.old.conv.weight_g"));
}

#[test]
fn sharded_checkpoints_are_read_by_their_index() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    for (name, tensor) in [("a.safetensors", "x"), ("b.safetensors", "y")] {
        let mut file = TensorFile::default();
        file.insert(tensor, &[2], vec![1.0, 2.0]);
        file.insert("unlisted", &[1], vec![0.0]);
        file.save(at(name)).expect("saved");
    }
    let index = |map: &str| {
        let (path, text) =
            (at("model.safetensors.index.json"), format!(r#"{{"metadata": {{}}, "weight_map": {map}}}"#));
        std::fs::write(&path, text).expect("written");
        TensorFile::import(path)
    };
    let file = index(r#"{"x": "a.safetensors", "y": "b.safetensors"}"#).expect("read");
    assert_eq!(names(&file), ["x", "y"]);
    for (map, word) in [
        (r#"{"x": "../a.safetensors"}"#, "in the folder of the index"),
        (r#"{"x": "/etc/passwd"}"#, "in the folder of the index"),
        (r#"{"x": "sub\\a.safetensors"}"#, "in the folder of the index"),
        (r#"{"x": ".."}"#, "in the folder of the index"),
        (r#"{"x": ""}"#, "in the folder of the index"),
        (r#"{"z": "a.safetensors"}"#, "no tensor \"z\""),
        (r#"{"x": 1}"#, "not a string"),
    ] {
        let error = index(map).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(matches!(index(r#"{"x": "missing.safetensors"}"#), Err(Error::Io { .. })));
    let error = TensorFile::import_bytes("index", br#"{"weight_map": {}}"#).expect_err("an index").to_string();
    assert!(error.contains("by its path"), "{error}");
}

#[test]
fn usual_formats_are_imported_as_they_are_opened() {
    for bytes in [
        &include_bytes!("../readers/arrays.npz")[..],
        include_bytes!("../readers/state.pt"),
        include_bytes!("../readers/legacy.pt"),
        include_bytes!("../readers/model.weights.h5"),
        include_bytes!("../golden/torch_gru.safetensors"),
    ] {
        let (imported, opened) = (TensorFile::import_bytes("x", bytes), TensorFile::from_bytes("x", bytes));
        assert_eq!(imported.expect("imported"), opened.expect("opened"));
    }
    // A header of 123 bytes begins like JSON.
    let header = format!("{:<123}", r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
    let bytes = [&123u64.to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    assert_eq!(TensorFile::import_bytes("x", &bytes).expect("read").get("a").expect("a").1, [0.0]);
}

#[test]
fn sequential_keras_models_are_built() {
    let (file, device) = (fixture_of_readers(), Device::cpu());
    let model = load_network(&device, &file).expect("model");
    let x: Vec<f32> = ramp(15);
    let y = model.forward(&Tensor::from_slice(&device, &x, &[1, 5, 3]).expect("x")).expect("run");
    // GRU(4), the last states of both directions of an LSTM(2), and Dense(1), one by one.
    let run = |name: &str, x: &[f32]| {
        let layer = load_recurrent_blocking(&device, &file.recurrent(name).expect(name)).expect(name);
        let input = layer.config().input;
        let x = Tensor::from_slice(&device, x, &[x.len() / input, 1, input]).expect("x");
        layer.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output.read_blocking().expect("read")
    };
    let both = run("layers.bidirectional", &run("layers.gru", &x));
    let last = [both[16], both[17], both[2], both[3]];
    let kernel = file.get("layers.dense.vars.0").expect("kernel").1;
    let want =
        file.get("layers.dense.vars.1").expect("bias").1[0] + last.iter().zip(kernel).map(|(a, b)| a * b).sum::<f32>();
    close("keras", &y.read_blocking().expect("read"), &[want], OUTPUT);
    assert_eq!((y.dims(), model.parameters()[0].0.as_str()), (&[1, 1][..], "gru.weight_ih_l0"));
    for (key, text, word) in [
        ("layers.dense.class_name", "Attention", "\"Attention\""),
        ("layers.dense.class_name", "Conv1D", "kernel of shape [4, 1]"),
        ("layers.dense.activation", "glu", "\"glu\""),
        ("class_name", "Functional", "without an input"),
    ] {
        let mut other = file.clone();
        other.metadata.insert(key.into(), text.into());
        let error = load_network(&device, &other).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(load_network(&device, &fixture!("state.pt")).is_err(), "no description");
}

fn fixture_of_readers() -> TensorFile {
    TensorFile::import_bytes("model.keras", include_bytes!("../readers/model.keras")).expect("read")
}
