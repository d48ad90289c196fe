//! Tables of labels and texts.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::Result;
use super::files::read_text;

/// A text and its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labeled {
    pub label: String,
    pub text: String,
}

/// Reads a table; `columns` are the names of label and text in the header, or empty without a header.
///
/// # Errors
/// Names the file, the line, and the problem.
pub fn read(path: &Path, columns: &[String]) -> Result<Vec<Labeled>> {
    parse(&path.display().to_string(), &read_text(path)?, columns)
}

/// Parses the content of a table, named `source` in errors.
///
/// # Errors
/// Same as [`read`].
pub fn parse(source: &str, content: &str, columns: &[String]) -> Result<Vec<Labeled>> {
    let by_tabs = content.contains('\t');
    let mut reader = ReaderBuilder::new()
        .delimiter(if by_tabs { b'\t' } else { b',' })
        // Tables separated by tabs have no quoting: a quote is part of a text.
        .quoting(!by_tabs)
        .has_headers(false)
        .flexible(true)
        .from_reader(content.as_bytes());
    let separator = if by_tabs { "tab" } else { "comma" };
    let bad = |line: u64, why: String| format!("{source}: line {line}: {why}");
    let mut places = match columns {
        [] => Some((0, 1)),
        [_, _] => None,
        _ => return Err("--columns takes two names, of the label and of the text".into()),
    };
    let (mut record, mut rows) = (ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record)? {
        let start = record.position().map_or((0, 0), |position| (position.line(), position.byte()));
        let (line, from) = start;
        let raw = &content.as_bytes()[from as usize..reader.position().byte() as usize];
        if !by_tabs && raw.iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
            return Err(bad(line, "a quote that is not closed".into()).into());
        }
        let field = |place: usize| record.get(place).map(|bytes| String::from_utf8_lossy(bytes).trim().to_string());
        let Some((label, text)) = places else {
            let find = |name: &String| {
                let found = (0..record.len()).find(|&place| field(place).as_ref() == Some(name));
                let header: Vec<_> = (0..record.len()).filter_map(field).collect();
                found.ok_or_else(|| bad(line, format!("no column {name:?}; the header has {header:?}")))
            };
            places = Some((find(&columns[0])?, find(&columns[1])?));
            continue;
        };
        if record.len() == 1 && record[0].iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match (field(label), field(text)) {
            (Some(label), Some(text)) if !label.is_empty() && !text.is_empty() => rows.push(Labeled { label, text }),
            (Some(label), Some(_)) => {
                let what = if label.is_empty() { "label" } else { "text" };
                return Err(bad(line, format!("the {what} is empty")).into());
            }
            _ if record.len() == 1 => {
                return Err(bad(line, format!("no {separator} between label and text")).into());
            }
            _ => {
                let needed = label.max(text) + 1;
                return Err(bad(line, format!("{} columns, expected at least {needed}", record.len())).into());
            }
        }
    }
    match rows.is_empty() {
        true => Err(format!("{source}: no texts").into()),
        false => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(|name| name.to_string()).collect()
    }

    fn pairs(content: &str, columns: &[&str]) -> Vec<(String, String)> {
        let rows = parse("t", content, &names(columns)).unwrap();
        rows.into_iter().map(|row| (row.label, row.text)).collect()
    }

    #[test]
    fn both_separators_are_read() {
        let want = [("good".to_string(), "a \"b\", c".to_string()), ("bad".into(), "d".into())];
        assert_eq!(pairs("good\ta \"b\", c\n\nbad\t d \textra\r\n", &[]), want);
        assert_eq!(pairs("good,\"a \"\"b\"\", c\"\nbad,d\n", &[]), want);
        assert_eq!(pairs("id,text,stars\n1,\"a \"\"b\"\", c\",good\n2,d,bad", &["stars", "text"]), want);
    }

    #[test]
    fn broken_lines_are_named() {
        for (content, columns, why) in [
            ("good\ta\nbad b\n", &[][..], "line 2: no tab"),
            ("good,a\nb\n", &[], "line 2: no comma"),
            ("good\ta\n\tb\n", &[], "line 2: the label is empty"),
            ("good\ta\nx\t \n", &[], "line 2: the text is empty"),
            ("good,\"a\nb\"\nbad,\"c\nd,e\n", &[], "line 3: a quote that is not closed"),
            ("a,b\n1,2\n", &["a", "c"], "line 1: no column \"c\"; the header has [\"a\", \"b\"]"),
            ("a,b,c\n1,2,3\n1,2\n", &["a", "c"], "line 3: 2 columns, expected at least 3"),
            ("a,b\n", &["a", "b"], "no texts"),
            ("a,b\n", &["a", "b", "c"], "--columns"),
        ] {
            let error = parse("t.csv", content, &names(columns)).unwrap_err().to_string();
            assert!(error.contains(why), "{content:?}: {error}");
        }
    }
}
