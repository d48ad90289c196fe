//! Tests of whole runs, on a small language.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::Parser;
use tempfile::TempDir;

use super::*;

const NEVER: &dyn Fn() -> bool = &|| false;

/// Sentences whose translation has other words in another order. Every tenth source has two translations.
fn sentences(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("my pairs.txt");
    let nouns = [("cat", "chat"), ("dog", "chien"), ("bird", "oiseau"), ("wolf", "loup"), ("bear", "ours")];
    let adjectives = [("red", "rouge"), ("old", "vieux"), ("small", "petit"), ("black", "noir")];
    let verbs = [("sees", "voit"), ("hears", "entend"), ("likes", "aime"), ("follows", "suit")];
    let mut text = String::new();
    for (i, (a, a_fr)) in adjectives.iter().enumerate() {
        for (n, n_fr) in nouns {
            for (v, v_fr) in verbs {
                for (m, m_fr) in nouns {
                    let source = format!("A {a} {n} {v} the {m}.");
                    text += &format!("{source}\tUn {n_fr} {a_fr} {v_fr} le {m_fr}.\tCC-BY\n");
                    if i == 0 && n == m {
                        text += &format!("{source}\tUn {n_fr} {a_fr} le {v_fr}.\n");
                    }
                }
            }
        }
    }
    std::fs::write(&path, text).unwrap();
    path
}

fn args(folder: &TempDir, pairs: &Path, more: &[&str]) -> Args {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let fixed = ["translate", "--device", "cpu", "--test", "40", "--batch", "16", "--rate", "0.01", "--epochs", "8"];
    let sizes = ["--vocabulary", "300", "--embedding", "32", "--hidden", "32", "--smoothing", "0", "--dropout", "0.1"];
    let files =
        [["--save", &path("a model")], ["--plot", &path("a plot.svg")], ["--pairs", &pairs.display().to_string()]];
    let files = files.as_flattened().iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let all = fixed.iter().chain(&sizes).chain(more).map(|text| text.to_string());
    // In the order of the command line, the last one counts.
    Args::try_parse_from(all.chain(files)).unwrap()
}

#[test]
fn a_small_language_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let args = args(&folder, &sentences(&folder), &["--epochs", "24", "--rate", "0.005", "--batch", "8"]);
    let is_saved = Cell::new(false);
    let report = train(&args, NEVER, &|| is_saved.set(args.save.exists())).unwrap().unwrap();
    assert!(is_saved.get());
    assert!(report.beam.bleu.score > 90.0 && report.greedy.bleu.score > 90.0, "{}", report.table());
    assert!(report.neighbor.bleu.score < 85.0 && report.beam.right > 0.8, "{}", report.table());
    assert_eq!((report.tests, report.updates), (40, 24 * report.pairs.div_ceil(8) as u64));
    let plot = std::fs::read_to_string(&args.plot).unwrap();
    assert!(plot.contains("held out") && plot.contains("BLEU") && plot.contains("␣"));

    let translator = Translator::from_file(&wgru::Device::cpu(), &TensorFile::open(&args.save).unwrap()).unwrap();
    let mut output = Vec::new();
    let text = "A black dog hears the wolf.";
    translate_lines(&translator, &beam(&args), format!("{text}\n\n  {text}").as_bytes(), &mut output, false).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert_eq!(output, "Un chien noir entend le loup.\n\nUn chien noir entend le loup.\n");
    let mut output = Vec::new();
    translate_lines(&translator, &beam(&args), text.as_bytes(), &mut output, true).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(value["translation"], "Un chien noir entend le loup.");
    assert!(value["log_probability"].as_f64().unwrap() < 0.0);
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = sentences(&folder);
    let checkpoint = folder.path().join("a run.checkpoint");
    let path = checkpoint.display().to_string();
    let with =
        |more: &[&str]| args(&folder, &pairs, &[&["--json", "--checkpoint", &path, "--epochs", "2"], more].concat());
    let bytes = || std::fs::read(folder.path().join("a model")).unwrap();
    let whole = train(&with(&[]), NEVER, &|| ()).unwrap().unwrap();
    let weights = bytes();
    std::fs::remove_file(folder.path().join("a model")).unwrap();
    // Asked after every update, of which an epoch has 23: interrupted within both epochs.
    for updates in [13, 15] {
        let asked = Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) >= updates;
        assert!(train(&with(&[]), &interrupted, &|| ()).unwrap().is_none() && checkpoint.exists());
        assert!(!folder.path().join("a model").exists());
    }
    let other = train(&with(&["--hidden", "33"]), NEVER, &|| ()).err().unwrap().to_string();
    assert!(other.contains("--hidden 32, this one has 33") && other.contains("a run.checkpoint"), "{other}");
    let report = train(&with(&[]), NEVER, &|| ()).unwrap().unwrap();
    assert!(bytes() == weights, "the weights differ");
    assert_eq!((report.beam.bleu, report.loss, report.updates), (whole.beam.bleu, whole.loss, whole.updates));
    assert!(!checkpoint.exists());
}

#[test]
fn time_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = args(&folder, &sentences(&folder), &["--json"]);
    (args.epochs, args.minutes) = (None, Some(1.0 / 60.0));
    args.checkpoint = Some(folder.path().join("a run.checkpoint"));
    let report = train(&args, NEVER, &|| ()).unwrap().unwrap();
    assert!(report.updates > 0 && args.save.exists() && !args.checkpoint.unwrap().exists());
    assert!(report.seconds_per_update * report.updates as f64 >= 1.0);
}

#[test]
fn broken_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken pairs.txt");
    let error = |more: &[&str]| train(&args(&folder, &path, more), NEVER, &|| ()).err().unwrap().to_string();
    assert!(error(&[]).contains("broken pairs.txt"));
    for (content, why) in [
        ("", "the file is empty"),
        ("Go.\tVa !\nRun! Cours !\n", "line 2: no tab between source and target"),
        ("Go.\tVa !\n\tCours !\n", "line 2: the source is empty"),
        ("Go.\tVa !\nRun!\tCours !\n", "2 sources of at most 10 words, too few to test on 40"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = error(&[]);
        assert!(error.contains(why), "{error}");
    }
    let model = args(&folder, &path, &[]).save;
    std::fs::write(&model, "no model").unwrap();
    assert!(TensorFile::open(&model).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
#[cfg(feature = "gpu")]
fn a_few_updates_on_the_gpu_give_the_losses_of_the_cpu() {
    match wgru::Device::gpu_blocking() {
        Err(error) if std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1") => eprintln!("SKIPPED: {error}"),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let pairs = sentences(&folder);
            let losses = |device: &str| {
                let few = ["--json", "--dropout", "0", "--epochs", "1", "--most", "120", "--hidden", "8"];
                let mut args = args(&folder, &pairs, &few);
                args.device = clap::ValueEnum::from_str(device, false).unwrap();
                let report = train(&args, NEVER, &|| ()).unwrap().unwrap();
                [report.loss.unwrap(), report.held_out_loss.unwrap()]
            };
            for (cpu, gpu) in losses("cpu").into_iter().zip(losses("gpu")) {
                assert!((cpu - gpu).abs() <= 1e-4, "{cpu} {gpu}");
            }
        }
    }
}

/// Smaller than the default run, which takes ten seconds.
#[test]
fn dates_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (model, plot) = (path("model"), path("plot.svg"));
    let args = ["translate", "--device", "cpu", "--most", "2000", "--test", "100", "--batch", "16", "--json"];
    let args = Args::parse_from(args.into_iter().chain(["--save", &model, "--plot", &plot]));
    let report = train(&args, NEVER, &|| ()).unwrap().unwrap();
    assert!(report.beam.right > 0.5, "{}", report.table());
    assert!(report.neighbor.right < 0.1, "{}", report.table());
}
