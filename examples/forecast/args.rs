//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::common::args::{DeviceChoice, positive};

const NOTES: &str = "\
Without options, forecasts tomorrow's highest temperature in Seattle (daily, NOAA, built in). The last 365 days are the
test.

The table is split by time: training, then validation, then test. Without --train, --validation and --test:
  hourly, 20 months or more  12, 4 and 4 months of 30 days from the first row, the usual split of the ETT tables
  daily, 4 years or more     the last 365 rows are the test, the 365 before them the validation
  any other                  60 %, 20 % and 20 %
With --train N, the parts are counted from the first row; otherwise the test ends at the last row.

Standardization, weights and the ridge penalty depend on training and validation only. Errors are averaged over all
steps of the horizon and all windows of the test. If the training part covers a cycle (day, year) at least twice, the
network also gets the sine and cosine of the time to forecast.

Transformer temperature, 24 hours from 96 (github.com/zhouhaoyi/ETDataset, ETTh1.csv):
  cargo run --release --example forecast -- --csv ETTh1.csv --column OT --window 96 --horizon 24 \\
      --train 8640 --validation 2880 --test 2880";

/// Forecasts a series with a GRU, and compares it with persistence, seasonal naive and ridge regression.
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
    /// Number of rows after which the series repeats, for the seasonal naive forecast [default: from the dates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub season: Option<usize>,
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
    /// Hidden units of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "16")]
    pub hidden: usize,
    /// Number of networks whose forecasts are averaged, each with its own seed
    #[arg(long, value_name = "N", value_parser = positive, default_value = "3")]
    pub members: usize,
    /// Random seed for weights and shuffling; the same seed gives the same results
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// File for the model [default: out/forecast.safetensors; with --load, none]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Load a saved model, and only test it
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/forecast.svg")]
    pub plot: PathBuf,
    /// Print a JSON object with the errors as the last line
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

    #[test]
    fn zero_is_refused() {
        for option in ["--window", "--horizon", "--epochs"] {
            let error = Args::try_parse_from(["forecast", option, "0"]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("at least 1"), "{error}");
        }
    }
}
