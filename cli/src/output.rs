//! Text for people, JSON for scripts, and progress bars on standard error.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Prints a line on standard error, which may be closed.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Result of a command.
pub struct Answer {
    pub json: Value,
    /// Whether the exit code is 0.
    pub yes: bool,
}

impl Answer {
    pub fn yes(json: Value) -> Self {
        Self { json, yes: true }
    }
}

/// Where a command prints.
pub struct Output {
    json: bool,
    quiet: bool,
    bar: RefCell<Option<ProgressBar>>,
}

impl Output {
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, bar: RefCell::new(None) }
    }

    /// Prints a line of text, unless the result is printed as JSON. Above a progress bar, if there is one.
    pub fn line(&self, text: impl AsRef<str>) {
        if self.json {
            return;
        }
        let print = || {
            // A closed pipe ends the output, not the work.
            let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
        };
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Prints the result, if it is printed as JSON.
    pub fn json(&self, value: &Value) {
        if self.json {
            let _ = writeln!(std::io::stdout(), "{value}");
        }
    }

    /// Starts a progress bar. It is drawn on a terminal only.
    pub fn progress(&self, len: usize) -> Progress<'_> {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(len as u64), target);
        let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        *self.bar.borrow_mut() = Some(bar.clone());
        Progress { bar, out: self }
    }
}

/// A progress bar, which disappears at the end.
pub struct Progress<'a> {
    bar: ProgressBar,
    out: &'a Output,
}

impl Progress<'_> {
    /// Names the present part.
    pub fn at(&self, part: &str) {
        self.bar.set_message(part.to_string());
    }

    /// Sets the share that is done, from 0 to 1.
    #[cfg(feature = "gpu")]
    pub fn set(&self, share: f64) {
        self.bar.set_position((share * self.bar.length().unwrap_or(0) as f64) as u64);
    }

    /// Counts a part as done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        *self.out.bar.borrow_mut() = None;
    }
}
