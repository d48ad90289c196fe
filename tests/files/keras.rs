//! Whole models of Keras 2 and 3. `readers/generate_keras.py` writes the fixtures.

use wgru::io::{TensorFile, load_network};
use wgru::nn::Module;
use wgru::{Cell, Device, Tensor};

use crate::common::assert_close;

/// f32 against Keras, which computes in f32, too.
const OUTPUT: f64 = 2e-6;

macro_rules! fixtures {
    ($($name:literal),*) => {
        [$((
            $name,
            &include_bytes!(concat!("../readers/keras/", $name, ".keras"))[..],
            &include_bytes!(concat!("../readers/keras/", $name, ".h5"))[..],
            &include_bytes!(concat!("../readers/keras/", $name, ".npz"))[..],
        )),*]
    };
}

/// Name, `.keras`, `.h5`, and arrays of a model.
type Fixture = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

fn files() -> [Fixture; 6] {
    fixtures!("k2_masked", "k2_graph", "k3_masked", "k3_graph", "k2_cudnn", "k2_time")
}

fn input(device: &Device, name: &str, arrays: &TensorFile) -> Tensor {
    let (dims, x) = arrays.get("x").expect("x");
    match name.ends_with("masked") {
        true => Tensor::from_indices(device, &x.iter().map(|&v| v as u32).collect::<Vec<_>>(), dims).expect("x"),
        false => Tensor::from_slice(device, x, dims).expect("x"),
    }
}

#[test]
fn whole_models_give_the_outputs_of_keras() {
    let device = Device::cpu();
    for (name, keras, h5, arrays) in files() {
        let arrays = TensorFile::from_npz(name, arrays).expect("arrays");
        let x = input(&device, name, &arrays);
        let (dims, y) = arrays.get("y").expect("y");
        let want: Vec<f64> = y.iter().map(|&v| v.into()).collect();
        for bytes in [keras, h5] {
            let file = TensorFile::import_bytes(name, bytes).expect(name);
            let got = load_network(&device, &file).expect(name).forward(&x).expect(name);
            assert_eq!(got.dims(), dims, "{name}");
            assert_close(name, &got.read_blocking().expect("read"), &want, OUTPUT);
            // The configuration is kept in the metadata.
            let copy = TensorFile::from_bytes(name, &file.to_bytes().expect("bytes")).expect("copy");
            let again = load_network(&device, &copy).expect(name).forward(&x).expect(name);
            assert_eq!(again.read_blocking().expect("read"), got.read_blocking().expect("read"), "{name}");
        }
    }
}

/// Archives number their layers by class; `.h5` files use their names.
#[test]
fn layers_of_archives_are_called_as_those_of_h5_models() {
    for (name, keras, h5, _) in files() {
        let names = |bytes| -> Vec<String> {
            let file = TensorFile::import_bytes(name, bytes).expect(name);
            file.layers().into_iter().map(|layer| layer.name).collect()
        };
        assert!(!names(h5).is_empty());
        assert_eq!(names(keras), names(h5), "{name}");
    }
}

#[test]
fn layers_of_h5_models_are_called_as_in_keras() {
    for (name, _, h5, _) in files().into_iter().filter(|(name, ..)| name.ends_with("masked")) {
        let file = TensorFile::import_bytes(name, h5).expect(name);
        let layers = file.layers();
        let found = |part: &str| layers.iter().find(|layer| layer.name.starts_with(part)).expect(part);
        assert_eq!((found("bidirectional").cell, found("bidirectional").bidirectional), (Cell::Lstm, true));
        assert_eq!((found("gru").cell, found("gru").hidden), (Cell::Gru, 3));
        assert_eq!(found("rnn").cell, Cell::GruResetBefore, "told by the configuration only");
        let bidirectional = &found("bidirectional").name;
        assert!(file.names().any(|own| own == format!("{bidirectional}.forward_layer.recurrent_kernel")), "{name}");
        let error = file.recurrent(bidirectional).expect_err("merged").to_string();
        assert!(error.contains("\"sum\""), "{error}");
    }
}

/// Weights of cuDNN are told by the configuration or by their bias.
#[test]
fn layers_of_cudnn_are_listed() {
    let listed = |bytes: &[u8]| {
        let mut layers = TensorFile::import_bytes("model", bytes).expect("imported").layers();
        layers.sort_by_key(|layer| (layer.cell.to_string(), layer.hidden));
        layers.iter().map(|l| (l.cell, l.input, l.hidden, l.bidirectional)).collect::<Vec<_>>()
    };
    let want = [(Cell::Gru, 4, 2, true), (Cell::Gru, 2, 3, false), (Cell::Lstm, 3, 2, true), (Cell::Lstm, 4, 4, false)];
    let [.., (_, keras, h5, _), _] = files();
    assert_eq!(listed(keras), want);
    assert_eq!(listed(h5), want);
}

/// Changes to the configuration that would give another result are refused, by the name of the layer.
#[test]
fn options_that_are_not_supported_are_refused_by_name() {
    let [_, _, _, (name, keras, ..), ..] = files();
    let good = TensorFile::import_bytes(name, keras).expect(name);
    for (key, text, words) in [
        ("layers.gru.return_state", "true", &["layers.gru", "return_state"][..]),
        ("layers.gru.activation", "gelu", &["layers.gru", "\"gelu\""]),
        ("layers.conv1d.padding", "reflect", &["layers.conv1d", "\"reflect\""]),
        ("layers.conv1d.data_format", "channels_first", &["layers.conv1d", "channels_last"]),
        ("layers.conv1d.strides", "0", &["layers.conv1d", "\"strides\""]),
        ("layers.dense.class_name", "Attention", &["layers.dense", "\"Attention\""]),
        ("layers.dense.activation", "my_function", &["layers.dense", "\"my_function\""]),
        ("layers.dense.calls", "2", &["layers.dense", "more than once"]),
        ("layers.dense.inputs", "layers.flatten layers.softmax", &["layers.dense", "\"layers.softmax\""]),
        ("layers.gru.beside", "layers.dense", &["layers.gru", "keyword argument"]),
        ("layers.batch_normalization.axis", "1 2", &["layers.batch_normalization", "axis"]),
        ("layers.max_pooling1d.padding", "same", &["layers.max_pooling1d", "same"]),
        ("output", "layers.dense layers.softmax", &["output"]),
        ("input", "", &["input"]),
    ] {
        let mut file = good.clone();
        file.metadata.insert(key.into(), text.into());
        let error = load_network(&Device::cpu(), &file).expect_err(key).to_string();
        // Layers are named as in Keras.
        let called = |word: &str| file.metadata.get(&format!("{}.name", word.trim_matches('"'))).cloned();
        let word = |word: &str| called(word).map_or(word.to_string(), |name| format!("\"{name}\""));
        assert!(words.iter().all(|own| error.contains(&word(own))), "{key}: {error}");
    }
}

#[test]
fn damaged_configurations_are_refused_without_a_panic() {
    for (name, _, h5, _) in files() {
        let start = h5.windows(14).position(|window| window == b"{\"class_name\":").expect("the configuration");
        for at in (start..start + 3000).step_by(61) {
            for byte in [b'"', b'[', b'}', b'9', 0] {
                let mut bytes = h5.to_vec();
                bytes[at] = byte;
                if let Ok(file) = TensorFile::import_bytes(name, &bytes) {
                    let _ = load_network(&Device::cpu(), &file).map(|network| network.parameters().len());
                }
            }
        }
    }
}
