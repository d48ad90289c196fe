//! Files of a different kind than the requested one.

use wgru::io::TensorFile;

use super::zip::{stored, zip};
use super::{ARRAYS, FORTRAN, KERAS, LEGACY, STATE, WEIGHTS, refused};

#[test]
fn files_of_other_kinds_are_named_with_what_to_do() {
    let module = include_bytes!("../golden/torch_gru.safetensors");
    let graph = b"\x08\x08\x12\x07pytorch\x1a\x05";
    let script = zip(&[
        stored("m/data.pkl", b"\x80\x02N."),
        stored("m/constants.pkl", b"\x80\x02N."),
        stored("m/code/a.py", b""),
    ]);
    let folder = zip(&[stored("model/config.json", b"{}"), stored("model/model.safetensors", module)]);
    for (bytes, words) in [
        (&b""[..], &["empty"][..]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", &["Git LFS", "git lfs pull"]),
        (b"<!doctype html><html><body>404</body></html>", &["HTML", "address"]),
        (b"<?xml version=\"1.0\"?><Error/>", &["XML"]),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &["gzip", "decompress"]),
        (b"\x1c\0\0\0TFL3\x14\0\x20\0", &["TensorFlow Lite", "--tflite"]),
        (b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder", &["frozen TensorFlow graph", "--graphdef"]),
        (graph, &["ONNX", "OnnxModel::load"]),
        (&script, &["TorchScript", "state_dict"]),
        (&folder, &["zip archive", "unpack", "model/config.json"]),
        (b"{\"layers\": []}", &["JSON", "TensorFile::import"]),
        (b"{\"weight_map\": {}}", &["several files", "TensorFile::import"]),
        (b"[1, 2]", &["JSON list", "numpy.savez"]),
        (b"\x80\x04}\x94.", &["pickle", "TensorFile::import"]),
        (b"rnnoise-nu model file version 1\n", &["RNNoise", "TensorFile::import"]),
        (b"DNNw\0\0\0\0", &["RNNoise", "TensorFile::import"]),
        (b"sys_info\0", &["early torch.save", "TensorFile::import"]),
        (b"\x08\x04\x12\x20\x0a\x05input", &["Core ML", "ONNX"]),
        (b"\x08\x01\x12\x20\x0a\x05", &["SavedModel", "--saved-model"]),
        (b"%PDF-1.7\n", &["PDF"]),
        (b"GGUF\x03\0\0\0\0\0\0\0", &["GGUF"]),
        (b"hello\n", &["text"]),
        (b"\xfe\xed\xfa\xce\0\0\0\0\0", &["starts with [fe, ed"]),
    ] {
        for word in words {
            refused(word, bytes, word);
        }
    }
    // `import` says the same of files that it does not read either.
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!doctype html>", "HTML"),
        (b"\x1c\0\0\0TFL3\x14\0\x20\0", "--tflite"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"{\"layers\": []}", "JSON without weights"),
        (b"{\"weights\": ", "not valid JSON"),
        (&folder, "zip archive"),
        (graph, "OnnxModel::load"),
        (b"\x80\x04}\x94.", "holds no tensor"),
    ] {
        let error = TensorFile::import_bytes("hostile", bytes).expect_err(word).to_string();
        assert!(error.starts_with("hostile") && error.contains(word), "{error}");
    }
    type Read = fn(&str, &[u8]) -> wgru::Result<TensorFile>;
    let readers: [(&str, Read); 5] = [
        ("safetensors file", TensorFile::from_safetensors),
        (".npy array", TensorFile::from_npy),
        (".npz archive", TensorFile::from_npz),
        ("torch.save", TensorFile::from_pt),
        ("Keras weights", TensorFile::from_keras),
    ];
    let files = [
        ("from_safetensors", &module[..]),
        ("NumPy array", FORTRAN),
        ("zip archive", ARRAYS),
        ("zip archive", STATE),
        ("from_pt", LEGACY),
        ("zip archive", KERAS),
        ("from_keras", WEIGHTS),
        ("ONNX model", graph),
        ("HTML", b"<html>"),
    ];
    for (expected, read) in readers {
        let mut taken = 0;
        for (kind, bytes) in files {
            match read("hostile", bytes) {
                Ok(_) => taken += 1,
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(expected) && text.contains(kind), "{kind} as {expected}: {text}");
                }
            }
        }
        assert!((1..=2).contains(&taken), "{expected} took {taken} files");
    }
}
