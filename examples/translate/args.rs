//! The command line

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const NOTES: &str = "\
Without options: dates as people write them (\"Tuesday, the 3rd of March 1987\") to ISO 8601 (\"1987-03-03\"), letter by
letter; made here, and tested on 500 that training never saw.

Sentences of your own, word by word (fra.txt is from https://www.manythings.org/anki/fra-eng.zip):
  cargo run --release --example translate -- --pairs fra.txt --words --most 20000 --longest 8 --hidden 256 --epochs 12
The file has one pair a line, source and target with a tab between; further columns are left out.";

/// Learns to translate with attention, and draws what the decoder looked at.
#[derive(Parser, Debug)]
#[command(name = "translate", after_help = NOTES)]
pub struct Args {
    /// Pairs to learn, tab-separated [default: dates, made here]
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
    /// Tokens are words and punctuation, in small letters, instead of letters
    #[arg(long)]
    pub words: bool,
    /// Most sources to use, drawn at random, each with all of its targets; of dates made here at most 100,000
    #[arg(long, value_name = "N", value_parser = positive, default_value = "4500")]
    pub most: usize,
    /// Leave out pairs with more tokens on a side
    #[arg(long, value_name = "N", value_parser = positive, default_value = "40")]
    pub longest: usize,
    /// Pairs kept for the test
    #[arg(long, value_name = "N", value_parser = positive, default_value = "500")]
    pub test: usize,
    /// Where the context is used: before the cell (Bahdanau) or after it (Luong)
    #[arg(long, value_enum, default_value_t = Context::Output)]
    pub context: Context,
    /// How states are compared
    #[arg(long, value_enum, default_value_t = ScoreChoice::General)]
    pub score: ScoreChoice,
    /// Share of the steps that are fed the target in training; the others are fed what the model said
    #[arg(long, value_name = "SHARE", default_value = "1.0")]
    pub forcing: f32,
    /// Passes over the training pairs
    #[arg(long, value_name = "N", value_parser = positive, default_value = "6")]
    pub epochs: usize,
    /// Pairs of one update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub batch: usize,
    /// Learning rate at the start; falls by a cosine
    #[arg(long, value_name = "RATE", default_value = "0.005")]
    pub rate: f64,
    /// Units of each network
    #[arg(long, value_name = "N", value_parser = positive, default_value = "48")]
    pub hidden: usize,
    /// Share dropped in training
    #[arg(long, value_name = "SHARE", default_value = "0.1")]
    pub dropout: f32,
    /// Hypotheses that the beam follows
    #[arg(long, value_name = "N", value_parser = positive, default_value = "4")]
    pub beam: usize,
    /// Length penalty of the beam
    #[arg(long, value_name = "ALPHA", default_value = "0.6")]
    pub penalty: f32,
    /// Translate this too, and draw its attention [default: the longest of the test]
    #[arg(long, value_name = "TEXT")]
    pub show: Option<String>,
    /// Where to compute; auto takes the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Seed of pairs, weights and order; the same seed gives the same numbers
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Where to write the picture of the attention
    #[arg(long, value_name = "FILE", default_value = "out/translate.svg")]
    pub plot: PathBuf,
}

/// Where the context is used.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Context {
    /// Part of the cell's input
    Input,
    /// Beside the cell's output
    Output,
}

/// How states are compared.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScoreChoice {
    /// q·W·k
    General,
    /// v·tanh(W·q + U·k)
    Additive,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeviceChoice {
    /// The CPU
    Cpu,
    /// The best adapter, even a software one
    #[cfg(feature = "gpu")]
    Gpu,
    /// A hardware GPU if there is one, else the CPU
    Auto,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("must be a whole number, at least 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
