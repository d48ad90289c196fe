//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Trains, draws and streams a GRU in a window, on the GPU that draws it.
#[derive(Parser, Clone, Debug)]
#[command(name = "wgru-desktop", version)]
pub struct Options {
    /// Folder for the model and the settings [default: the user's application data folder]
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// Color theme of the window [default: the last choice, initially the system's]
    #[arg(long, value_enum)]
    pub theme: Option<ThemeChoice>,
    /// Start training at launch
    #[arg(long, overrides_with = "no_train")]
    pub train: bool,
    /// Do not train until the button is pressed (default)
    #[arg(long, overrides_with = "train")]
    pub no_train: bool,
    /// Device to train on [default: the last choice, initially the window's]
    #[arg(long, value_enum)]
    pub device: Option<Place>,
    /// Hidden units of the GRU; replaces a saved model of a different size [default: as saved, initially 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(4..=256))]
    pub hidden: Option<u16>,
    /// Size of the window
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, default_value = "1320x860")]
    pub size: (f32, f32),

    /// Close the window after N frames
    #[arg(long, value_name = "N", help_heading = "For tests and measurements")]
    pub frames: Option<u64>,
    /// Close the window after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "For tests and measurements")]
    pub seconds: Option<Duration>,
    /// Close the window after N updates; with another limit, when both are reached
    #[arg(long, value_name = "N", help_heading = "For tests and measurements")]
    pub until_updates: Option<u64>,
    /// Write the last frame as a PNG
    #[arg(long, value_name = "FILE", help_heading = "For tests and measurements")]
    pub screenshot: Option<PathBuf>,
    /// Write the measurements of the run as JSON
    #[arg(long, value_name = "FILE", help_heading = "For tests and measurements")]
    pub report: Option<PathBuf>,
    /// In every N-th frame, record an inference of 64 steps, 8 sequences and two layers of 256 units on the window's
    /// device
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "For tests and measurements")]
    pub infer_every: Option<u64>,
    /// Destroy the training device at this frame
    #[arg(long, value_name = "FRAME", help_heading = "For tests and measurements")]
    pub lose_at: Option<u64>,
    /// With --lose-at: destroy the device in the middle of the frame, which restarts the program
    #[arg(long, requires = "lose_at", help_heading = "For tests and measurements")]
    pub while_painting: bool,
    /// Number of restarts so far, each because a device was lost while painting
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    pub after_loss: u32,
}

/// Which device trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The device that draws the window
    Window,
    /// A second device on the same adapter
    Own,
}

/// The color theme of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// Dark
    Dark,
    /// Light
    Light,
    /// The system's theme
    System,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<(f32, f32), String> {
    let side = |text: &str| text.parse::<u16>().ok().filter(|side| *side >= 200).map(f32::from);
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| "must be two numbers of 200 or more, such as 1280x800".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_last_of_train_and_no_train_wins() {
        let options = Options::try_parse_from(["app", "--train", "--no-train"]).unwrap();
        assert!(!options.train && options.no_train);
    }

    #[test]
    fn mistakes_are_refused_with_the_option_named() {
        for wrong in [["--size", "big"], ["--seconds", "-1"], ["--infer-every", "0"], ["--hidden", "3"]] {
            let error = Options::try_parse_from(["app".to_string(), wrong.join("=")]).unwrap_err().to_string();
            assert!(error.contains(wrong[0]), "{error}");
        }
    }
}
