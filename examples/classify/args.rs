//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::common::args::{DeviceChoice, dropout, positive};

const NOTES: &str = "\
Without --data, identifies the language of surnames, letter by letter (10 languages, built in).

--data takes a table with a label and a text in every line: separated by tabs, or by commas if no line has a tab. By
default there is no header, the label is the first column and the text the second. With --columns, the first line is a
header that has these names.

One text in ten is held out for the test. A text that occurs several times is in only one of the parts. Naive Bayes is
trained on the same texts as the network, and on those of --validation. The network adds a score of each word to those
of the GRU. These begin as half of naive Bayes, fitted to the network's training texts only; --bayes 0 begins without.

Polarity of 10,662 sentences from film reviews (sentence_polarity.zip of nltk_data):
  (sed 's/^/negative\\t/' rt-polarity.neg; sed 's/^/positive\\t/' rt-polarity.pos) > polarity.tsv
  cargo run --release --example classify -- --data polarity.tsv
  echo 'a warm and funny film' | cargo run --release --example classify -- --load out/classify.safetensors

With --load, every line of the input is classified: label, probability and text, separated by tabs.";

/// Classifies texts with a bidirectional GRU and attention, and shows the attention to each word.
#[derive(Parser, Clone, Debug)]
#[command(name = "classify", after_help = NOTES, args_override_self = true)]
pub struct Args {
    /// Table of labels and texts [default: surnames, built in]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Names of the columns with label and text, separated by a comma [default: the first two columns, no header]
    #[arg(long, value_name = "LABEL,TEXT", value_delimiter = ',', num_args = 1, requires = "data")]
    pub columns: Vec<String>,
    /// Kind of token [default: words; for the built-in table, letters]
    #[arg(long, value_enum)]
    pub tokens: Option<Tokens>,
    /// Cut off texts after this many tokens
    #[arg(long, value_name = "N", value_parser = positive, default_value = "200")]
    pub longest: usize,
    /// Number of texts held out for validation after every epoch, of which the best one is kept [default: none; the
    /// last epoch is kept]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub validation: Option<usize>,
    /// Passes over the training texts [default: 4; for letters, 30]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Texts per update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "32")]
    pub batch: usize,
    /// Initial learning rate, with cosine decay
    #[arg(long, value_name = "RATE", default_value = "0.002")]
    pub rate: f64,
    /// Width of the embedding of a token
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub embedding: usize,
    /// Hidden units of each direction of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "48")]
    pub hidden: usize,
    /// Dropout probability of embeddings and states during training [default: 0.5; for letters, 0.2]
    #[arg(long, value_name = "SHARE", value_parser = dropout)]
    pub dropout: Option<f32>,
    /// Probability during training that a token is replaced by the unknown one [default: 0.2; for letters, 0]
    #[arg(long, value_name = "SHARE", value_parser = dropout)]
    pub token_dropout: Option<f32>,
    /// Share of naive Bayes with which training begins: each word's own scores begin as the logarithms of its
    /// probabilities in naive Bayes times this; 0 without [default: 0.5; letters begin with 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub bayes: Option<f32>,
    /// Weight decay
    #[arg(long, value_name = "RATE", default_value = "0.01")]
    pub decay: f32,
    /// Few texts and epochs, to see in seconds that everything works
    #[arg(long)]
    pub quick: bool,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Random seed for the parts, weights and batches; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Continue the run in this file if it exists, and save the run there once a minute [default: only Ctrl-C saves it,
    /// to out/classify.checkpoint]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// File for the model
    #[arg(long, value_name = "FILE", default_value = "out/classify.safetensors")]
    pub save: PathBuf,
    /// Load a saved model, and classify the lines of the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub load: Option<PathBuf>,
    /// File for the plot: learning curve, and attention to the words of some texts
    #[arg(long, value_name = "FILE", default_value = "out/classify.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the results as the last line; with --load, one for every line
    #[arg(long)]
    pub json: bool,
}

/// Units of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tokens {
    /// Words and punctuation, in lower case
    Words,
    /// Letters and other characters
    Letters,
}

/// Parses a share: from 0 to 1.
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
        let args = Args::try_parse_from(["classify", "--data", "a b.csv", "--columns", "stars,review"]).unwrap();
        assert_eq!(args.columns, ["stars", "review"]);
        for wrong in [
            &["--dropout", "1"][..],
            &["--epochs", "0"],
            &["--bayes", "nan"],
            &["--columns", "a,b"],
            &["--load", "a", "--data", "b"],
        ] {
            assert!(Args::try_parse_from([&["classify"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
