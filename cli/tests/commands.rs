//! The command's output and exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wgru::io::{TensorFile, recurrent_to_file};
use wgru::nn::RecurrentConfig;
use wgru::{Device, Rng};

fn wgru(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgru"));
    command.args(arguments).env("WGRU_BACKEND", "cpu").output().expect("run")
}

/// Runs the command with `--json`, and returns its exit code and the object.
fn json(arguments: &[&str]) -> (i32, serde_json::Value) {
    let output = wgru(&[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().expect("a code"), value)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Writes a file with a GRU of 3 features and 4 units.
fn gru(folder: &Path) -> PathBuf {
    let layer = RecurrentConfig::gru(3, 4).build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
    let path = folder.join("gru.safetensors");
    pollster::block_on(recurrent_to_file(&layer)).expect("file").save(&path).expect("saved");
    path
}

#[test]
fn info_lists_layers() {
    let folder = tempfile::tempdir().expect("folder");
    let (code, value) = json(&["info", text(&gru(folder.path()))]);
    assert_eq!((code, &value["format"], &value["numbers"]), (0, &"safetensors".into(), &108.into()));
    let layer = &value["layers"][0];
    assert_eq!((&layer["cell"], &layer["input"], &layer["hidden"]), (&"gru".into(), &3.into(), &4.into()));
}

#[test]
fn models_run_and_convert_to_onnx() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let (weights, onnx) = (gru(folder.path()), at("gru.onnx"));
    let mut x = TensorFile::default();
    x.insert("x", &[5, 1, 3], (0..15).map(|k| (k as f32).sin()).collect());
    std::fs::write(at("x.npy"), x.to_npy("x").expect("npy")).expect("written");
    assert_eq!(json(&["convert", text(&weights), text(&onnx)]).0, 0);
    let (code, value) = json(&["info", text(&onnx)]);
    assert_eq!((code, &value["operators"]["GRU"], &value["missing"]), (0, &1.into(), &serde_json::json!([])));
    let mut outputs = Vec::new();
    for model in [&weights, &onnx] {
        let output = at(&format!("out-{}", outputs.len()));
        let input = format!("x={}", text(&at("x.npy")));
        let (code, value) = json(&["run", text(model), "--input", &input, "--output", text(&output)]);
        assert_eq!(code, 0, "{value}");
        let file = TensorFile::open(value["outputs"][0]["file"].as_str().expect("a path")).expect("output");
        outputs.push(file.get("arr_0").expect("array").1.to_vec());
    }
    assert_eq!(outputs[0].len(), 20);
    assert!(outputs[0].iter().zip(&outputs[1]).all(|(a, b)| (a - b).abs() < 1e-6), "{outputs:?}");
}

/// RTNeural's model cannot be a .nam file, and Neural Amp Modeler's can be both.
#[test]
fn models_of_audio_programs_convert_to_each_other() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let gru = format!("{}/../tests/readers/import/rtneural.json", env!("CARGO_MANIFEST_DIR"));
    let weights: Vec<f32> = (0..4 * 2 * 3 + 6 * 2 + 3).map(|k| k as f32 / 64.0 - 0.25).collect();
    let config = r#""config": {"input_size": 1, "hidden_size": 2, "num_layers": 1}"#;
    let text_of =
        |weights| format!(r#"{{"architecture": "LSTM", {config}, "weights": {weights:?}, "sample_rate": 44100}}"#);
    std::fs::write(at("amp.nam"), text_of(weights)).expect("written");
    for (from, to, code) in
        [(&gru, "gru.json", 0), (&gru, "gru.nam", 2), (&text(&at("amp.nam")).to_string(), "again.nam", 0)]
    {
        let (got, value) = json(&["convert", from, text(&at(to))]);
        assert_eq!(got, code, "{to}: {value}");
    }
    let read = |path: &Path| TensorFile::import(path).expect("imported");
    for (one, other) in [(PathBuf::from(&gru), at("gru.json")), (at("amp.nam"), at("again.nam"))] {
        let (one, other) = (read(&one), read(&other));
        // The file of RTNeural also has an input and an output, `x` and `y`, which are not of the network.
        let layers = one.names().filter(|name| name.len() > 1).collect::<Vec<_>>();
        assert_eq!(layers, other.names().collect::<Vec<_>>());
        assert!(layers.into_iter().all(|name| one.get(name).expect(name) == other.get(name).expect(name)));
    }
    assert_eq!(read(&at("again.nam")).metadata["sample_rate"], "44100");
}

/// A model of GuitarML becomes an ONNX model, and that becomes every other format again, with the same weights.
#[test]
fn onnx_models_convert_to_every_format() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let source = format!("{}/../tests/readers/import/proteus.json", env!("CARGO_MANIFEST_DIR"));
    let onnx = at("amp.onnx");
    assert_eq!(json(&["convert", &source, text(&onnx)]).0, 0);
    let want = TensorFile::import(&source).expect("imported");
    let bits =
        |file: &TensorFile, name: &str| file.get(name).expect(name).1.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let convert = |to: &str, more: &[&str]| {
        let path = at(to);
        let (code, value) = json(&[&["convert", text(&onnx), text(&path)], more].concat());
        assert_eq!(code, 0, "{to}: {value}");
        TensorFile::import(&path).expect(to)
    };
    for (to, more) in [("guitarml.json", &["--guitarml"][..]), ("torch.safetensors", &[]), ("torch.npz", &[])] {
        let got = convert(to, more);
        for name in
            ["rec.weight_ih_l0", "rec.weight_hh_l0", "rec.bias_ih_l0", "rec.bias_hh_l0", "lin.weight", "lin.bias"]
        {
            assert_eq!(bits(&got, name), bits(&want, name), "{to}: {name}");
        }
    }
    let aida = convert("aida.json", &[]);
    assert_eq!((&*aida.metadata["kind"], &*aida.metadata["skip"]), ("aida-x", "true"));
    assert_eq!(bits(&aida, "layers.0.weight_hh_l0"), bits(&want, "rec.weight_hh_l0"));
    let keras = convert("keras.npz", &["--keras"]);
    assert_eq!(keras.get("recurrent_kernel").expect("kernel").0, [2, 8]);
    // Neural Amp Modeler adds nothing to the output.
    let (code, value) = json(&["convert", text(&onnx), text(&at("amp.nam"))]);
    assert_eq!(code, 2, "{value}");
    // Other models keep the names of their weights.
    let other = format!("{}/../tests/onnx/pytorch/words.onnx", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(json(&["convert", &other, text(&at("words.safetensors"))]).0, 0);
    assert!(TensorFile::open(at("words.safetensors")).expect("file").names().any(|name| name == "embedding.weight"));
    let (_, value) = json(&["convert", &other, text(&at("words.json"))]);
    assert!(value["error"].as_str().is_some_and(|error| error.contains("integers")), "{value}");
}

#[test]
fn devices_are_compared_with_f64_and_timed() {
    let folder = tempfile::tempdir().expect("folder");
    let path = gru(folder.path());
    let (code, value) = json(&["compare", text(&path), "--devices", "cpu,twin"]);
    assert_eq!((code, &value["agree"]), (0, &true.into()));
    let (code, value) = json(&["compare", text(&path), "--devices", "cpu", "--tolerance", "1e-12"]);
    assert_eq!((code, &value["agree"]), (1, &false.into()), "f32 is not that exact");
    let (code, value) = json(&["bench", text(&path), "--devices", "cpu", "--seconds", "0.02"]);
    assert_eq!(code, 0);
    for what in ["frame", "sequence"] {
        let times = &value["devices"][0][what];
        assert!(times["p50_us"].as_f64() <= times["p99_us"].as_f64() && times["p50_us"].is_number(), "{times}");
    }
}

/// A network that flattens its steps runs only with as many as its file tells.
#[test]
fn random_inputs_have_the_steps_of_the_file() {
    for name in ["k2_graph.keras", "k2_graph.h5", "k3_graph.keras", "k3_graph.h5"] {
        let path = format!("{}/../tests/readers/keras/{name}", env!("CARGO_MANIFEST_DIR"));
        let (code, value) = json(&["compare", &path, "--devices", "cpu,twin"]);
        assert_eq!((code, &value["agree"]), (0, &true.into()), "{name}: {value}");
        assert_ne!(json(&["compare", &path, "--devices", "cpu", "--steps", "3"]).0, 0, "{name}");
    }
}

/// Writes an array of zeros.
fn zeros(path: &Path, dims: &[usize]) {
    let mut x = TensorFile::default();
    x.insert("x", dims, vec![0.0; dims.iter().product()]);
    std::fs::write(path, x.to_npy("x").expect("npy")).expect("written");
}

/// A graph of ONNX with an input that is not called `x`.
fn identity(path: &Path) {
    // Fields of a protobuf message, all shorter than 128 bytes.
    let field = |key: u8, bytes: &[u8]| [&[key, bytes.len() as u8][..], bytes].concat();
    let shape = field(0x12, &[field(0x0a, &field(0x12, b"n")), field(0x0a, &[8, 3])].concat());
    let info = |name: &[u8]| {
        let tensor = field(0x0a, &[&[8, 1][..], &shape].concat());
        [field(0x0a, name), field(0x12, &tensor)].concat()
    };
    let node = [field(0x0a, b"signal"), field(0x12, b"out"), field(0x22, b"Identity")].concat();
    let graph = [field(0x0a, &node), field(0x5a, &info(b"signal")), field(0x62, &info(b"out"))].concat();
    let model = [&[8, 8][..], &field(0x3a, &graph), &field(0x42, &[0x10, 17])].concat();
    std::fs::write(path, model).expect("written");
}

/// The only input needs no name, and paths may contain `=`.
#[test]
fn inputs_are_files_with_or_without_a_name() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("day=1")).expect("folder");
    let (model, out, x) = (at("model.onnx"), at("an output"), at("day=1").join("x.npy"));
    identity(&model);
    zeros(&x, &[2, 3]);
    for (input, code) in [
        (text(&x).to_string(), 0),
        (format!("signal={}", text(&x)), 0),
        (format!("x={}", text(&x)), 2),
        (format!("{}y", text(&x)), 3),
    ] {
        let (got, value) = json(&["run", text(&model), "--input", &input, "--output", text(&out)]);
        assert_eq!(got, code, "{input}: {value}");
    }
    assert_eq!(TensorFile::open(out.join("out.npy")).expect("output").get("arr_0").expect("array").0, [2, 3]);
}

/// Extents of random inputs come from users, and must not exhaust the memory.
#[test]
fn wrong_sizes_and_tolerances_are_errors() {
    let folder = tempfile::tempdir().expect("folder");
    let (weights, model) = (gru(folder.path()), folder.path().join("model.onnx"));
    identity(&model);
    let compare = |path: &Path, more: &[&str]| json(&[&["compare", text(path), "--devices", "cpu"], more].concat());
    for (path, more) in [
        (&weights, &["--steps", "99999999999999"][..]),
        (&weights, &["--steps", "9999999999999", "--batch", "9999999999"]),
        (&weights, &["--steps", "0"]),
        (&weights, &["--extent", "time=3"]),
        (&model, &["--extent", "n=99999999999999"]),
        (&model, &["--extent", "m=3"]),
        (&model, &["--steps", "3"]),
    ] {
        let (code, value) = compare(path, more);
        assert_eq!(code, 2, "{more:?}: {value}");
    }
    assert_eq!(compare(&model, &["--extent", "n=3"]).0, 0);
    assert_eq!(compare(&weights, &["--steps", "3", "--batch", "2"]).0, 0);
    for tolerance in ["nan", "-1", "much"] {
        assert_eq!(wgru(&["compare", text(&model), "--tolerance", tolerance]).status.code(), Some(2), "{tolerance}");
    }
}

/// The reader of a pipe may be gone.
#[cfg(unix)]
#[test]
fn closed_pipes_do_not_change_the_exit_code() {
    for (arguments, code) in [(&["info", "/no/such/file"][..], 3), (&["completions", "bash"], 0)] {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgru"));
        command.args(arguments).stdout(writer.try_clone().expect("copy")).stderr(writer);
        assert_eq!(command.status().expect("run").code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn exit_codes_tell_what_failed() {
    let folder = tempfile::tempdir().expect("folder");
    let (page, path) = (folder.path().join("page.onnx"), gru(folder.path()));
    std::fs::write(&page, "<!DOCTYPE html><html>").expect("written");
    for (arguments, code) in [
        (&["info", "/no/such/file"][..], 3),
        (&["info", text(&page)], 3),
        (&["check", text(&path)], 1),
        (&["convert", text(&path), "model.docx"], 3),
        (&["convert", text(&path), "model.npz", "--guitarml"], 2),
        (&["convert", text(&path), "model.onnx", "--keras"], 2),
        (&["bench", text(&path), "--seconds", "-1"], 2),
        (&["nonsense"], 2),
        (&["run", text(&path)], 2),
    ] {
        assert_eq!(wgru(arguments).status.code(), Some(code), "{arguments:?}");
    }
    let (code, value) = json(&["info", text(&page)]);
    assert_eq!((code, &value["exit"]), (3, &3.into()));
    assert!(value["error"].as_str().is_some_and(|text| text.contains("HTML")), "{value}");
}

#[test]
fn completions_name_the_commands() {
    let output = wgru(&["completions", "bash"]);
    let script = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && script.contains("wgru") && script.contains("bench"));
}
