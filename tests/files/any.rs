//! Models of any kind of file, in one call.

use std::path::{Path, PathBuf};

use wgru::io::onnx::Value;
use wgru::io::{self, Model, ModelFile, TensorFile};
use wgru::{Device, Error, Rng, Tensor, nn::RecurrentConfig};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

#[test]
fn one_call_loads_and_runs_files_of_every_kind() {
    let device = Device::cpu();
    let zeros = |dims: &[usize]| Value::from(Tensor::zeros(&device, dims).expect("zeros"));
    let x =
        |dims: &[usize]| Value::from(Tensor::from_indices(&device, &vec![1; dims.iter().product()], dims).expect("x"));
    let arrays = TensorFile::open(folder().join("readers/keras/k2_graph.npz")).expect("arrays");
    let graph = zeros(arrays.get("x").expect("x").0);
    for (name, kind, input, output) in [
        ("onnx/pytorch/gru.onnx", "onnx", zeros(&[1, 1, 4]), None),
        ("readers/import/rtneural.json", "network", zeros(&[1, 5, 1]), Some([1, 5])),
        ("readers/keras/k3_masked.keras", "network", x(&[2, 4]), None),
        ("readers/keras/k2_graph.h5", "network", graph, None),
    ] {
        let path = folder().join(name);
        let model = Model::open_blocking(&device, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = match &model {
            Model::Onnx(_) => "onnx",
            Model::Network(_) => "network",
            Model::Recurrent(_) => "recurrent",
        };
        assert_eq!(found, kind, "{name}");
        assert_eq!(model.module().is_none(), kind == "onnx", "{name}");
        let input_name = match &model {
            Model::Onnx(model) => model.inputs().next().expect("an input").name.clone(),
            _ => "x".into(),
        };
        let outputs = model.run_blocking(&[(&input_name, input)]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let first = outputs[0].1.as_tensor().expect("floats");
        assert!(output.is_none_or(|dims| first.dims()[..2] == dims), "{name}: {:?}", first.dims());
        assert!(first.read_blocking().expect("read").iter().all(|v| v.is_finite()), "{name}");
        // The same from bytes.
        let bytes = std::fs::read(&path).expect("bytes");
        let copy = ModelFile::from_bytes(name, bytes).and_then(|file| file.load_blocking(&device, None)).expect(name);
        assert_eq!(copy.module().is_none(), model.module().is_none());
    }
}

#[test]
fn a_recurrent_layer_is_found_among_other_weights() {
    let device = Device::cpu();
    let layer = |seed| RecurrentConfig::gru(2, 3).build(&device, &mut Rng::new(seed)).expect("layer");
    let mut file = TensorFile::default();
    let add = |file: &mut TensorFile, name: &str, seed| {
        let part = pollster::block_on(io::recurrent_to_file(&layer(seed))).expect("a file");
        for tensor in part.names() {
            let (dims, values) = part.get(tensor).expect("a tensor");
            file.insert(&format!("{name}.{tensor}"), dims, values.to_vec());
        }
    };
    file.insert("head.weight", &[1, 3], vec![0.5; 3]);
    add(&mut file, "encoder", 1);
    let read = |file: &TensorFile| ModelFile::from_bytes("model", file.to_bytes().expect("bytes")).expect("read");
    let model = read(&file).load_blocking(&device, None).expect("the only layer");
    let weights = |model: &Model| model.module().expect("a module").parameters()[0].1.read_blocking().expect("read");
    let of = |seed| weights(&Model::Recurrent(layer(seed)));
    assert_eq!(weights(&model), of(1));

    add(&mut file, "decoder", 2);
    let two = read(&file);
    assert_eq!(two.layers().len(), 2);
    let error = two.load_blocking(&device, None).err().expect("which one?").to_string();
    assert!(error.contains("encoder") && error.contains("decoder"), "{error}");
    assert_eq!(weights(&two.load_blocking(&device, Some("decoder")).expect("by name")), of(2));
    assert!(two.load_blocking(&device, Some("other")).is_err());
    let inputs = [("x", Tensor::zeros(&device, &[1, 1, 2]).expect("x").into())];
    assert!(matches!(model.run(&[]), Err(Error::Value { arg: "inputs", .. })));
    assert_eq!(model.run(&inputs).expect("run")[0].0, "y");
}

#[test]
fn what_is_no_model_is_named() {
    let device = Device::cpu();
    let onnx = ModelFile::open(folder().join("onnx/pytorch/gru.onnx")).expect("open");
    assert!(onnx.layers().is_empty());
    let error = onnx.load_blocking(&device, Some("gru")).err().expect("it runs as a whole").to_string();
    assert!(error.contains("as a whole"), "{error}");
    let of = |name: &str, bytes: &[u8]| {
        ModelFile::from_bytes(name, bytes.to_vec()).and_then(|file| file.load_blocking(&device, None).map(|_| ()))
    };
    for (name, bytes, words) in [
        ("page.onnx", &b"<!DOCTYPE html><html></html>"[..], "HTML"),
        ("model.onnx", b"\x08\x07\xff\xff", "ONNX"),
        ("empty", b"", "empty"),
        ("model", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
    ] {
        let error = of(name, bytes).expect_err(name).to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
    assert!(matches!(ModelFile::open(folder().join("missing.onnx")), Err(Error::Io { .. })));
}
