//! Restarts the program with the same options, after a device loss that a window cannot recover from.

use std::ffi::OsString;
use std::process::Command;

use crate::options::Options;

/// Maximum number of restarts in a row.
const MOST: u32 = 3;

/// Restarts the program, and ends this process when the new one has ended. Nothing is dropped, because drivers may wait
/// forever for a lost device.
///
/// # Errors
/// A message for the user.
pub fn run(options: &Options, train: bool) -> Result<std::convert::Infallible, String> {
    if options.after_loss >= MOST {
        return Err("the GPU was lost repeatedly; the model is saved".into());
    }
    let program = std::env::current_exe().map_err(|error| format!("cannot restart: {error}"))?;
    let arguments = arguments(std::env::args_os().skip(1), options.after_loss + 1, train);
    let status = Command::new(program).args(arguments).status();
    let status = status.map_err(|error| format!("cannot restart: {error}"))?;
    std::process::exit(status.code().unwrap_or(1))
}

/// Returns the arguments for the new process, without those that caused this device loss.
fn arguments(old: impl Iterator<Item = OsString>, start: u32, train: bool) -> Vec<OsString> {
    let mut new: Vec<OsString> = Vec::new();
    let mut old = old.peekable();
    while let Some(argument) = old.next() {
        match argument.to_string_lossy().as_ref() {
            "--lose-at" | "--after-loss" => _ = old.next(),
            "--while-painting" | "--train" | "--no-train" => {}
            text if text.starts_with("--lose-at=") || text.starts_with("--after-loss=") => {}
            _ => new.push(argument),
        }
    }
    new.push(if train { "--train" } else { "--no-train" }.into());
    new.extend(["--after-loss".into(), start.to_string().into()]);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn restart_omits_the_options_that_lost_the_device() {
        let old = ["--train", "--lose-at", "7", "--while-painting", "--state", "here", "--after-loss=1"];
        let new = arguments(old.iter().map(OsString::from), 2, false);
        assert_eq!(new, ["--state", "here", "--no-train", "--after-loss", "2"]);
        let options = Options::try_parse_from([OsString::from("app")].into_iter().chain(new)).unwrap();
        assert!(!options.train && options.after_loss == 2 && options.lose_at.is_none());
    }
}
