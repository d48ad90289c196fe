//! Recurrent layers are found and loaded by name, whatever framework wrote the file.

use wgru::io::{LayerInfo, RecurrentWeights, TensorFile, load_recurrent_blocking, recurrent_to_file};
use wgru::nn::{Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Activation, Cell, Device, Rng, Tensor};

use crate::common::fill;

fn list(file: &TensorFile) -> Vec<String> {
    let text = |layer: &LayerInfo| {
        let LayerInfo { name, cell, input, hidden, layers, .. } = layer;
        let directions = 1 + usize::from(layer.bidirectional);
        format!("{name}: {cell} {input} {hidden}, {layers} layers, {directions} directions")
    };
    file.layers().iter().map(text).collect()
}

macro_rules! fixture {
    ($name:literal) => {
        TensorFile::import_bytes($name, include_bytes!(concat!("../readers/", $name))).expect($name)
    };
}

#[test]
fn layers_of_all_frameworks_are_found() {
    for (file, want) in [
        (fixture!("state.pt"), &["model: gru 2 3, 1 layers, 1 directions"][..]),
        (fixture!("model.keras"), &["both: lstm 4 2, 1 layers, 2 directions", "gru: gru 3 4, 1 layers, 1 directions"]),
        (fixture!("import/module.pt"), &["gru: gru 2 3, 1 layers, 1 directions"]),
        (fixture!("import/program.pt2"), &["gru: gru 2 3, 1 layers, 1 directions"]),
        (fixture!("import/rtneural.json"), &["layers.1: gru 2 3, 1 layers, 1 directions"]),
        (fixture!("import/proteus.json"), &["rec: lstm 1 2, 1 layers, 1 directions"]),
        (fixture!("arrays.npz"), &[]),
    ] {
        assert_eq!(list(&file), want);
        for layer in file.layers() {
            let part = file.recurrent(&layer.name).expect("there");
            let config = load_recurrent_blocking(&Device::cpu(), &part).expect("loaded").config().clone();
            assert_eq!(
                (config.cell, config.input, config.bidirectional),
                (layer.cell, layer.input, layer.bidirectional)
            );
        }
    }
    let error = fixture!("model.keras").recurrent("layers.lstm").expect_err("not there").to_string();
    assert!(error.contains("layers.lstm") && error.contains("[\"both") && error.contains("\"gru\"]"), "{error}");
}

/// A layer of a `.keras` archive has the name that the user gave, and is found by that of its weights, too.
#[test]
fn layers_of_archives_are_called_as_in_keras() {
    let file = fixture!("model.keras");
    let same =
        |a: &str, b: &str| assert_eq!(output(&file.recurrent(a).expect(a)), output(&file.recurrent(b).expect(b)));
    same("gru", "layers.gru");
    assert_eq!(file.recurrent("both").expect("both"), file.recurrent("layers.bidirectional").expect("both"));
    // The names are kept in the metadata.
    let copy = TensorFile::from_bytes("copy", &file.to_bytes().expect("bytes")).expect("copy");
    assert_eq!(copy.layers(), file.layers());

    let device = Device::cpu();
    let model = wgru::io::load_network(&device, &file).expect("network");
    for name in ["head", "layers.dense"] {
        assert_eq!(model.layers.layer::<Linear>(name).expect(name).weight().dims(), [1, 4]);
    }
    let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
    assert!(
        ["gru.weight_hh_l0", "both.weight_hh_l0_reverse", "head.bias"].iter().all(|own| names.iter().any(|n| n == own))
    );
    let text = model.layers.layer::<Linear>("dense").expect_err("no such layer").to_string();
    assert!(text.contains("\"head\""), "{text}");
}

/// Layers of nested models, and names that are not unique, too long or empty.
#[test]
fn names_of_nested_layers_are_joined() {
    let gru = RecurrentConfig::gru(3, 4).build(&Device::cpu(), &mut Rng::new(1)).expect("gru");
    let saved = pollster::block_on(recurrent_to_file(&gru)).expect("file");
    let weights = RecurrentWeights::from_pytorch(Cell::Gru, &saved, 0, false).expect("weights");
    let keras = weights.to_keras().expect("keras");
    let layers = ["layers.functional.layers.gru", "layers.functional.layers.gru_1", "layers.gru", "layers.gru_1"];
    let file = |names: [&str; 4], model: &str| {
        let mut file = TensorFile::default();
        let mut describe = |own: &str, class: &str, name: &str| {
            file.metadata.insert(format!("{own}.class_name"), class.into());
            file.metadata.insert(format!("{own}.name"), name.into());
        };
        describe("layers.functional", "Functional", model);
        layers.iter().zip(names).for_each(|(own, name)| describe(own, "GRU", name));
        for own in layers {
            for (part, number) in [("kernel", 0), ("recurrent_kernel", 1), ("bias", 2)] {
                let (dims, values) = keras.get(part).expect(part);
                file.insert(&format!("{own}.cell.vars.{number}"), dims, values.to_vec());
            }
        }
        file
    };
    let found = |file: &TensorFile| {
        let names: Vec<String> = file.layers().into_iter().map(|layer| layer.name).collect();
        names.iter().for_each(|name| assert!(file.recurrent(name).is_ok(), "{name}"));
        layers.iter().for_each(|name| assert!(file.recurrent(name).is_ok(), "{name}"));
        names
    };
    assert_eq!(
        found(&file(["first", "my gru", "head", "tail.1"], "encoder")),
        ["encoder.first", "encoder.my_gru", "head", "tail.1"]
    );
    // The same name twice, and a name that is that of other weights.
    assert_eq!(
        found(&file(["a", "a", "layers.gru_1", "b"], "m")),
        ["b", "layers.functional.layers.gru", "layers.functional.layers.gru_1", "layers.gru"]
    );
    assert_eq!(
        found(&file(["a", "", "b", "c"], &"long".repeat(100))),
        ["b", "c", "layers.functional.layers.gru", "layers.functional.layers.gru_1"]
    );
}

/// Runs a layer on five steps of three features.
fn output(file: &TensorFile) -> Vec<f32> {
    let device = Device::cpu();
    let layer = load_recurrent_blocking(&device, file).expect("layer");
    let x = Tensor::from_slice(&device, &fill(1, 30, 1.0), &[5, 2, 3]).expect("x");
    layer.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output.read_blocking().expect("read")
}

#[test]
fn every_way_of_naming_gives_the_same_layer() {
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm, Cell::Rnn] {
        let config = RecurrentConfig { bidirectional: true, ..RecurrentConfig::new(cell, 3, 4) };
        let layer = config.build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
        let own = pollster::block_on(recurrent_to_file(&layer)).expect("file");
        let weights =
            [false, true].map(|reverse| RecurrentWeights::from_pytorch(cell, &own, 0, reverse).expect("weights"));
        // The layer that Keras can store: biases that Keras merges are merged.
        let mut keras = weights.iter().map(|weights| weights.to_keras().expect("keras"));
        let keras = [keras.next().expect("forward"), keras.next().expect("backward")];
        let mut want = TensorFile::default();
        for (file, reverse) in keras.iter().zip([false, true]) {
            RecurrentWeights::from_keras(cell, file).expect("weights").to_parameters(&mut want, 0, reverse);
        }
        want.metadata = own.metadata.clone();
        let want = output(&want);
        for (forward, backward, parts) in [
            ("net.forward_layer.cell.vars", "net.backward_layer.cell.vars", ["0", "1", "2"]),
            ("net.forward_gru", "net.backward_gru", ["kernel", "recurrent_kernel", "bias"]),
            ("net.x.forward_a.cell", "net.x.backward_a.cell", ["kernel:0", "recurrent_kernel:0", "bias:0"]),
        ] {
            let mut file = TensorFile::default();
            file.insert("net.other", &[1], vec![1.0]);
            for (prefix, from) in [(forward, &keras[0]), (backward, &keras[1])] {
                for (part, name) in parts.iter().zip(["kernel", "recurrent_kernel", "bias"]) {
                    let (dims, values) = from.get(name).expect(name);
                    file.insert(&format!("{prefix}.{part}"), dims, values.to_vec());
                }
            }
            let [found] = &file.layers()[..] else { panic!("{:?}", file.layers()) };
            assert_eq!((found.cell, found.bidirectional, found.hidden), (cell, true, 4));
            assert_eq!(output(&file.recurrent(&found.name).expect("layer")), want, "{forward}");
        }
        // A file of this crate, alone and below a prefix.
        let [found] = &own.layers()[..] else { panic!("{:?}", own.layers()) };
        assert_eq!((&*found.name, found.cell), ("", cell));
        assert_eq!(output(&own.recurrent("").expect("layer")), output(&own));
        let mut below = TensorFile::default();
        for name in own.names() {
            let (dims, values) = own.get(name).expect(name);
            below.insert(&format!("a.b.{name}"), dims, values.to_vec());
        }
        below.metadata = own.metadata.iter().map(|(key, text)| (format!("a.b.{key}"), text.clone())).collect();
        assert_eq!(output(&below.recurrent("a.b").expect("layer")), output(&own));
    }
}

#[test]
fn cells_of_pytorch_and_options_of_saved_modules_are_kept() {
    let layer = RecurrentConfig::gru(3, 4).build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
    let own = pollster::block_on(recurrent_to_file(&layer)).expect("file");
    let mut cell = TensorFile::default();
    for part in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
        let (dims, values) = own.get(&format!("{part}_l0")).expect(part);
        cell.insert(&format!("decoder.cell.{part}"), dims, values.to_vec());
    }
    assert_eq!(list(&cell), ["decoder.cell: gru 3 4, 1 layers, 1 directions"]);
    assert_eq!(output(&cell.recurrent("decoder.cell").expect("cell")), output(&own));
    let layer = RecurrentConfig::rnn(3, 4).build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
    let own = pollster::block_on(recurrent_to_file(&layer)).expect("file");
    let mut module = TensorFile::default();
    for name in own.names() {
        let (dims, values) = own.get(name).expect(name);
        module.insert(&format!("rnn.{name}"), dims, values.to_vec());
    }
    module.metadata.insert("rnn.mode".into(), "RNN_RELU".into());
    module.metadata.insert("rnn.batch_first".into(), "true".into());
    let loaded = load_recurrent_blocking(&Device::cpu(), &module.recurrent("rnn").expect("rnn")).expect("loaded");
    assert_eq!((loaded.config().cell, loaded.config().batch_first), (Cell::RnnRelu, true));
}

#[test]
fn layers_of_tensorflow_keras_2_are_found() {
    let Some(data) = std::env::var_os("WGRU_DATA") else {
        eprintln!("SKIPPED: WGRU_DATA is not set, so there is no real/breizhn_DTLN");
        return;
    };
    let path = std::path::PathBuf::from(data).join("real/breizhn_DTLN/model.h5");
    let file = TensorFile::open(path).expect("read");
    let found = file.layers();
    assert_eq!(found.len(), 4, "{found:?}");
    for layer in &found {
        assert_eq!((layer.cell, layer.hidden), (Cell::Lstm, 128));
        load_recurrent_blocking(&Device::cpu(), &file.recurrent(&layer.name).expect("there")).expect("loaded");
    }
}

#[test]
fn options_of_keras_files_are_kept() {
    let good = fixture!("model.keras");
    let text = |key: &str| good.metadata[key].as_str();
    assert_eq!(text("layers"), "layers.input_layer layers.gru layers.bidirectional layers.dense");
    assert_eq!((text("layers.dense.activation"), text("layers.bidirectional.merge_mode")), ("linear", "concat"));
    let load = |file: &TensorFile, name: &str| {
        let layer = load_recurrent_blocking(&Device::cpu(), &file.recurrent(name)?)?;
        Ok::<_, wgru::Error>(layer.config().clone())
    };
    assert!(load(&good, "layers.gru").expect("gru").activations.is_empty(), "the usual ones");
    let changed = |changes: &[(&str, &str)]| {
        let mut file = good.clone();
        file.metadata.extend(changes.iter().map(|(key, text)| (key.to_string(), text.to_string())));
        file
    };
    for (version, alpha) in [("2.15.0", 0.2), ("3.15.1", 1.0 / 6.0)] {
        let file = changed(&[("keras_version", version), ("layers.gru.recurrent_activation", "hard_sigmoid")]);
        let gru = load(&file, "layers.gru").expect("gru");
        assert_eq!(gru.activations()[1], Activation::HardSigmoid { alpha, beta: 0.5 });
    }
    let file = changed(&[("layers.gru.activation", "relu"), ("layers.gru.go_backwards", "true")]);
    let gru = load(&file, "layers.gru").expect("gru");
    assert_eq!((gru.activations()[2], gru.reverse), (Activation::Relu, true));
    let both = ["forward_layer", "backward_layer"].map(|part| format!("layers.bidirectional.{part}.activation"));
    let lstm = load(&changed(&[(&both[0], "relu"), (&both[1], "relu")]), "layers.bidirectional").expect("lstm");
    assert_eq!((lstm.activations()[2], lstm.activations()[4]), (Activation::Relu, Activation::Relu));
    for (changes, name, word) in [
        (&[("layers.gru.activation", "mish")][..], "layers.gru", "\"mish\""),
        (&[(&*both[0], "relu")], "layers.bidirectional", "different"),
        (&[("layers.bidirectional.merge_mode", "sum")], "layers.bidirectional", "\"sum\""),
    ] {
        let error = changed(changes).recurrent(name).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// A CuDNN layer of Keras 2 holds, for each gate, the transposed block, and both biases in one list.
#[test]
fn layers_of_cudnn_are_converted() {
    for cell in [Cell::Gru, Cell::Lstm] {
        let layer = RecurrentConfig::new(cell, 3, 4).build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
        let own = pollster::block_on(recurrent_to_file(&layer)).expect("file");
        let keras = RecurrentWeights::from_pytorch(cell, &own, 0, false).expect("weights").to_keras().expect("keras");
        let rows = cell.gates() * 4;
        let mut file = TensorFile::default();
        for (name, width) in [("kernel", 3), ("recurrent_kernel", 4)] {
            let values = keras.expect(name, &[width, rows]).expect(name);
            let mut moved = vec![0.0; values.len()];
            for (gate, i, h) in
                (0..cell.gates()).flat_map(|g| (0..width).flat_map(move |i| (0..4).map(move |h| (g, i, h))))
            {
                let at = h * width + i;
                moved[at / 4 * rows + gate * 4 + at % 4] = values[i * rows + gate * 4 + h];
            }
            file.insert(&format!("cudnn.{name}:0"), &[width, rows], moved);
        }
        let bias = match cell {
            Cell::Gru => keras.get("bias").expect("bias").1.to_vec(),
            _ => [keras.get("bias").expect("bias").1, &vec![0.0; rows]].concat(),
        };
        file.insert("cudnn.bias:0", &[2 * rows], bias);
        let [found] = &file.layers()[..] else { panic!("{:?}", file.layers()) };
        assert_eq!((found.cell, found.input, found.hidden), (cell, 3, 4));
        let mut want = TensorFile::default();
        RecurrentWeights::from_keras(cell, &keras).expect("weights").to_parameters(&mut want, 0, false);
        assert_eq!(output(&file.recurrent("cudnn").expect("layer")), output(&want));
        // The names of TensorFlow, without the prefix.
        let part = RecurrentWeights::from_keras(cell, &file.under("cudnn")).expect("weights");
        assert_eq!((part.input(), part.hidden()), (3, 4));
    }
}
