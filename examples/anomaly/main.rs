//! Finds anomalies in an ECG or in the temperature of a machine, and predicts the remaining life of engines.
//!
//! ```text
//! cargo run --release --example anomaly
//! cargo run --release --example anomaly -- ecg FILE
//! cargo run --release --example anomaly -- machine FILE --labels combined_windows.json
//! cargo run --release --example anomaly -- engines FILE
//! cargo run --release --example anomaly -- --load out/anomaly.safetensors --stream --state FILE < lines.txt
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod beats;
mod calibration;
#[path = "../common/mod.rs"]
mod common;
mod detectors;
mod ecg;
mod engines;
mod events;
mod fit;
mod fleet;
mod inject;
mod life;
mod machine;
mod nab;
mod plot;
mod predictor;
mod regression;
mod scorer;
mod signal;
mod stream;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use wgru::io::TensorFile;

use args::{Args, Task};
use common::Result;
use common::curve::Curve;
use common::files::make_folder;
use common::training::{INTERRUPTED, Interrupt};
use life::Life;
use plot::Scored;
use scorer::Scorer;
use signal::Measurements;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if let (true, Some(model)) = (args.stream, &args.load) {
        stream::run(args, model)?;
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = Interrupt::listen()?;
    match perform(args, &|| interrupt.is_set())? {
        Some(report) if args.json => println!("{report}"),
        Some(_) => {}
        None => return Ok(ExitCode::from(INTERRUPTED)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Trains or loads a model, measures it, and writes model and plot; returns the results, or `None` if `interrupted`.
fn perform(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Value>> {
    if args.labels.is_some() && args.task() != Task::Machine {
        return Err("--labels is for `machine`".into());
    }
    let start = Instant::now();
    let work = match args.task() {
        Task::Ecg => on_ecg(args, interrupted)?,
        Task::Machine => on_machine(args, interrupted)?,
        Task::Engines => on_engines(args, interrupted)?,
    };
    let Some(Work { mut results, curve }) = work else { return Ok(None) };
    let seconds = start.elapsed().as_secs_f64();
    let mut written = vec![args.plot.display().to_string()];
    written.extend(curve.is_some().then(|| args.save.display().to_string()));
    println!("{seconds:.1} s; wrote {}", written.join(", "));
    results["task"] = json!(args.task().name());
    results["seconds"] = json!(seconds);
    results["loss"] = json!(curve.and_then(|curve| curve.0.last().map(|point| point.loss)));
    Ok(Some(results))
}

/// Results, and the learning curve if a model was trained.
struct Work {
    results: Value,
    curve: Option<Curve>,
}

/// Returns the model that --load names, after a check of its task; otherwise trains one and saves it. `None` if training
/// was interrupted.
fn model(
    args: &Args,
    train: impl FnOnce(&wgru::Device) -> Result<Option<(TensorFile, Curve)>>,
) -> Result<Option<(TensorFile, Option<Curve>)>> {
    let Some(path) = &args.load else {
        let device = args.device.open()?;
        println!("device: {} ({})", device.info().name, device.info().reason);
        for path in [&args.save, &args.plot] {
            make_folder(path)?;
            if path.is_dir() {
                return Err(format!("{}: a folder; expected the name of a file to write", path.display()).into());
            }
        }
        let Some((file, curve)) = train(&device)? else { return Ok(None) };
        file.save(&args.save)?;
        return Ok(Some((file, Some(curve))));
    };
    let file = TensorFile::open(path)?;
    let task = stream::task(&file).map_err(|error| format!("{}: {error}", path.display()))?;
    if task != args.task() {
        let (asked, name) = (args.task().name(), path.display());
        return Err(format!("{name}: a model for `{}`, expected one for `{asked}`", task.name()).into());
    }
    Ok(Some((file, None)))
}

fn file(args: &Args) -> Result<&Path> {
    let missing = || format!("`{}` needs a FILE: see --help", args.task().name());
    args.file.as_deref().ok_or_else(|| missing().into())
}

/// Returns the name of the file without its folder.
fn name(args: &Args) -> String {
    let name = args.file.as_deref().and_then(Path::file_name);
    name.map_or("synthetic ECG".into(), |name| name.to_string_lossy().into_owned())
}

fn scorer(args: &Args, file: &TensorFile) -> wgru::Result<Scorer> {
    let mut scorer = Scorer::from_file(file)?;
    if let Some(alpha) = args.alpha {
        scorer.set_alpha(alpha);
    }
    Ok(scorer)
}

fn on_ecg(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Work>> {
    let signal = ecg::read(args)?;
    println!("{}: {} samples, {:.1} s", name(args), signal.len(), signal.len() as f64 / args.hertz);
    let Some((file, curve)) = model(args, |device| ecg::train(args, device, &signal, interrupted))? else {
        return Ok(None);
    };
    let scorer = scorer(args, &file)?;
    let outcome = ecg::measure(args, &scorer, &signal)?;
    println!("\n{}", outcome.table());
    let round = &outcome.rounds[0];
    Scored {
        title: format!(
            "{}: recall {:.0} %, precision {:.0} %, {:.1} alarms per minute without injected anomalies",
            name(args),
            100.0 * outcome.recall(),
            100.0 * outcome.precision(),
            outcome.own_per_minute()
        ),
        values: round.signal.clone(),
        p: round.readings.iter().map(|reading| reading.p).collect(),
        alpha: scorer.rules().alpha,
        anomalies: round.injected.iter().map(|anomaly| (anomaly.at.clone(), anomaly.kind.name())).collect(),
        alarms: round.alarms.clone(),
        rows: 4,
        unit: "ECG",
        step: 1.0 / args.hertz,
        axis: "seconds of the test part",
        curve: curve.as_ref(),
    }
    .draw(&args.plot)?;
    Ok(Some(Work { results: outcome.json(), curve }))
}

fn on_machine(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Work>> {
    let path = file(args)?;
    let table = Measurements::read(path)?;
    let labels = args.labels.as_deref();
    let windows = labels.map_or(Ok(Vec::new()), |labels| machine::read_windows(labels, path, &table.times))?;
    println!("{}: {} rows, {} windows with anomalies", name(args), table.values.len(), windows.len());
    let Some((file, curve)) = model(args, |device| machine::train(args, device, &table.values, interrupted))? else {
        return Ok(None);
    };
    let scorer = scorer(args, &file)?;
    let outcome = machine::measure(args, &scorer, &table.values, &windows)?;
    println!("\n{}", outcome.table(&table.times, &windows, scorer.rules().rest));
    let score = |name| outcome.entry(name).map_or(f64::NAN, |entry| entry.best);
    let title = match windows.is_empty() {
        true => format!("{}: {} alarms", name(args), outcome.alarms().len()),
        false => format!(
            "{}: NAB score {:.1}, windowed Gaussian {:.1}",
            name(args),
            score(machine::NETWORK),
            score(machine::GAUSSIAN)
        ),
    };
    Scored {
        title,
        p: outcome.readings.iter().map(|reading| reading.p).collect(),
        alpha: scorer.rules().alpha,
        anomalies: windows.iter().map(|window| (*window.start()..*window.end() + 1, "")).collect(),
        alarms: outcome.alarms().into_iter().map(|row| row..row + 1).collect(),
        values: table.values,
        rows: 2,
        unit: "value",
        step: 1.0,
        axis: "row",
        curve: curve.as_ref(),
    }
    .draw(&args.plot)?;
    Ok(Some(Work { results: outcome.json(), curve }))
}

fn on_engines(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Work>> {
    let engines = engines::read(file(args)?)?;
    let (train, test) = fleet::split(args, &engines)?;
    println!("{}: {} engines to train on, {} held out", name(args), train.len(), test.len());
    let Some((file, curve)) = model(args, |device| fleet::train(args, device, train, interrupted))? else {
        return Ok(None);
    };
    let outcome = fleet::measure(args, &Life::from_file(&file)?, train, test)?;
    println!("\n{} predictions\n{}", outcome.cuts.len(), outcome.table());
    let title = format!(
        "{}: RMSE {:.1} cycles for engines that were held out",
        name(args),
        outcome.entry(fleet::NETWORK).map_or(f64::NAN, |entry| entry.rmse)
    );
    plot::draw_engines(&args.plot, &title, &outcome, curve.as_ref())?;
    Ok(Some(Work { results: outcome.json(), curve }))
}
