//! Networks in the format in which the Python package saves them.

use wgru::io::{self, ModelFile, TensorFile, load_network, network_to_file};
use wgru::nn::{LastState, LastStep, LayerNorm, Linear, Module, Recurrent, RecurrentConfig, Relu, Sequential, Tanh};
use wgru::{Device, Error, Rng, Tensor};

/// Layers with weights, and the whole network.
fn network(device: &Device) -> (Recurrent, LayerNorm, Linear, Sequential) {
    let mut rng = Rng::new(5);
    let config = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(3, 4) };
    let gru = config.build(device, &mut rng).unwrap();
    let norm = LayerNorm::new(device, 8).unwrap();
    let head = Linear::new(device, 8, 2, true, &mut rng).unwrap();
    let last = LastState { batch_first: true, bidirectional: true, reverse: false };
    let all = Sequential::new().push("gru", gru.clone()).push("last", last).push("norm", norm.clone());
    (gru, norm, head.clone(), all.push("act", Tanh).push("head", head))
}

fn saved(device: &Device) -> TensorFile {
    let (gru, norm, head, _) = network(device);
    let mut file = TensorFile::default();
    let parts = [
        ("gru", pollster::block_on(io::recurrent_to_file(&gru)).unwrap()),
        ("norm", pollster::block_on(io::parameters_to_file(&norm)).unwrap()),
        ("head", pollster::block_on(io::parameters_to_file(&head)).unwrap()),
    ];
    for (name, part) in &parts {
        for tensor in part.names() {
            let (dims, values) = part.get(tensor).unwrap();
            file.insert(&format!("{name}.{tensor}"), dims, values.to_vec());
        }
        file.metadata.extend(part.metadata.iter().map(|(key, text)| (format!("{name}.{key}"), text.clone())));
    }
    let metadata = [
        ("kind", "wgru-sequential"),
        ("layers", "gru last norm act drop head"),
        ("gru.type", "recurrent"),
        ("last.type", "last_state"),
        ("norm.type", "layer_norm"),
        ("norm.eps", "0.00001"),
        ("act.type", "tanh"),
        ("drop.type", "dropout"),
        ("head.type", "linear"),
    ];
    file.metadata.extend(metadata.map(|(key, text)| (key.to_string(), text.to_string())));
    file
}

#[test]
fn saved_network_computes_the_same_bits() {
    let device = Device::cpu();
    let values: Vec<f32> = (0..2 * 5 * 3).map(|i| (i as f32).sin()).collect();
    let x = Tensor::from_slice(&device, &values, &[2, 5, 3]).unwrap();
    let want = network(&device).3.forward(&x).unwrap().read_blocking().unwrap();
    let bytes = saved(&device).to_bytes().unwrap();
    let model = ModelFile::from_bytes("saved.safetensors", bytes).unwrap().load_blocking(&device, None).unwrap();
    let got = model.module().unwrap().forward(&x).unwrap();
    assert_eq!(got.dims(), [2, 2]);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got.read_blocking().unwrap()), bits(&want));
}

#[test]
fn unsupported_layers_are_named() {
    let device = Device::cpu();
    for (key, text, part) in [
        ("act.type", "gelu", "\"gelu\""),
        ("layers", "last gru", "\"last\""),
        ("layers", "", "no layers"),
        ("layers", "gru other", "\"other.type\""),
    ] {
        let mut file = saved(&device);
        file.metadata.insert(key.into(), text.into());
        let error = load_network(&device, &file).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Format { .. }) && error.to_string().contains(part), "{error}");
    }
}

/// A network that its file could not give back is refused.
#[test]
fn networks_that_would_change_are_refused() {
    let device = Device::cpu();
    let gru = |batch_first| {
        RecurrentConfig { batch_first, ..RecurrentConfig::gru(3, 4) }.build(&device, &mut Rng::new(1)).unwrap()
    };
    let head = || Linear::new(&device, 4, 2, true, &mut Rng::new(1)).unwrap();
    let base = || Sequential::new().push("gru", gru(true));
    for (layers, part) in [
        (Sequential::new().push("my gru", gru(true)), "\"my gru\""),
        (Sequential::new().push("", gru(true)), "\"\""),
        (base().push("act", Tanh).push("act", Relu), "\"act\""),
        (Sequential::new().push("gru", gru(false)), "batch-first"),
        (base().push("last", LastStep { batch_first: false }), "batch-first"),
        (Sequential::new().push("head", head()).push("last", LastStep { batch_first: true }), "a recurrent layer"),
    ] {
        let mut network = load_network(&device, &saved(&device)).unwrap();
        network.layers = layers;
        let error = pollster::block_on(network_to_file(&network)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Value { .. }) && error.to_string().contains(part), "{error}");
    }
}
