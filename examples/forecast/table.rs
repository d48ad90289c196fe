//! Reads the rows of a CSV file. Errors name the line and column.

use std::collections::HashMap;
use std::path::Path;

use crate::time::{parse_hours, parse_named};

/// Names of a column of dates. Without such a name, the first column is tried.
const DATE_NAMES: [&str; 8] = ["date", "datetime", "time", "timestamp", "ds", "day", "month", "year"];
/// Cells without a value, in lower case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];
/// Largest allowed magnitude of a cell, so that sums of squares stay finite.
const LARGEST: f64 = 1e30;

/// The reason that a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Open { path: String, source: std::io::Error },
    /// The header lacks the column.
    #[error("{path}: no column {column:?}; the columns are {there}")]
    NoColumn { path: String, column: String, there: String },
    /// A cell is wrong.
    #[error("{path}, line {line}, column {column:?}: {why}")]
    Cell { path: String, line: u64, column: String, why: String },
    /// The table as a whole is wrong.
    #[error("{path}: {why}")]
    Table { path: String, why: String },
}

/// The columns to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The column to forecast, features, then columns that are known in advance. All hold numbers.
    pub numbers: Vec<String>,
    /// Texts that are constant within a series.
    pub statics: Vec<String>,
    /// Tells the series apart.
    pub series: Option<String>,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub line: u64,
    /// Hours since 1970 and their text, in tables with dates.
    pub time: Option<(f64, String)>,
    /// NaN where a cell has no value.
    pub numbers: Vec<f64>,
}

/// The rows of one series, in chronological order.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Empty unless a column tells several series apart.
    pub name: String,
    pub statics: Vec<String>,
    pub rows: Vec<Row>,
}

/// The rows of a file by series, in the order in which these appear.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Name of the file, for messages.
    pub source: String,
    pub groups: Vec<Group>,
    /// Name and first cell of a column that is named like a date, but does not hold dates.
    pub undated: Option<[String; 2]>,
}

impl Table {
    /// Reads the given columns of a file.
    ///
    /// # Errors
    /// [`TableError`] for an unreadable file, a missing column, or the first cell that is neither a finite number nor
    /// empty.
    pub fn open(path: &Path, columns: &Columns) -> Result<Self, TableError> {
        let source = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&source, &bytes, columns),
            Err(error) => Err(TableError::Open { path: source, source: error }),
        }
    }

    /// Reads the given columns of CSV text with a header.
    ///
    /// # Errors
    /// Same as [`Table::open`].
    pub fn parse(source: &str, bytes: &[u8], columns: &Columns) -> Result<Self, TableError> {
        let table = |why: String| TableError::Table { path: source.into(), why };
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(String::from).collect(),
            Err(error) => return Err(table(format!("line 1: {error}"))),
        };
        if header.is_empty() {
            return Err(table("line 1: no header; the file is empty".into()));
        }
        let mut lines = Lines::new(source, &header, columns)?;
        for record in reader.byte_records() {
            let record = record.map_err(|error| table(error.to_string()))?;
            // Between `\r` and `\n`, the reader has not counted the line yet.
            let between = record.position().and_then(|p| bytes.get(usize::try_from(p.byte()).ok()?)) == Some(&b'\n');
            lines.push(record.position().map_or(0, |p| p.line() + u64::from(between)), &record)?;
        }
        if lines.groups.is_empty() {
            return Err(table("no row under the header".into()));
        }
        Ok(Self { source: source.into(), groups: lines.groups, undated: lines.undated })
    }
}

/// Converts lines to rows.
struct Lines<'a> {
    source: &'a str,
    header: &'a [String],
    /// Positions in the header.
    numbers: Vec<usize>,
    statics: Vec<usize>,
    series: Option<usize>,
    date: usize,
    parse_date: fn(&str) -> Option<f64>,
    /// Whether there are dates, once the first row has shown it.
    has_dates: Option<bool>,
    undated: Option<[String; 2]>,
    groups: Vec<Group>,
    numbers_of_groups: HashMap<String, usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str, header: &'a [String], columns: &Columns) -> Result<Self, TableError> {
        let named = header.iter().position(|h| DATE_NAMES.contains(&h.to_lowercase().as_str()));
        let all = |names: &[String]| names.iter().map(|name| find(source, header, name)).collect::<Result<_, _>>();
        Ok(Self {
            source,
            header,
            numbers: all(&columns.numbers)?,
            statics: all(&columns.statics)?,
            series: columns.series.as_ref().map(|name| find(source, header, name)).transpose()?,
            date: named.unwrap_or(0),
            parse_date: if named.is_some() { parse_named } else { parse_hours },
            has_dates: None,
            undated: None,
            groups: Vec::new(),
            numbers_of_groups: HashMap::new(),
        })
    }

    fn push(&mut self, line: u64, record: &csv::ByteRecord) -> Result<(), TableError> {
        let (source, header) = (self.source, self.header);
        let bad = |i: usize, why: String| {
            let column = header.get(i).or(header.last()).cloned().unwrap_or_default();
            TableError::Cell { path: source.into(), line, column, why }
        };
        if record.len() != header.len() {
            let which = if record.len() < header.len() { "missing" } else { "followed by extra cells" };
            let why = format!("{which}: the line has {} cells, the header {}", record.len(), header.len());
            return Err(bad(record.len().min(header.len() - 1), why));
        }
        let text = |i: usize| std::str::from_utf8(&record[i]).map_err(|_| bad(i, "not UTF-8".into()));
        let number = |&i: &usize| text(i).and_then(|text| parse_number(text).map_err(|why| bad(i, why)));
        let numbers = self.numbers.iter().map(number).collect::<Result<Vec<f64>, _>>()?;
        let statics = self.statics.iter().map(|&i| text(i).map(String::from)).collect::<Result<Vec<String>, _>>()?;
        let name = self.series.map_or(Ok(""), text)?;
        let date = text(self.date)?;
        let hours = (self.parse_date)(date);
        if self.has_dates.is_none()
            && hours.is_none()
            && DATE_NAMES.contains(&header[self.date].to_lowercase().as_str())
        {
            self.undated = Some([header[self.date].clone(), date.into()]);
        }
        let has_dates = *self.has_dates.get_or_insert(hours.is_some());
        let time = match hours {
            _ if !has_dates => None,
            Some(hours) => Some((hours, date.to_string())),
            None => return Err(bad(self.date, format!("{date:?} is not a date such as YYYY-MM-DD HH:MM:SS"))),
        };

        let at = *self.numbers_of_groups.entry(name.into()).or_insert(self.groups.len());
        if at == self.groups.len() {
            self.groups.push(Group { name: name.into(), statics: statics.clone(), rows: Vec::new() });
        }
        let group = &mut self.groups[at];
        if let Some(i) = (0..statics.len()).find(|&i| statics[i] != group.statics[i]) {
            let why = format!("{:?}, but the series {name:?} has {:?} before", statics[i], group.statics[i]);
            return Err(bad(self.statics[i], why + "; a static column is constant within a series"));
        }
        let last = group.rows.last().and_then(|row| row.time.as_ref());
        if let (Some((hours, text)), Some((before, name))) = (&time, last)
            && hours < before
        {
            let why = format!("{text} comes after {name}: rows must be in chronological order");
            return Err(bad(self.date, why));
        }
        group.rows.push(Row { line, time, numbers });
        Ok(())
    }
}

/// Returns NaN for a cell without a value.
fn parse_number(text: &str) -> Result<f64, String> {
    if MISSING.contains(&text.to_lowercase().as_str()) {
        return Ok(f64::NAN);
    }
    match text.parse::<f64>() {
        Ok(value) if value.abs() <= LARGEST => Ok(value),
        Ok(value) if value.is_finite() => Err(format!("{text} is too large: the magnitude may be at most {LARGEST:e}")),
        Ok(_) => Err(format!("{text} is not a finite number")),
        Err(_) => Err(format!("{text:?} is not a number")),
    }
}

fn find(source: &str, header: &[String], name: &str) -> Result<usize, TableError> {
    let mut found = header.iter().enumerate().filter(|(_, h)| *h == name).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(i), None) => Ok(i),
        (Some(_), Some(_)) => {
            Err(TableError::Table { path: source.into(), why: format!("line 1: column {name:?} appears twice") })
        }
        (None, _) => Err(TableError::NoColumn { path: source.into(), column: name.into(), there: header.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns { numbers: vec!["y".into(), "x".into()], ..Columns::default() }
    }

    fn parse(text: &str) -> Result<Table, TableError> {
        Table::parse("t.csv", text.as_bytes(), &columns())
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn tables_hold_the_requested_columns() {
        let text = "\u{feff}date,x,other,y\n2020-01-01,1,a,-2.5e1\r\n2020-01-02, 3 ,\"b,\n\",4\n";
        let group = parse(text).unwrap().groups.remove(0);
        assert_eq!([&group.rows[0].numbers[..], &group.rows[1].numbers], [[-25.0, 1.0], [4.0, 3.0]]);
        assert_eq!(group.rows[1].time.as_ref().unwrap().1, "2020-01-02");
        assert_eq!(group.rows[1].line, 3);
        assert_eq!(refusal("x,y\r\n1,2\r\n3,a\r\n"), "t.csv, line 3, column \"y\": \"a\" is not a number");
        assert!(parse("x,y\n1,2\n").unwrap().groups[0].rows[0].time.is_none());
        let year = parse("x,y,Year\n1,2,1871\n").unwrap();
        assert!(year.groups[0].rows[0].time.is_some() && year.undated.is_none());
        let other = parse("month,x,y\nMay 2020,1,2\n").unwrap();
        assert_eq!(
            (other.groups[0].rows[0].time.is_none(), other.undated),
            (true, Some(["month", "May 2020"].map(String::from)))
        );
    }

    #[test]
    fn long_tables_are_split_by_series() {
        let columns = Columns { numbers: vec!["y".into()], statics: vec!["size".into()], series: Some("shop".into()) };
        let text = "date,shop,size,y\n2020-01-01,a,big,1\n2020-01-01,b,,2\n2020-01-02,a,big,3\n";
        let table = Table::parse("t.csv", text.as_bytes(), &columns).unwrap();
        let found: Vec<_> = table.groups.iter().map(|g| (&g.name[..], &g.statics[0][..], g.rows.len())).collect();
        assert_eq!(found, [("a", "big", 2), ("b", "", 1)]);
        let changed = text.replace("02,a,big", "02,a,small");
        let why = Table::parse("t.csv", changed.as_bytes(), &columns).unwrap_err().to_string();
        let want = "t.csv, line 4, column \"size\": \"small\", but the series \"a\" has \"big\" before";
        assert!(why.starts_with(want), "{why}");
    }

    #[test]
    fn cells_without_a_value_are_kept() {
        for cell in ["", "NA", "NaN", "null", "?"] {
            let table = parse(&format!("date,x,y\n2020-01-01,1,{cell}\n")).unwrap();
            assert!(table.groups[0].rows[0].numbers[0].is_nan(), "{cell:?}");
        }
    }

    #[test]
    fn cells_are_refused_by_line_and_column() {
        for (cell, why) in [
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
        let lines = refusal("x,y,note\n1,2,\"over\ntwo lines\"\n1,a,c\n");
        assert_eq!(lines, "t.csv, line 4, column \"y\": \"a\" is not a number");
    }

    #[test]
    fn invalid_utf8_is_refused() {
        let error = Table::parse("t.csv", b"x,y\n1,2\n1,\xff\xfe\n", &columns()).unwrap_err();
        assert_eq!(error.to_string(), "t.csv, line 3, column \"y\": not UTF-8");
        assert!(Table::parse("t.csv", b"\xff,y\n1,2\n", &columns()).is_err());
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
        let missing = Table::open(Path::new("no/such.csv"), &columns()).unwrap_err().to_string();
        assert!(missing.starts_with("no/such.csv: "), "{missing}");
    }
}
