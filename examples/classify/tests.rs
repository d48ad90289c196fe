//! Tests of whole runs, on small tables.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::Parser;
use tempfile::TempDir;

use super::*;

/// Texts whose label depends on one word among others.
fn table(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("a table.tsv");
    let (labels, words) = (["good", "bad", "good", "bad"], ["fun", "dull", "warm", "empty"]);
    let noise = ["a", "film", "the", "plot", "and", "story"];
    let mut rng = Rng::new(3);
    let line = |i: usize| {
        let mut text: Vec<&str> = (0..3 + i % 4).map(|_| noise[rng.below(noise.len())]).collect();
        text.insert(rng.below(text.len()), words[i % 4]);
        format!("{}\t{}\n", labels[i % 4], text.join(" "))
    };
    std::fs::write(&path, (0..240).map(line).collect::<String>()).unwrap();
    path
}

fn args(folder: &TempDir, data: &Path, more: &[&str]) -> Args {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let data = data.display().to_string();
    let fixed = ["classify", "--data", &data, "--device", "cpu", "--epochs", "6", "--batch", "16", "--rate", "0.01"]
        .map(String::from);
    let sizes = ["--embedding", "8", "--hidden", "8", "--save", &path("a model"), "--plot", &path("a plot.svg")]
        .map(String::from);
    let more = more.iter().map(|text| text.to_string());
    Args::try_parse_from(fixed.into_iter().chain(sizes).chain(more)).unwrap()
}

const NEVER: &dyn Fn() -> bool = &|| false;

#[test]
fn a_word_decides() {
    let folder = tempfile::tempdir().unwrap();
    let args = args(&folder, &table(&folder), &["--validation", "10", "--json"]);
    let report = train(&args, NEVER).unwrap().unwrap();
    assert!(report.accuracy(NETWORK) > 0.95 && report.accuracy(MAJORITY) < 0.7, "{}", report.json());
    assert!((1..=6).contains(&report.epoch));
    let plot = std::fs::read_to_string(&args.plot).unwrap();
    assert!(plot.contains("validation") && plot.contains("dull"));

    let classifier = Classifier::from_file(&Device::cpu(), &TensorFile::open(&args.save).unwrap()).unwrap();
    let lines = "the dull film\n\na Warm story\n";
    let mut output = Vec::new();
    classify_lines(&classifier, lines.as_bytes(), &mut output, false).unwrap();
    let output = String::from_utf8(output).unwrap();
    let fields: Vec<Vec<&str>> = output.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((fields.len(), fields[0][0], fields[0][2]), (3, "bad", "the dull film"), "{output}");
    assert_eq!((fields[1][0], fields[2][0]), ("", "good"), "{output}");
    let mut output = Vec::new();
    classify_lines(&classifier, &b"the dull film"[..], &mut output, true).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output).unwrap();
    // The states of both directions know the neighbors, so the attention may be beside the word.
    let weights: Vec<f64> = (0..3).filter_map(|i| value["attention"][i][1].as_f64()).collect();
    assert!(value["label"] == "bad" && value["attention"][1][0] == "dull" && weights.len() == 3, "{value}");
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{value}");
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let data = table(&folder);
    let checkpoint = folder.path().join("a run.checkpoint");
    let path = checkpoint.display().to_string();
    let with = |more: &[&str]| args(&folder, &data, &[&["--json", "--checkpoint", &path], more].concat());
    let bytes = || std::fs::read(folder.path().join("a model")).unwrap();
    for validation in [&[][..], &["--validation", "24"]] {
        assert!(train(&with(validation), NEVER).unwrap().is_some() && !checkpoint.exists());
        let whole = bytes();
        std::fs::remove_file(folder.path().join("a model")).unwrap();
        // Asked after every update: interrupted within the second, and again within the fourth epoch.
        for updates in [20, 25] {
            let asked = Cell::new(0);
            let interrupted = || asked.replace(asked.get() + 1) >= updates;
            assert!(train(&with(validation), &interrupted).unwrap().is_none() && checkpoint.exists());
            assert!(!folder.path().join("a model").exists());
        }
        let other = train(&with(&[validation, &["--hidden", "9"]].concat()), NEVER).unwrap_err().to_string();
        assert!(other.contains("--hidden 8, this one has 9") && other.contains("a run.checkpoint"), "{other}");
        let report = train(&with(validation), NEVER).unwrap().unwrap();
        assert!(report.loss.is_some() && !checkpoint.exists());
        assert!(bytes() == whole, "the weights differ");
    }
}

#[test]
fn broken_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken table.tsv");
    for (content, why) in [("", "empty"), ("good\tfilm\nbad film\n", "line 2: no tab"), ("a\tb\na\tc\n", "two labels")]
    {
        std::fs::write(&path, content).unwrap();
        let error = train(&args(&folder, &path, &[]), NEVER).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let checkpoint = path.display().to_string();
    let error = train(&args(&folder, &table(&folder), &["--checkpoint", &checkpoint]), NEVER).unwrap_err();
    assert!(error.to_string().contains("broken table.tsv"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
#[cfg(feature = "gpu")]
fn a_few_updates_on_the_gpu_give_the_losses_of_the_cpu() {
    match Device::gpu_blocking() {
        Err(error) if std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1") => eprintln!("SKIPPED: {error}"),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let data = table(&folder);
            let loss = |device: &str| {
                let few = ["--json", "--dropout", "0", "--token-dropout", "0"];
                let mut args = args(&folder, &data, &few);
                args.epochs = Some(1);
                args.device = clap::ValueEnum::from_str(device, false).unwrap();
                train(&args, NEVER).unwrap().unwrap().loss.unwrap()
            };
            let (cpu, gpu) = (loss("cpu"), loss("gpu"));
            assert!((cpu - gpu).abs() <= 1e-4, "{cpu} {gpu}");
        }
    }
}

#[test]
fn the_built_in_table_is_sound() {
    let rows = table::parse("surnames.tsv", SURNAMES, &[]).unwrap();
    let data =
        Data::new(&rows, Split { unit: Unit::Letter, longest: 200, most: usize::MAX, validation: 0 }, &mut Rng::new(1));
    let data = data.unwrap();
    assert_eq!((data.labels.len(), data.cut), (10, 0));
    assert!(rows.len() > 1900 && data.test.len() > 180, "{}", rows.len());
}
