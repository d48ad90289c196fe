//! Seed corpora of the fuzz targets: the files that these tests damage, in the form that each target takes.

use std::path::{Path, PathBuf};

use super::seeds::{self, Seed, files};
use super::{readers, zip};

/// Writes `fuzz/corpus/<target>/`. Only small files: the fuzzer mutates and runs them thousands of times a second.
#[test]
#[ignore = "writes files; scripts/proof.sh fuzz runs it"]
fn corpora_of_the_fuzz_targets() {
    let device = readers::device();
    let with = |endings: &[&str], more: Vec<Seed>| -> Vec<Seed> { files(endings).into_iter().chain(more).collect() };
    write("safetensors", &with(&[".safetensors"], seeds::layers(&device)));
    write("npz", &files(&[".npz", ".npy"]));
    write("torch", &files(&[".pt", ".ckpt"]));
    write("keras", &files(&[".h5", ".keras"]));
    let mut onnx = files(&[".onnx", ".pb"]);
    onnx.extend(seeds::operators());
    write("onnx", &onnx);
    write("network", &with(&[".onnx"], seeds::networks(&device)));
    let audio = vec![
        Seed::new("small.nam", seeds::nam().into()),
        Seed::new("model.rnnn", seeds::rnnoise_text().into()),
        Seed::new("weights_blob.bin", seeds::rnnoise_binary()),
    ];
    write("audio", &with(&[".nam", ".json", ".aidax"], audio));
    write("import", &with(&[".safetensors", ".npz", ".pt", ".ckpt", ".pt2", ".pkl", ".tar", ".h5", ".keras"], vec![]));

    let archives = files(&[".npz", ".pt", ".ckpt", ".pt2", ".keras"]);
    let lists = archives.iter().filter_map(|seed| Some((seed, zip::members(&seed.bytes)?)));
    write("members", &lists.clone().map(|(seed, list)| Seed::new(&seed.name, of_members(&list))).collect::<Vec<_>>());
    let pickles = lists.filter_map(|(seed, list)| {
        let (_, bytes) = list.into_iter().find(|(name, _)| name.ends_with("/data.pkl"))?;
        Some(Seed::new(&seed.name, bytes))
    });
    write("pickle", &pickles.collect::<Vec<_>>());

    let checkpoints = [seeds::checkpoints(&device), seeds::layers(&device), seeds::weights(&device)];
    let split = |seed: &Seed| Seed::new(&seed.name, without_length(&seed.bytes));
    write("checkpoint", &checkpoints.iter().flatten().map(split).collect::<Vec<_>>());
    let index = r#"{"metadata": {"total_size": 8}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
    write("shards", &[Seed::new("index", index.into())]);
    write("tuning", &[Seed::new("tuning", seeds::TUNING.into())]);
}

fn write(target: &str, seeds: &[Seed]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    let small: Vec<&Seed> = seeds.iter().filter(|seed| seed.is_small()).collect();
    assert!(!small.is_empty(), "{target}: no seeds");
    for (k, seed) in small.iter().enumerate() {
        let name = PathBuf::from(&seed.name);
        let name = name.file_name().expect("a name").to_string_lossy().replace(' ', "-");
        std::fs::write(folder.join(format!("seed-{k}-{name}")), &seed.bytes).expect("written");
    }
    println!("{target}: {} seeds", small.len());
}

/// The form that the target `members` takes: of each member the name, a zero, the length, and the content.
fn of_members(list: &[(String, Vec<u8>)]) -> Vec<u8> {
    let one =
        |(name, data): &(String, Vec<u8>)| [name.as_bytes(), b"\0", &(data.len() as u32).to_le_bytes(), data].concat();
    list.iter().flat_map(one).collect()
}

/// The form that the target `checkpoint` takes: the header of a safetensors file, a zero, and the data.
fn without_length(file: &[u8]) -> Vec<u8> {
    let (len, rest) = file.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(len.try_into().expect("eight bytes")) as usize);
    [header, b"\0", data].concat()
}
