//! Tests of whole runs, on small texts.

use std::cell::Cell;

use clap::Parser;
use tempfile::TempDir;
use wgru::models::decode::Sampling;

use super::*;

const NEVER: &dyn Fn() -> bool = &|| false;

/// A text in which the next character can often be told.
fn song() -> String {
    let mut rng = Rng::new(5);
    let verses = ["the cat sat on the mat. ", "the rat sat on the cat. ", "a bat ate the rat! "];
    (0..150).map(|_| verses[rng.below(3)]).collect()
}

fn args(folder: &TempDir, content: &str, more: &[&str]) -> Args {
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a text.txt"), content).unwrap();
    let fixed = ["generate", "--device", "cpu", "--rows", "4", "--steps", "20", "--rate", "0.01"].map(String::from);
    let epochs = if more.contains(&"--epochs") { vec![] } else { vec!["--epochs".to_string(), "6".to_string()] };
    let sizes =
        ["--embedding", "8", "--hidden", "24", "--save", &path("a model"), "--plot", &path("a plot.svg"), "--json"]
            .map(String::from);
    let text = if more.contains(&"--chat") { vec![] } else { vec!["--text".to_string(), path("a text.txt")] };
    let more = more.iter().map(|text| if *text == "FILE" { path("a text.txt") } else { text.to_string() });
    Args::try_parse_from(fixed.into_iter().chain(epochs).chain(sizes).chain(text).chain(more)).unwrap()
}

fn written(model: &LanguageModel, prompt: &str, length: usize, sampling: &Sampling, seed: u64) -> String {
    let (mut author, mut output) = (Author::new(model).unwrap(), Vec::new());
    author.read(prompt).unwrap();
    assert!(author.write(length, None, sampling, &mut Rng::new(seed), &mut output).unwrap());
    String::from_utf8(output).unwrap()
}

const CAREFUL: Sampling = Sampling { temperature: 0.5, top_k: Some(3), top_p: Some(0.95) };

#[test]
fn a_song_is_learned_and_written() {
    let folder = tempfile::tempdir().unwrap();
    // There are fewer tokens of byte pairs, and so fewer updates in an epoch.
    for (tokens, epochs) in [("chars", "6"), ("bpe", "24")] {
        let more = ["--tokens", tokens, "--epochs", epochs, "--vocabulary", "270", "--dropout", "0"];
        let args = args(&folder, &song(), &more);
        let (model, report) = train(&args, NEVER).unwrap().unwrap();
        assert!(report.nats < 0.35 && report.ngrams[1] > 0.8, "{tokens}: {}", report.json());
        assert!(std::fs::read_to_string(&args.plot).unwrap().contains("held out"));
        let text = written(&model, "the ", 200, &CAREFUL, 1);
        assert_eq!(text.chars().count(), 200);
        assert!(text.contains("sat on the ") && text.contains(". "), "{tokens}: {text}");
        let loaded = LanguageModel::from_file(&Device::cpu(), &TensorFile::open(&args.save).unwrap()).unwrap();
        assert_eq!(written(&loaded, "the ", 200, &CAREFUL, 1), text);
        assert_ne!(written(&loaded, "the ", 200, &Sampling::default(), 2), text);
    }
}

#[test]
fn a_stream_writes_what_the_model_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = train(&args(&folder, &song(), &["--layers", "2", "--epochs", "1"]), NEVER).unwrap().unwrap();
    let best = Sampling { top_k: Some(1), ..Sampling::default() };
    let text = format!("the {}", written(&model, "the ", 40, &best, 1));
    // Each character is the most probable one after those before it: all others have more nats.
    let tokens = model.spec.tokens.encode(&text);
    for at in [4, 5, 20, 43] {
        let nats = |token: u32| model.nats(&[&tokens[..at], &[token]].concat(), at).unwrap();
        let others = (0..model.spec.tokens.len() as u32).map(nats).fold(f64::INFINITY, f64::min);
        assert!(nats(tokens[at]) <= others + 1e-4, "{at} of {text}");
    }
}

#[test]
fn a_chat_repeats_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, mut rng) = (["hello\thi there\n", "who are you?\ta gated network\n", "bye\tsee you\n"], Rng::new(1));
    let pairs: String = (0..120).map(|_| pairs[rng.below(3)]).collect();
    let chat = ["--chat", "FILE", "--epochs", "20", "--dropout", "0"];
    let (model, report) = train(&args(&folder, &pairs, &chat), NEVER).unwrap().unwrap();
    assert!(model.spec.is_chat && report.nats < 0.6, "{}", report.json());
    let mut output = Vec::new();
    let sampling = Sampling { temperature: 0.2, ..Sampling::default() };
    let lines = "who are  you?\n\nhello\nbye你\n";
    let mut author = Author::new(&model).unwrap();
    author.converse(100, &sampling, &mut Rng::new(1), lines.as_bytes(), &mut output, "> ").unwrap();
    let output = String::from_utf8(output).unwrap();
    assert_eq!(output, "> a gated network\n> \n> hi there\n> see you\n> ", "{output}");
    let error =
        author.converse(9, &sampling, &mut Rng::new(1), &b"hello\n\xff\n"[..], &mut Vec::new(), "").unwrap_err();
    assert!(error.to_string().contains("line 2: not UTF-8"), "{error}");
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("a run.checkpoint");
    let path = checkpoint.display().to_string();
    let with = |more: &[&str]| args(&folder, &song(), &[&["--checkpoint", &path, "--epochs", "3"], more].concat());
    let bytes = || std::fs::read(folder.path().join("a model")).unwrap();
    let (_, whole) = train(&with(&[]), NEVER).unwrap().unwrap();
    assert!(!checkpoint.exists());
    let weights = bytes();
    std::fs::remove_file(folder.path().join("a model")).unwrap();
    // Asked after every update, of which an epoch has about 37: interrupted within two epochs.
    for updates in [23, 35] {
        let asked = Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) >= updates;
        assert!(train(&with(&[]), &interrupted).unwrap().is_none() && checkpoint.exists());
        assert!(!folder.path().join("a model").exists());
    }
    let other = train(&with(&["--dropout", "0.1"]), NEVER).err().unwrap().to_string();
    assert!(other.contains("--dropout 0.3, this one has 0.1"), "{other}");
    let (_, report) = train(&with(&[]), NEVER).unwrap().unwrap();
    assert!(bytes() == weights, "the weights differ");
    assert_eq!((report.nats, report.loss), (whole.nats, whole.loss));
    assert!(!checkpoint.exists());
}

#[test]
fn broken_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let try_with =
        |content: &str, more: &[&str]| train(&args(&folder, content, more), NEVER).err().unwrap().to_string();
    assert!(try_with("", &[]).contains("a text.txt: the file is empty"));
    assert!(try_with("short", &[]).contains("5 characters are too few"));
    assert!(try_with("a\tb\nc d\n", &["--chat", "FILE"]).contains("line 2: no tab"));
    let error = try_with(&song(), &["--checkpoint", "FILE"]);
    assert!(error.contains("a text.txt"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
#[cfg(feature = "gpu")]
fn a_few_updates_on_the_gpu_give_the_losses_of_the_cpu() {
    match Device::gpu_blocking() {
        Err(error) if std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1") => eprintln!("SKIPPED: {error}"),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let nats = |device: &str| {
                let mut args = args(&folder, &song()[..700], &["--dropout", "0", "--epochs", "1"]);
                args.device = clap::ValueEnum::from_str(device, false).unwrap();
                train(&args, NEVER).unwrap().unwrap().1.nats
            };
            let (cpu, gpu) = (nats("cpu"), nats("gpu"));
            assert!((cpu - gpu).abs() <= 1e-3, "{cpu} {gpu}");
        }
    }
}
