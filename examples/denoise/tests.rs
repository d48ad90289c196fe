//! Tests of the whole example with the published models, whose folder is `WGRU_DATA`.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::args::Args;
use crate::failure::Failure;
use crate::model;
use crate::score::si_sdr;
use crate::wav::Recording;
use crate::{allocations, mix, rate};

/// Returns a folder of `WGRU_DATA`; `None` if that is not set.
pub fn data(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WGRU_DATA").map(|root| Path::new(&root).join(what));
    match folder {
        Some(folder) => {
            assert!(folder.exists(), "WGRU_DATA is set, but {} does not exist", folder.display());
            Some(folder)
        }
        None => {
            eprintln!("SKIPPED: WGRU_DATA is not set, so there is no {what}");
            None
        }
    }
}

/// Files of every model.
fn models() -> Option<[Vec<PathBuf>; 4]> {
    let (real, models) = (data("real")?, data("models")?);
    Some([
        ["breizhn_DTLN/model_2.onnx", "breizhn_DTLN/model_1.onnx"].map(|file| real.join(file)).to_vec(),
        vec![real.join("Xiaobin-Rong_gtcrn/gtcrn_simple.onnx")],
        vec![models.join("nsnet2/nsnet2-20ms-baseline.onnx")],
        vec![models.join("rnnoise/weights.rnn")],
    ])
}

/// Ten digits of one speaker.
fn speech() -> Option<Recording> {
    let folder = data("speech/fsdd")?;
    let mut all = Recording { samples: Vec::new(), rate: 8_000 };
    for digit in 0..10 {
        let one = Recording::read(&folder.join(format!("{digit}_jackson_7.wav"))).expect("a recording");
        all.samples.extend(one.samples);
        all.samples.resize(all.samples.len() + 1_600, 0.0);
    }
    Some(all)
}

fn run(args: &[&str]) -> Result<(), Failure> {
    crate::run(&Args::try_parse_from([&["denoise"], args].concat()).expect("valid arguments"))
}

/// The ratio at 5 dB of white noise. nsnet2 improves it least.
#[test]
fn every_model_removes_noise() {
    let (Some(models), Some(speech)) = (models(), speech()) else { return };
    let noisy = mix::mix(&speech, Path::new("speech"), "white", 5.0, 1).expect("mixed");
    let before = si_sdr(&noisy.samples, &speech.samples);
    for (files, least) in models.iter().zip([6.0, 6.0, 1.0, 3.0]) {
        let mut model = model::open(files).expect("opened");
        let input = rate::convert(&noisy, model.rate());
        let samples = model::denoise(&mut *model, &input.samples, || ());
        let clean = rate::convert(&Recording { samples, rate: model.rate() }, 8_000);
        let after = si_sdr(&clean.samples, &speech.samples);
        println!("{}: {before:.2} dB before, {after:.2} dB after", model.name());
        assert!(after - before >= least, "{}: {before:.2} dB before, {after:.2} dB after", model.name());
    }
}

#[test]
fn silence_stays_silent_and_frames_continue() {
    let Some(models) = models() else { return };
    for files in &models {
        let mut model = model::open(files).expect("opened");
        let input = vec![0.0; model.rate() as usize / 2];
        let silence = model::denoise(&mut *model, &input, || ());
        assert!(silence.iter().all(|y| y.abs() <= 1e-3), "{}", model.name());
    }
}

/// The last model, RNNoise, is not an ONNX model.
#[test]
fn frames_of_onnx_models_allocate_nothing() {
    let Some([onnx @ .., _]) = models() else { return };
    assert_eq!(allocations::of(|| drop(vec![0u8; 1])), 1);
    for files in &onnx {
        let mut model = model::open(files).expect("opened");
        let (input, mut output) = (vec![0.1; model.hop()], vec![0.0; model.hop()]);
        let count = allocations::of(|| (0..50).for_each(|_| model.process(&input, &mut output)));
        assert_eq!(count, 0, "{}", model.name());
    }
}

#[test]
fn the_program_writes_recording_mixture_and_picture() {
    let (Some(models), Some(speech)) = (models(), speech()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    speech.write(&folder.path().join("speech.wav")).expect("written");
    let model = models[1][0].display().to_string();
    let files = ["speech.wav", "clean.wav", "noisy.wav", "plot.svg"].map(path);
    let [input, output, noisy, plot] = files.each_ref().map(String::as_str);
    let mixed = ["--mix", "pink", "--snr", "0", "--noisy", noisy, "--plot", plot, "--json"];
    run(&[&[input, output, "--model", &model], &mixed[..]].concat()).expect("ran");
    let written = Recording::read(Path::new(output)).expect("a recording");
    assert_eq!((written.samples.len(), written.rate), (speech.samples.len(), 8_000));
    assert!(std::fs::read_to_string(plot).expect("a picture").contains("</svg>"));
    // The mixture gives the same result when it is read from its file.
    let again = path("again.wav");
    run(&[noisy, &again, "--model", &model, "--reference", input]).expect("ran");
    assert_eq!(Recording::read(Path::new(&again)).expect("a recording").samples, written.samples);
    let error = run(&[noisy, &again, "--model", &model, "--reference", &path("missing.wav")]);
    assert!(error.expect_err("no reference").to_string().contains("missing.wav"));
}

#[test]
fn models_that_are_missing_or_not_of_a_known_kind_are_refused() {
    let error = |paths: &[PathBuf]| model::open(paths).err().expect("refused").to_string();
    assert!(error(&["no/such.onnx".into()]).contains("no/such.onnx"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, "hello").expect("written");
    assert!(error(std::slice::from_ref(&path)).contains("model.onnx"));
    let Some(models) = models() else { return };
    assert!(error(&models[0][..1]).contains("without model_1.onnx"));
    assert!(error(&[models[0][1].clone(), models[0][1].clone()]).contains("half 1 of DTLN twice"));
    assert!(error(&[models[1][0].clone(), models[2][0].clone()]).contains("GTCRN is one file, got 2"));
    let Some(real) = data("real") else { return };
    let vad = error(&[real.join("snakers4_silero-vad/silero_vad.onnx")]);
    assert!(vad.contains("another kind") && vad.contains("nsnet2"), "{vad}");
}
