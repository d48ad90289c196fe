//! Errors with their exit codes.

use std::path::Path;

use wgru::Error;

/// The answer of a command is no.
pub const NO: u8 = 1;
/// Wrong arguments; also clap's code.
pub const ARGUMENTS: u8 = 2;
/// A file cannot be read or written.
pub const FILE: u8 = 3;
/// A device does not exist, or fails.
pub const DEVICE: u8 = 4;
/// Any other error.
pub const OTHER: u8 = 5;

/// Why a command did not finish.
#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Wrong arguments.
    pub fn arguments(text: impl Into<String>) -> Self {
        Self { exit: ARGUMENTS, text: text.into() }
    }

    /// A file that cannot be read or written.
    pub fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self { exit: FILE, text: format!("{}: {why}", path.display()) }
    }
}

/// Reads a tolerance. With NaN, nothing would differ.
pub fn tolerance(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(tolerance) if tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a number from 0 on".into()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.code() {
            "io" | "format" | "unsupported" => FILE,
            "no-adapter" | "out-of-memory" | "device-lost" | "gpu" => DEVICE,
            "shape" | "value" | "dtype" => ARGUMENTS,
            _ => OTHER,
        };
        Self { exit, text: error.to_string() }
    }
}
