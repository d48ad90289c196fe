//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::cell::Kind;
use crate::common::args::{above_zero, positive};

const NOTES: &str = "\
Every cell is trained on every task twice: with the same number of units as the others, and with the same number of
parameters (within 2 %, embeddings not counted). The GRU is the same in both. All cells have the same updates, batches
and optimizer (Adam, gradients clipped to norm 1). The learning rate is chosen for each cell and task from 0.001, 0.003
and 0.01: the largest that is at most 1 % worse than the best on the validation data, after half of the updates, with
equal units and a separate seed. The tasks with T = 1000 use the rates of T = 200. The quality is measured on the test
data, with the weights that were best on the validation data.

Tasks whose data are not given are SKIPPED:
  --etth1 ETTh1.csv       https://github.com/zhouhaoyi/ETDataset (CC BY-ND 4.0)
  --polarity TABLE        lines of label, tab, sentence; for sentence_polarity.zip of nltk_data (CC BY 4.0):
                          (sed 's/^/negative\\t/' rt-polarity.neg; sed 's/^/positive\\t/' rt-polarity.pos) > TABLE
  --text FILE             for example tinyshakespeare, the file input.txt of Andrej Karpathy's char-rnn

Every run adds a line to the file of --results when it ends. After Ctrl-C, the same command continues with the missing
runs. --report shows the results so far. Times are measured first, while this program does nothing else; to measure them
again, remove the lines of the phase time.";

/// Compares GRU, LSTM, RNN, minGRU, and a GRU with attention: parameters, time, updates and quality.
#[derive(Parser, Clone, Debug)]
#[command(name = "cells", after_help = NOTES, args_override_self = true)]
pub struct Args {
    /// Tasks, separated by commas [default: all]
    #[arg(long, value_enum, value_name = "TASKS", value_delimiter = ',')]
    pub tasks: Vec<TaskName>,
    /// Cells, separated by commas [default: all]
    #[arg(long, value_enum, value_name = "CELLS", value_delimiter = ',')]
    pub cells: Vec<Kind>,
    /// Number of runs of every cell, each with a different seed [default: 5; with --quick, 2]
    #[arg(long, value_name = "N", value_parser = up_to::<1000>)]
    pub seeds: Option<usize>,
    /// Least number of units of a layer with equal units; each task takes the first from here for which equal
    /// parameters exist
    #[arg(long, value_name = "N", value_parser = up_to::<512>, default_value = "32")]
    pub units: usize,
    /// Recurrent layers
    #[arg(long, value_name = "N", value_parser = up_to::<8>, default_value = "1")]
    pub layers: usize,
    /// Learning rate of all runs [default: chosen for each cell and task; with --quick, 0.01]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<f64>,
    /// Number of updates of every run [default: depends on the task]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub updates: Option<usize>,
    /// Table of the tasks etth1 and etth1-5%: ETTh1.csv
    #[arg(long, value_name = "FILE")]
    pub etth1: Option<PathBuf>,
    /// Table of the tasks polarity and polarity-5%: label, tab, sentence
    #[arg(long, value_name = "FILE")]
    pub polarity: Option<PathBuf>,
    /// Text of the task letters
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Few tasks, seeds and updates, to see in two minutes that everything works
    #[arg(long)]
    pub quick: bool,
    /// Number of simultaneous runs, each on one thread [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = up_to::<64>)]
    pub jobs: Option<usize>,
    /// File of all runs [default: out/cells.jsonl; with --quick, out/cells-quick.jsonl]
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// File for the table, as comma-separated values
    #[arg(long, value_name = "FILE", default_value = "out/cells.csv")]
    pub table: PathBuf,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/cells.svg")]
    pub plot: PathBuf,
    /// Run nothing, and show the results that exist
    #[arg(long)]
    pub report: bool,
    /// Print a JSON object with the table as the last line
    #[arg(long)]
    pub json: bool,
}

/// A task on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TaskName {
    #[value(name = "adding-50")]
    Adding50,
    #[value(name = "adding-200")]
    Adding200,
    #[value(name = "adding-1000")]
    Adding1000,
    #[value(name = "copying-50")]
    Copying50,
    #[value(name = "copying-200")]
    Copying200,
    #[value(name = "copying-1000")]
    Copying1000,
    Seattle,
    Etth1,
    #[value(name = "etth1-5%")]
    Etth1Small,
    Polarity,
    #[value(name = "polarity-5%")]
    PolaritySmall,
    Letters,
}

/// Tasks, seeds, learning rate and most updates of a quick run.
const QUICK: ([TaskName; 3], usize, f64, usize) =
    ([TaskName::Adding50, TaskName::Copying50, TaskName::Seattle], 2, 0.01, 600);

impl TaskName {
    /// Returns the name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Returns the distance T of a task about memory.
    pub fn distance(self) -> Option<usize> {
        match self {
            Self::Adding50 | Self::Copying50 => Some(50),
            Self::Adding200 | Self::Copying200 => Some(200),
            Self::Adding1000 | Self::Copying1000 => Some(1000),
            _ => None,
        }
    }

    /// Returns the task whose runs choose the learning rate.
    pub fn pilot(self) -> Self {
        match self {
            Self::Adding1000 => Self::Adding200,
            Self::Copying1000 => Self::Copying200,
            other => other,
        }
    }
}

impl Args {
    /// Returns the chosen tasks in their usual order.
    pub fn tasks(&self) -> Vec<TaskName> {
        let all = match &self.tasks[..] {
            [] if self.quick => &QUICK.0[..],
            [] => TaskName::value_variants(),
            chosen => chosen,
        };
        TaskName::value_variants().iter().copied().filter(|task| all.contains(task)).collect()
    }

    /// Returns the chosen cells in their usual order.
    pub fn cells(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.cells.is_empty() || self.cells.contains(kind)).collect()
    }

    pub fn seeds(&self) -> usize {
        self.seeds.unwrap_or(if self.quick { QUICK.1 } else { 5 })
    }

    /// Returns the learning rate of all runs, if it is not chosen for each cell.
    pub fn rate(&self) -> Option<f64> {
        self.rate.or(self.quick.then_some(QUICK.2))
    }

    /// Returns the updates of a run, of which the task has `usual`.
    pub fn updates(&self, usual: usize) -> usize {
        self.updates.unwrap_or(if self.quick { usual.min(QUICK.3) } else { usual })
    }

    pub fn results(&self) -> PathBuf {
        let default = if self.quick { "out/cells-quick.jsonl" } else { "out/cells.jsonl" };
        self.results.clone().unwrap_or_else(|| default.into())
    }

    /// Returns the number of runs at the same time.
    pub fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
    }
}

/// Parses a learning rate, which results name by nine digits.
fn rate(text: &str) -> Result<f64, String> {
    match above_zero(text)? {
        rate @ 1e-7..=10.0 => Ok(rate),
        _ => Err("must be from 1e-7 to 10".into()),
    }
}

/// Parses a count from 1 to `MOST`.
fn up_to<const MOST: usize>(text: &str) -> Result<usize, String> {
    match positive(text)? {
        count if count <= MOST => Ok(count),
        _ => Err(format!("must be from 1 to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["cells", "--tasks", "etth1-5%,adding-50", "--cells", "mingru,gru"]).unwrap();
        assert_eq!(args.tasks(), [TaskName::Adding50, TaskName::Etth1Small]);
        assert_eq!(args.cells(), [Kind::Gru, Kind::MinGru]);
        let quick = Args::try_parse_from(["cells", "--quick", "--seeds", "1"]).unwrap();
        assert_eq!((quick.tasks().len(), quick.seeds(), quick.rate()), (3, 1, Some(0.01)));
        for wrong in [
            ["--tasks", "adding-51"],
            ["--cells", "tcn"],
            ["--seeds", "0"],
            ["--rate", "-1"],
            ["--rate", "1e-9"],
            ["--layers", "9"],
            ["--units", "513"],
        ] {
            assert!(Args::try_parse_from([&["cells"], &wrong[..]].concat()).is_err(), "{wrong:?}");
        }
    }
}
