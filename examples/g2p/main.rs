//! Converts English words to phonemes, with the weights of the Python package `g2p_en`.
//!
//! ```text
//! cargo run --release --example g2p -- --model FOLDER hello gated recurrent networks
//! cargo run --release --example g2p -- --model FOLDER --check
//! ```
//!
//! The folder contains `checkpoint20.npz` (from the package) and `vocab.json` (the package's lists `graphemes` and
//! `phonemes`), and for `--check` also `expected_predictions.tsv`: word, tab, phonemes.

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod model;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use wgru::Device;

use model::Model;

/// Converts English words to phonemes (ARPAbet) with an encoder and a decoder GRU.
#[derive(Parser, Debug)]
#[command(name = "g2p")]
struct Args {
    /// Folder with checkpoint20.npz and vocab.json
    #[arg(long, value_name = "FOLDER")]
    model: PathBuf,
    /// Compare with expected_predictions.tsv in the folder
    #[arg(long)]
    check: bool,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    device: Choice,
    /// Words to convert
    #[arg(value_name = "WORD", required_unless_present = "check")]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Auto,
    Cpu,
    #[cfg(feature = "gpu")]
    Gpu,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let device = match args.device {
        Choice::Auto => Device::auto_blocking()?,
        Choice::Cpu => Device::cpu(),
        #[cfg(feature = "gpu")]
        Choice::Gpu => Device::gpu_blocking()?,
    };
    println!("device: {} ({})", device.info().name, device.info().reason);
    let model = Model::open(&device, &args.model)?;
    if !args.words.is_empty() {
        let words: Vec<String> = args.words.iter().map(|w| w.to_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for (word, spoken) in words.iter().zip(model.pronounce(&words)?) {
            println!("{word}\t{}", spoken.join(" "));
        }
    }
    if args.check { check(args, &model) } else { Ok(ExitCode::SUCCESS) }
}

/// Compares all words of the table, in one batch.
fn check(args: &Args, model: &Model) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let path = args.model.join("expected_predictions.tsv");
    let table = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows: Option<Vec<_>> = table.lines().map(|line| line.split_once('\t')).collect();
    let rows = rows
        .filter(|rows| !rows.is_empty())
        .ok_or_else(|| format!("{}: no lines with a word, a tab and phonemes", path.display()))?;
    let words: Vec<&str> = rows.iter().map(|(word, _)| *word).collect();
    let start = Instant::now();
    let spoken = model.pronounce(&words)?;
    let took = start.elapsed();
    let mut wrong = 0;
    for ((word, want), got) in rows.iter().zip(&spoken) {
        let got = got.join(" ");
        if got != want.trim() {
            wrong += 1;
            println!("{word}: got {got}, expected {want}");
        }
    }
    println!("{} of {} words match, in {:.1} ms", rows.len() - wrong, rows.len(), took.as_secs_f64() * 1e3);
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
