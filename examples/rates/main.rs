//! Compares ways to run a recurrent model of an audio effect at another sample rate than its own.
//!
//! ```text
//! cargo run --release --example rates -- lstm.nam
//! cargo run --release --example rates -- centaur_50.json --rate 44100 --at 48000 --at 96000 --json
//! ```
//!
//! A synthetic sine sweep and synthetic plucked strings run through the model at its own rate and at another rate. The
//! error of the second output is its difference from the first, from 20 Hz to 18 kHz, in decibels relative to the
//! first:
//!
//! ```text
//! error = 10·log10(Σ |Y' − Y|² / Σ |Y|²)
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod amp;
mod resampled;
mod signals;
mod spectrum;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;
use wgru::Interpolation;

use amp::Amp;
use spectrum::Spectrum;

/// Compares ways to run a model of an audio effect at another sample rate than its own.
#[derive(Parser, Debug)]
#[command(name = "rates")]
struct Args {
    /// Models with one recurrent part and a linear layer: .nam (LSTM), RTNeural, AIDA-X, GuitarML
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    /// Rate of models whose file does not state it, in Hz
    #[arg(
        long, value_name = "HZ", default_value_t = 44_100,
        value_parser = clap::value_parser!(u32).range(40_000..=192_000)
    )]
    rate: u32,
    /// Rates to run at, in Hz
    #[arg(
        long, value_name = "HZ", default_values_t = [44_100, 48_000, 88_200, 96_000],
        value_parser = clap::value_parser!(u32).range(40_000..=384_000)
    )]
    at: Vec<u32>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The errors of one signal at one rate, in decibels.
struct Row {
    model: String,
    from: u32,
    to: u32,
    signal: &'static str,
    /// At the other rate, without correction.
    unchanged: f64,
    /// With linearly interpolated states `to / from` steps ago, if this is at least 1.
    linear: Option<f64>,
    lagrange: Option<f64>,
    /// At its own rate, with resamplers before and after.
    resampled: f64,
    /// Latency of the resamplers in samples at the other rate.
    latency: usize,
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let amps = args.models.iter().map(|path| Amp::open(path, args.rate)).collect::<Result<Vec<_>, _>>()?;
    let signals = signals::all();
    let bar = ProgressBar::new((amps.len() * args.at.len() * signals.len()) as u64);
    if args.json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut rows = Vec::new();
    for amp in &amps {
        for &to in &args.at {
            for (signal, x) in signals.iter().map(|(signal, x)| (*signal, x)) {
                if to != amp.rate {
                    rows.push(row(amp, to, signal, x)?);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    print(&rows, args.json);
    Ok(())
}

fn row(amp: &Amp, to: u32, signal: &'static str, x: &Spectrum) -> Result<Row, Box<dyn Error>> {
    let (from, ratio) = (amp.rate, f64::from(to) / f64::from(amp.rate));
    let [own, other] = [from, to].map(|rate| x.at(rate));
    let y = Spectrum::of(&amp.run(&own, 1.0, Interpolation::Linear)?, from);
    let delayed = |interpolation| -> Result<Option<f64>, Box<dyn Error>> {
        if ratio < 1.0 {
            return Ok(None);
        }
        let got = amp.run(&other, ratio, interpolation)?;
        Ok(Some(Spectrum::of(&got, to).error(&y)))
    };
    let unchanged = Spectrum::of(&amp.run(&other, 1.0, Interpolation::Linear)?, to).error(&y);
    let (linear, lagrange) = (delayed(Interpolation::Linear)?, delayed(Interpolation::Lagrange)?);
    let (got, latency) = resampled::run(amp, &other, to)?;
    // Each resampler truncates its delay to whole samples: up to one at the lower rate, and one at this rate, remain.
    let most = 1.0 / f64::from(from) + 2.0 / f64::from(to);
    let resampled = Spectrum::of(&got, to).aligned(&y, most).error(&y);
    Ok(Row { model: amp.name.clone(), from, to, signal, unchanged, linear, lagrange, resampled, latency })
}

fn print(rows: &[Row], is_json: bool) {
    if is_json {
        for r in rows {
            let line = json!({
                "model": r.model, "model_rate": r.from, "rate": r.to, "signal": r.signal, "unchanged": r.unchanged,
                "linear": r.linear, "lagrange": r.lagrange, "resampled": r.resampled, "latency": r.latency,
            });
            println!("{line}");
        }
        return;
    }
    println!("| model | trained at | runs at | signal | unchanged | linear | lagrange | resampled | latency |");
    println!("| --- | --: | --: | --- | --: | --: | --: | --: | --: |");
    let text = |error: Option<f64>| error.map_or("–".into(), |error| format!("{error:.1}"));
    for Row { model, from, to, signal, unchanged, linear, lagrange, resampled, latency } in rows {
        let [linear, lagrange] = [linear, lagrange].map(|error| text(*error));
        println!(
            "| {model} | {from} | {to} | {signal} | {unchanged:.1} | {linear} | {lagrange} | {resampled:.1} | {latency} |"
        );
    }
    println!("\nErrors in dB from 20 Hz to 18 kHz; latency of the resamplers in samples.");
}
