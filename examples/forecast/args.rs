//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::common::args::{DeviceChoice, positive};
use crate::head::Loss;
use crate::repair::{Duplicates, Missing};
use crate::time::Cycle;
use crate::transform::Transform;

const NOTES: &str = "\
Without options, forecasts tomorrow's highest temperature in Seattle (daily, NOAA, built in), and tests on the last 365
days.

The table is split by time: training, then validation, then test. Without --train, --validation and --test:
  hourly, 20 months or more  12, 4 and 4 months of 30 days from the first row, the usual split of the ETT tables
  daily, 4 years or more     the last 365 rows are the test, the 365 before them the validation
  any other                  60 %, 20 % and 20 %
With --train N, the parts are counted from the first row; otherwise the test ends at the last row. Several series are
split one by one.

Only the training and validation parts are used to fit anything: standardization, weights, the parameters of the
baselines, and the intervals, which are calibrated on the errors in the validation part. After it, intervals widen or
narrow with the coverage so far. Scores are means over all steps of the horizon and all windows of the test. If the
training part covers a cycle (day, year) at least twice, the network also gets the sine and cosine of the time to
forecast.

Columns that are known in advance (--known) need values for the dates to forecast: rows at the end of the table in which
the other columns are empty. Missing cells and dates, and dates that occur twice, are errors that name their lines,
unless --missing or --duplicates says how to handle them.

Transformer temperature, 24 hours from two weeks (github.com/zhouhaoyi/ETDataset, ETTh1.csv):
  cargo run --release --example forecast -- --csv ETTh1.csv --column OT --horizon 24 \\
      --window 336 --hidden 8 --rate 0.001
With --window 96, four days, it is faster and less accurate.
A saved model forecasts from new rows without training:
  cargo run --release --example forecast -- --load out/forecast.safetensors --csv NEW.csv --forecast next.csv";

/// Forecasts series with a GRU, compared with persistence, seasonal naive, ridge regression, exponential smoothing and
/// Theta.
#[derive(Parser, Debug)]
#[command(name = "forecast", after_help = NOTES)]
pub struct Args {
    /// Table with a header and one line per step, oldest first [default: Seattle's weather, built in]
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Column to forecast [default: temp_max of the built-in table, or the model's]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Further input columns, separated by commas [default: none; for the built-in table, all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub features: Option<Vec<String>>,
    /// Columns that are known in advance, such as prices or planned promotions, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub known: Option<Vec<String>>,
    /// File with a date at the start of each line, which are inputs known in advance
    #[arg(long, value_name = "FILE")]
    pub holidays: Option<PathBuf>,
    /// Column that tells several series in one long table apart, for one network that forecasts all of them
    #[arg(long, value_name = "NAME")]
    pub series: Option<String>,
    /// Columns that are constant within a series, numbers or texts, separated by commas
    #[arg(long = "static", value_name = "NAMES", value_delimiter = ',', requires = "series")]
    pub statics: Option<Vec<String>>,
    /// Missing cells and dates
    #[arg(long, value_enum, default_value_t)]
    pub missing: Missing,
    /// Rows of the same date
    #[arg(long, value_enum, default_value_t)]
    pub duplicates: Duplicates,
    /// Function of the column to forecast; forecasts and intervals are converted back
    #[arg(long, value_enum, default_value_t)]
    pub transform: Transform,
    /// Give the network changes from row to row instead of values; forecasts and intervals are values all the same
    #[arg(long)]
    pub difference: bool,
    /// Cycles whose sine and cosine are inputs, separated by commas [default: day and year, if covered twice]
    #[arg(long, value_name = "CYCLES", value_enum, value_delimiter = ',')]
    pub cycles: Option<Vec<Cycle>>,
    /// Number of steps to forecast [default: 24 for an hourly table, otherwise 1]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub horizon: Option<usize>,
    /// Number of past steps that a forecast is based on [default: 96 for an hourly table, otherwise 28]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub window: Option<usize>,
    /// Number of rows to train on, starting at the first [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub train: Option<usize>,
    /// Number of rows for validation, which decides when to stop [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub validation: Option<usize>,
    /// Number of rows to test on [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub test: Option<usize>,
    /// Backtest: divide the test part into N blocks, train anew before each, and only print the scores
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with_all = ["load", "checkpoint", "save"])]
    pub backtest: Option<usize>,
    /// Number of rows after which the series repeats, for seasonal baselines [default: from the dates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub season: Option<usize>,
    /// Loss, and with it the predicted distribution
    #[arg(long, value_enum, default_value_t)]
    pub loss: Loss,
    /// Share of the values that intervals are to cover [default: 0.9]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub interval: Option<f64>,
    /// Device to use; auto is the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Maximum number of passes over the training windows; training stops early when validation does not improve
    #[arg(long, value_name = "N", value_parser = positive, default_value = "40")]
    pub epochs: usize,
    /// Windows per update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub batch: usize,
    /// Initial learning rate, with cosine decay
    #[arg(long, value_name = "RATE", default_value = "0.005")]
    pub rate: f64,
    /// Decay of the moving average of the weights, such as 0.99 [default: none]
    #[arg(long, value_name = "DECAY", value_parser = decay)]
    pub ema: Option<f32>,
    /// Fit networks and baselines again to the training and validation parts together, each network for its best number
    /// of epochs [default: true for the built-in table, otherwise false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub refit: Option<bool>,
    /// Hidden units of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "16")]
    pub hidden: usize,
    /// Number of networks whose forecasts are averaged, each with its own seed
    #[arg(long, value_name = "N", value_parser = positive, default_value = "3")]
    pub members: usize,
    /// Random seed for weights and shuffling; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// File for the model [default: out/forecast.safetensors; with --load or --backtest, none]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Load a saved model instead of training: test it, if the table is long enough, and forecast
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// File of the run, saved every minute and on Ctrl-C; continued if it exists [default: out/forecast.checkpoint,
    /// only on Ctrl-C]
    #[arg(long, value_name = "FILE", conflicts_with = "load")]
    pub checkpoint: Option<PathBuf>,
    /// File for the forecast beyond the end of the table: JSON if it ends in .json, otherwise CSV
    #[arg(long, value_name = "FILE", default_value = "out/forecast.csv")]
    pub forecast: PathBuf,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/forecast.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the errors and the forecast as the last line
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Whether networks and baselines are fitted again to the training and validation parts together.
    pub fn refits(&self) -> bool {
        self.refit.unwrap_or(self.csv.is_none())
    }
}

/// Parses a share between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.01..=0.99).contains(&share) => Ok(share),
        _ => Err("must be a share from 0.01 to 0.99, such as 0.9".into()),
    }
}

/// Parses the decay of a moving average.
fn decay(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(decay) if (0.0..1.0).contains(&decay) => Ok(decay),
        _ => Err("must be a number from 0 up to, but not including, 1".into()),
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

    #[test]
    fn only_the_built_in_table_is_refitted_by_default() {
        let refits = |words: &[&str]| Args::try_parse_from([&["forecast"], words].concat()).unwrap().refits();
        assert!(refits(&[]) && !refits(&["--csv", "t.csv"]));
        assert!(refits(&["--csv", "t.csv", "--refit"]) && !refits(&["--refit", "false"]));
    }

    #[test]
    fn zero_is_refused() {
        for option in ["--window", "--horizon", "--epochs", "--backtest"] {
            let error = Args::try_parse_from(["forecast", option, "0"]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("at least 1"), "{error}");
        }
        for interval in ["0", "1", "90"] {
            let error = Args::try_parse_from(["forecast", "--interval", interval]).unwrap_err().to_string();
            assert!(error.contains("from 0.01 to 0.99"), "{error}");
        }
    }
}
