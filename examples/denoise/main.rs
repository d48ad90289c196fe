//! Removes noise from recordings of speech with published models, frame by frame.
//!
//! ```text
//! cargo run --release --example denoise -- noisy.wav clean.wav --model gtcrn_simple.onnx --plot before-after.svg
//! cargo run --release --example denoise -- noisy.wav clean.wav --model model_1.onnx --model model_2.onnx
//! cargo run --release --example denoise -- speech.wav clean.wav --model weights.rnn --mix white --snr 5
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

#[cfg(test)]
mod allocations;
mod args;
mod dtln;
mod failure;
mod gtcrn;
mod mix;
mod model;
mod network;
mod nsnet2;
mod plot;
mod rate;
mod rnnoise;
mod score;
mod stft;
mod stoi;
#[cfg(test)]
mod tests;
mod wav;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use args::Args;
use failure::{Failure, Result};
use model::Denoiser;
use score::Scores;
use wav::Recording;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let input = Recording::read(&args.input)?;
    let (noisy, target) = match (&args.mix, args.snr, &args.reference) {
        (Some(kind), Some(snr), _) => {
            let noisy = mix::mix(&input, &args.input, kind, snr, args.seed)?;
            if let Some(path) = &args.noisy {
                noisy.write(path)?;
            }
            (noisy, Some(input))
        }
        (.., Some(path)) => {
            let target = Recording::read(path)?;
            if target.rate != input.rate {
                let expected = format!("{} Hz as in the noisy recording", input.rate);
                return Err(Failure::Rate { path: path.clone(), expected, got: target.rate });
            }
            if target.samples.len() != input.samples.len() {
                let (expected, got) = (input.samples.len(), target.samples.len());
                return Err(Failure::Length { path: path.clone(), expected, got });
            }
            (input, Some(target))
        }
        _ => (input, None),
    };
    let mut model = model::open(&args.model)?;
    let (clean, seconds) = clean(&mut *model, &noisy, args.json);
    clean.write(&args.output)?;

    let factor = seconds / noisy.seconds();
    let scores = target.map(|target| [&noisy, &clean].map(|x| Scores::new(x, &target)));
    if let Some(path) = &args.plot {
        let title = format!("{}: {}", model.name(), args.input.display());
        plot::draw(path, &title, [&noisy, &clean])?;
    }
    report(args, &*model, &noisy, factor, scores);
    Ok(())
}

/// Returns the denoised recording, at the rate of the noisy one, and the time that the model took in seconds.
fn clean(model: &mut dyn Denoiser, noisy: &Recording, quiet: bool) -> (Recording, f64) {
    let input = rate::convert(noisy, model.rate());
    let bar = ProgressBar::new(((input.samples.len() + model.delay()) / model.hop()) as u64);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40.cyan/blue} {percent:>3} %");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let start = Instant::now();
    let samples = model::denoise(model, &input.samples, || bar.inc(1));
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let mut output = rate::convert(&Recording { samples, rate: model.rate() }, noisy.rate);
    output.samples.resize(noisy.samples.len(), 0.0);
    (output, seconds)
}

fn report(args: &Args, model: &dyn Denoiser, noisy: &Recording, factor: f64, scores: Option<[Scores; 2]>) {
    let delay = 1e3 * model.delay() as f64 / f64::from(model.rate());
    if args.json {
        let [before, after] = scores.map_or([None; 2], |scores| scores.map(Some));
        let line = json!({
            "model": model.name(), "seconds": noisy.seconds(), "rate": noisy.rate, "model_rate": model.rate(),
            "delay_ms": delay, "real_time_factor": factor, "si_sdr_before": before.map(|s| s.si_sdr),
            "si_sdr_after": after.map(|s| s.si_sdr), "stoi_before": before.map(|s| s.stoi),
            "stoi_after": after.map(|s| s.stoi),
        });
        println!("{line}");
        return;
    }
    println!("{} at {} Hz, delay {delay} ms, which the output does not have", model.name(), model.rate());
    if noisy.rate != model.rate() {
        println!("resampled from {} Hz and back", noisy.rate);
    }
    println!("{:.2} s of sound, real-time factor {factor:.4} on one thread", noisy.seconds());
    if let Some([before, after]) = scores {
        println!("SI-SDR {:.2} dB before, {:.2} dB after", before.si_sdr, after.si_sdr);
        println!("STOI {:.3} before, {:.3} after", before.stoi, after.stoi);
    }
    println!("wrote {}", args.output.display());
}
