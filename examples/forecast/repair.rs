//! Duplicate dates, missing dates and missing cells. Each is reported; the user chooses how they are handled.

use clap::ValueEnum;

use crate::series::{Panel, Series};
use crate::table::{Group, Row, Table, TableError};
use crate::time::Step;

/// How to handle missing cells and dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Missing {
    /// Report them and stop
    #[default]
    Error,
    /// Leave out rows with missing cells, and take the others as equally spaced
    Drop,
    /// Draw a straight line between the values around them
    Interpolate,
    /// Repeat the last value, tell the network that it is not real, and neither train nor test on it
    Mask,
}

/// How to handle rows of the same date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Duplicates {
    /// Report them and stop
    #[default]
    Error,
    /// Keep the first
    First,
    /// Keep the last
    Last,
    /// Average them
    Mean,
}

/// The choices of the user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    pub missing: Missing,
    pub duplicates: Duplicates,
}

/// Number of places that a message names.
const NAMED: usize = 5;
/// Largest number of missing dates that are filled, for each row of the table.
const FILLED: usize = 20;

/// Places in a table: how many, and the first ones by line.
#[derive(Default)]
struct Places {
    count: usize,
    is_cut: bool,
    named: Vec<String>,
}

impl Places {
    fn push(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        self.is_cut = self.named.len() == NAMED;
        if !self.is_cut {
            self.named.push(name());
        }
    }

    /// Returns, for example, `2 missing dates (after line 3: 2020-01-04, after line 9: 2020-01-12)`.
    fn describe(&self, one: &str, many: &str) -> Option<String> {
        let what = if self.count == 1 { one } else { many };
        let dots = if self.is_cut { ", …" } else { "" };
        (self.count > 0).then(|| format!("{} {what} ({}{dots})", self.count, self.named.join(", ")))
    }
}

/// Turns the rows of a table into series with equal distances.
///
/// `names` are the columns of numbers, of which those from `first_known` on are known in advance.
///
/// # Errors
/// [`TableError`] naming duplicates and missing values that the user has not chosen to change.
pub fn repair(table: Table, names: &[String], first_known: usize, choices: Choices) -> Result<Panel, TableError> {
    let refuse = |why: String| TableError::Table { path: table.source.clone(), why };
    let undated = |[column, cell]: &[String; 2]| {
        format!("column {column:?} does not hold dates such as YYYY-MM-DD ({cell:?}), so rows are numbered")
    };
    let mut notes: Vec<String> = table.undated.iter().map(undated).collect();
    let (mut duplicates, mut cells) = (Places::default(), Places::default());
    let (mut dates, mut irregular) = (Places::default(), Places::default());
    let rows_read: usize = table.groups.iter().map(|group| group.rows.len()).sum();
    let mut prepared = Vec::new();
    for group in table.groups {
        let Group { name, statics, rows } = group;
        let rows = merge(rows, choices.duplicates, &mut duplicates);
        let future = count_future(&rows, first_known, names.len());
        let past = rows.len() - future;
        let hours: Vec<f64> = rows.iter().filter_map(|row| Some(row.time.as_ref()?.0)).collect();
        let step = Step::of(&hours);
        for (i, row) in rows.iter().enumerate() {
            let needed = if i < past { 0..names.len() } else { first_known..names.len() };
            for column in needed.filter(|&column| row.numbers[column].is_nan()) {
                cells.push(|| format!("line {}, column {:?}", row.line, names[column]));
            }
        }
        if let (Some(step), [first, ..]) = (step, &hours[..]) {
            let mut last = 0;
            for (row, &hour) in rows.iter().zip(&hours) {
                let text = || row.time.as_ref().map_or("", |(_, text)| text);
                match step.index(*first, hour) {
                    None => irregular.push(|| format!("line {}: {}", row.line, text())),
                    Some(at) => {
                        let absent = (at - last - 1).max(0) as usize;
                        if absent > 0 {
                            dates.push(|| format!("{} before line {}: {}", absent, row.line, text()));
                            dates.count += absent - 1;
                        }
                        last = at;
                    }
                }
            }
        }
        prepared.push((name, statics, rows, future, step));
    }
    if let Some(found) =
        duplicates.describe("row of a date that the table already has", "rows of dates that the table already has")
    {
        match choices.duplicates {
            Duplicates::Error => {
                return Err(refuse(format!("{found}; choose with --duplicates: first, last or mean")));
            }
            choice => {
                notes.push(format!("{found}: {}", ["", "kept the first", "kept the last", "averaged"][choice as usize]))
            }
        }
    }
    let found = [
        cells.describe("missing cell", "missing cells"),
        dates.describe("missing date", "missing dates"),
        irregular.describe(
            "date that is not a whole number of steps after the first",
            "dates that are not a whole number of steps after the first",
        ),
    ];
    let found: Vec<String> = found.into_iter().flatten().collect();
    if !found.is_empty() {
        let found = found.join("; ");
        let what = match choices.missing {
            Missing::Error => {
                let way_out = if irregular.count > 0 { "drop" } else { "drop, interpolate or mask" };
                return Err(refuse(format!("{found}; choose with --missing: {way_out}")));
            }
            Missing::Interpolate | Missing::Mask if irregular.count > 0 => {
                return Err(refuse(format!("{found}; --missing drop takes such rows as equally spaced")));
            }
            Missing::Interpolate | Missing::Mask if dates.count / FILLED > rows_read => {
                return Err(refuse(format!(
                    "{found}: too many to fill for a table of {rows_read} rows; see --missing drop"
                )));
            }
            Missing::Drop => "left out incomplete rows, and took the others as equally spaced",
            Missing::Interpolate => "interpolated",
            Missing::Mask => "masked",
        };
        notes.push(format!("{found}: {what}"));
    }
    let ahead: usize = prepared.iter().map(|(_, _, _, future, _)| future).sum();
    if ahead > 0 {
        notes.push(format!("{ahead} rows after the last value of {:?} are the future", names[0]));
    }
    let mut series = Vec::new();
    for (name, statics, rows, future, step) in prepared {
        series.push(build(name, statics, rows, future, step, first_known, choices.missing));
        let built = series.last().expect("just pushed");
        if built.rows() == 0 {
            let of = if built.name.is_empty() { String::new() } else { format!("series {:?}: ", built.name) };
            return Err(refuse(format!("{of}no row has a value of {:?}", names[0])));
        }
    }
    let step_of = |series: &Series| series.step.map_or("unknown".into(), |step| step.to_string());
    if let Some(other) = series.iter().find(|one| one.step.is_some() && one.step != series[0].step) {
        let step = |series: &Series| format!("{} in series {:?}", step_of(series), series.name);
        let why = format!("all series need the same step, but it is {} and {}", step(&series[0]), step(other));
        return Err(refuse(why));
    }
    if choices.missing == Missing::Drop && dates.count + irregular.count > 0 {
        notes.push(format!("dates after the end continue with the usual step of {}", step_of(&series[0])));
    }
    Ok(Panel { source: table.source, series, notes })
}

/// Merges consecutive rows of the same date.
fn merge(rows: Vec<Row>, choice: Duplicates, found: &mut Places) -> Vec<Row> {
    let mut out: Vec<(Row, usize)> = Vec::new();
    for row in rows {
        match out.last_mut() {
            Some((kept, count))
                if row.time.is_some() && kept.time.as_ref().map(|t| t.0) == row.time.as_ref().map(|t| t.0) =>
            {
                found.push(|| format!("line {}: {}", row.line, row.time.as_ref().map_or("", |(_, text)| text)));
                *count += 1;
                match choice {
                    Duplicates::Error | Duplicates::First => {}
                    Duplicates::Last => kept.numbers = row.numbers,
                    Duplicates::Mean => {
                        let share = 1.0 / *count as f64;
                        kept.numbers.iter_mut().zip(row.numbers).for_each(|(a, b)| *a += share * (b - *a));
                    }
                }
            }
            _ => out.push((row, 1)),
        }
    }
    out.into_iter().map(|(row, _)| row).collect()
}

/// Returns the number of rows at the end that only have values of columns known in advance.
fn count_future(rows: &[Row], first_known: usize, columns: usize) -> usize {
    let is_future = |row: &&Row| row.numbers[..first_known].iter().all(|v| v.is_nan());
    if first_known < columns { rows.iter().rev().take_while(is_future).count() } else { 0 }
}

/// Builds a series; the step is known to fit unless rows are dropped.
fn build(
    name: String,
    statics: Vec<String>,
    rows: Vec<Row>,
    future: usize,
    step: Option<Step>,
    first_known: usize,
    missing: Missing,
) -> Series {
    let past = rows.len() - future;
    let is_complete = |i: usize, row: &Row| {
        let from = if i < past { 0 } else { first_known };
        row.numbers[from..].iter().all(|v| !v.is_nan())
    };
    let width = rows[0].numbers.len();
    let (mut columns, mut times, mut observed) = (vec![Vec::new(); width], Vec::new(), Vec::new());
    let first = rows[0].time.as_ref().map(|time| time.0);
    let mut end_of_past = None;
    for (i, row) in rows.into_iter().enumerate() {
        if i == past {
            end_of_past = Some(observed.len());
        }
        if missing == Missing::Drop && !is_complete(i, &row) {
            continue;
        }
        if let (Some(step), Some(first), Some((hours, text))) = (step, first, &row.time)
            && missing != Missing::Drop
        {
            let at = step.index(first, *hours).map_or(times.len(), |at| at as usize);
            while times.len() < at {
                let hours = step.after(first, times.len() as i64);
                times.push((hours, crate::time::format_like(hours, text)));
                columns.iter_mut().for_each(|column: &mut Vec<f64>| column.push(f64::NAN));
                observed.push(false);
            }
        }
        columns.iter_mut().zip(&row.numbers).for_each(|(column, &value)| column.push(value));
        times.extend(row.time);
        observed.push(!row.numbers[0].is_nan());
    }
    // Missing dates between past and future belong to the future.
    let past = end_of_past.unwrap_or(observed.len());
    observed.truncate(past);
    for (at, column) in columns.iter_mut().enumerate() {
        let end = if at < first_known { past } else { column.len() };
        fill(&mut column[..end], missing == Missing::Interpolate);
    }
    if missing != Missing::Mask {
        observed.iter_mut().for_each(|observed| *observed = true);
    }
    if columns[0][..past].iter().any(|value| value.is_nan()) {
        // Not a single value.
        observed.clear();
    }
    let times = (!times.is_empty()).then_some(times);
    Series { name, statics, columns, observed, times, step }
}

/// Fills gaps with a line between the values around them, or with the last value. Before the first value, repeats it;
/// after the last, too.
fn fill(values: &mut [f64], is_linear: bool) {
    let mut last: Option<usize> = None;
    for i in 0..values.len() {
        if values[i].is_nan() {
            continue;
        }
        let from = last.map_or(0, |last| last + 1);
        let (start, end) = (last.map_or(values[i], |last| values[last]), values[i]);
        let steps = (i + 1 - from) as f64;
        for (k, value) in values[from..i].iter_mut().enumerate() {
            *value = if is_linear { start + (end - start) * (k + 1) as f64 / steps } else { start };
        }
        last = Some(i);
    }
    if let Some(last) = last {
        let value = values[last];
        values[last..].fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Columns;

    /// A table of `date,y,k` where `k` is known in advance.
    fn panel(text: &str, missing: Missing, duplicates: Duplicates) -> Result<Panel, String> {
        let columns = Columns { numbers: vec!["y".into(), "k".into()], ..Columns::default() };
        let table = Table::parse("t.csv", text.as_bytes(), &columns).map_err(|error| error.to_string())?;
        repair(table, &columns.numbers, 1, Choices { missing, duplicates }).map_err(|error| error.to_string())
    }

    const GAPS: &str = "date,y,k\n2020-01-01,1,0\n2020-01-02,,1\n2020-01-05,7,0\n2020-01-06,8,2\n2020-01-07,9,3\n";

    #[test]
    fn gaps_are_reported_by_line_and_refused() {
        let why = panel(GAPS, Missing::Error, Duplicates::Error).unwrap_err();
        assert_eq!(
            why,
            "t.csv: 1 missing cell (line 3, column \"y\"); 2 missing dates (2 before line 4: 2020-01-05); choose with \
             --missing: drop, interpolate or mask"
        );
    }

    #[test]
    fn gaps_are_handled_as_chosen_and_noted() {
        let handled = |missing| panel(GAPS, missing, Duplicates::Error).unwrap();
        let dropped = handled(Missing::Drop);
        assert_eq!(dropped.series[0].columns[0], [1.0, 7.0, 8.0, 9.0]);
        assert!(dropped.notes[0].ends_with("left out incomplete rows, and took the others as equally spaced"));
        assert_eq!(dropped.notes[1], "dates after the end continue with the usual step of 24 hours");
        let drawn = &handled(Missing::Interpolate).series[0];
        assert_eq!(drawn.columns[0], [1.0, 2.5, 4.0, 5.5, 7.0, 8.0, 9.0]);
        assert_eq!(drawn.columns[1], [0.0, 1.0, 1.0 - 1.0 / 3.0, 1.0 - 2.0 / 3.0, 0.0, 2.0, 3.0]);
        assert_eq!((drawn.label(2), drawn.rows()), ("2020-01-03".to_string(), 7));
        let masked = &handled(Missing::Mask).series[0];
        assert_eq!(masked.columns[0], [1.0, 1.0, 1.0, 1.0, 7.0, 8.0, 9.0]);
        assert_eq!(masked.observed, [true, false, false, false, true, true, true]);
    }

    #[test]
    fn duplicates_are_reported_and_handled_as_chosen() {
        let text = "date,y,k\n2020-01-01,1,0\n2020-01-02,2,0\n2020-01-02,5,0\n2020-01-02,8,3\n2020-01-03,9,0\n";
        let why = panel(text, Missing::Error, Duplicates::Error).unwrap_err();
        let want = "t.csv: 2 rows of dates that the table already has (line 4: 2020-01-02, line 5: 2020-01-02); choose \
                    with --duplicates: first, last or mean";
        assert_eq!(why, want);
        for (choice, y, k) in
            [(Duplicates::First, 2.0, 0.0), (Duplicates::Last, 8.0, 3.0), (Duplicates::Mean, 5.0, 1.0)]
        {
            let panel = panel(text, Missing::Error, choice).unwrap();
            let got: Vec<f64> = panel.series[0].columns.iter().map(|column| column[1]).collect();
            assert!(got.iter().zip([y, k]).all(|(a, b)| (a - b).abs() < 1e-12), "{choice:?}: {got:?}");
            assert_eq!((panel.series[0].rows(), panel.notes.len()), (3, 1));
        }
    }

    #[test]
    fn irregular_dates_can_only_be_dropped() {
        let text = "date,y,k\n2020-01-01,1,0\n2020-01-02,2,0\n2020-01-03,3,0\n2020-01-03 13:00,3,0\n2020-01-05,4,0\n";
        for missing in [Missing::Error, Missing::Interpolate, Missing::Mask] {
            let why = panel(text, missing, Duplicates::Error).unwrap_err();
            assert!(
                why.contains("1 date that is not a whole number of steps after the first (line 5: 2020-01-03 13:00)"),
                "{why}"
            );
            assert!(why.contains("drop"), "{why}");
        }
        let dropped = panel(text, Missing::Drop, Duplicates::Error).unwrap();
        assert_eq!((dropped.series[0].rows(), dropped.series[0].label(5)), (5, "2020-01-06".to_string()));
    }

    #[test]
    fn a_date_far_away_is_not_filled_up_to() {
        let days = ["2020-01-01 00:00:00", "2020-01-01 00:00:01", "2020-01-01 00:00:02", "9999-01-01 00:00:00"];
        let text = &days.iter().fold("date,y,k\n".to_string(), |text, day| text + day + ",1,0\n");
        for missing in [Missing::Interpolate, Missing::Mask] {
            let why = panel(text, missing, Duplicates::Error).unwrap_err();
            assert!(why.ends_with("too many to fill for a table of 4 rows; see --missing drop"), "{why}");
        }
        assert_eq!(panel(text, Missing::Drop, Duplicates::Error).unwrap().series[0].rows(), 4);
    }

    #[test]
    fn rows_after_the_last_value_are_the_future() {
        let text = "date,y,k\n2020-01-01,1,0\n2020-01-02,2,1\n2020-01-03,,5\n2020-01-04,,6\n";
        let mut panel_of_text = panel(text, Missing::Error, Duplicates::Error).unwrap();
        assert_eq!(panel_of_text.notes, ["2 rows after the last value of \"y\" are the future"]);
        let series = panel_of_text.series.remove(0);
        assert_eq!((series.rows(), series.all_rows(), series.label(3)), (2, 4, "2020-01-04".to_string()));
        assert_eq!(series.columns[1], [0.0, 1.0, 5.0, 6.0]);
        let empty = panel("date,y,k\n2020-01-01,,0\n", Missing::Error, Duplicates::Error).unwrap_err();
        assert_eq!(empty, "t.csv: no row has a value of \"y\"");
    }

    #[test]
    fn fill_repeats_at_the_ends() {
        let mut values = [f64::NAN, 2.0, f64::NAN, f64::NAN, 5.0, f64::NAN];
        fill(&mut values, true);
        assert_eq!(values, [2.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
    }
}
