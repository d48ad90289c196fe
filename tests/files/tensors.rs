//! Saving and loading models as safetensors, with PyTorch's names.

use wgru::io::{
    TensorFile, load_checkpoint, load_parameters, load_recurrent_blocking, save_checkpoint_blocking,
    save_parameters_blocking, save_recurrent_blocking,
};
use wgru::nn::{Linear, Mode, Module, RecurrentConfig, RunOptions, Sequential};
use wgru::train::{AdamConfig, Method, Optimizer, SgdConfig, TrainOptions, Trainer};
use wgru::{Cell, Device, Rng, Tensor};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![a_file_written_by_torch_loads, a_saved_gru_loads_unchanged];

/// `torch.nn.GRU(5, 16, num_layers=2, bidirectional=True)`, its state dict saved by `safetensors.torch.save_file`.
const TORCH: &[u8] = include_bytes!("../golden/torch_gru.safetensors");

fn a_file_written_by_torch_loads(device: &Device) {
    let file = TensorFile::from_bytes("torch_gru", TORCH).expect("parsed");
    let gru = load_recurrent_blocking(device, &file).expect("loaded");
    let want = RecurrentConfig { layers: 2, bidirectional: true, ..RecurrentConfig::gru(5, 16) };
    assert_eq!(*gru.config(), want);
    let (name, last) = gru.parameters().pop().expect("parameters");
    assert_eq!(name, "bias_hh_l1_reverse");
    assert_eq!(last.read_blocking().expect("read"), fill(33, 48, 0.25));
}

fn a_saved_gru_loads_unchanged(device: &Device) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gru.safetensors");
    let config = RecurrentConfig {
        layers: 2,
        batch_first: true,
        dropout: 0.25,
        bias: false,
        ..RecurrentConfig::new(Cell::GruResetBefore, 3, 7)
    };
    let gru = config.clone().build(device, &mut Rng::new(4)).expect("gru");
    save_recurrent_blocking(&gru, &path).expect("saved");
    let copy = load_recurrent_blocking(device, &TensorFile::open(&path).expect("opened")).expect("loaded");
    assert_eq!(*copy.config(), config);
    let x = Tensor::from_slice(device, &fill(1, 2 * 5 * 3, 1.0), &[2, 5, 3]).expect("x");
    let run =
        |g: &wgru::nn::Gru| g.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output.read_blocking();
    assert_eq!(run(&copy).expect("read"), run(&gru).expect("read"));
}

#[test]
fn names_of_a_sequential_are_those_of_pytorch() {
    let (device, mut rng) = (Device::cpu(), Rng::new(0));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let build = |rng: &mut Rng| {
        let gru = RecurrentConfig::gru(2, 3).build(&device, rng).expect("gru");
        Sequential::new().push("encoder", gru).push("head", Linear::new(&device, 3, 1, true, rng).expect("head"))
    };
    let model = build(&mut rng);
    save_parameters_blocking(&model, &path).expect("saved");
    let file = TensorFile::open(&path).expect("opened");
    let names: Vec<_> = file.names().collect();
    let want = [
        "encoder.bias_hh_l0",
        "encoder.bias_ih_l0",
        "encoder.weight_hh_l0",
        "encoder.weight_ih_l0",
        "head.bias",
        "head.weight",
    ];
    assert_eq!(names, want);
    let other = build(&mut rng);
    load_parameters(&other, &file).expect("loaded");
    for ((_, a), (_, b)) in model.parameters().iter().zip(other.parameters()) {
        assert_eq!(a.read_blocking().expect("read"), b.read_blocking().expect("read"));
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let file = |keys: [&str; 6]| {
        let mut file = TensorFile::default();
        file.insert("b", &[2], vec![1.0, f32::NAN]);
        file.insert("a \"quoted\" ä", &[1, 1], vec![3.0]);
        keys.iter().for_each(|k| drop(file.metadata.insert(k.to_string(), format!("value of {k}"))));
        file
    };
    let one = file(["1", "2", "3", "4", "5", "6"]).to_bytes().expect("bytes");
    assert_eq!(one, file(["6", "4", "2", "1", "3", "5"]).to_bytes().expect("bytes"));
    let back = TensorFile::from_bytes("memory", &one).expect("parsed");
    assert_eq!(back.get("a \"quoted\" ä").expect("there").1, [3.0]);
    assert!(back.get("b").expect("there").1[1].is_nan());
    assert_eq!(back.metadata["3"], "value of 3");
    assert_eq!(back.metadata["format"], "pt");
}

#[test]
fn files_that_could_not_be_read_back_are_not_written() {
    let mut file = TensorFile::default();
    file.insert(&"n".repeat(70_000), &[1], vec![1.0]);
    assert!(TensorFile::from_bytes("long name", &file.to_bytes().expect("bytes")).is_ok());
    let error = file.to_npz().expect_err("a long name").to_string();
    assert!(error.contains("too long for a name"), "{error}");
    // NumPy stores text with four bytes per character, and our limit applies.
    let mut file = TensorFile::default();
    file.metadata.insert("log".into(), "x".repeat(1 << 20));
    let copy = TensorFile::from_bytes("a long text", &file.to_npz().expect("an archive")).expect("read");
    assert_eq!(copy.metadata, file.metadata);
    file.metadata.insert("log".into(), "x".repeat(1 << 24));
    let error = file.to_npz().expect_err("a longer text").to_string();
    assert!(error.contains("the metadata"), "{error}");
}

#[test]
fn half_precision_files_are_read_as_f32() {
    let mut bytes = Vec::new();
    let header = br#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"c":{"dtype":"F64","shape":[1],"data_offsets":[6,14]}}"#;
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend([0x00, 0x3c, 0x00, 0xc1, 0x80, 0x3f]);
    bytes.extend(0.1f64.to_le_bytes());
    let file = TensorFile::from_bytes("half", &bytes).expect("parsed");
    assert_eq!(file.get("a").expect("a").1, [1.0, -2.5]);
    assert_eq!(file.get("b").expect("b").1, [1.0]);
    assert_eq!(file.get("c").expect("c").1, [0.1]);
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_and_change_nothing() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("run.safetensors");
    let start = |size: usize, method: Method| {
        let mut rng = Rng::new(0);
        let model = Linear::new(&device, size, 1, true, &mut rng).expect("linear");
        let optimizer = Optimizer::new(model.parameters(), method, 0.1).expect("optimizer");
        (Trainer::new(optimizer, TrainOptions::default(), rng), model)
    };
    let adam = Method::Adam(AdamConfig::default());
    let (trainer, model) = start(3, adam);
    save_checkpoint_blocking(&trainer, &model, &path).expect("saved");
    let file = TensorFile::open(&path).expect("opened");

    let error = load_parameters(&model, &file).expect_err("a checkpoint is not a model").to_string();
    assert!(error.contains("TensorFile::under(\"model\")"), "{error}");
    load_parameters(&model, &file.under("model")).expect("the model in it");
    let error = load_recurrent_blocking(&device, &file.under("optimizer")).map(drop).expect_err("no GRU").to_string();
    assert!(error.contains("weight_hh_l0") && error.contains("the file has"), "{error}");

    let refused = |(mut trainer, model): (Trainer, Linear), file: &TensorFile, word: &str| {
        let before = model.parameters()[0].1.read_blocking().expect("read");
        let error = load_checkpoint(&mut trainer, &model, file).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(model.parameters()[0].1.read_blocking().expect("read"), before);
    };
    refused(start(4, adam), &file, "model.weight");
    refused(start(3, Method::Sgd(SgdConfig::default())), &file, "adam");
    for key in ["epoch", "position", "steps", "wgru.checkpoint"] {
        let mut without = file.clone();
        without.metadata.remove(key);
        refused(start(3, adam), &without, key);
        let mut garbled = file.clone();
        garbled.metadata.insert(key.into(), "x1".into());
        refused(start(3, adam), &garbled, key);
    }
    let (mut trainer, model) = start(3, adam);
    load_checkpoint(&mut trainer, &model, &file).expect("its own checkpoint");
}

/// Names in any order, as a map takes them.
#[test]
fn a_tensor_under_a_name_that_exists_is_replaced() {
    let mut file = TensorFile::default();
    for (i, name) in ["b", "d", "a", "c", "a", "d", "e", "a"].into_iter().enumerate() {
        file.insert(name, &[i + 1], vec![i as f32; i + 1]);
    }
    assert_eq!(file.names().collect::<Vec<_>>(), ["b", "d", "a", "c", "e"]);
    let read = TensorFile::from_bytes("memory", &file.to_bytes().expect("bytes")).expect("read");
    for (name, i) in [("a", 7), ("b", 0), ("c", 3), ("d", 5), ("e", 6)] {
        for file in [&file, &read] {
            assert_eq!(file.get(name).expect("a tensor"), (&[i + 1][..], &vec![i as f32; i + 1][..]), "{name}");
        }
    }
}

/// Two parameters with one name are not one tensor.
#[test]
fn parameters_with_the_same_name_are_not_saved() {
    let (device, mut rng) = (Device::cpu(), Rng::new(0));
    let mut linear = || Linear::new(&device, 2, 1, true, &mut rng).expect("linear");
    let model = Sequential::new().push("head", linear()).push("head", linear());
    let folder = tempfile::tempdir().expect("a folder");
    let text = save_parameters_blocking(&model, folder.path().join("model")).expect_err("refused").to_string();
    assert!(text.contains("head.weight") && text.contains("twice"), "{text}");
}
