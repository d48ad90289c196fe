//! One experiment: a split of the table, a trained or loaded forecaster, and its test beside the baselines.

use wgru::Device;

use crate::adapt::Factors;
use crate::args::Args;
use crate::baselines::{self, Baseline, Method};
use crate::calibrate::{Calibration, Forecast};
use crate::common::Result;
use crate::data::{Example, Inputs};
use crate::head::Loss;
use crate::holidays::Holidays;
use crate::model::{self, Forecaster, to_units};
use crate::report::NETWORK;
use crate::score::{Actual, Entry};
use crate::series::Panel;
use crate::spec::Spec;
use crate::split::{Sizes, Split, origins};
use crate::statics::Statics;
use crate::table::TableError;
use crate::time::{Cycle, Step};
use crate::train::{Kept, Learned, Session, Training, learn};
use crate::transform::{Scale, Transform};

/// The table, and what comes with it.
pub struct Source<'a> {
    pub panel: &'a Panel,
    pub holidays: Option<&'a Holidays>,
}

/// The scores of a test.
pub struct Tested {
    /// The network, then the baselines.
    pub entries: Vec<Entry>,
    pub actual: Actual,
    pub examples: Vec<Example>,
    /// Of the network, by series of the table.
    pub factors: Factors,
}

/// Returns the split of each series.
///
/// # Errors
/// [`TableError::Table`] naming the sizes.
pub fn splits(
    args: &Args,
    panel: &Panel,
    window: usize,
    horizon: usize,
) -> std::result::Result<Vec<Split>, TableError> {
    let sizes = Sizes { train: args.train, validation: args.validation, test: args.test };
    let step = panel.step().map(Step::hours);
    let split = |series: &crate::series::Series| {
        Split::new(series.rows(), step, sizes, window, horizon).map_err(|why| match series.name.is_empty() {
            true => TableError::Table { path: panel.source.clone(), why },
            false => TableError::Table { path: panel.source.clone(), why: format!("series {:?}: {why}", series.name) },
        })
    };
    panel.series.iter().map(split).collect()
}

/// Returns the windows of a part of each series, except those in which no value is real.
pub fn examples(
    inputs: &Inputs,
    splits: &[Split],
    spec: &Spec,
    part: fn(&Split) -> &std::ops::Range<usize>,
) -> Vec<Example> {
    let of_series = |(series, split): (usize, &Split)| {
        let real = |origin: &usize| inputs.rows[series].observed[*origin..origin + spec.horizon].contains(&true);
        let origins = origins(part(split), spec.window, spec.horizon).filter(real);
        origins.map(|origin| Example { series, origin }).collect::<Vec<_>>()
    };
    splits.iter().enumerate().flat_map(of_series).collect()
}

/// Builds the specification from the command line and the training part.
///
/// # Errors
/// Names a value that the transform or the loss does not allow; cycles or holidays in a table without dates.
pub fn specify(args: &Args, columns: Columns, panel: &Panel, splits: &[Split], sizes: [usize; 2]) -> Result<Spec> {
    let Columns { numbers, known, series, statics } = columns;
    check_values(panel, &numbers[0], args.transform, args.loss)?;
    let counts = (args.loss == Loss::NegativeBinomial).then(|| {
        let values = panel.series.iter().zip(splits).flat_map(|(one, split)| &one.columns[0][split.train.clone()]);
        Scale::of_magnitude(values.copied())
    });
    let scale = |series: &crate::series::Series, split: &Split, column: usize| match counts {
        Some(scale) if column == 0 => scale,
        _ => {
            let transform = if column == 0 { args.transform } else { Transform::None };
            let values = &series.columns[column][split.train.clone()];
            Scale::of(&values.iter().map(|&y| transform.apply(y)).collect::<Vec<_>>())
        }
    };
    let scales = panel.series.iter().zip(splits);
    let scales = scales.map(|(one, split)| (0..numbers.len()).map(|column| scale(one, split, column)).collect());
    let learnable = || {
        let rows = splits.iter().map(|split| split.train.len()).max().unwrap_or(0);
        panel.step().map(|step| Cycle::learnable(step.hours(), rows)).unwrap_or_default()
    };
    if panel.step().is_none() && (args.holidays.is_some() || args.cycles.is_some()) {
        return Err(format!("{}: --holidays and --cycles need a column of dates", panel.source).into());
    }
    Ok(Spec {
        known,
        holidays: args.holidays.is_some(),
        statics: Statics::of(&panel.series, series, &statics),
        scales: scales.collect(),
        transform: args.transform,
        difference: args.difference,
        mask: panel.series.iter().any(|series| series.observed.contains(&false)),
        window: sizes[0],
        horizon: sizes[1],
        cycles: args.cycles.clone().unwrap_or_else(learnable),
        loss: args.loss,
        interval: args.interval.unwrap_or(0.9),
        hidden: args.hidden,
        members: args.members,
        refit: args.refits(),
        columns: numbers,
    })
}

/// The columns that a model reads.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The column to forecast, features, then columns known in advance.
    pub numbers: Vec<String>,
    pub known: usize,
    pub series: Option<String>,
    pub statics: Vec<String>,
}

/// Rejects values outside the domain of the transform or the loss.
///
/// # Errors
/// Names the first such value.
pub fn check_values(panel: &Panel, column: &str, transform: Transform, loss: Loss) -> Result<()> {
    let needs_counts = loss == Loss::NegativeBinomial;
    if needs_counts && transform != Transform::None {
        return Err("--loss negative-binomial is for counts, without --transform".into());
    }
    for series in &panel.series {
        for (row, &y) in series.columns[0].iter().enumerate().take(series.rows()) {
            let why = if transform.apply(y).is_nan() {
                format!("is not in the domain of --transform {}", transform.name())
            } else if needs_counts && (y < 0.0 || y.fract() != 0.0) {
                "is not a count, which --loss negative-binomial needs".into()
            } else {
                continue;
            };
            let of = if series.name.is_empty() { String::new() } else { format!(", series {:?}", series.name) };
            return Err(format!("{}: {column} is {y} at {}{of}, which {why}", panel.source, series.label(row)).into());
        }
    }
    Ok(())
}

/// Trains a forecaster, and calibrates it on the validation part; `None` if interrupted.
///
/// # Errors
/// Errors from training; too few values to calibrate intervals.
pub fn train(
    args: &Args,
    device: &Device,
    spec: Spec,
    source: &Source,
    splits: &[Split],
    session: Session,
) -> Result<Option<(Forecaster, Vec<Kept>)>> {
    let numbers: Vec<usize> = (0..source.panel.series.len()).collect();
    let inputs = Inputs::new(source.panel, &spec, &numbers, source.holidays);
    let parts = [examples(&inputs, splits, &spec, |s| &s.train), examples(&inputs, splits, &spec, |s| &s.validation)];
    let how = Training { epochs: args.epochs, batch: args.batch, rate: args.rate, ema: args.ema, seed: args.seed };
    let learned = learn(device, &spec, &inputs, [&parts[0], &parts[1]], how, session)?;
    let Some(Learned { selected, refitted, kept }) = learned else { return Ok(None) };
    // Networks that were trained on the validation part cannot be calibrated on it.
    let validation = model::forecast((device, &spec, &selected), &inputs, &parts[1])?;
    let calibration = Calibration::fit(&spec, &validation, &actual(&inputs, &parts[1], spec.horizon))?;
    let members = if refitted.is_empty() { selected } else { refitted };
    let factors = Factors::new(numbers.len(), spec.horizon);
    Ok(Some((Forecaster { spec, device: device.clone(), members, calibration, factors }, kept)))
}

/// Returns the actual values in model units; NaN where they are not known.
fn actual(inputs: &Inputs, examples: &[Example], horizon: usize) -> Vec<f64> {
    let value = |example: &Example, step: usize| {
        let (rows, row) = (&inputs.rows[example.series], example.origin + step);
        if rows.observed[row] { rows.target[row] } else { f64::NAN }
    };
    examples.iter().flat_map(|example| (0..horizon).map(move |step| value(example, step))).collect()
}

/// Tests a forecaster and the baselines.
///
/// # Errors
/// Errors from the device.
pub fn test(args: &Args, forecaster: &Forecaster, inputs: &Inputs, panel: &Panel, splits: &[Split]) -> Result<Tested> {
    let spec = &forecaster.spec;
    let [validation, test] =
        [examples(inputs, splits, spec, |s| &s.validation), examples(inputs, splits, spec, |s| &s.test)];
    if test.is_empty() {
        return Err(format!("{}: no value in the test part is real", panel.source).into());
    }
    let deviation = |series: usize| {
        let number = inputs.rows[series].series;
        match (spec.transform, spec.loss) {
            (_, Loss::NegativeBinomial) | (Transform::Log | Transform::Log1p, _) => {
                Scale::of(&panel.series[series].columns[0][splits[series].train.clone()]).deviation
            }
            _ => spec.scales[number][0].deviation,
        }
    };
    let units = |example: &Example, step: usize| {
        let (series, row) = (&panel.series[example.series], example.origin + step);
        if series.observed[row] { series.columns[0][row] } else { f64::NAN }
    };
    let steps = || test.iter().flat_map(|example| (0..spec.horizon).map(move |step| (example, step)));
    let scored = Actual {
        values: steps().map(|(example, step)| units(example, step)).collect(),
        deviations: steps().map(|(example, _)| deviation(example.series)).collect(),
        levels: spec.levels(),
        ends: spec.ends(),
    };
    let happened = actual(inputs, &test, spec.horizon);
    let score = |name: &str, calibration: &Calibration, forecast: Forecast| {
        let mut forecast = calibration.apply(forecast);
        let mut factors = Factors::new(panel.series.len(), spec.horizon);
        factors.follow(spec, &mut forecast, &happened, &test);
        Ok::<_, wgru::Error>((Entry::new(name, to_units(spec, forecast, inputs, &test), &scored)?, factors))
    };
    let (network, factors) = score(NETWORK, &forecaster.calibration, forecaster.forecast(inputs, &test)?)?;
    let mut entries = vec![network];
    let known = actual(inputs, &validation, spec.horizon);
    let season = args.season.or(panel.step().and_then(Step::season));
    let mut baselines: Vec<Vec<(&str, Option<Baseline>)>> = Vec::new();
    for (rows, split) in inputs.rows.iter().zip(splits) {
        baselines.push(baselines::fit(&rows.target, split, [spec.window, spec.horizon], season, spec.refit).into());
    }
    for at in 0..baselines[0].len() {
        // A baseline needs to be there for all series.
        let of_series: Option<Vec<&Baseline>> = baselines.iter().map(|of_one| of_one[at].1.as_ref()).collect();
        let Some(of_series) = of_series else { continue };
        let forecast = |examples: &[Example], method: fn(&Baseline) -> &Method| {
            let of = |series: usize| {
                let own = examples.iter().filter(|example| example.series == series);
                let origins: Vec<usize> = own.map(|example| example.origin).collect();
                method(of_series[series])(&inputs.rows[series].target, &origins)
            };
            Forecast { point: (0..of_series.len()).flat_map(of).collect(), quantiles: None }
        };
        let calibration = Calibration::fit(spec, &forecast(&validation, |baseline| &baseline.selected), &known)?;
        entries.push(score(baselines[0][at].0, &calibration, forecast(&test, |baseline| &baseline.tested))?.0);
    }
    Ok(Tested { entries, actual: scored, examples: test, factors })
}
