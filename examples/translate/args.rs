//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::common::args::{DeviceChoice, above_zero, dropout, positive};

const NOTES: &str = "\
Without --pairs, converts dates as people write them (\"Tuesday, the 3rd of March 1987\") to ISO 8601
(\"1987-03-03\"), letter by letter. The dates are generated.

--pairs takes a file with a source and a target in every line, separated by a tab; further columns are ignored. Sources
are drawn for the test, with all of their targets as references. Training sees none of them, not even with other case or
punctuation. BLEU is computed as by default in sacrebleu, with all references and with only the first one of each
source. It is compared with a baseline: the known translation of the most similar source in the training data.

English to French, sentences of at most 10 words (https://www.manythings.org/anki/fra-eng.zip), in half an hour:
  cargo run --release --example translate -- --pairs fra.txt
  echo 'I love you.' | cargo run --release --example translate -- --load out/translate.safetensors

With --load, every line of the input is translated.";

/// Trains a translation model with attention, and draws the attention.
#[derive(Parser, Clone, Debug)]
#[command(name = "translate", after_help = NOTES, args_override_self = true)]
pub struct Args {
    /// Pairs to learn, separated by a tab [default: generated dates]
    #[arg(long, value_name = "FILE")]
    pub pairs: Option<PathBuf>,
    /// Skip pairs with more words on either side
    #[arg(long, value_name = "N", value_parser = positive, default_value = "10")]
    pub max_words: usize,
    /// Maximum number of sources, drawn at random, each with all of its targets [default: all; 4500 dates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub most: Option<usize>,
    /// Number of sources held out for the test [default: 1000; 500 dates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub test: Option<usize>,
    /// Maximum number of byte pairs of each language, including the 256 single bytes [default: 2000; for dates, 256,
    /// which are letters]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub vocabulary: Option<usize>,
    /// Where the context is used: before the cell (Bahdanau) or after it (Luong), which is faster
    #[arg(long, value_enum, default_value_t = Context::Output)]
    pub context: Context,
    /// How decoder and encoder states are compared
    #[arg(long, value_enum, default_value_t = ScoreChoice::General)]
    pub score: ScoreChoice,
    /// Width of the embedding of a token [default: 192; for dates, 48]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub embedding: Option<usize>,
    /// Hidden units of the decoder, and of each direction of the encoder [default: 256; for dates, 48]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub hidden: Option<usize>,
    /// Passes over the training pairs [default: 8]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Train for this time instead, however many passes that is; the result depends on the speed of the machine
    #[arg(long, value_name = "TIME", value_parser = above_zero, conflicts_with = "epochs")]
    pub minutes: Option<f64>,
    /// Pairs per update [default: 64; for dates, 32]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Initial learning rate, with cosine decay to 0 [default: 0.002; for dates, 0.005]
    #[arg(long, value_name = "RATE", value_parser = above_zero)]
    pub rate: Option<f64>,
    /// Dropout probability during training [default: 0.2; for dates, 0.1]
    #[arg(long, value_name = "SHARE", value_parser = dropout)]
    pub dropout: Option<f32>,
    /// Label smoothing: probability that the target spreads over all tokens [default: 0.1; for dates, 0]
    #[arg(long, value_name = "SHARE", value_parser = dropout)]
    pub smoothing: Option<f32>,
    /// Fraction of the training steps that are fed the target; the others are fed the model's own output
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "1")]
    pub forcing: f32,
    /// Number of hypotheses in the beam
    #[arg(long, value_name = "N", value_parser = positive, default_value = "5")]
    pub beam: usize,
    /// Length penalty of the beam
    #[arg(long, value_name = "ALPHA", value_parser = finite, default_value = "1", allow_negative_numbers = true)]
    pub penalty: f32,
    /// Text to translate and draw the attention for [default: one of the longest in the test]
    #[arg(long, value_name = "TEXT")]
    pub show: Option<String>,
    /// Few sources and passes, to see in seconds that everything works
    #[arg(long)]
    pub quick: bool,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Random seed for pairs, weights and batches; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Continue the run in this file if it exists, and save the run there once a minute [default: only Ctrl-C saves it,
    /// to out/translate.checkpoint]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// File for the model
    #[arg(long, value_name = "FILE", default_value = "out/translate.safetensors")]
    pub save: PathBuf,
    /// Load a saved model, and translate the lines of the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    pub load: Option<PathBuf>,
    /// File for the plot: learning curve, and attention; with --load, only with --show
    #[arg(long, value_name = "FILE", default_value = "out/translate.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the results as the last line; with --load, one for every line
    #[arg(long)]
    pub json: bool,
}

/// Where the context is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Context {
    /// Part of the cell's input
    Input,
    /// Beside the cell's output
    Output,
}

/// How states are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreChoice {
    /// q·W·k
    General,
    /// v·tanh(W·q + U·k)
    Additive,
}

/// Options whose defaults depend on the pairs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub most: usize,
    pub test: usize,
    pub vocabulary: usize,
    pub embedding: usize,
    pub hidden: usize,
    pub epochs: usize,
    pub batch: usize,
    pub rate: f64,
    pub dropout: f32,
    pub smoothing: f32,
}

const SENTENCES: Settings = Settings {
    most: usize::MAX,
    test: 1000,
    vocabulary: 2000,
    embedding: 192,
    hidden: 256,
    epochs: 8,
    batch: 64,
    rate: 0.002,
    dropout: 0.2,
    smoothing: 0.1,
};

const DATES: Settings = Settings {
    most: 4500,
    test: 500,
    vocabulary: 256,
    embedding: 48,
    hidden: 48,
    epochs: 8,
    batch: 32,
    rate: 0.005,
    dropout: 0.1,
    smoothing: 0.0,
};

/// Sources, sources of the test, and epochs of a quick run.
const QUICK: [usize; 3] = [1500, 100, 3];

impl Args {
    pub fn settings(&self) -> Settings {
        let default = if self.pairs.is_some() { SENTENCES } else { DATES };
        let [most, test, epochs] = if self.quick { QUICK } else { [usize::MAX; 3] };
        Settings {
            most: self.most.unwrap_or(default.most).min(most),
            test: self.test.unwrap_or(default.test).min(test),
            vocabulary: self.vocabulary.unwrap_or(default.vocabulary),
            embedding: self.embedding.unwrap_or(default.embedding),
            hidden: self.hidden.unwrap_or(default.hidden),
            epochs: self.epochs.unwrap_or(default.epochs).min(epochs),
            batch: self.batch.unwrap_or(default.batch),
            rate: self.rate.unwrap_or(default.rate),
            dropout: self.dropout.unwrap_or(default.dropout),
            smoothing: self.smoothing.unwrap_or(default.smoothing),
        }
    }
}

fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("must be a number".into()),
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
        for wrong in [
            &["--forcing", "1.5"][..],
            &["--minutes", "0"],
            &["--minutes", "1", "--epochs", "2"],
            &["--load", "a", "--pairs", "b"],
            &["--beam", "0"],
            &["--penalty", "nan"],
        ] {
            assert!(Args::try_parse_from([&["translate"], wrong].concat()).is_err(), "{wrong:?}");
        }
        let quick = Args::parse_from(["translate", "--pairs", "a b.txt", "--quick", "--test", "40"]).settings();
        assert_eq!((quick.most, quick.test, quick.epochs, quick.hidden), (1500, 40, 3, 256));
    }
}
