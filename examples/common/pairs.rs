//! Files of pairs of texts, separated by a tab.

use std::path::Path;

use super::files::read_text;

/// Reads a file with a pair in every line. `names` say in errors what the two texts are. Empty lines and further
/// columns, for example the source of a pair, are ignored; runs of whitespace become one space.
///
/// # Errors
/// Names the file, and the first line that is not a pair.
pub fn read(path: &Path, names: [&str; 2]) -> super::Result<Vec<(String, String)>> {
    let (file, content) = (path.display(), read_text(path)?);
    let mut pairs = Vec::new();
    for (number, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |why: String| format!("{file}: line {}: {why}", number + 1);
        let mut columns = line.split('\t').map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        let (Some(first), Some(second)) = (columns.next(), columns.next()) else {
            return Err(bad(format!("no tab between {} and {}", names[0], names[1])).into());
        };
        for (name, text) in names.iter().zip([&first, &second]) {
            if text.is_empty() {
                return Err(bad(format!("the {name} is empty")).into());
            }
        }
        pairs.push((first, second));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_checked_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my pairs.tsv");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read(&path, ["source", "target"])
        };
        let pairs = read("Go. \t Va\u{202f} !\tCC-BY\r\n\nhi\thello\n").unwrap();
        assert_eq!(pairs, [("Go.", "Va !"), ("hi", "hello")].map(|(a, b)| (a.to_string(), b.to_string())));
        for (content, why) in [
            ("hi\thello\nbye ciao\n", "my pairs.tsv: line 2: no tab between source and target"),
            ("hi\thello\n\n\t ciao\n", "line 3: the source is empty"),
            ("hi\thello\nbye\t\n", "line 2: the target is empty"),
            ("", "empty"),
        ] {
            let error = read(content).unwrap_err().to_string();
            assert!(error.contains(why), "{content:?}: {error}");
        }
    }
}
