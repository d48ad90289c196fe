//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use wgru::models::decode::Sampling;

use crate::common::args::{DeviceChoice, above_zero, dropout, positive};

const NOTES: &str = "\
Without --text, trains on 100 kB of Shakespeare (built in), in about a minute on two cores. The last tenth of a text is
held out: the loss per character of the network and of n-grams is measured on it, in nats and bits.

Shakespeare, 1.1 MB (https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt), in half an hour:
  cargo run --release --example generate -- --text input.txt
  cargo run --release --example generate -- --load out/generate.safetensors --prompt 'ROMEO:' --temperature 0.7

--chat takes a file of pairs: a question, a tab, and an answer in every line. The network then answers the lines of the
standard input. Such a small network only repeats answers from its training data, to questions that resemble those in
it.
  cargo run --release --example generate -- --chat pairs.tsv
  cargo run --release --example generate -- --load out/generate.safetensors";

/// Trains a language model on a text, by characters or byte pairs, and generates text.
#[derive(Parser, Clone, Debug)]
#[command(name = "generate", after_help = NOTES, args_override_self = true)]
pub struct Args {
    /// Text to learn from, in UTF-8 [default: Shakespeare, built in]
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Pairs of question and answer to learn from, separated by a tab
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub chat: Option<PathBuf>,
    /// Kind of token
    #[arg(long, value_enum, default_value_t = TokenChoice::Chars)]
    pub tokens: TokenChoice,
    /// Number of byte pairs, including the 256 single bytes
    #[arg(long, value_name = "N", value_parser = positive, default_value = "1024")]
    pub vocabulary: usize,
    /// Passes over the text [default: 20; for the built-in text, 16]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Parts of the text that are read in parallel
    #[arg(long, value_name = "N", value_parser = positive, default_value = "32")]
    pub rows: usize,
    /// Tokens through which errors are propagated back; the state is carried on from there
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub steps: usize,
    /// Initial learning rate, with cosine decay
    #[arg(long, value_name = "RATE", default_value = "0.002")]
    pub rate: f64,
    /// Width of the embedding of a token
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub embedding: usize,
    /// Hidden units of the GRU [default: 512; for the built-in text, 192]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub hidden: Option<usize>,
    /// Number of layers of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "1")]
    pub layers: usize,
    /// Dropout probability of embeddings and states during training
    #[arg(long, value_name = "SHARE", value_parser = dropout, default_value = "0.3")]
    pub dropout: f32,
    /// Little text and a small network, to see in seconds that everything works
    #[arg(long)]
    pub quick: bool,
    /// Device to train on; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Random seed for weights, training and writing; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Continue the run in this file if it exists, and save the run there once a minute [default: only Ctrl-C saves it,
    /// to out/generate.checkpoint]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// File for the model
    #[arg(long, value_name = "FILE", default_value = "out/generate.safetensors")]
    pub save: PathBuf,
    /// Load a saved model, and only generate text, or answer questions if it was trained with --chat
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "chat"])]
    pub load: Option<PathBuf>,
    /// Beginning of the text to write [default: that of a line]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Number of characters to write; of an answer, at most
    #[arg(long, value_name = "N", default_value = "500")]
    pub length: usize,
    /// Divisor of the logits: below 1 is safer, above 1 bolder [default: 0.8; with --chat, 0.3]
    #[arg(long, value_name = "T", value_parser = above_zero)]
    pub temperature: Option<f64>,
    /// Draw only from this many most probable tokens
    #[arg(long, value_name = "N", value_parser = positive)]
    pub top_k: Option<usize>,
    /// Draw only from the most probable tokens that together have this probability
    #[arg(long, value_name = "P", value_parser = probability)]
    pub top_p: Option<f32>,
    /// File for the plot of the learning curve
    #[arg(long, value_name = "FILE", default_value = "out/generate.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the results as the last line
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Returns how tokens are drawn.
    pub fn sampling(&self, is_chat: bool) -> Sampling {
        let temperature = self.temperature.unwrap_or(if is_chat { 0.3 } else { 0.8 });
        Sampling { temperature: temperature as f32, top_k: self.top_k, top_p: self.top_p }
    }
}

/// Units that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenChoice {
    /// Characters
    Chars,
    /// Byte pairs, which are syllables and short words
    Bpe,
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("must be a number above 0 and at most 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
        for wrong in
            [&["--top-p", "0"][..], &["--temperature", "0"], &["--load", "a", "--chat", "b"], &["--top-k", "0"]]
        {
            assert!(Args::try_parse_from([&["generate"], wrong].concat()).is_err(), "{wrong:?}");
        }
        assert_eq!(Args::parse_from(["generate"]).sampling(true).temperature, 0.3);
    }
}
