//! Reads JSON in place. The text is validated once, and values are slices of it. No tree is built, because it could be
//! many times as large.

mod array;
mod check;
mod text;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub use array::array;
pub use text::{quoted, text, write_texts};

/// Checks that `bytes` are one JSON object, and returns its text.
///
/// # Errors
/// A phrase that follows "is".
pub fn object(bytes: &[u8]) -> Result<&str, String> {
    check::check(bytes).map_err(|at| format!("not valid JSON at byte {at}"))?;
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not valid JSON: {error}"))?.trim();
    if text.starts_with('{') { Ok(text) } else { Err("not a JSON object".into()) }
}

/// Maximum number of bytes that [`texts`] takes per byte of JSON.
pub const TEXTS_SHARE: usize = 16;

/// Iterates over the keys and values of an object that [`object`] has checked. Any other value has no entries. A key
/// that is not valid Unicode (half of a surrogate pair) is an error.
pub fn entries(object: &str) -> Entries<'_> {
    Entries(object.trim().strip_prefix('{').unwrap_or_default())
}

/// Iterator over the rest of an object. Values are slices of its text.
pub struct Entries<'a>(&'a str);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(String, &'a str), String>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = value(self.0.trim_start_matches([',', ' ', '\t', '\n', '\r']))?;
        let (value, rest) = value(rest.trim_start().strip_prefix(':')?.trim_start())?;
        self.0 = rest;
        Some(text(key).map(|key| (key, value)).ok_or_else(|| format!("a key that cannot be read: {key}")))
    }
}

/// Iterates over the values of a checked array. Any other value has no items.
pub fn items(array: &str) -> Items<'_> {
    Items(array.trim().strip_prefix('[').unwrap_or_default())
}

/// Iterator over the rest of an array. Values are slices of its text.
pub struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = value(self.0.trim_start_matches([',', ' ', '\t', '\n', '\r']))?;
        self.0 = rest;
        Some(value)
    }
}

/// Splits the value off the start of checked text; `None` at a closing bracket.
fn value(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                return (at > 0).then(|| text.split_at(at));
            }
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        // A string, object or array ends here; a number or word ends at the next delimiter.
        if depth == 0 && !quoted && !escaped && matches!(byte, b'"' | b'}' | b']') {
            return Some(text.split_at(at + 1));
        }
    }
    (!text.is_empty()).then_some((text, ""))
}

/// Parses a list of whole numbers; `None` for any other value, and for more than `most` numbers.
pub fn whole_numbers(value: &str, most: usize) -> Option<Vec<usize>> {
    let inside = value.strip_prefix('[')?.strip_suffix(']')?.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    let number = |text: &str| Some(text.trim()).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let numbers = inside.split(',').take(most.saturating_add(1)).map(number).collect::<Option<Vec<_>>>()?;
    (numbers.len() <= most).then_some(numbers)
}

/// Parses an object whose values are all strings.
///
/// # Errors
/// A phrase that follows "holds", for a value that is not a string, or a duplicate key.
pub fn texts(object: &str) -> Result<BTreeMap<String, String>, String> {
    let mut texts = BTreeMap::new();
    for entry in entries(object) {
        let (key, value) = entry?;
        let value = text(value).ok_or_else(|| format!("{key:?}, which is not a string"))?;
        match texts.entry(key) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(place) => return Err(format!("{:?} twice", place.key())),
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(String, String)> {
        let object = object(text.as_bytes()).expect("an object");
        entries(object).map(|entry| entry.map(|(key, value)| (key, value.to_string())).expect("an entry")).collect()
    }

    #[test]
    fn entries_match_the_tree_reader() {
        let text =
            r#" { "a" : 1 ,"b\"}\\":{"x":[1,{"y":"]}"}]}, "c":"t,e:x{t", "\u0064":[ ] ,"e":true,"f":-1.5e3,"":null } "#;
        let tree: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).expect("JSON");
        let ours = split(text);
        assert_eq!(ours.len(), tree.len());
        for (key, value) in ours {
            let value: serde_json::Value = serde_json::from_str(&value).expect("JSON");
            assert_eq!(value, tree[&key], "{key}");
        }
        assert!(split("{}").is_empty() && split(" { } ").is_empty());
    }

    #[test]
    fn duplicate_keys_and_other_values_are_refused() {
        assert!(texts(r#"{"a":"b","a":"b"}"#).is_err_and(|why| why.contains("twice")));
        assert!(texts(r#"{"a":"b","\u0061":"c"}"#).is_err_and(|why| why.contains("twice")));
        assert!(texts(r#"{"\ud800":"b","c":"d"}"#).is_err_and(|why| why.contains("cannot be read")));
        assert!(texts(r#"{"a":1}"#).is_err_and(|why| why.contains("not a string")));
        assert_eq!(texts(r#"{"a":"b\n"}"#).expect("texts")["a"], "b\n");
        for bad in ["", "[]", "1", "{", "{} {}", "{\"a\":}", "\"a\"", "{\"a\":1,}", "\u{feff}{}"] {
            assert!(object(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn integer_lists_refuse_anything_else() {
        assert_eq!(whole_numbers("[1, 2 ,18446744073709551615]", 3).map(|n| n.len()), Some(3));
        assert_eq!(whole_numbers("[ ]", 3), Some(vec![]));
        for bad in
            ["[1,2,3,4]", "[-1]", "[1.0]", "[1e2]", "[\"1\"]", "[[1]]", "1", "{}", "[18446744073709551616]", "[null]"]
        {
            assert_eq!(whole_numbers(bad, 3), None, "{bad}");
        }
    }
}
