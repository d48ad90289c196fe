//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::common::args::{DeviceChoice, positive};

const NOTES: &str = "\
Without options, translates dates as people write them (\"Tuesday, the 3rd of March 1987\") to ISO 8601
(\"1987-03-03\"), letter by letter. The dates are generated, and 500 of them are the test, which training never sees.

Your own sentences, word by word (fra.txt is from https://www.manythings.org/anki/fra-eng.zip):
  cargo run --release --example translate -- --pairs fra.txt --words --most 20000 --longest 8 --hidden 256 --epochs 12
The file has one pair per line, source and target separated by a tab. Further columns are ignored.";

/// Learns to translate with attention, and draws the attention weights.
#[derive(Parser, Debug)]
#[command(name = "translate", after_help = NOTES)]
pub struct Args {
    /// Pairs to learn, tab-separated [default: generated dates]
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
    /// Tokens are words and punctuation, in lower case, instead of letters
    #[arg(long)]
    pub words: bool,
    /// Maximum number of sources to use, drawn at random, each with all of its targets; at most 100,000 generated dates
    #[arg(long, value_name = "N", value_parser = positive, default_value = "4500")]
    pub most: usize,
    /// Skip pairs with more tokens on either side
    #[arg(long, value_name = "N", value_parser = positive, default_value = "40")]
    pub longest: usize,
    /// Number of pairs held out for the test
    #[arg(long, value_name = "N", value_parser = positive, default_value = "500")]
    pub test: usize,
    /// Where the context is used: before the cell (Bahdanau) or after it (Luong)
    #[arg(long, value_enum, default_value_t = Context::Output)]
    pub context: Context,
    /// How decoder and encoder states are compared
    #[arg(long, value_enum, default_value_t = ScoreChoice::General)]
    pub score: ScoreChoice,
    /// Fraction of the training steps that are fed the target; the others are fed the model's own output
    #[arg(long, value_name = "SHARE", default_value = "1.0")]
    pub forcing: f32,
    /// Passes over the training pairs
    #[arg(long, value_name = "N", value_parser = positive, default_value = "6")]
    pub epochs: usize,
    /// Pairs per update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub batch: usize,
    /// Initial learning rate, with cosine decay
    #[arg(long, value_name = "RATE", default_value = "0.005")]
    pub rate: f64,
    /// Hidden units of each network
    #[arg(long, value_name = "N", value_parser = positive, default_value = "48")]
    pub hidden: usize,
    /// Dropout probability during training
    #[arg(long, value_name = "SHARE", default_value = "0.1")]
    pub dropout: f32,
    /// Number of hypotheses in the beam
    #[arg(long, value_name = "N", value_parser = positive, default_value = "4")]
    pub beam: usize,
    /// Length penalty of the beam
    #[arg(long, value_name = "ALPHA", default_value = "0.6")]
    pub penalty: f32,
    /// Text to translate and draw the attention for [default: the longest in the test set]
    #[arg(long, value_name = "TEXT")]
    pub show: Option<String>,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Random seed for pairs, weights and shuffling; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// File for the plot of the attention
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
