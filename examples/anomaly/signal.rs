//! Reading recordings and tables of measurements.

use std::path::Path;

use wgru::io::TensorFile;

use crate::common::Result;
use crate::common::files::read_text;

/// Reads a recording: `.npy` or `.npz` with one array, or text with one number per line.
///
/// # Errors
/// Names the file, and the line or array at fault.
pub fn read_signal(path: &Path) -> Result<Vec<f32>> {
    let name = path.display();
    let is_array = path.extension().is_some_and(|end| end == "npy" || end == "npz");
    if !is_array {
        return parse_lines(&name.to_string(), &read_text(path)?);
    }
    let file = TensorFile::open(path)?;
    let names: Vec<&str> = file.names().collect();
    let &[array] = &names[..] else {
        return Err(format!("{name}: expected one array, got {}: {}", names.len(), names.join(", ")).into());
    };
    let (dims, values) = file.get(array)?;
    if dims.iter().filter(|&&extent| extent != 1).count() > 1 {
        return Err(format!("{name}: array {array:?}: expected one axis, got the shape {dims:?}").into());
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(format!("{name}: array {array:?}: the value at {place} is not finite").into()),
        None => Ok(values.to_vec()),
    }
}

fn parse_lines(name: &str, text: &str) -> Result<Vec<f32>> {
    let line =
        |(i, line): (usize, &str)| parse_number(line).map_err(|why| format!("{name}: line {}: {why}", i + 1).into());
    text.trim_end().lines().enumerate().map(line).collect()
}

/// Parses a finite number.
///
/// # Errors
/// Says what came instead.
pub fn parse_number(text: &str) -> std::result::Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("expected a number, got {:?}", shortened(text.trim()))),
    }
}

/// Cuts long text for a message.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// Measurements with the times of their rows, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    pub times: Vec<String>,
    pub values: Vec<f32>,
}

/// Name of the columns of a table of measurements.
pub const HEADER: &str = "timestamp,value";

impl Measurements {
    /// Reads a table with the header `timestamp,value`.
    ///
    /// # Errors
    /// Names the file and the line at fault.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&path.display().to_string(), &read_text(path)?)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut lines = text.trim_end().lines().enumerate();
        let first = lines.next().map_or("", |(_, line)| line.trim());
        if first != HEADER {
            return Err(format!("{name}: line 1: expected the header {HEADER:?}, got {:?}", shortened(first)).into());
        }
        let mut out = Self::default();
        for (i, line) in lines {
            let (time, value) = parse_row(line).map_err(|why| format!("{name}: line {}: {why}", i + 1))?;
            out.times.push(time.unwrap_or_default().into());
            out.values.push(value);
        }
        Ok(out)
    }
}

/// Parses a row `timestamp,value`, or a value alone.
///
/// # Errors
/// Says what came instead.
pub fn parse_row(line: &str) -> std::result::Result<(Option<&str>, f32), String> {
    match line.trim().rsplit_once(',') {
        Some((time, value)) => Ok((Some(time.trim()), parse_number(value)?)),
        None => Ok((None, parse_number(line)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_read_from_arrays_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut file = TensorFile::default();
        file.insert("ecg", &[3], vec![1024.0, 990.0, 1100.0]);
        std::fs::write(path("a recording.npz"), file.to_npz().unwrap()).unwrap();
        std::fs::write(path("a recording.txt"), "1024\n990\n1.1e3\n").unwrap();
        for name in ["a recording.npz", "a recording.txt"] {
            assert_eq!(read_signal(&path(name)).unwrap(), [1024.0, 990.0, 1100.0]);
        }
    }

    #[test]
    fn bad_recordings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let refuse = |name: &str, bytes: &[u8], why: &str| {
            std::fs::write(path(name), bytes).unwrap();
            let error = read_signal(&path(name)).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(name), "{error}");
        };
        refuse("an empty.txt", b"", "empty");
        refuse("a.txt", b"1\n2\nthree\n", "line 3: expected a number, got \"three\"");
        refuse("b.txt", b"1\n\n2\n", "line 2: expected a number, got \"\"");
        refuse("c.txt", b"1\nNaN\n", "line 2");
        refuse("an empty.npz", b"", "");
        let mut file = TensorFile::default();
        file.insert("a", &[2], vec![1.0, f32::INFINITY]);
        refuse("d.npz", &file.to_npz().unwrap(), "value at 1 is not finite");
        file.insert("b", &[2], vec![1.0, 2.0]);
        refuse("e.npz", &file.to_npz().unwrap(), "expected one array, got 2: a, b");
        let mut file = TensorFile::default();
        file.insert("a", &[2, 2], vec![1.0; 4]);
        refuse("f.npz", &file.to_npz().unwrap(), "[2, 2]");
    }

    #[test]
    fn measurements_name_the_line_at_fault() {
        let table = Measurements::parse("t.csv", "timestamp,value\n2014-01-01 00:00:00,5\n2014-01-01 00:05:00,-1.5\n");
        assert_eq!(table.unwrap().values, [5.0, -1.5]);
        for (text, why) in [
            ("time,value\n1,2\n", "line 1: expected the header \"timestamp,value\""),
            ("timestamp,value\na,1\nb,x\n", "line 3: expected a number, got \"x\""),
        ] {
            let error = Measurements::parse("t.csv", text).unwrap_err().to_string();
            assert!(error.contains(why) && error.starts_with("t.csv"), "{error}");
        }
    }
}
