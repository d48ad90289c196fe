//! Reads columns of numbers from a CSV file. Errors name the line and column.

use std::path::Path;

use crate::time::{parse_hours, usual_step};

/// Names of a column of dates. Without such a name, the first column is tried.
const DATE_NAMES: [&str; 5] = ["date", "datetime", "time", "timestamp", "ds"];
/// Largest allowed magnitude of a cell, so that sums of squares stay finite.
const LARGEST: f64 = 1e30;

/// The reason that a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Open { path: String, source: std::io::Error },
    /// The header lacks the column.
    #[error("{path}: no column {column:?}; the columns are {there}")]
    NoColumn { path: String, column: String, there: String },
    /// A cell is wrong or missing.
    #[error("{path}, line {line}, column {column:?}: {why}")]
    Cell { path: String, line: u64, column: String, why: String },
    /// The table as a whole is wrong.
    #[error("{path}: {why}")]
    Table { path: String, why: String },
}

/// Columns of equal length, and the times of their rows.
#[derive(Debug, PartialEq)]
pub struct Series {
    /// Name of the file, for messages.
    pub source: String,
    /// The requested columns, in this order.
    pub columns: Vec<Vec<f64>>,
    /// Hours since 1970 and the text of each row, if there is a column of dates.
    pub times: Option<Vec<(f64, String)>>,
}

impl Series {
    /// Reads the given columns of a file.
    ///
    /// # Errors
    /// [`SeriesError`] for an unreadable file, a missing column, or the first cell that is not a finite number.
    pub fn open(path: &Path, names: &[String]) -> Result<Self, SeriesError> {
        let source = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&source, &bytes, names),
            Err(error) => Err(SeriesError::Open { path: source, source: error }),
        }
    }

    /// Reads the given columns of CSV text with a header.
    ///
    /// # Errors
    /// Same as [`Series::open`].
    pub fn parse(source: &str, bytes: &[u8], names: &[String]) -> Result<Self, SeriesError> {
        let table = |why: String| SeriesError::Table { path: source.into(), why };
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(String::from).collect(),
            Err(error) => return Err(table(format!("line 1: {error}"))),
        };
        if header.is_empty() {
            return Err(table("line 1: no header; the file is empty".into()));
        }
        let at: Vec<usize> = names.iter().map(|name| find(source, &header, name)).collect::<Result<_, _>>()?;
        let date = header.iter().position(|h| DATE_NAMES.contains(&h.to_lowercase().as_str())).unwrap_or(0);

        let mut series = Self { source: source.into(), columns: vec![Vec::new(); names.len()], times: None };
        for record in reader.byte_records() {
            let record = record.map_err(|error| table(error.to_string()))?;
            let line = record.position().map_or(0, |p| p.line());
            series.push(&header, &at, date, line, &record)?;
        }
        match series.columns.first() {
            Some(column) if !column.is_empty() => Ok(series),
            _ => Err(table("no row under the header".into())),
        }
    }

    fn push(
        &mut self,
        header: &[String],
        at: &[usize],
        date: usize,
        line: u64,
        record: &csv::ByteRecord,
    ) -> Result<(), SeriesError> {
        let source = self.source.clone();
        let bad = |i: usize, why: String| {
            let column = header.get(i).or(header.last()).cloned().unwrap_or_default();
            SeriesError::Cell { path: source.clone(), line, column, why }
        };
        if record.len() != header.len() {
            let which = if record.len() < header.len() { "missing" } else { "followed by extra cells" };
            let why = format!("{which}: the line has {} cells, the header {}", record.len(), header.len());
            return Err(bad(record.len().min(header.len() - 1), why));
        }
        let text = |i: usize| std::str::from_utf8(&record[i]).map_err(|_| bad(i, "not UTF-8".into()));
        for (column, &i) in self.columns.iter_mut().zip(at) {
            let text = text(i)?;
            let why = match text.parse::<f64>() {
                Ok(value) if value.abs() <= LARGEST => {
                    column.push(value);
                    continue;
                }
                Ok(value) if value.is_finite() => {
                    format!("{text} is too large: the magnitude may be at most {LARGEST:e}")
                }
                Ok(_) => format!("{text} is not a finite number"),
                Err(_) if text.is_empty() => "the cell is empty".into(),
                Err(_) => format!("{text:?} is not a number"),
            };
            return Err(bad(i, why));
        }
        self.push_time(self.columns[0].len() == 1, text(date)?).map_err(|why| bad(date, why))
    }

    /// The first row determines whether there are dates. If so, every row must have one, and dates must not decrease.
    fn push_time(&mut self, first: bool, text: &str) -> Result<(), String> {
        let hours = parse_hours(text);
        if first {
            self.times = hours.map(|_| Vec::new());
        }
        let Some(times) = &mut self.times else { return Ok(()) };
        let Some(hours) = hours else { return Err(format!("{text:?} is not a date such as YYYY-MM-DD HH:MM:SS")) };
        if let Some((last, name)) = times.last()
            && hours < *last
        {
            return Err(format!("{text} comes after {name}: rows must be in chronological order"));
        }
        times.push((hours, text.into()));
        Ok(())
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.columns[0].len()
    }

    /// Returns the usual step in hours.
    pub fn step(&self) -> Option<f64> {
        let hours: Vec<f64> = self.times.as_ref()?.iter().map(|(hours, _)| *hours).collect();
        usual_step(&hours)
    }

    /// Returns the name of a row: its date, or its number.
    pub fn label(&self, row: usize) -> String {
        match &self.times {
            Some(times) => times[row].1.clone(),
            None => format!("row {}", row + 1),
        }
    }
}

fn find(source: &str, header: &[String], name: &str) -> Result<usize, SeriesError> {
    let mut found = header.iter().enumerate().filter(|(_, h)| *h == name).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(i), None) => Ok(i),
        (Some(_), Some(_)) => {
            Err(SeriesError::Table { path: source.into(), why: format!("line 1: column {name:?} appears twice") })
        }
        (None, _) => Err(SeriesError::NoColumn { path: source.into(), column: name.into(), there: header.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Series, SeriesError> {
        Series::parse("t.csv", text.as_bytes(), &["y".to_string(), "x".to_string()])
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn series_reads_the_requested_columns() {
        let series = parse("\u{feff}date,x,other,y\n2020-01-01,1,a,-2.5e1\r\n2020-01-02, 3 ,\"b,\n\",4\n").unwrap();
        assert_eq!(series.columns, [[-25.0, 4.0], [1.0, 3.0]]);
        assert_eq!((series.rows(), series.step(), series.label(1)), (2, Some(24.0), "2020-01-02".to_string()));
    }

    #[test]
    fn series_accepts_tables_without_dates() {
        let series = parse("x,y\n1,2\n3,4\n").unwrap();
        assert_eq!((series.times.is_none(), series.label(1)), (true, "row 2".to_string()));
    }

    #[test]
    fn cells_are_refused_by_line_and_column() {
        for (cell, why) in [
            ("", "the cell is empty"),
            ("NaN", "NaN is not a finite number"),
            ("-inf", "-inf is not a finite number"),
            ("1e999", "1e999 is not a finite number"),
            ("-2e30", "-2e30 is too large: the magnitude may be at most 1e30"),
            ("12,5", "followed by extra cells: the line has 4 cells, the header 3"),
            ("rain", "\"rain\" is not a number"),
            ("1.2.3", "\"1.2.3\" is not a number"),
        ] {
            let got = refusal(&format!("date,x,y\n2020-01-01,1,2\n2020-01-02,3,{cell}\n"));
            assert_eq!(got, format!("t.csv, line 3, column \"y\": {why}"));
        }
        let got = refusal("date,x,y\n2020-01-01,1,2\n2020-01-02,3\n");
        assert_eq!(got, "t.csv, line 3, column \"y\": missing: the line has 2 cells, the header 3");
        let lines = refusal("x,y,note\n1,2,\"over\ntwo lines\"\n1,,c\n");
        assert_eq!(lines, "t.csv, line 4, column \"y\": the cell is empty");
    }

    #[test]
    fn invalid_utf8_is_refused() {
        let error = Series::parse("t.csv", b"x,y\n1,2\n1,\xff\xfe\n", &["y".to_string()]).unwrap_err();
        assert_eq!(error.to_string(), "t.csv, line 3, column \"y\": not UTF-8");
        assert!(Series::parse("t.csv", b"\xff,y\n1,2\n", &["y".to_string()]).is_err());
    }

    #[test]
    fn dates_are_refused_by_line_and_column() {
        let unordered = refusal("date,x,y\n2020-01-02,1,2\n2020-01-01,1,2\n");
        assert!(unordered.starts_with("t.csv, line 3, column \"date\": 2020-01-01 comes after"), "{unordered}");
        let broken = refusal("date,x,y\n2020-01-02,1,2\n2020-02-30,1,2\n");
        assert!(broken.starts_with("t.csv, line 3, column \"date\": \"2020-02-30\" is not a date"), "{broken}");
    }

    #[test]
    fn tables_are_refused() {
        assert_eq!(refusal(""), "t.csv: line 1: no header; the file is empty");
        assert_eq!(refusal("x,y\n"), "t.csv: no row under the header");
        assert_eq!(refusal("x,z\n1,2\n"), "t.csv: no column \"y\"; the columns are x, z");
        assert_eq!(refusal("x,y,y\n1,2,3\n"), "t.csv: line 1: column \"y\" appears twice");
        let missing = Series::open(Path::new("no/such.csv"), &["y".to_string()]).unwrap_err().to_string();
        assert!(missing.starts_with("no/such.csv: "), "{missing}");
    }
}
