//! Flattens JSON: arrays of numbers become tensors and other leaves become metadata, both named by their path.

use std::collections::btree_map::Entry;

use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::json;

/// Maximum nesting depth of objects and lists.
const DEEPEST: usize = 16;
/// Maximum length of a name, in bytes.
const LONGEST: usize = 1024;

/// Adds the entries of a checked object, without those at the top that `skip` names.
pub(super) fn flatten(file: &mut TensorFile, object: &str, skip: &[&str], budget: &mut Budget) -> Result<()> {
    let source = file.source().to_string();
    let bad = |name: &str, why: &str| {
        let name: String = name.chars().take(64).collect();
        Err(Error::format(format!("{source}: {name:?}"), why))
    };
    let mut open = vec![(String::new(), object, 0)];
    while let Some((name, value, depth)) = open.pop() {
        if name.len() > LONGEST || depth > DEEPEST {
            return bad(&name, &format!("is nested deeper than {DEEPEST}, or has a name of more than {LONGEST} bytes"));
        }
        let mut put = |key: &str, value| -> Result<()> {
            budget.take_name(&source, name.len() + key.len())?;
            open.push((if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }, value, depth + 1));
            Ok(())
        };
        match value.as_bytes().first() {
            Some(b'{') => {
                for entry in json::entries(value) {
                    let (key, value) = entry.map_err(|why| Error::format(&source, format!("holds {why}")))?;
                    if depth > 0 || !skip.contains(&key.as_str()) {
                        put(&key, value)?;
                    }
                }
            }
            Some(b'[') => match array(value, &source, budget)? {
                Some((dims, values)) => file.add(&name, &dims, values),
                None => {
                    for (k, item) in json::items(value).enumerate() {
                        budget.take_name(&source, name.len())?;
                        open.push((format!("{name}.{k}"), item, depth + 1));
                    }
                }
            },
            Some(b'n') | None => {}
            Some(_) => {
                budget.take(|| format!("{source}: the texts"), value.len())?;
                let text = json::text(value).unwrap_or_else(|| value.to_string());
                match file.metadata.entry(name) {
                    Entry::Vacant(place) => drop(place.insert(text)),
                    Entry::Occupied(place) => return bad(place.key(), "appears twice"),
                }
            }
        }
    }
    Ok(())
}

/// Parses an array of numbers, if `value` is one.
pub(super) fn array(value: &str, source: &str, budget: &mut Budget) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
    // A number takes at least two characters, and a list of numbers grows by doubling.
    let most = 4 * value.len();
    budget.take(|| format!("{source}: the numbers"), most)?;
    let array = json::array(value);
    // The list around other values holds none itself; its items are charged one by one.
    if array.is_none() {
        budget.give(most);
    }
    Ok(array)
}

/// Returns the value of a key of a checked object.
pub(super) fn field<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    json::entries(object).find_map(|entry| entry.ok().filter(|(name, _)| name == key)).map(|(_, value)| value)
}

/// Returns a whole number of a checked object.
pub(super) fn size(object: &str, key: &str) -> Option<usize> {
    field(object, key)?.parse().ok()
}
