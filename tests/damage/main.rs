//! Damaged copies of good files: every reader returns a value or an error, within its memory and time bounds.
//!
//! A case is identified by its reader and its number. `WGRU_DAMAGE_CASES` sets the number of cases per reader (1,500 by
//! default), `WGRU_DAMAGE_ONLY` reruns one case of each reader, and `WGRU_DAMAGE_SAVE` names a folder for the files
//! that failed.
//! `WGRU_DATA` adds the files in `real`, `hostile`, `models` and `suites` of that folder to the seeds, which changes
//! what each case number means.

#[path = "../common/allocator.rs"]
mod allocator;
#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod deep;
mod mutate;
mod network;
mod readers;
mod seeds;
#[path = "../common/zip.rs"]
mod zip;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use allocator::{Used, measure};
use mutate::{Dice, damage};
use seeds::{Seed, files};
use wgru::Result;
use wgru::io::{Network, TensorFile, onnx};

/// Bytes that reading a file may take, in addition to [`SHARE`] per byte of the file.
const ROOM: usize = 100_000_000;
const SHARE: usize = 20;
/// Bytes that running a model may take.
const RUN: usize = 2_000_000_000;
const LONGEST: Duration = Duration::from_secs(2);
/// Maximum number of failures reported in full.
const MOST: usize = 10;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Returns the damaged file of a case, and the name of the file it was made from.
fn case(reader: &str, seeds: &[Seed], number: u64) -> (Vec<u8>, String) {
    let mut dice = Dice::of(reader, number);
    let small: Vec<&Seed> = seeds.iter().filter(|seed| seed.is_small()).collect();
    let all: Vec<&Seed> = seeds.iter().collect();
    let from = if small.is_empty() || dice.below(150) == 0 { &all } else { &small };
    let (seed, other) = (*dice.pick(from), *dice.pick(if small.is_empty() { &all } else { &small }));
    // The first cases are the unchanged seeds.
    if let Some(seed) = seeds.get(number as usize) {
        return (seed.bytes.clone(), seed.name.clone());
    }
    let mut bytes = seed.bytes.clone();
    match dice.below(3) {
        0 => {
            for _ in 0..=dice.below(4) {
                damage(&mut dice, &mut bytes, &other.bytes);
            }
        }
        _ => bytes = seed.form.damage(&mut dice, &bytes, &other.bytes),
    }
    (bytes, seed.name.clone())
}

/// Returns why a case failed, if it did.
fn failure(outcome: &std::thread::Result<Result<()>>, used: Used, memory: usize) -> Option<String> {
    match outcome {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Some(format!("panicked: {}", text.unwrap_or("?").chars().take(300).collect::<String>()));
        }
        Ok(Err(error)) if error.to_string().len() > 3000 => {
            return Some(format!("returned a message of {} bytes", error.to_string().len()));
        }
        Ok(_) => {}
    }
    if used.memory > memory {
        return Some(format!("took {} bytes of memory; at most {memory} are allowed", used.memory));
    }
    (used.time > LONGEST).then(|| format!("took {:?}", used.time))
}

/// Runs all cases of a reader. `then` runs after each file that was read, and is measured separately.
fn hold(
    reader: &'static str,
    seeds: &[Seed],
    read: impl Fn(&[u8]) -> Result<()>,
    then: Option<&dyn Fn() -> Result<()>>,
) {
    assert!(!seeds.is_empty(), "{reader}: no seeds");
    let cases = match number("WGRU_DAMAGE_ONLY") {
        Some(only) => only..only + 1,
        None => 0..number("WGRU_DAMAGE_CASES").unwrap_or(1500).max(seeds.len() as u64),
    };
    let (start, mut taken, mut worst) = (Instant::now(), 0usize, (0, Duration::ZERO));
    let mut failures = Vec::new();
    for number in cases.clone() {
        let (bytes, seed) = case(reader, seeds, number);
        let (outcome, used) = measure(reader, number, || catch_unwind(AssertUnwindSafe(|| read(&bytes))));
        let mut why = failure(&outcome, used, ROOM + SHARE * bytes.len());
        worst = (worst.0.max(used.memory), worst.1.max(used.time));
        if let (Ok(Ok(())), Some(then)) = (&outcome, then) {
            let (outcome, used) = measure(reader, number, || catch_unwind(AssertUnwindSafe(then)));
            why = why.or_else(|| failure(&outcome, used, RUN).map(|why| format!("running it {why}")));
        }
        taken += matches!(outcome, Ok(Ok(()))) as usize;
        if let Some(why) = why {
            if let Some(folder) = std::env::var_os("WGRU_DAMAGE_SAVE") {
                let path = std::path::Path::new(&folder).join(format!("{reader}-{number}"));
                std::fs::write(path, &bytes).expect("the failing file is written");
            }
            let len = bytes.len();
            failures.push(format!("{reader}, case {number}, made from {seed}, {len} bytes: {why}"));
            eprintln!("{}", failures.last().expect("just put there"));
        }
    }
    println!(
        "{reader}: {} cases from {} files in {:.1?}: {taken} read, {} failed; at most {} bytes and {:.1?} to read one",
        cases.end - cases.start,
        seeds.len(),
        start.elapsed(),
        failures.len(),
        worst.0,
        worst.1,
    );
    let shown = failures[..failures.len().min(MOST)].join("\n");
    assert!(failures.is_empty(), "{} failures, the first of them:\n{shown}", failures.len());
}

/// Runs the cases of a reader of tensors; whatever it reads must also be writable.
fn tensors(reader: &'static str, endings: &[&str], read: impl Fn(&str, &[u8]) -> Result<TensorFile>) {
    hold(reader, &files(endings), |bytes| readers::comes_back(read("damaged", bytes)), None);
}

#[test]
fn safetensors_survive_damage() {
    tensors("safetensors", &[".safetensors"], TensorFile::from_safetensors);
}

#[test]
fn npy_survives_damage() {
    let mut seeds = files(&[".npy"]);
    let (mut file, text) = (TensorFile::default(), "a text ".repeat(9));
    file.insert("a", &[2, 3], vec![0.5; 6]);
    file.metadata.insert("key".into(), text);
    seeds.push(Seed::new("written.npy", file.to_npy("a").expect("an array")));
    hold("npy", &seeds, |bytes| readers::comes_back(TensorFile::from_npy("damaged", bytes)), None);
}

#[test]
fn npz_survives_damage() {
    let mut file = TensorFile::default();
    file.insert("a", &[2, 3], vec![0.5; 6]);
    file.metadata.insert("key".into(), "a text".into());
    let mut seeds = files(&[".npz"]);
    seeds.push(Seed::new("written.npz", file.to_npz().expect("an archive")));
    hold("npz", &seeds, |bytes| readers::comes_back(TensorFile::from_npz("damaged", bytes)), None);
}

#[test]
fn torch_archives_survive_damage() {
    tensors("pt", &["state.pt", "tensor.pt", "-1.pt", "weights.pt"], TensorFile::from_pt);
}

#[test]
fn legacy_torch_files_survive_damage() {
    tensors("legacy", &["legacy.pt"], TensorFile::from_pt);
}

#[test]
fn hdf5_survives_damage() {
    tensors("hdf5", &[".h5"], TensorFile::from_keras);
}

#[test]
fn keras_archives_survive_damage() {
    tensors("keras", &[".keras"], TensorFile::from_keras);
}

/// Runs the cases of the reader of all kinds of files, on those whose names have one of these endings.
fn imported(reader: &'static str, endings: &[&str]) {
    hold(reader, &files(endings), readers::import, None);
}

#[test]
fn json_models_survive_damage() {
    let mut seeds =
        files(&[".nam", "rtneural.json", "aidax.json", "proteus.json", "torch.json", "gru.json", "lstm_1d.json"]);
    seeds.push(Seed::new("small.nam", seeds::nam().into()));
    seeds.push(Seed::new("nam.json", seeds::nam().into()));
    hold("json models", &seeds, readers::import, None);
}

#[test]
fn rnnoise_models_survive_damage() {
    let seeds =
        [Seed::new("model.rnnn", seeds::rnnoise_text().into()), Seed::new("weights_blob.bin", seeds::rnnoise_binary())];
    hold("rnnoise", &seeds, readers::import, None);
}

#[test]
fn torch_programs_and_modules_survive_damage() {
    imported(
        "programs",
        &["traced.pt", "frozen.pt", "program.pt2", "module.pt", ".ckpt", "odd.pt", "norm.pt", "motion.pt"],
    );
}

#[test]
fn pickles_and_tar_files_survive_damage() {
    imported("pickles", &[".pkl", ".tar", "legacy.pt"]);
}

#[test]
fn chunks_of_hdf5_survive_damage() {
    imported("chunks", &["chunks.h5", "arrays.h5", "model.weights.h5"]);
}

#[test]
fn newer_formats_of_hdf5_survive_damage() {
    imported("newer", &["latest.h5", "older.h5", "many.h5", "ordered.h5", "hdf5/keras.h5"]);
}

#[test]
fn files_of_any_kind_survive_import() {
    imported("import", &[""]);
}

#[test]
fn files_of_any_kind_survive_damage() {
    tensors("any", &[""], TensorFile::from_bytes);
}

#[test]
fn tunings_survive_damage() {
    hold("tuning", &[Seed::new("tuning.json", seeds::TUNING.into())], readers::tuning, None);
}

#[test]
fn recurrent_layers_survive_damage() {
    let device = readers::device();
    let mut seeds = seeds::layers(&device);
    seeds.extend(files(&["torch_gru.safetensors"]));
    hold("layer", &seeds, |bytes| readers::layer(&device, bytes), None);
}

#[test]
fn checkpoints_survive_damage() {
    let device = readers::device();
    hold("checkpoint", &seeds::checkpoints(&device), |bytes| readers::checkpoint(&device, bytes), None);
}

#[test]
fn weights_of_other_frameworks_survive_damage() {
    hold("weights", &seeds::weights(&readers::device()), readers::weights, None);
}

#[test]
fn onnx_models_survive_damage() {
    let (device, loaded) = (readers::device(), RefCell::new(None));
    let run = || match &*loaded.borrow() {
        Some(model) => readers::run_onnx(&device, model),
        None => Ok(()),
    };
    // A run may refuse its inputs, but must not fail in any other way.
    let run = || run().or(Ok(()));
    let mut seeds = files(&[".onnx", ".pb"]);
    seeds.extend(seeds::operators());
    hold("onnx", &seeds, |bytes| readers::onnx(&device, &loaded, bytes), Some(&run));
}

#[test]
fn networks_of_onnx_survive_damage() {
    let (device, loaded) = (readers::device(), RefCell::<Option<(Vec<u8>, Network)>>::new(None));
    let then = || {
        if let Some((bytes, network)) = loaded.take() {
            network::try_out(&device, &network);
            network::agrees(&device, &bytes, &network);
        }
        Ok(())
    };
    let mut seeds = files(&[".onnx"]);
    seeds.extend(seeds::networks(&device));
    let read = |bytes: &[u8]| {
        let network = onnx::load_network(&device, bytes)?;
        loaded.replace(Some((bytes.to_vec(), network)));
        Ok(())
    };
    hold("network", &seeds, read, Some(&then));
}
