//! Forecasts a series with a GRU, and compares it with simple forecasts.
//!
//! ```text
//! cargo run --release --example forecast
//! cargo run --release --example forecast -- --csv FILE --column NAME --horizon 24 --window 96 --device gpu
//! ```

mod args;
mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod model;
mod plot;
mod report;
mod series;
mod spec;
mod split;
mod time;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::ProgressBar;
use wgru::Device;
use wgru::io::TensorFile;
use wgru::train::Progress;

use args::Args;
use common::Result;
use common::files::make_folder;
use common::training::bar;
use data::Table;
use model::{Forecaster, Kept, Training};
use plot::Picture;
use report::{Entry, NETWORK, PERSISTENCE, RIDGE, Report, SEASONAL};
use series::{Series, SeriesError};
use spec::{Asked, Scale, Spec};
use split::{Sizes, Split, origins};
use time::Cycle;

const SEATTLE: &[u8] = include_bytes!("../data/seattle-weather.csv");
const SEATTLE_COLUMNS: [&str; 4] = ["temp_max", "temp_min", "precipitation", "wind"];
const MODEL: &str = "out/forecast.safetensors";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let file = args.load.as_ref().map(TensorFile::open).transpose()?;
    let columns = match &file {
        Some(file) => {
            let spec = Spec::read(file)?;
            spec.check_request(&asked(args))?;
            spec.columns
        }
        None => columns(args)?,
    };
    let series = read(args, &columns)?;
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);

    let (forecaster, split, kept) = match &file {
        Some(file) => {
            let forecaster = Forecaster::from_file(&device, file)?;
            forecaster.spec.check_table(&series)?;
            let split = divide(args, &series, forecaster.spec.window, forecaster.spec.horizon)?;
            (forecaster, split, Vec::new())
        }
        None => train(args, columns, &series, &device)?,
    };
    let spec = &forecaster.spec;
    println!("{}", describe(&series, spec, &split));
    let (entries, actual) = measure(args, &forecaster, &series, &split)?;
    let (deviation, seconds) = (spec.scales[0].deviation, start.elapsed().as_secs_f64());
    let report = Report { entries, deviation, kept, seconds, device: device.info().name.clone() };
    println!("\n{}", report.table());
    if let Some(training) = report.training() {
        println!("{training}");
    }

    let first = origins(&split.test, spec.window, spec.horizon).start;
    let picture = Picture {
        title: format!("{}: {} of {}", source(&series), ahead(&series, spec.horizon), spec.columns[0]),
        unit: &spec.columns[0],
        entries: &report.entries,
        actual: &actual,
        horizon: spec.horizon,
        label: &|row| series.label((first + row).min(series.rows() - 1)),
    };
    make_folder(&args.plot)?;
    picture.draw(&args.plot)?;
    let mut written = vec![args.plot.display().to_string()];
    let save = args.save.as_deref().or(args.load.is_none().then_some(Path::new(MODEL)));
    if let Some(path) = save {
        make_folder(path)?;
        forecaster.to_file()?.save(path)?;
        written.push(path.display().to_string());
    }
    println!("{seconds:.1} s; wrote {}", written.join(", "));
    if args.json {
        println!("{}", report.json());
    }
    Ok(())
}

/// Returns the columns that the command line names, the one to forecast first.
fn columns(args: &Args) -> Result<Vec<String>> {
    let column = match (&args.column, &args.csv) {
        (Some(column), _) => column.clone(),
        (None, None) => SEATTLE_COLUMNS[0].into(),
        (None, Some(_)) => return Err("--csv needs --column NAME, the column to forecast".into()),
    };
    let features = match (&args.features, &args.csv) {
        (Some(features), _) => features.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => SEATTLE_COLUMNS.iter().filter(|c| **c != column).map(|c| c.to_string()).collect(),
    };
    Ok(std::iter::once(column).chain(features).collect())
}

fn read(args: &Args, columns: &[String]) -> std::result::Result<Series, SeriesError> {
    match &args.csv {
        Some(path) => Series::open(path, columns),
        None => Series::parse("seattle-weather.csv", SEATTLE, columns),
    }
}

fn asked(args: &Args) -> Asked {
    Asked { column: args.column.clone(), features: args.features.clone(), window: args.window, horizon: args.horizon }
}

fn divide(args: &Args, series: &Series, window: usize, horizon: usize) -> Result<Split> {
    let sizes = Sizes { train: args.train, validation: args.validation, test: args.test };
    let split = Split::new(series.rows(), series.step(), sizes, window, horizon);
    split.map_err(|why| SeriesError::Table { path: series.source.clone(), why }.into())
}

fn train(
    args: &Args,
    columns: Vec<String>,
    series: &Series,
    device: &Device,
) -> Result<(Forecaster, Split, Vec<Kept>)> {
    let step = series.step();
    let hourly = step == Some(1.0);
    let window = args.window.unwrap_or(if hourly { 96 } else { 28 });
    let horizon = args.horizon.unwrap_or(if hourly { 24 } else { 1 });
    let split = divide(args, series, window, horizon)?;
    let scales: Vec<Scale> = series.columns.iter().map(|c| Scale::of(&c[split.train.clone()])).collect();
    let cycles = step.map(|step| Cycle::learnable(step, split.train.len())).unwrap_or_default();
    let spec = Spec { columns, scales, window, horizon, cycles, hidden: args.hidden, members: args.members };
    let table = Table::new(series, &spec);
    let parts = [&split.train, &split.validation].map(|part| origins(part, window, horizon));
    let how = Training { epochs: args.epochs, batch: args.batch, rate: args.rate, seed: args.seed };

    let bar = bar(0, args.json)?;
    let members = args.members;
    let (forecaster, kept) = Forecaster::train(device, spec, &table, parts, &how, &mut |member, report| {
        show(&bar, member, members, args.epochs, report);
    })?;
    bar.finish_and_clear();
    Ok((forecaster, split, kept))
}

fn show(bar: &ProgressBar, member: usize, members: usize, epochs: usize, report: &Progress) {
    let updates = |epochs: usize| epochs.saturating_mul(report.of) as u64;
    bar.set_length(updates(members.saturating_mul(epochs)));
    bar.set_position(updates(member.saturating_mul(epochs).saturating_add(report.epoch)) + report.updates as u64);
    if let (Some(loss), Some(validation)) = (report.loss, report.validation) {
        bar.set_message(format!(
            "network {} of {members}, epoch {}: loss {loss:.4}, validation {validation:.4}",
            member + 1,
            report.epoch + 1
        ));
    }
}

/// Returns all forecasts of the test part, and the actual values.
fn measure(args: &Args, forecaster: &Forecaster, series: &Series, split: &Split) -> Result<(Vec<Entry>, Vec<f64>)> {
    let spec = &forecaster.spec;
    let (window, horizon, scale) = (spec.window, spec.horizon, spec.scales[0]);
    let part = |part| origins(part, window, horizon);
    let (y, test) = (&series.columns[0], part(&split.test));
    let table = Table::new(series, spec);
    let actual = baselines::targets(y, test.clone(), horizon);
    let mut entries = vec![
        Entry::new(NETWORK, forecaster.forecast(&table, test.clone())?, &actual),
        Entry::new(PERSISTENCE, baselines::persistence(y, test.clone(), horizon), &actual),
    ];
    let z = &table.target;
    if let Some(ridge) = baselines::Ridge::fit(z, part(&split.train), part(&split.validation), window, horizon) {
        let forecast = ridge.forecast(z, test.clone()).iter().map(|v| scale.mean + scale.deviation * v).collect();
        entries.push(Entry::new(RIDGE, forecast, &actual));
    }
    let season = args.season.or(series.step().and_then(time::season_of));
    if let Some(forecast) = season.and_then(|season| baselines::seasonal_naive(y, test, horizon, season)) {
        entries.push(Entry::new(SEASONAL, forecast, &actual));
    }
    Ok((entries, actual))
}

fn describe(series: &Series, spec: &Spec, split: &Split) -> String {
    let part = |part: &std::ops::Range<usize>| {
        format!("{} to {} ({} rows)", series.label(part.start), series.label(part.end - 1), part.len())
    };
    let inputs: Vec<&str> =
        spec.columns.iter().map(String::as_str).chain(spec.cycles.iter().map(|c| c.name())).collect();
    format!(
        "{}: {} of {} from {} rows of {}\ntrain {}, validation {}, test {}",
        source(series),
        ahead(series, spec.horizon),
        spec.columns[0],
        spec.window,
        inputs.join(", "),
        part(&split.train),
        part(&split.validation),
        part(&split.test)
    )
}

/// Names the horizon: `the next day`, `the next 24 hours`, `the next 3 rows`.
fn ahead(series: &Series, horizon: usize) -> String {
    let unit = match series.step() {
        Some(1.0) => "hour",
        Some(24.0) => "day",
        _ => "row",
    };
    if horizon == 1 { format!("the next {unit}") } else { format!("the next {horizon} {unit}s") }
}

/// Returns the file's name without its folder.
fn source(series: &Series) -> String {
    Path::new(&series.source).file_name().map_or(series.source.clone(), |name| name.to_string_lossy().into_owned())
}
