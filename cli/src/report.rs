//! `wgru report`: checks and times a GPU, and reads rules from such reports.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wgru::io::write_atomically;
use wgru::{Device, GpuOptions};
use wgru_report::{Host, MAX_LEN, Options, Report, picture, table, text};

use crate::failure::{DEVICE, Failure, Result};
use crate::output::{Answer, Output, complain};

/// Checks every operation and layer on a GPU against f64, and times products, plans and training, within two minutes.
///
/// Work that would take long is skipped. Ctrl-C ends the run with a partial report. The exit code is 0 if the report is
/// complete and every check passed. `docs/hardware/README.md` describes the file, and how to contribute one.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Part of the adapter's name; `wgru devices` lists the adapters [default: WGRU_ADAPTER, or the best one]
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    /// Draw the times to this file
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Seconds after which no further work starts
    #[arg(long, default_value_t = Options::default().seconds)]
    seconds: f64,
    /// Time only the smallest sizes
    #[arg(long)]
    quick: bool,
    /// Only check, without timing
    #[arg(long)]
    no_times: bool,
    /// Multiply all errors by this factor, to test that wrong results are reported
    #[arg(long, hide = true, default_value_t = 1.0)]
    spoil: f64,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    Rules(RulesArgs),
}

/// Derives the built-in rules for plans and shaders from reports.
#[derive(clap::Args, Debug)]
struct RulesArgs {
    /// The reports
    #[arg(required = true, value_name = "FILE.json")]
    files: Vec<PathBuf>,
    /// Write the table to this file of the library: `src/ops/adapters/measured.rs`
    #[arg(long, value_name = "FILE.rs")]
    write: Option<PathBuf>,
}

/// How long a step may take before the device counts as hung.
const HUNG: Duration = Duration::from_secs(120);

pub fn report(args: &Args, out: &Output) -> Result<Answer> {
    match &args.action {
        Some(Action::Rules(args)) => rules(args, out),
        None => measure(args, out),
    }
}

fn measure(args: &Args, out: &Output) -> Result<Answer> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::arguments("--seconds: expected a number above 0, at most 3600"));
    }
    let blank = Report {
        time: now(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ..Default::default()
    };
    let options = GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() };
    let report = match pollster::block_on(Device::gpu_with(options)) {
        Ok(device) => watched(args, out, device, blank)?,
        Err(error) => {
            let report =
                Report { ended: format!("failed: {error}"), library: env!("CARGO_PKG_VERSION").into(), ..blank };
            save(args, &report)?;
            return Err(error.into());
        }
    };
    save(args, &report)?;
    out.line(text(&report).trim_end());
    for path in [&args.save, &args.picture].into_iter().flatten() {
        out.line(format!("\nwritten: {}", path.display()));
    }
    let json: Value = serde_json::from_str(&report.to_json()).unwrap_or(Value::Null);
    match report.ended.strip_prefix("device") {
        Some(_) => Err(Failure { exit: DEVICE, text: report.ended }),
        None => Ok(Answer { yes: report.is_right(), json }),
    }
}

fn save(args: &Args, report: &Report) -> Result<()> {
    args.save.as_ref().map_or(Ok(()), |path| write_atomically(path, report.to_json().as_bytes()))?;
    args.picture.as_ref().map_or(Ok(()), |path| write_atomically(path, picture(report).as_bytes()))?;
    Ok(())
}

/// The time, as RFC 3339 in UTC.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0; a year ends with February, so that the leap day is its last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

/// State that the run shares with the thread that watches it.
struct Shared {
    stop: AtomicBool,
    report: Mutex<Report>,
    steps: mpsc::Sender<(f64, String)>,
    start: Instant,
}

impl Host for Shared {
    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn at(&self, report: &Report, done: f64, name: &str) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone_from(report);
        // After a hang, the receiver is gone.
        let _ = self.steps.send((done, name.to_string()));
    }
}

/// Runs in a thread of its own, so that a driver that never answers cannot keep the report.
fn watched(args: &Args, out: &Output, device: Device, blank: Report) -> Result<Report> {
    let (steps, progress) = mpsc::channel();
    let (stop, report) = (AtomicBool::new(false), Mutex::new(blank.clone()));
    let shared = Arc::new(Shared { stop, report, steps, start: Instant::now() });
    let (seconds, quick, times) = (args.seconds, args.quick, !args.no_times);
    let options = Options { seconds, quick, times, spoil: args.spoil, ..Options::default() };
    let host = shared.clone();
    let run = move || pollster::block_on(wgru_report::run(&device, options, &*host, blank));
    let (done, ended) = mpsc::channel();
    let failed = |error: std::io::Error| Failure { exit: crate::failure::OTHER, text: format!("no thread: {error}") };
    let work = move || {
        // After a hang, the receiver is gone.
        let _ = done.send(run());
    };
    thread::Builder::new().name("report".into()).spawn(work).map_err(failed)?;
    let interrupted = shared.clone();
    // A second Ctrl-C does not wait for the present step. Without a handler, Ctrl-C ends the program without a report.
    let handler = ctrlc::set_handler(move || {
        if interrupted.stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        log(&format!("Ctrl-C ends this run without a report: {error}"));
    }
    let bar = out.progress(100);
    let (mut last, mut step) = (Instant::now(), String::new());
    loop {
        match progress.recv_timeout(Duration::from_millis(200)) {
            Ok((share, name)) => {
                bar.set(share);
                bar.at(&name);
                (last, step) = (Instant::now(), name);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if last.elapsed() < HUNG => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let report = shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let ended = format!("device hung: no answer for {} s at {step}", HUNG.as_secs());
                return Ok(Report { ended, ..report });
            }
            // `shared` holds the other end.
            Err(mpsc::RecvTimeoutError::Disconnected) => unreachable!(),
        }
        match ended.try_recv() {
            Ok(report) => return Ok(report),
            Err(mpsc::TryRecvError::Empty) => {}
            // The thread panicked.
            Err(mpsc::TryRecvError::Disconnected) => {
                let report = shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Ok(Report { ended: format!("failed: a panic at {step}"), ..report });
            }
        }
    }
}

fn log(text: &str) {
    complain(&format!("warning: {text}"));
}

fn rules(args: &RulesArgs, out: &Output) -> Result<Answer> {
    let mut reports = Vec::new();
    for path in &args.files {
        let fail = |why: String| Failure::file(path, why);
        let len = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
        if len > MAX_LEN as u64 {
            return Err(fail(format!("has {len} bytes; expected a report of at most {} MiB", MAX_LEN >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        reports.push((name, Report::from_json(&text).map_err(fail)?));
    }
    reports.sort_by(|a, b| a.0.cmp(&b.0));
    let table = table(&reports);
    table.notes.iter().for_each(|note| out.line(note));
    match &args.write {
        Some(path) => write_atomically(path, table.to_rust().as_bytes())?,
        None => out.line(format!("\n{}", table.to_rust().trim_end())),
    }
    Ok(Answer::yes(json!({ "rules": table.rules.len(), "notes": table.notes, "source": table.to_rust() })))
}
