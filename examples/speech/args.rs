//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::common::args::{DeviceChoice, positive};

const NOTES: &str = "\
Without --data, the example synthesizes ten tone digits: the two tones of a telephone key, in noise.

--data takes a folder of recordings named {digit}_{speaker}_{take}.wav, mono at 8 kHz, such as the free spoken digit
dataset (github.com/Jakobovski/free-spoken-digit-dataset). Takes 5 to 9 of every speaker are the test set, and all
others the training set. With --speaker NAME, the test set is that speaker, whom the network then never hears.

Training and test strings are one to five recordings, one after another, with pauses between them. The network is told
which digits a string has, but not where they are.";

/// Recognizes strings of spoken digits: a convolution, a bidirectional GRU, and connectionist temporal classification.
#[derive(Parser, Debug)]
#[command(name = "speech", after_help = NOTES)]
pub struct Args {
    /// Folder with {digit}_{speaker}_{take}.wav [default: tone digits]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Test on all recordings of this speaker [default: takes 5 to 9 of all speakers]
    #[arg(long, value_name = "NAME")]
    pub speaker: Option<String>,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Passes over the training recordings, each with new strings [default: enough for 1,200 updates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Strings per update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "8")]
    pub batch: usize,
    /// Maximum learning rate
    #[arg(long, value_name = "RATE", default_value = "0.005")]
    pub rate: f64,
    /// Hidden units of each direction of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub hidden: usize,
    /// Random seed for weights, strings and synthesized recordings; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/speech.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the results as the last line
    #[arg(long)]
    pub json: bool,
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
