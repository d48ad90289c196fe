//! Series of rows with equal distances, without missing values.

use crate::time::{Step, format_like};

/// One series. Its rows are those of the past; further rows of the columns that are known in advance may follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Empty unless the table holds several series.
    pub name: String,
    pub statics: Vec<String>,
    /// By column: the one to forecast, features, columns known in advance. In future rows, only these have values.
    pub columns: Vec<Vec<f64>>,
    /// Whether the table has a value to forecast, by row of the past. Otherwise, it was filled in.
    pub observed: Vec<bool>,
    /// Hours since 1970 and their text, also of future rows.
    pub times: Option<Vec<(f64, String)>>,
    pub step: Option<Step>,
}

impl Series {
    /// Returns the number of rows of the past.
    pub fn rows(&self) -> usize {
        self.observed.len()
    }

    /// Returns the number of rows of the past and the future.
    pub fn all_rows(&self) -> usize {
        self.columns[0].len()
    }

    /// Returns the hours since 1970 of a row. Rows after the last one continue with the usual step.
    pub fn hours(&self, row: usize) -> Option<f64> {
        let times = self.times.as_ref()?;
        match times.get(row) {
            Some((hours, _)) => Some(*hours),
            None => Some(self.step?.after(times.last()?.0, (row + 1 - times.len()) as i64)),
        }
    }

    /// Returns the name of a row, which may be after the last one: its date, or its number.
    pub fn label(&self, row: usize) -> String {
        let known = self.times.as_ref().and_then(|times| times.get(row).or(times.last()));
        match (known, self.hours(row)) {
            (Some((hours, text)), Some(wanted)) if hours == &wanted => text.clone(),
            (Some((_, text)), Some(wanted)) => format_like(wanted, text),
            _ => format!("row {}", row + 1),
        }
    }
}

/// The series of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Name of the file, for messages.
    pub source: String,
    /// At least one.
    pub series: Vec<Series>,
    /// Changes to the table that the user asked for: what, how many, and where.
    pub notes: Vec<String>,
}

impl Panel {
    /// Returns the step of the first series.
    pub fn step(&self) -> Option<Step> {
        self.series[0].step
    }

    /// Returns the file's name without its folder.
    pub fn file_name(&self) -> String {
        let name = std::path::Path::new(&self.source).file_name();
        name.map_or(self.source.clone(), |name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_continue_after_the_end() {
        let times = vec![(0.0, "1970-01-01".to_string()), (24.0, "1970-01-02".to_string())];
        let mut series = Series {
            name: String::new(),
            statics: Vec::new(),
            columns: vec![vec![1.0, 2.0]],
            observed: vec![true; 2],
            times: Some(times),
            step: Some(Step::Hours(24.0)),
        };
        assert_eq!(
            [0, 1, 2, 31].map(|row| series.label(row)),
            ["1970-01-01", "1970-01-02", "1970-01-03", "1970-02-01"]
        );
        series.times = None;
        assert_eq!((series.label(5), series.hours(0)), ("row 6".to_string(), None));
    }
}
