//! Checks every operation and layer of wgru on a GPU against f64, and times products, plans and training.
//!
//! [`run`] does the work for the command `wgru report` and for the page `web/report`. A run is bounded: it skips calls
//! that would take long, ends after [`Options::seconds`], and reports after every step what it has so far.

#[allow(dead_code, unused_macros, reason = "the tests use the rest")]
mod common;
#[allow(missing_docs, reason = "a module of the tests")]
#[path = "../../tests/reference/mod.rs"]
mod reference;

mod checks;
mod picture;
mod report;
mod rules;
mod run;
mod text;
mod timings;

use wgru::Device;

pub use picture::picture;
pub use report::{Adapter, Check, MAX_LEN, Report, Skipped, Times, Timing, VERSION};
pub use rules::{Rule, Table, table};
use run::{Run, Stop};
pub use text::text;

/// Value of [`Report::ended`] for a run that did all its work.
pub const COMPLETE: &str = "complete";

/// Limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seconds after which no further work starts.
    pub seconds: f64,
    /// Seconds for the measurement of one time.
    pub patience: f64,
    /// Whether to time only the smallest sizes.
    pub quick: bool,
    /// Whether to time at all, after the checks.
    pub times: bool,
    /// Factor on all errors, to test that wrong results are reported; 1 otherwise.
    #[doc(hidden)]
    pub spoil: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 110.0, patience: 0.25, quick: false, times: true, spoil: 1.0 }
    }
}

/// The program that makes a report.
pub trait Host {
    /// Returns the seconds since any point in time.
    fn now(&self) -> f64;

    /// Whether the user wants the run to end.
    fn should_stop(&self) -> bool;

    /// Called before every step, with the report so far, the share of the run that is done, and the step's name.
    fn at(&self, report: &Report, done: f64, name: &str);
}

/// Checks and times a device. `report` has the fields that the host knows. A run that ends early says so in
/// [`Report::ended`].
pub async fn run(device: &Device, options: Options, host: &dyn Host, mut report: Report) -> Report {
    if report.adapter.is_none() {
        report.adapter = device.info().adapter.as_ref().map(Adapter::of);
    }
    report.library = env!("CARGO_PKG_VERSION").to_string();
    report.ended = "interrupted".to_string();
    let fallback = report.clone();
    let mut run = match Run::new(device, options, host, report) {
        Ok(run) => run,
        Err(error) => return Report { ended: format!("failed: {error}"), ..fallback },
    };
    let result = all(&mut run).await;
    let mut report = run.report;
    report.ended = match result {
        Ok(()) => COMPLETE.to_string(),
        Err(Stop::User) => "stopped by the user".to_string(),
        Err(Stop::Time) => format!("out of time after {:.0} s", options.seconds),
        Err(Stop::Lost(why)) => format!("device lost: {why}"),
    };
    report
}

async fn all(run: &mut Run<'_>) -> Result<(), Stop> {
    checks::all(run).await?;
    match run.options.times {
        true => timings::all(run).await,
        false => Ok(()),
    }
}
