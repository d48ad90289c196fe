//! Interprets the command line: the table, its columns, and the sizes of the model.

use crate::args::Args;
use crate::common::Result;
use crate::common::files::fingerprint;
use crate::evaluate::{Columns, Source};
use crate::repair::{Choices, repair};
use crate::series::Panel;
use crate::spec::{Asked, Spec};
use crate::split::Split;
use crate::table::{self, Table};
use crate::time::Step;

const SEATTLE: &[u8] = include_bytes!("../data/seattle-weather.csv");
const SEATTLE_COLUMNS: [&str; 4] = ["temp_max", "temp_min", "precipitation", "wind"];

/// Returns the columns that the command line names.
///
/// # Errors
/// Names a column that is missing or named twice.
pub fn columns(args: &Args) -> Result<Columns> {
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

/// Reads the table.
///
/// # Errors
/// Names the line and column of a cell that is wrong, missing values and duplicates.
pub fn read(args: &Args, columns: &Columns) -> Result<Panel> {
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

/// Returns what the command line asks of a loaded model.
pub fn asked(args: &Args) -> Asked {
    Asked {
        column: args.column.clone(),
        features: args.features.clone(),
        known: args.known.clone(),
        statics: args.statics.clone(),
        series: args.series.clone(),
        window: args.window,
        horizon: args.horizon,
        interval: args.interval,
        refit: args.refit,
    }
}

/// Returns window and horizon.
pub fn sizes(args: &Args, panel: &Panel) -> [usize; 2] {
    let is_hourly = panel.step() == Some(Step::Hours(1.0));
    let [window, horizon] = if is_hourly { [96, 24] } else { [28, 1] };
    [args.window.unwrap_or(window), args.horizon.unwrap_or(horizon)]
}

/// Everything that a run depends on, for its checkpoint.
pub fn options(args: &Args, spec: &Spec, source: &Source, splits: &[Split]) -> Vec<(&'static str, String)> {
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
        ("--refit", spec.refit.to_string()),
        ("--hidden", spec.hidden.to_string()),
        ("--members", spec.members.to_string()),
        ("--seed", args.seed.to_string()),
    ]
}
