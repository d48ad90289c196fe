//! Forecasts series with a GRU, and compares it with simple forecasts.
//!
//! ```text
//! cargo run --release --example forecast
//! cargo run --release --example forecast -- --csv FILE --column NAME --horizon 24 --window 96 --device gpu
//! ```

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
use common::files::{fingerprint, make_folder};
use common::training::{INTERRUPTED, Interrupt, bar};
use data::{Example, Inputs};
use evaluate::{Columns, Source, Tested, splits};
use holidays::Holidays;
use model::Forecaster;
use output::Outlook;
use plot::Picture;
use repair::{Choices, repair};
use report::Report;
use series::Panel;
use spec::{Asked, Spec};
use split::Split;
use table::Table;
use time::Step;
use train::{Kept, Session};

const SEATTLE: &[u8] = include_bytes!("../data/seattle-weather.csv");
const SEATTLE_COLUMNS: [&str; 4] = ["temp_max", "temp_min", "precipitation", "wind"];
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

/// What a run found out.
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

/// Returns the columns that the command line names.
fn columns(args: &Args) -> Result<Columns> {
    let column = match (&args.column, &args.csv) {
        (Some(column), _) => column.clone(),
        (None, None) => SEATTLE_COLUMNS[0].into(),
        (None, Some(_)) => return Err("--csv needs --column NAME, the column to forecast".into()),
    };
    let known = args.known.clone().unwrap_or_default();
    let features = match (&args.features, &args.csv) {
        (Some(features), _) => features.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => SEATTLE_COLUMNS.iter().filter(|c| **c != column).map(|c| c.to_string()).collect(),
    };
    let numbers: Vec<String> = [vec![column], features, known.clone()].concat();
    if let Some(twice) = numbers.iter().enumerate().find(|(i, name)| numbers[..*i].contains(name)) {
        return Err(format!("column {:?} is named twice among --column, --features and --known", twice.1).into());
    }
    let statics = args.statics.clone().unwrap_or_default();
    Ok(Columns { numbers, known: known.len(), series: args.series.clone(), statics })
}

fn read(args: &Args, columns: &Columns) -> Result<Panel> {
    let to_read = table::Columns {
        numbers: columns.numbers.clone(),
        statics: columns.statics.clone(),
        series: columns.series.clone(),
    };
    let table = match &args.csv {
        Some(path) => Table::open(path, &to_read)?,
        None => Table::parse("seattle-weather.csv", SEATTLE, &to_read)?,
    };
    let choices = Choices { missing: args.missing, duplicates: args.duplicates };
    Ok(repair(table, &columns.numbers, columns.numbers.len() - columns.known, choices)?)
}

fn asked(args: &Args) -> Asked {
    Asked {
        column: args.column.clone(),
        features: args.features.clone(),
        known: args.known.clone(),
        statics: args.statics.clone(),
        series: args.series.clone(),
        window: args.window,
        horizon: args.horizon,
        interval: args.interval,
    }
}

/// Returns window and horizon.
fn sizes(args: &Args, panel: &Panel) -> [usize; 2] {
    let is_hourly = panel.step() == Some(Step::Hours(1.0));
    let [window, horizon] = if is_hourly { [96, 24] } else { [28, 1] };
    [args.window.unwrap_or(window), args.horizon.unwrap_or(horizon)]
}

/// Everything that a run depends on, for its checkpoint.
fn options(args: &Args, spec: &Spec, source: &Source, splits: &[Split]) -> Vec<(&'static str, String)> {
    let mut content = format!("{:?} {splits:?}", source.holidays);
    for series in &source.panel.series {
        content += &format!("{} {:?} {:?} {:?}", series.name, series.columns, series.observed, series.times);
    }
    vec![
        ("the data", format!("{:016x}", fingerprint(content.as_bytes()))),
        ("--column, --features and --known", spec.columns.join(", ")),
        ("--window", spec.window.to_string()),
        ("--horizon", spec.horizon.to_string()),
        ("--transform", spec.transform.name().into()),
        ("--difference", spec.difference.to_string()),
        ("--cycles", spec.cycles.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ")),
        ("--loss", spec.loss.name().into()),
        ("--interval", spec.interval.to_string()),
        ("--epochs", args.epochs.to_string()),
        ("--batch", args.batch.to_string()),
        ("--rate", args.rate.to_string()),
        ("--ema", args.ema.map_or("none".into(), |decay| decay.to_string())),
        ("--refit", args.refit.to_string()),
        ("--hidden", spec.hidden.to_string()),
        ("--members", spec.members.to_string()),
        ("--seed", args.seed.to_string()),
    ]
}

/// Returns the forecast beyond the end of every series; a reason if something is missing that the model needs.
fn beyond(forecaster: &Forecaster, panel: &Panel, inputs: &Inputs) -> Result<std::result::Result<Outlook, String>> {
    let spec = &forecaster.spec;
    let ends: Vec<Example> =
        (panel.series.iter().enumerate()).map(|(series, one)| Example { series, origin: one.rows() }).collect();
    for (example, series) in ends.iter().zip(&panel.series) {
        let of = if series.name.is_empty() { String::new() } else { format!(" in series {:?}", series.name) };
        if example.origin < spec.window {
            return Err(
                format!("{}: {} rows{of}, but the model reads {}", panel.source, example.origin, spec.window).into()
            );
        }
        if !inputs.reaches(*example, spec.horizon) {
            let (first, last) = (series.label(series.rows()), series.label(series.rows() + spec.horizon - 1));
            let names = spec.columns[spec.first_known()..].join(", ");
            return Ok(Err(format!(
                "it needs {names} from {first} to {last}{of}; add rows to the table in which the other columns are empty"
            )));
        }
    }
    let found = forecaster.beyond(inputs, &ends)?;
    let (levels, quantiles) = (spec.levels(), found.quantiles.unwrap_or_default());
    let step = |place: usize| {
        let (example, step) = (ends[place / spec.horizon], place % spec.horizon);
        let series = &panel.series[example.series];
        output::Step {
            series: series.name.clone(),
            label: series.label(example.origin + step),
            step: step + 1,
            point: found.point[place],
            quantiles: quantiles[place * levels.len()..][..levels.len()].to_vec(),
        }
    };
    Ok(Ok(Outlook {
        steps: (0..found.point.len()).map(step).collect(),
        ends: spec.ends(),
        label: if panel.series.iter().all(|series| series.hours(series.rows()).is_some()) { "date" } else { "row" },
        series: spec.statics.series_column(),
        column: spec.columns[0].clone(),
        levels,
    }))
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
