//! Forecasts from windows of a series: tomorrow's temperature in Seattle, and the next day of a transformer's oil.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use wgru::Rng;

use super::{ROWS, SMALL, Task};
use crate::args::TaskName;
use crate::batch::{Batch, Measure, Target, Values};
use crate::columns::columns;
use crate::common::Result;
use crate::common::files::{fingerprint, read_text};
use crate::model::{Input, Read, Shape};

const SEATTLE: &str = include_str!("../../data/seattle-weather.csv");
/// Columns of each table; the last one is forecast.
const WEATHER: [&str; 4] = ["precipitation", "wind", "temp_min", "temp_max"];
const TRANSFORMER: [&str; 1] = ["OT"];
/// Rows of the three parts of `ETTh1.csv`: 12, 4 and 4 months of 30 days, as is usual for this table.
const MONTHS: [usize; 3] = [8640, 2880, 2880];

/// Windows of standardized columns, with the sine and cosine of the place in a cycle.
struct Windows {
    /// Standardized on the training rows. The last column is forecast.
    columns: Vec<Vec<f32>>,
    /// Rows of a cycle: a day or a year.
    cycle: f64,
    /// Whether inputs of the forecast column are relative to the last known value.
    is_relative: bool,
    window: usize,
    horizon: usize,
}

impl Windows {
    /// Returns the features of a step.
    fn width(&self) -> usize {
        self.columns.len() + 2
    }

    /// Returns the value of the forecast column.
    fn value(&self, row: usize) -> f32 {
        self.columns[self.columns.len() - 1][row]
    }

    /// Returns the windows whose first forecast rows are `origins`. The target is the change since the last known row.
    fn batch(&self, origins: &[usize]) -> Batch {
        let (rows, known) = (origins.len(), self.columns.len());
        let mut input = Vec::with_capacity(self.window * rows * self.width());
        for t in 0..self.window {
            for origin in origins {
                let row = origin - self.window + t;
                let start = input.len();
                input.extend(self.columns.iter().map(|column| column[row]));
                if self.is_relative {
                    input[start + known - 1] -= self.value(origin - 1);
                }
                let angle = std::f64::consts::TAU * row as f64 / self.cycle;
                input.extend([angle.sin() as f32, angle.cos() as f32]);
            }
        }
        let changes =
            |&origin: &usize| (0..self.horizon).map(move |step| self.value(origin + step) - self.value(origin - 1));
        let target = origins.iter().flat_map(changes).collect();
        Batch {
            steps: self.window,
            rows,
            input: Values::Numbers(input),
            lengths: None,
            target: Target::Numbers(target),
        }
    }

    /// Returns the first forecast rows of all windows whose forecasts are within `part`, and whose rows are all in
    /// `from..`.
    fn origins(&self, part: Range<usize>, from: usize) -> Vec<usize> {
        (part.start.max(from + self.window)..(part.end + 1).saturating_sub(self.horizon)).collect()
    }

    fn held_out(&self, part: Range<usize>, every: usize) -> Vec<Batch> {
        let origins: Vec<usize> = self.origins(part, 0).into_iter().step_by(every).collect();
        origins.chunks(4 * ROWS).map(|origins| self.batch(origins)).collect()
    }
}

/// Standardizes columns by their mean and standard deviation in the rows `train`. Returns the deviation of the last
/// column, too. A constant column becomes 0.
fn standardize(table: &[Vec<f64>], train: Range<usize>) -> (Vec<Vec<f32>>, f64) {
    let mut unit = 1.0;
    let mut columns = Vec::new();
    for column in table {
        let known = &column[train.clone()];
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let variance = known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / known.len() as f64;
        unit = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        columns.push(column.iter().map(|v| ((v - mean) / unit) as f32).collect());
    }
    (columns, unit)
}

/// The settings of a task from windows.
struct Plan {
    name: TaskName,
    title: String,
    measure: Measure,
    /// The threshold, as a share of the error of no change.
    share: f64,
    updates: usize,
    /// Takes every such window of the validation part.
    every: usize,
    data: u64,
}

/// Returns a task that trains on windows within `train`, of which `known` is standardized.
fn task(windows: Windows, known: Range<usize>, [validation, test]: [Range<usize>; 2], plan: Plan) -> Result<Task> {
    let windows = Arc::new(windows);
    let origins = windows.origins(known.clone(), known.start);
    let validation = windows.held_out(validation, plan.every);
    let test = windows.held_out(test, 1);
    if origins.is_empty() || validation.is_empty() || test.is_empty() {
        return Err(format!("{}: too few rows for windows of {} rows", plan.title, windows.window).into());
    }
    let measure = plan.measure;
    let persistence = |batches: &[Batch]| {
        let zeros = batches.iter().map(|batch| (batch, vec![0.0; batch.rows * windows.horizon]));
        measure.of(zeros)
    };
    Ok(Task {
        name: plan.name,
        title: plan.title,
        shape: Shape { input: Input::Features(windows.width()), output: windows.horizon, read: Read::Last },
        measure,
        threshold: plan.share * persistence(&validation),
        guess: ("no change", persistence(&test)),
        updates: plan.updates,
        draw: Box::new({
            let windows = windows.clone();
            move |rng: &mut Rng| {
                windows.batch(&(0..ROWS).map(|_| origins[rng.below(origins.len())]).collect::<Vec<_>>())
            }
        }),
        validation,
        test,
        data: plan.data,
    })
}

/// Tomorrow's highest temperature, from 30 days. The test is the last of four years, the validation half a year.
pub fn seattle() -> Result<Task> {
    const YEAR: usize = 365;
    let table = columns("seattle-weather.csv", SEATTLE, &WEATHER)?;
    let rows = table[0].len();
    let (test, validation) = (rows - YEAR, rows - YEAR - YEAR / 2);
    let (columns, unit) = standardize(&table, 0..validation);
    let windows = Windows { columns, cycle: 365.25, is_relative: false, window: 30, horizon: 1 };
    let plan = Plan {
        name: TaskName::Seattle,
        title: "tomorrow's temperature in Seattle, °C".into(),
        measure: Measure::Rmse(unit),
        share: 0.92,
        updates: 400,
        every: 1,
        data: fingerprint(SEATTLE.as_bytes()),
    };
    task(windows, 0..validation, [validation..test, test..rows], plan)
}

/// The next 24 hours of `OT`, from 96 hours; if `is_small`, learned from the last part of the training rows.
pub fn etth1(path: &Path, is_small: bool) -> Result<Task> {
    let text = read_text(path)?;
    let table = columns(&path.display().to_string(), &text, &TRANSFORMER)?;
    let [train, validation, test] = MONTHS;
    let (validation, test) = (train..train + validation, train + validation..train + validation + test);
    let rows = table[0].len();
    if rows < test.end {
        let name = path.display();
        return Err(format!("{name}: {rows} rows, expected at least {}: ETTh1.csv has 17,420", test.end).into());
    }
    let first = if is_small { train - (SMALL * train as f64).round() as usize } else { 0 };
    let plan = Plan {
        name: if is_small { TaskName::Etth1Small } else { TaskName::Etth1 },
        title: if is_small { "ETTh1, 24 hours, 5 % of the data" } else { "ETTh1, 24 hours" }.into(),
        measure: Measure::Mse,
        share: 0.78,
        updates: if is_small { 300 } else { 600 },
        every: 8,
        data: fingerprint(text.as_bytes()),
    };
    // Standardized on all training rows, as is usual for this table, so that both errors have the same unit. The first
    // row is midnight.
    let (columns, _) = standardize(&table, 0..train);
    let windows = Windows { columns, cycle: 24.0, is_relative: true, window: 96, horizon: 24 };
    task(windows, first..train, [validation, test], plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_before_their_forecast() {
        let table = [(0..20).map(|v| f64::from(v * v)).collect(), (0..20).map(f64::from).collect()];
        let (columns, unit) = standardize(&table, 0..10);
        // The mean of 0 to 9 is 4.5.
        let sd = 8.25_f64.sqrt();
        assert_eq!((unit, columns[1][0]), (sd, (-4.5 / sd) as f32));
        let mut windows = Windows { columns, cycle: 4.0, is_relative: false, window: 3, horizon: 2 };
        let batch = windows.batch(&[5, 18]);
        let column = |batch: &Batch, place: usize| -> Vec<f64> {
            let Values::Numbers(input) = &batch.input else { panic!("numbers") };
            input.chunks(4).map(|step| f64::from(step[place])).collect()
        };
        let hours = |batch: &Batch, mean: f64| -> Vec<f64> {
            column(batch, 1).into_iter().map(|value| (value * sd + mean).round()).collect()
        };
        assert_eq!(hours(&batch, 4.5), [2.0, 15.0, 3.0, 16.0, 4.0, 17.0]);
        let sines: Vec<f64> = column(&batch, 2).into_iter().map(f64::round).collect();
        assert_eq!(sines, [0.0, -1.0, -1.0, 0.0, 0.0, 1.0]);
        let Target::Numbers(target) = &batch.target else { panic!("numbers") };
        let changes: Vec<f64> = target.iter().map(|&v| (f64::from(v) * sd).round()).collect();
        assert_eq!(changes, [1.0, 2.0, 1.0, 2.0]);
        windows.is_relative = true;
        assert_eq!(hours(&windows.batch(&[5, 18]), 0.0), [-2.0, -2.0, -1.0, -1.0, 0.0, 0.0]);
        assert_eq!((windows.origins(0..6, 0), windows.origins(18..20, 0)), (vec![3, 4], vec![18]));
        assert_eq!(windows.origins(4..8, 4), Vec::<usize>::new());
    }

    #[test]
    fn parts_of_seattle_do_not_overlap() {
        let task = seattle().unwrap();
        let rows = |batches: &[Batch]| batches.iter().map(|batch| batch.rows).sum::<usize>();
        assert_eq!((rows(&task.validation), rows(&task.test)), (182, 365));
        // In degrees.
        assert!((2.0..4.0).contains(&task.guess.1), "{}", task.guess.1);
    }

    #[test]
    fn short_tables_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short table.csv");
        std::fs::write(&path, format!("{}\n{}\n", TRANSFORMER.join(","), ["1"; 7].join(","))).unwrap();
        let error = etth1(&path, false).err().unwrap().to_string();
        assert!(error.contains("short table.csv: 1 rows, expected at least 14400"), "{error}");
        std::fs::write(&path, "HUFL,OT\n1,2\n").unwrap();
        assert!(etth1(&path, false).is_err());
        std::fs::write(&path, "HUFL\n1\n").unwrap();
        assert!(etth1(&path, true).err().unwrap().to_string().contains("no column \"OT\""));
    }
}
