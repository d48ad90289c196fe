//! Forecasts series with a GRU, and compares it with simple forecasts.
//!
//! ```text
//! cargo run --release --example forecast
//! cargo run --release --example forecast -- --csv FILE --column NAME --horizon 24 --window 96 --device gpu
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod adapt;
mod args;
mod backtest;
mod baselines;
mod calibrate;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod evaluate;
mod head;
mod holidays;
mod input;
mod model;
mod network;
mod output;
mod plot;
mod repair;
mod report;
mod ridge;
mod score;
mod series;
mod smoothing;
mod spec;
mod split;
mod statics;
mod table;
#[cfg(test)]
mod tests;
mod theta;
mod time;
mod train;
mod transform;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::Device;
use wgru::io::TensorFile;

use args::Args;
use common::Result;
use common::checkpoint::Checkpoint;
use common::files::make_folder;
use common::training::{INTERRUPTED, Interrupt, bar};
use data::Inputs;
use evaluate::{Columns, Source, Tested, splits};
use holidays::Holidays;
use input::{asked, columns, options, read, sizes};
use model::Forecaster;
use output::{Outlook, beyond};
use plot::Picture;
use report::Report;
use series::Panel;
use spec::Spec;
use split::Split;
use time::Step;
use train::{Kept, Session};

const MODEL: &str = "out/forecast.safetensors";
const CHECKPOINT: &str = "out/forecast.checkpoint";

fn main() -> ExitCode {
    let args = Args::parse();
    // A backtest has no checkpoint, so it ends at once.
    let interrupt = if args.backtest.is_none() { Interrupt::listen() } else { Ok(Interrupt::default()) };
    let ended = interrupt.and_then(|interrupt| run(&args, &|| interrupt.is_set()));
    match ended {
        Ok(Some(_)) => ExitCode::SUCCESS,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Results of a run.
#[cfg_attr(not(test), allow(dead_code, reason = "read in tests"))]
struct Done {
    /// `None` for a table that is too short for a test.
    report: Option<Report>,
    outlook: Option<Outlook>,
}

/// Trains or loads, tests, forecasts, and writes the files; `None` if `interrupted`.
fn run(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Done>> {
    let start = Instant::now();
    let file = args.load.as_ref().map(TensorFile::open).transpose()?;
    let columns = match &file {
        Some(file) => {
            let spec = Spec::read(file)?;
            spec.check_request(&asked(args))?;
            let (series, statics) = (spec.statics.series_column(), spec.statics.columns());
            Columns { known: spec.known, series, statics, numbers: spec.columns }
        }
        None => columns(args)?,
    };
    let panel = read(args, &columns)?;
    let holidays = args.holidays.as_deref().map(Holidays::open).transpose()?;
    let source = Source { panel: &panel, holidays: holidays.as_ref() };
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    panel.notes.iter().for_each(|note| println!("{}: {note}", panel.file_name()));

    let [window, horizon] = sizes(args, &panel);
    if let Some(blocks) = args.backtest {
        let report = backtest::run(args, columns, &source, &device, [window, horizon], blocks)?;
        if args.json {
            println!("{}", report.json());
        }
        return Ok(Some(Done { report: None, outlook: None }));
    }
    let (mut forecaster, splits, kept) = match &file {
        Some(file) => {
            let forecaster = Forecaster::from_file(&device, file)?;
            let spec = &forecaster.spec;
            evaluate::check_values(&panel, &spec.columns[0], spec.transform, spec.loss)?;
            if spec.holidays != holidays.is_some() {
                let way_out = if spec.holidays { "name the file with --holidays" } else { "leave out --holidays" };
                return Err(format!(
                    "--load: the model {} holidays; {way_out}",
                    if spec.holidays { "needs" } else { "has no" }
                )
                .into());
            }
            let splits = splits(args, &panel, spec.window, spec.horizon);
            if let Err(why) = &splits {
                println!("no test: {why}");
            }
            (forecaster, splits.ok(), Vec::new())
        }
        None => {
            let splits = splits(args, &panel, window, horizon)?;
            let spec = evaluate::specify(args, columns, &panel, &splits, [window, horizon])?;
            let Some((forecaster, kept)) = learn(args, spec, &source, &splits, &device, interrupted)? else {
                return Ok(None);
            };
            (forecaster, Some(splits), kept)
        }
    };
    let done = finish(args, &mut forecaster, &source, splits.as_deref(), kept, start)?;
    Ok(Some(done))
}

/// Trains with a progress bar and a checkpoint; `None` if `interrupted`.
fn learn(
    args: &Args,
    spec: Spec,
    source: &Source,
    splits: &[Split],
    device: &Device,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Forecaster, Vec<Kept>)>> {
    let options = options(args, &spec, source, splits);
    let (checkpoint, continued) = Checkpoint::open(args.checkpoint.as_deref(), CHECKPOINT, options)?;
    let bar = bar(0, args.json)?;
    let session = Session { bar: &bar, checkpoint: &checkpoint, continued, interrupted };
    let learned = evaluate::train(args, device, spec, source, splits, session)?;
    bar.finish_and_clear();
    if learned.is_none() {
        println!("{}", checkpoint.farewell());
    }
    Ok(learned)
}

/// Tests and forecasts, and writes the files.
fn finish(
    args: &Args,
    forecaster: &mut Forecaster,
    source: &Source,
    splits: Option<&[Split]>,
    kept: Vec<Kept>,
    start: Instant,
) -> Result<Done> {
    let panel = source.panel;
    let numbers = forecaster.spec.check_table(panel)?;
    let inputs = Inputs::new(panel, &forecaster.spec, &numbers, source.holidays);
    let tested = splits.map(|splits| evaluate::test(args, forecaster, &inputs, panel, splits)).transpose()?;
    for (number, factors) in numbers.iter().zip(tested.iter().flat_map(|tested| &tested.factors.0)) {
        forecaster.factors.0[*number].clone_from(factors);
    }
    let spec = &forecaster.spec;
    let report = tested.as_ref().map(|tested| Report {
        entries: tested.entries.clone(),
        difference: Report::best_baseline(&tested.entries)
            .map_or(f64::NAN, |best| score::difference(&tested.entries[0], best, &tested.actual, spec.horizon)),
        interval: spec.interval,
        kept,
        seconds: start.elapsed().as_secs_f64(),
        device: forecaster.device.info().name.clone(),
    });
    if let (Some(report), Some(splits)) = (&report, splits) {
        println!("\n{}\n{}\n", report.headline(), describe(panel, spec, splits));
        println!("{}", report.table());
        report.training().iter().for_each(|training| println!("{training}"));
    }
    let outlook = match beyond(forecaster, panel, &inputs)? {
        Ok(outlook) => Some(outlook),
        Err(why) => {
            println!("no forecast beyond the table: {why}");
            None
        }
    };
    let written = write_files(args, forecaster, panel, tested.as_ref(), outlook.as_ref())?;
    println!("{:.1} s; wrote {}", start.elapsed().as_secs_f64(), written.join(", "));
    if args.json {
        let mut json = report.as_ref().map(Report::json).unwrap_or_default();
        json.insert("forecast".into(), outlook.as_ref().map(Outlook::json).unwrap_or_default());
        println!("{}", serde_json::Value::from(json));
    }
    Ok(Done { report, outlook })
}

/// Writes plot, forecast and model; returns the names of the files.
fn write_files(
    args: &Args,
    forecaster: &Forecaster,
    panel: &Panel,
    tested: Option<&Tested>,
    outlook: Option<&Outlook>,
) -> Result<Vec<String>> {
    let spec = &forecaster.spec;
    let picture = Picture {
        title: format!(
            "{}: the next {} of {}",
            panel.file_name(),
            Step::name(panel.step(), spec.horizon),
            spec.columns[0]
        ),
        unit: &spec.columns[0],
        panel,
        tested,
        horizon: spec.horizon,
        interval: spec.interval,
        outlook,
    };
    picture.draw(&args.plot)?;
    let mut written = vec![args.plot.display().to_string()];
    if let Some(outlook) = outlook {
        outlook.save(&args.forecast)?;
        written.push(args.forecast.display().to_string());
    }
    if let Some(path) = args.save.as_deref().or(args.load.is_none().then_some(Path::new(MODEL))) {
        make_folder(path)?;
        forecaster.to_file()?.save(path)?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// Describes data, inputs and split.
fn describe(panel: &Panel, spec: &Spec, splits: &[Split]) -> String {
    let (series, split) = (&panel.series[0], &splits[0]);
    let part = |part: &std::ops::Range<usize>| {
        format!("{} to {} ({} rows)", series.label(part.start), series.label(part.end - 1), part.len())
    };
    let mut inputs: Vec<&str> = spec.columns.iter().map(String::as_str).collect();
    inputs.extend(spec.holidays.then_some("holidays"));
    inputs.extend(spec.cycles.iter().map(|c| c.name()));
    let statics = spec.statics.columns();
    inputs.extend(statics.iter().map(String::as_str));
    let (of, first) = match panel.series.len() {
        1 => (String::new(), String::new()),
        n => (format!(" in {n} series"), format!("series {:?}: ", series.name)),
    };
    format!(
        "{}: the next {} of {}{of} from {} rows of {}\n{first}train {}, validation {}, test {}",
        panel.file_name(),
        Step::name(panel.step(), spec.horizon),
        spec.columns[0],
        spec.window,
        inputs.join(", "),
        part(&split.train),
        part(&split.validation),
        part(&split.test)
    )
}
