//! Texts in the attributes of the root group, where Keras stores the configuration of a model.

use std::collections::BTreeMap;

use super::newer::attributes;
use super::{ALL, Walk, root, short, word};
use crate::error::{Error, Result};
use crate::io::budget::Budget;

/// Returns the attributes of the root group that are called by one of `names` and hold a text.
///
/// # Errors
/// [`Error::Format`] for a damaged attribute of that name.
pub(in crate::io) fn texts(
    source: &str,
    bytes: &[u8],
    names: &[&'static str],
    budget: &mut Budget,
) -> Result<BTreeMap<&'static str, String>> {
    let bad = |why: String| Error::format(source, why);
    let start = root(bytes).map_err(bad)?;
    let mut walk = Walk::new(bytes, start, &ALL);
    let mut out = BTreeMap::new();
    let mut bodies = Vec::new();
    for (kind, _, body) in walk.messages(start).map_err(bad)? {
        match kind {
            0x0c => bodies.push(body),
            0x15 => bodies.extend(attributes(&mut walk, body).map_err(bad)?),
            _ => {}
        }
    }
    for body in bodies {
        let Some(parts) = parts(body) else { return Err(bad("has a damaged attribute".into())) };
        let Some(name) = names.iter().find(|name| name.as_bytes() == parts.name) else { continue };
        let what = || format!("{source}: attribute {name:?}");
        if let Some(found) = walk.text(&parts).map_err(|why| Error::format(what(), why))? {
            budget.take(what, found.len())?;
            let text = std::str::from_utf8(found).map_err(|_| Error::format(what(), "is not UTF-8"))?;
            out.insert(*name, text.to_string());
        }
    }
    Ok(out)
}

/// Parts of an attribute message.
struct Parts<'a> {
    name: &'a [u8],
    datatype: &'a [u8],
    data: &'a [u8],
}

/// Splits an attribute message. Versions 2 and 3 have no padding; version 3 also has an encoding.
fn parts(body: &[u8]) -> Option<Parts<'_>> {
    let version = *body.first()?;
    let sizes = [short(body, 2)?, short(body, 4)?, short(body, 6)?];
    let mut at = match version {
        1 | 2 => 8,
        3 => 9,
        _ => return None,
    };
    let mut take = |size: usize| {
        let part = body.get(at..at + size)?;
        at += if version == 1 { size.next_multiple_of(8) } else { size };
        Some(part)
    };
    let (name, datatype, _) = (take(sizes[0])?, take(sizes[1])?, take(sizes[2])?);
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some(Parts { name: &name[..end], datatype, data: body.get(at..)? })
}

impl<'a> Walk<'a> {
    /// Returns a text, without the zeros that pad it; `None` for any other type.
    fn text(&self, parts: &Parts<'a>) -> Result<Option<&'a [u8]>, String> {
        let damaged = || "is damaged".to_string();
        let &[class, flags, _, _, s0, s1, s2, s3, ..] = parts.datatype else { return Err(damaged()) };
        let text = match class & 15 {
            3 => parts.data.get(..u32::from_le_bytes([s0, s1, s2, s3]) as usize).ok_or_else(damaged)?,
            // A length of 4 bytes, the address of a heap, and the number of an object in it.
            9 if flags & 15 == 1 => {
                let (len, index) = (short(parts.data, 0).zip(short(parts.data, 2)), short(parts.data, 12));
                let len = len.map(|(low, high)| low | high << 16).ok_or_else(damaged)?;
                let heap = word(parts.data, 4).ok_or_else(damaged)?;
                let object = self.global(heap, index.ok_or_else(damaged)?).ok_or_else(damaged)?;
                object.get(..len).ok_or_else(damaged)?
            }
            _ => return Ok(None),
        };
        let end = text.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Ok(Some(&text[..end]))
    }

    /// Returns an object of a global heap: objects of a number, three unused words, a size, and bytes to a multiple
    /// of eight.
    fn global(&self, heap: usize, index: usize) -> Option<&'a [u8]> {
        let heap = self.at(heap).ok().filter(|heap| heap.starts_with(b"GCOL\x01"))?;
        let mut rest = heap.get(16..word(heap, 8)?)?;
        loop {
            let (own, size) = (short(rest, 0)?, word(rest, 8)?);
            let end = size.checked_add(16)?;
            let object = rest.get(16..end)?;
            match own {
                // The free space is the last object.
                0 => return None,
                _ if own == index => return Some(object),
                _ => rest = rest.get(end.checked_next_multiple_of(8)?..)?,
            }
        }
    }
}
