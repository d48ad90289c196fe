//! Columns of numbers from a table with a header.

use crate::common::Result;

/// Largest magnitude of a number, so that sums of squares stay finite.
const LARGEST: f64 = 1e30;

/// Reads the columns `names` of comma-separated `text`; `source` names it in errors.
///
/// # Errors
/// Names the column that is missing, or the line and column of the first cell that is not a number.
pub fn columns(source: &str, text: &str, names: &[&str]) -> Result<Vec<Vec<f64>>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(String::from).collect();
    let mut places = Vec::new();
    for name in names {
        let place = header.iter().position(|column| column == name);
        places.push(place.ok_or_else(|| format!("{source}: no column {name:?}; the columns are {header:?}"))?);
    }
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record.map_err(|error| format!("{source}: {error}"))?;
        let line = record.position().map_or(0, |position| position.line());
        for ((column, &place), name) in columns.iter_mut().zip(&places).zip(names) {
            let cell = record.get(place).unwrap_or_default();
            match cell.parse::<f64>() {
                Ok(value) if value.abs() <= LARGEST => column.push(value),
                _ => return Err(format!("{source}: line {line}, column {name:?}: {cell:?} is not a number").into()),
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let got = columns("t.csv", "date,x,y\n2020,1, 2.5\n2021,-3,4e1\n", &["y", "x"]).unwrap();
        assert_eq!(got, [[2.5, 40.0], [1.0, -3.0]]);
    }

    #[test]
    fn broken_tables_are_refused_by_line_and_column() {
        for (text, why) in [
            ("x,z\n1,2\n", "t.csv: no column \"y\"; the columns are [\"x\", \"z\"]"),
            ("", "no column \"x\""),
            ("x,y\n1,2\n1,\n", "t.csv: line 3, column \"y\": \"\" is not a number"),
            ("x,y\n1\n", "line 2, column \"y\""),
            ("x,y\nnan,1\n", "line 2, column \"x\": \"nan\""),
            ("x,y\n1,1e31\n", "line 2, column \"y\": \"1e31\""),
        ] {
            let error = columns("t.csv", text, &["x", "y"]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
