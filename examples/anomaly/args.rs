//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::common::args::{DeviceChoice, above_zero, positive};
use crate::machine::ROLLING;

const NOTES: &str = "\
Without FILE, `ecg` uses a synthetic recording of 4 minutes.

  ecg      A recording as .npy or .npz with one array, or as text with one number per line. Learns to predict the next
           samples on the first half, calibrates the alarm on the next fifth, and counts alarms on the rest: unchanged,
           and with anomalies inserted at known places. The p-value combines three tests, so it is at least three
           divided by the number of samples in that fifth: if that is more than --alpha, there is no alarm.
  machine  A table with the header `timestamp,value`, as in the Numenta Anomaly Benchmark (NAB). Learns from the
           probation period only, and then scores row by row. --labels is NAB's combined_windows.json; with it, NAB's
           score is computed and compared with those of NAB's Gaussian and random detectors.
  engines  NASA's C-MAPSS table of engines that run to failure, 26 columns: engine, cycle, 3 settings, 21 sensors.
           Predicts the remaining cycles of engines that were held out.

With --load and --stream, reads a line and writes a line: for `ecg`, a number; for `machine`, a number, or a row
`timestamp,value`; for `engines`, a row of the table. The output has these columns, separated by tabs:

  ecg, machine   value, score, p-value, 1 for an alarm and 0 for none
  engines        engine, cycle, predicted remaining cycles

The score is the mean absolute error of the last predictions. For `ecg`, a low score can have a low p-value, because the
other tests use the log-loss.

With --state FILE, the state is read from this file if it exists, and written to it at the end, even after an error in a
line or Ctrl-C. The next call continues from there, with the same output as a single call.";

/// Finds anomalies in an ECG or in the temperature of a machine, or predicts the remaining life of engines.
#[derive(Parser, Clone, Debug)]
#[command(name = "anomaly", after_help = NOTES, args_override_self = true)]
pub struct Args {
    /// Kind of the data [default: ecg]
    #[arg(value_enum, conflicts_with = "stream")]
    pub task: Option<Task>,
    /// The recording or table
    #[arg(value_name = "FILE", requires = "task")]
    pub file: Option<PathBuf>,
    /// NAB's combined_windows.json, for `machine`
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    pub labels: Option<PathBuf>,
    /// Samples per second of an ECG
    #[arg(long, value_name = "N", value_parser = hertz, default_value = "360")]
    pub hertz: f64,
    /// Share of normal samples whose p-value raises an alarm [default: 0.002]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub alpha: Option<f64>,
    /// Rows for which the score of `machine` must have been lower before an alarm, so that an episode has few alarms
    #[arg(long, value_name = "ROWS", value_parser = rest, default_value = "48")]
    pub rest: usize,
    /// Engines held out, the last ones of the table
    #[arg(long, value_name = "N", value_parser = positive, default_value = "20")]
    pub held_out: usize,
    /// Number of random cycles at which each of these engines is tested
    #[arg(long, value_name = "N", value_parser = positive, default_value = "10")]
    pub cuts: usize,
    /// Passes over the training data [default: 150 for `ecg`, 300 for `machine`, 200 for `engines`]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Windows or engines per update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "16")]
    pub batch: usize,
    /// Initial learning rate, with cosine decay
    #[arg(long, value_name = "RATE", value_parser = above_zero, default_value = "0.005")]
    pub rate: f64,
    /// Hidden units of the GRU [default: 32; 16 for `machine`]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub hidden: Option<usize>,
    /// Networks of `ecg` and `machine` whose predictions are averaged [default: 1; 5 for `machine`]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub members: Option<usize>,
    /// Three epochs, to see in seconds that everything works
    #[arg(long)]
    pub quick: bool,
    /// Device to train on; auto is the CPU unless there is a hardware GPU. Scores are always computed on the CPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Random seed for the weights, batches and tests; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Continue the run in this file if it exists, and save the run there once a minute [default: only Ctrl-C saves it,
    /// to out/anomaly.checkpoint]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// File for the model
    #[arg(long, value_name = "FILE", default_value = "out/anomaly.safetensors")]
    pub save: PathBuf,
    /// Load a saved model instead of training one
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    pub load: Option<PathBuf>,
    /// Score the lines of the standard input with the loaded model
    #[arg(long, requires = "load")]
    pub stream: bool,
    /// File with the state of the stream
    #[arg(long, value_name = "FILE", requires = "stream")]
    pub state: Option<PathBuf>,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/anomaly.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the results as the last line; with --stream, one for every line
    #[arg(long)]
    pub json: bool,
}

/// Kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Heartbeats
    Ecg,
    /// Temperature of a machine
    Machine,
    /// Engines that run to failure
    Engines,
}

impl Task {
    pub fn name(self) -> &'static str {
        match self {
            Task::Ecg => "ecg",
            Task::Machine => "machine",
            Task::Engines => "engines",
        }
    }
}

impl Args {
    pub fn task(&self) -> Task {
        self.task.unwrap_or(Task::Ecg)
    }

    pub fn hidden(&self) -> usize {
        self.hidden.unwrap_or(if self.task() == Task::Machine { 16 } else { 32 })
    }

    pub fn members(&self) -> usize {
        self.members.unwrap_or(if self.task() == Task::Machine { 5 } else { 1 })
    }

    pub fn epochs(&self) -> usize {
        let epochs = self.epochs.unwrap_or(match self.task() {
            Task::Ecg => 150,
            Task::Machine => 300,
            Task::Engines => 200,
        });
        if self.quick { epochs.min(3) } else { epochs }
    }

    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(0.002)
    }
}

/// Parses a share between 0 and 1, both excluded.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("must be a number above 0 and below 1".into()),
    }
}

/// Parses a rate of samples. Some values are kept for 0.1 s, which bounds it.
fn hertz(text: &str) -> Result<f64, String> {
    match above_zero(text) {
        Ok(rate) if rate <= 100_000.0 => Ok(rate),
        _ => Err("must be a number above 0, at most 100000".into()),
    }
}

/// Parses a number of rows.
fn rest(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rows) if rows <= ROLLING => Ok(rows),
        _ => Err(format!("must be a whole number from 0 to {ROLLING}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["anomaly", "machine", "a b.csv", "--labels", "c.json"]).unwrap();
        assert_eq!((args.task(), args.hidden(), args.epochs()), (Task::Machine, 16, 300));
        for wrong in [
            &["hearts"][..],
            &["ecg", "--alpha", "1"],
            &["ecg", "--hertz", "1e9"],
            &["machine", "a", "--rest", "8001"],
            &["--stream"],
            &["--state", "a"],
            &["ecg", "--load", "a", "--stream"],
            &["--load", "a", "--checkpoint", "b"],
        ] {
            assert!(Args::try_parse_from([&["anomaly"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
