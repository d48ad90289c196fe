//! The table of the comparison: as text, CSV and JSON.

use serde_json::{Value, json};

use crate::cell::{Kind, Sizing};
use crate::clock::Times;
use crate::common::Result;
use crate::learn::Learned;
use crate::plan::Plan;
use crate::store::Store;
use crate::tasks::{Skipped, Task};

/// Least number of runs of every cell at which the best are marked.
const ENOUGH: usize = 3;

/// Results of a cell for a task.
pub struct Row<'a> {
    pub sizing: Sizing,
    pub kind: Kind,
    pub units: usize,
    pub parameters: usize,
    pub times: Option<Times>,
    pub rate: Option<f64>,
    pub runs: Vec<&'a Learned>,
}

/// Results of a task.
pub struct Block<'a> {
    pub task: &'a Task,
    pub rows: Vec<Row<'a>>,
}

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub mean: f64,
    pub sd: f64,
    pub count: usize,
}

impl Spread {
    /// Returns the spread of some values; `None` without values. The deviation of one value is 0.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let sd = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { mean, sd, count })
    }

    /// Whether the difference of two means is below two of its standard errors.
    fn is_close(&self, other: &Self) -> bool {
        let of = |spread: &Self| spread.sd.powi(2) / spread.count as f64;
        (self.mean - other.mean).abs() <= 2.0 * (of(self) + of(other)).sqrt()
    }
}

impl Row<'_> {
    pub fn quality(&self) -> Option<Spread> {
        Spread::of(&self.runs.iter().map(|run| run.quality).collect::<Vec<_>>())
    }

    /// Returns the updates until the threshold of the runs that reached it, in ascending order.
    fn reached(&self, task: &Task) -> Vec<usize> {
        let mut all: Vec<usize> = self.runs.iter().filter_map(|run| run.reached(task)).collect();
        all.sort_unstable();
        all
    }

    /// Returns the median of the updates until the threshold over all runs, if more than half reached it.
    fn median(&self, task: &Task) -> Option<usize> {
        self.reached(task).get(self.runs.len() / 2).copied()
    }

    fn diverged(&self) -> usize {
        self.runs.iter().filter(|run| !run.is_finite).count()
    }
}

/// Collects the results of all chosen tasks.
///
/// # Errors
/// Says that the file has results of other options or data.
pub fn collect<'a>(plan: &'a Plan, store: &'a Store) -> Result<Vec<Block<'a>>> {
    let mut blocks = Vec::new();
    for (task, sizes) in plan.measured() {
        let mut rows = Vec::new();
        for sizing in Sizing::ALL {
            for &kind in &plan.cells {
                let units = sizes.units(kind, sizing);
                rows.push(Row {
                    sizing,
                    kind,
                    units,
                    parameters: plan.parameters(task, kind, units),
                    times: plan.times(store, task, kind, units)?,
                    rate: plan.rate(store, task.name, kind)?.map(|rate| rate as f64 / 1e9),
                    runs: plan.runs(store, task, kind, units)?,
                });
            }
        }
        blocks.push(Block { task, rows });
    }
    Ok(blocks)
}

impl Block<'_> {
    /// Whether a row is the best of its sizing, or differs from the best by less than two standard errors. Always false
    /// while a row has fewer runs than [`ENOUGH`].
    fn is_best(&self, row: &Row) -> bool {
        let of: Vec<&Row> = self.rows.iter().filter(|other| other.sizing == row.sizing).collect();
        let (Some(own), measure) = (row.quality().filter(|own| own.mean.is_finite()), self.task.measure) else {
            return false;
        };
        let best = of.iter().filter_map(|row| row.quality());
        let best = best.reduce(|a, b| if measure.is_better(b.mean, a.mean) { b } else { a });
        of.iter().all(|row| row.runs.len() >= ENOUGH)
            && best.is_some_and(|best| own.mean == best.mean || own.is_close(&best))
    }

    /// Returns the table of the task. Rows of fewer than `seeds` runs are marked.
    pub fn table(&self, seeds: usize) -> String {
        let Block { task, rows } = self;
        let (guess, threshold) = (task.measure.show(task.guess.1), task.measure.show(task.threshold));
        let sign = if task.measure.is_higher_better() { "≥" } else { "≤" };
        let mut text = format!(
            "{}: {} ({}: {guess}); learned is {sign} {threshold} in validation, within {} updates\n",
            task.title,
            task.measure.title(),
            task.guess.0,
            task.updates
        );
        text += &format!(
            "  {:<16}{:>6}{:>8}{:>10}{:>9}{:>10}{:>7}  {:<27}{}\n",
            "",
            "units",
            "params",
            "update ms",
            "step µs",
            "stream µs",
            "rate",
            "updates to learn",
            task.measure.title()
        );
        for sizing in Sizing::ALL {
            text += &format!("  {}\n", sizing.title());
            for row in rows.iter().filter(|row| row.sizing == sizing) {
                let mark = if self.is_best(row) { "*" } else { " " };
                text += &format!("{mark} {}\n", self.line(row, seeds));
            }
        }
        text
    }

    fn line(&self, row: &Row, seeds: usize) -> String {
        let measure = self.task.measure;
        let show = |value: Option<f64>, digits: usize| value.map_or("–".into(), |value| format!("{value:.digits$}"));
        let quality = match row.quality() {
            None => "no run yet".into(),
            Some(spread) if spread.count == 1 => measure.show(spread.mean),
            Some(spread) => format!("{} ± {}", measure.show(spread.mean), measure.show(spread.sd)),
        };
        let mut notes = String::new();
        if row.runs.len() < seeds {
            notes += &format!("  [{} of {seeds} seeds]", row.runs.len());
        }
        if row.diverged() > 0 {
            notes += &format!("  [{} diverged]", row.diverged());
        }
        format!(
            "{:<16}{:>6}{:>8}{:>10}{:>9}{:>10}{:>7}  {:<27}{quality}{notes}",
            row.kind.title(),
            row.units,
            row.parameters,
            show(row.times.map(|times| times.update_ms), 2),
            show(row.times.map(|times| times.step_us), 1),
            show(row.times.and_then(|times| times.stream_us), 2),
            row.rate.map_or("–".into(), |rate| rate.to_string()),
            self.learned(row),
        )
    }

    /// Returns the updates until the threshold: the median, and how many runs reached it.
    fn learned(&self, row: &Row) -> String {
        let (reached, runs) = (row.reached(self.task).len(), row.runs.len());
        match row.median(self.task) {
            _ if runs == 0 => "–".into(),
            Some(updates) if reached == runs => format!("{updates}"),
            Some(updates) => format!("{updates} ({reached} of {runs})"),
            None => format!("not within {} ({reached} of {runs})", self.task.updates),
        }
    }

    fn json(&self) -> Vec<Value> {
        let row = |row: &Row| {
            let quality = row.quality();
            json!({
                "task": self.task.name.name(),
                "sizing": row.sizing.name(),
                "cell": row.kind.name(),
                "units": row.units,
                "parameters": row.parameters,
                "update_ms": row.times.map(|times| times.update_ms),
                "step_us": row.times.map(|times| times.step_us),
                "stream_us": row.times.and_then(|times| times.stream_us),
                "rate": row.rate,
                "seeds": row.runs.len(),
                "reached": row.reached(self.task).len(),
                "median_updates": row.median(self.task),
                "measure": self.task.measure.title(),
                "quality": quality.map(|spread| spread.mean),
                "deviation": quality.map(|spread| spread.sd),
                "guess": self.task.guess.1,
                "threshold": self.task.threshold,
                "updates": self.task.updates,
                "best": self.is_best(row),
            })
        };
        self.rows.iter().map(row).collect()
    }
}

/// Returns all rows as one JSON object.
pub fn json(blocks: &[Block], skipped: &[Skipped]) -> Value {
    let rows: Vec<Value> = blocks.iter().flat_map(Block::json).collect();
    let skipped: Vec<Value> = skipped.iter().map(|task| json!({ "task": task.name.name(), "why": task.why })).collect();
    json!({ "rows": rows, "skipped": skipped })
}

/// Returns all rows as comma-separated values, with a header.
///
/// # Errors
/// None: writing to memory does not fail.
pub fn csv(blocks: &[Block]) -> Result<Vec<u8>> {
    const COLUMNS: [&str; 19] = [
        "task",
        "sizing",
        "cell",
        "units",
        "parameters",
        "update_ms",
        "step_us",
        "stream_us",
        "rate",
        "seeds",
        "reached",
        "median_updates",
        "updates",
        "threshold",
        "measure",
        "guess",
        "quality",
        "deviation",
        "best",
    ];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in blocks.iter().flat_map(Block::json) {
        let cell = |name: &&str| match &row[*name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writer.write_record(COLUMNS.iter().map(cell))?;
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;
    use crate::tasks;

    #[test]
    fn the_best_and_those_near_it_are_marked() {
        let args = Args::try_parse_from(["cells", "--tasks", "seattle", "--rate", "0.01"]).unwrap();
        let (tasks, _) = tasks::make(&args).unwrap();
        let runs = |qualities: &[f64]| -> Vec<Learned> {
            let curve = vec![(10, 9.0), (20, 0.1)];
            let run =
                |&quality: &f64| Learned { quality, best: 20, is_finite: true, curve: curve.clone(), seconds: 0.0 };
            qualities.iter().map(run).collect()
        };
        // Errors: standard errors are about 0.06, except for the last one.
        let all = [runs(&[1.0, 1.1, 1.2]), runs(&[1.1, 1.2, 1.3]), runs(&[1.9, 2.0, 2.1]), runs(&[f64::NAN, 1.0, 1.0])];
        let block = |most: usize| Block {
            task: &tasks[0],
            rows: all
                .iter()
                .zip(Kind::ALL)
                .map(|(runs, kind)| Row {
                    sizing: Sizing::Units,
                    kind,
                    units: 1,
                    parameters: 1,
                    times: None,
                    rate: None,
                    runs: runs.iter().take(most).collect(),
                })
                .collect(),
        };
        let marks = |block: Block| block.rows.iter().map(|row| block.is_best(row)).collect::<Vec<_>>();
        assert_eq!(marks(block(3)), [true, true, false, false]);
        assert_eq!(marks(block(2)), [false; 4]);
        let block = block(3);
        assert_eq!((block.rows[0].reached(&tasks[0]), block.rows[0].median(&tasks[0])), (vec![20; 3], Some(20)));
        assert!(
            block.table(4).contains("20                         1.10 ± 0.10  [3 of 4 seeds]"),
            "{}",
            block.table(4)
        );
    }

    #[test]
    fn spreads_are_those_of_the_textbook() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!(spread.mean == 5.0 && (spread.sd - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { mean: 3.0, sd: 0.0, count: 1 }));
        assert_eq!(Spread::of(&[]), None);
        let of = |mean| Spread { mean, sd: 1.0, count: 4 };
        // Two standard errors of the difference are 2·√(1/4 + 1/4) ≈ 1.41.
        assert!(of(1.0).is_close(&of(2.4)) && !of(1.0).is_close(&of(2.5)));
    }
}
