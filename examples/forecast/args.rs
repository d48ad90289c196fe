//! The command line

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

const NOTES: &str = "\
Without options: tomorrow's highest temperature in Seattle (daily, NOAA, built in), tested on the last 365 days.

The table is divided by time: training, then validation, then test. Without --train, --validation and --test:
  hourly, 20 months or more  12, 4 and 4 months of 30 days from the first row, as is usual for the ETT tables
  daily, 4 years or more     the last 365 rows are the test, the 365 before them the validation
  any other                  60 %, 20 % and 20 %
With --train N the parts are counted from the first row, else the test ends at the last row.

Standardisation, weights and the ridge's penalty see training and validation only; errors are means over all steps of
the horizon and all windows of the test. A cycle (day, year) that the training part holds twice is given to the
network as the sine and cosine of the time to forecast.

Transformer temperature, 24 hours from 96 (github.com/zhouhaoyi/ETDataset, ETTh1.csv):
  cargo run --release --example forecast -- --csv ETTh1.csv --column OT --window 96 --horizon 24 \\
      --train 8640 --validation 2880 --test 2880";

/// Forecasts a series with a GRU, beside persistence, seasonal naive and ridge regression.
#[derive(Parser, Debug)]
#[command(name = "forecast", after_help = NOTES)]
pub struct Args {
    /// Table with a header; every line one step, oldest first [default: Seattle's weather, built in]
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Column to forecast [default: temp_max of the built-in table, or the model's]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Further columns that the network sees, separated by commas [default: none; of the built-in table all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub features: Option<Vec<String>>,
    /// Steps to forecast [default: 24 of an hourly table, else 1]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub horizon: Option<usize>,
    /// Steps that the forecast is made from [default: 96 of an hourly table, else 28]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub window: Option<usize>,
    /// Rows to train on, from the first [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub train: Option<usize>,
    /// Rows that decide when to stop [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub validation: Option<usize>,
    /// Rows that the errors are measured on [default: see below]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub test: Option<usize>,
    /// Rows after which the series repeats, for the seasonal naive forecast [default: from the dates]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub season: Option<usize>,
    /// Where to compute; auto takes the CPU unless there is a hardware GPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Most passes over the training windows; it stops early when validation does not improve
    #[arg(long, value_name = "N", value_parser = positive, default_value = "40")]
    pub epochs: usize,
    /// Windows of one update
    #[arg(long, value_name = "N", value_parser = positive, default_value = "64")]
    pub batch: usize,
    /// Learning rate at the start; falls by a cosine
    #[arg(long, value_name = "RATE", default_value = "0.005")]
    pub rate: f64,
    /// Units of the GRU
    #[arg(long, value_name = "N", value_parser = positive, default_value = "16")]
    pub hidden: usize,
    /// Networks whose forecasts are averaged, each from its own seed
    #[arg(long, value_name = "N", value_parser = positive, default_value = "3")]
    pub members: usize,
    /// Seed of weights and order; the same seed gives the same numbers
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Where to write the model [default: out/forecast.safetensors; with --load none]
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Take a saved model and only test it
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Where to write the plot
    #[arg(long, value_name = "FILE", default_value = "out/forecast.svg")]
    pub plot: PathBuf,
    /// Last line of the output is one JSON object with the errors
    #[arg(long)]
    pub json: bool,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeviceChoice {
    /// The CPU
    Cpu,
    /// The best adapter, even a software one
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

    #[test]
    fn zero_is_refused() {
        for option in ["--window", "--horizon", "--epochs"] {
            let error = Args::try_parse_from(["forecast", option, "0"]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("at least 1"), "{error}");
        }
    }
}
