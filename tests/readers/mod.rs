//! Files written by NumPy, PyTorch and Keras are read with their intended meaning. The fixtures and the script that
//! writes them are in this folder.

use wgru::io::{RecurrentWeights, TensorFile, load_recurrent_blocking};
use wgru::{Cell, Device, Error};

const ARRAYS: &[u8] = include_bytes!("arrays.npz");
const COMPRESSED: &[u8] = include_bytes!("compressed.npz");
const FORTRAN: &[u8] = include_bytes!("fortran.npy");
const STATE: &[u8] = include_bytes!("state.pt");
const LEGACY: &[u8] = include_bytes!("legacy.pt");
const TENSOR: &[u8] = include_bytes!("tensor.pt");

const KERAS: &[u8] = include_bytes!("model.keras");
const WEIGHTS: &[u8] = include_bytes!("model.weights.h5");
const HDF5: &[u8] = include_bytes!("arrays.h5");

fn step(k: usize) -> f32 {
    (7 * k % 11) as f32
}

/// Element k is (7 k mod 11 - 5) / 4.
fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|k| (step(k) - 5.0) / 4.0).collect()
}

fn read(bytes: &[u8]) -> TensorFile {
    TensorFile::from_bytes("fixture", bytes).expect("read")
}

#[track_caller]
fn is(file: &TensorFile, name: &str, dims: &[usize], values: &[f32]) {
    assert_eq!(file.get(name).expect(name), (dims, values), "{name}");
}

fn integers(signed: bool) -> Vec<f32> {
    (0..6).map(|k| step(k) - if signed { 5.0 } else { 0.0 }).collect()
}

#[test]
fn numpy_arrays_of_every_type_and_order_are_read() {
    for bytes in [ARRAYS, COMPRESSED] {
        let file = read(bytes);
        for (types, values) in [
            (&["f2", "f4", "f8", "big_f2", "big_f4", "big_f8"][..], ramp(6)),
            (&["i1", "i2", "i4", "i8", "big_i2", "big_i4", "big_i8"], integers(true)),
            (&["u1", "u2", "u4", "u8", "big_u2", "big_u4", "big_u8"], integers(false)),
            (&["b1"], vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0]),
        ] {
            types.iter().for_each(|name| is(&file, name, &[2, 3], &values));
        }
        is(&file, "fortran", &[2, 3, 4], &ramp(24));
        is(&file, "scalar", &[], &[2.5]);
        is(&file, "empty", &[0, 3], &[]);
        is(&file, "names/with.dots", &[5], &ramp(5));
        assert_eq!(file.names().count(), 25);
    }
    is(&read(FORTRAN), "arr_0", &[2, 3], &ramp(6));
}

#[test]
fn torch_state_dicts_are_read_with_views() {
    for bytes in [STATE, LEGACY] {
        let file = read(bytes);
        let base = ramp(24);
        let pick = |places: &[usize]| places.iter().map(|&k| base[k]).collect::<Vec<_>>();
        let transposed: Vec<usize> = (0..24).map(|k| k % 4 * 6 + k / 4).collect();
        is(&file, "views.base", &[4, 6], &base);
        is(&file, "views.transposed", &[6, 4], &pick(&transposed));
        is(&file, "views.column", &[4], &pick(&[2, 8, 14, 20]));
        is(&file, "views.block", &[2, 3], &pick(&[8, 9, 10, 14, 15, 16]));
        is(&file, "views.step", &[2, 2], &pick(&[0, 3, 12, 15]));
        is(&file, "views.repeated", &[3, 2], &pick(&[0, 1, 0, 1, 0, 1]));
        is(&file, "views.scalar", &[], &pick(&[7]));
        is(&file, "views.empty", &[0, 6], &[]);
        for name in ["f64", "f16", "bf16"] {
            is(&file, &format!("types.{name}"), &[2, 3], &ramp(6));
        }
        for name in ["i64", "i32", "i16", "i8"] {
            is(&file, &format!("types.{name}"), &[2, 3], &integers(true));
        }
        is(&file, "types.u8", &[2, 3], &integers(false));
        is(&file, "types.bool", &[2, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        is(&file, "parameter", &[3], &ramp(3));
        is(&file, "list.0", &[2], &ramp(2));
        is(&file, "list.1.inner.0", &[1], &ramp(1));
    }
    is(&read(TENSOR), "tensor", &[2, 2], &[ramp(4)[0], ramp(4)[2], ramp(4)[1], ramp(4)[3]]);
}

#[test]
fn numbers_and_strings_beside_the_tensors_become_metadata() {
    for bytes in [STATE, LEGACY] {
        let file = read(bytes);
        let want = [
            ("done", "true"),
            ("epoch", "3"),
            ("list.1.inner.1", "7"),
            ("lr", "0.125"),
            ("note", "früh"),
            ("size.0", "2"),
            ("size.1", "3"),
        ];
        let got: Vec<_> = file.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, want);
    }
}

#[test]
fn a_model_inside_a_checkpoint_loads() {
    let gru = load_recurrent_blocking(&Device::cpu(), &read(STATE).under("model")).expect("loaded");
    assert_eq!((gru.config().input, gru.config().hidden), (2, 3));
    assert_eq!(read(STATE).under("mod").names().count(), 0);
    assert_eq!(read(STATE).under("list.1").metadata["inner.1"], "7");
}

#[test]
fn keras_weights_are_read_from_both_file_formats() {
    for bytes in [KERAS, WEIGHTS] {
        let file = read(bytes);
        let vars = file.under("layers.gru.cell.vars");
        is(&vars, "0", &[3, 12], &ramp(36));
        is(&vars, "1", &[4, 12], &ramp(48));
        is(&vars, "2", &[2, 12], &ramp(24));
        is(&file, "layers.bidirectional.backward_layer.cell.vars.1", &[2, 8], &ramp(16));
        is(&file, "layers.dense.vars.0", &[4, 1], &ramp(4));
        assert_eq!(file.names().count(), 11);
        // The numbers are Keras' variables in order; weights are accepted under these numbers and under their names.
        let mut named = TensorFile::default();
        for (number, name) in [("0", "kernel"), ("1", "recurrent_kernel"), ("2", "bias")] {
            let (dims, values) = vars.get(number).expect("there");
            named.insert(name, dims, values.to_vec());
        }
        let weights = |file: &TensorFile| RecurrentWeights::from_keras(Cell::Gru, file);
        assert_eq!(weights(&vars).expect("read"), weights(&named).expect("read"));
        assert!(TensorFile::from_keras("x", bytes).is_ok());
    }
}

#[test]
fn hdf5_arrays_are_read_and_unsupported_features_are_named() {
    let (file, arrays) = (read(HDF5), read(ARRAYS));
    assert_eq!(file.names().count(), 24);
    for name in arrays.names().filter(|&n| n != "b1") {
        assert_eq!(file.get(&name.replace("/with.", ".")).expect(name), arrays.get(name).expect(name), "{name}");
    }
    let chunks = include_bytes!("chunks.h5");
    is(&TensorFile::import_bytes("chunks", chunks).expect("imported"), "a", &[4, 4], &ramp(16));
    for (bytes, word) in [
        (&chunks[..], "only TensorFile::import"),
        (include_bytes!("hdf5/latest.h5"), "newer format"),
        (include_bytes!("link.h5"), "soft link \"a\""),
        (include_bytes!("text.h5"), "type class 9"),
    ] {
        let error = TensorFile::from_bytes("fixture", bytes).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn newer_formats_of_hdf5_give_the_same_arrays() {
    let import = |bytes| TensorFile::import_bytes("fixture", bytes).expect("imported");
    for (bytes, count) in [(&include_bytes!("hdf5/latest.h5")[..], 13), (include_bytes!("hdf5/older.h5"), 11)] {
        let file = import(bytes);
        assert_eq!(file.names().count(), count);
        for name in file.names() {
            match name {
                "pages" => is(&file, name, &[1100], &ramp(1100)),
                "blocks" => is(&file, name, &[400], &ramp(400)),
                _ => is(&file, name, &[6, 10], &ramp(60)),
            }
        }
    }
    let many = import(include_bytes!("hdf5/many.h5"));
    assert_eq!(many.names().count(), 100);
    (0..100).for_each(|k| is(&many, &format!("group.{k:03}"), &[], &[k as f32]));
    let ordered = import(include_bytes!("hdf5/ordered.h5"));
    assert_eq!(ordered.names().collect::<Vec<_>>(), ["z.a.value", "z.b.value"]);
    is(&ordered, "z.a.value", &[2], &ramp(2));
    // The same model as in the older format, with its configuration.
    let model = import(include_bytes!("hdf5/keras.h5"));
    let same = import(include_bytes!("keras/k3_masked.h5"));
    assert_eq!(model.names().collect::<Vec<_>>(), same.names().collect::<Vec<_>>());
    assert!(model.names().all(|name| model.get(name).expect(name) == same.get(name).expect(name)));
    assert_eq!(model.metadata, same.metadata);
    assert!(model.metadata.contains_key("class_name"));
}

/// A heap and B-trees of several levels, and arrays with pages: `WGRU_HDF5_LARGE` names a file that generate_hdf5.py
/// writes with `--large`.
#[test]
fn large_files_of_the_newer_format_are_read() {
    let Some(path) = std::env::var_os("WGRU_HDF5_LARGE") else {
        eprintln!("SKIPPED: WGRU_HDF5_LARGE is not set");
        return;
    };
    let file = TensorFile::import(path).expect("imported");
    assert_eq!(file.names().count(), 30_000 + 4);
    (0..30_000).for_each(|k| is(&file, &format!("group.{}{k:06}", "n".repeat(20)), &[], &[(k % 100) as f32]));
    for (name, dims) in
        [("fixed", &[300_000][..]), ("rows", &[300_000]), ("both", &[200, 200]), ("columns_gzip", &[300, 100])]
    {
        let len = dims.iter().product::<usize>();
        is(&file, name, dims, &(0..len).map(|k| (k % 97) as f32).collect::<Vec<_>>());
    }
}

#[test]
fn npz_files_keep_their_metadata() {
    let mut file = TensorFile::default();
    file.insert("b/ü", &[2, 2], vec![1.0, f32::MIN_POSITIVE, -0.0, f32::INFINITY]);
    file.insert("none", &[0], vec![]);
    file.metadata.insert("gru.reset_after".into(), "false".into());
    let bytes = file.to_npz().expect("npz");
    let back = TensorFile::from_npz("memory", &bytes).expect("read");
    is(&back, "b/ü", &[2, 2], &[1.0, f32::MIN_POSITIVE, -0.0, f32::INFINITY]);
    is(&back, "none", &[0], &[]);
    assert_eq!(back.metadata, file.metadata);
    assert_eq!(bytes, file.to_npz().expect("npz"), "the same content gives the same bytes");
    let one = TensorFile::from_npy("memory", &file.to_npy("b/ü").expect("npy")).expect("read");
    is(&one, "arr_0", &[2, 2], &[1.0, f32::MIN_POSITIVE, -0.0, f32::INFINITY]);
    file.insert("none", &[1], vec![]);
    for refused in [file.to_npz(), file.to_bytes(), file.to_npy("none")] {
        assert!(matches!(refused, Err(Error::Format { .. })));
    }
}

#[test]
fn a_requested_format_is_not_guessed() {
    for (name, result) in [
        ("npz", TensorFile::from_npz("x", STATE)),
        ("npy", TensorFile::from_npy("x", STATE)),
        ("pt", TensorFile::from_pt("x", ARRAYS)),
        ("keras", TensorFile::from_keras("x", ARRAYS)),
        ("safetensors", TensorFile::from_safetensors("x", ARRAYS)),
    ] {
        assert!(matches!(result, Err(Error::Format { .. })), "{name}");
    }
}
