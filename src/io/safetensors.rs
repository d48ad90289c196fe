//! Safetensors: eight bytes of length, a header of JSON, and the tensors one after the other
//!
//! Read and written here: the crate of the format writes metadata in no certain order, and reads with a deserializer of
//! its own, which browsers would download beside the one for JSON. Tests compare with it, byte for byte of damage.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::TensorFile;
use super::budget::Budget;
use super::element::{Element, View, count, strides};
use super::file::METADATA;
use crate::error::{Error, Result};

/// Most bytes of a header: room for 100,000 tensors. The format allows six times as many, which could unfold to gigabytes.
const LONGEST: usize = 1 << 24;

/// Types by the format's names.
const TYPES: [(&str, Element); 13] = [
    ("BOOL", Element::Bool),
    ("U8", Element::U8),
    ("U16", Element::U16),
    ("U32", Element::U32),
    ("U64", Element::U64),
    ("I8", Element::I8),
    ("I16", Element::I16),
    ("I32", Element::I32),
    ("I64", Element::I64),
    ("F16", Element::F16),
    ("BF16", Element::Bf16),
    ("F32", Element::F32),
    ("F64", Element::F64),
];

/// What the header says of a tensor.
struct Entry<'a> {
    name: &'a str,
    element: Element,
    dims: Vec<usize>,
    /// Of its bytes among those after the header.
    place: [usize; 2],
}

impl<'a> Entry<'a> {
    fn read(source: &str, name: &'a str, value: &Value) -> Result<Self> {
        let bad = |why: String| Error::format(format!("{source}: tensor {name:?}"), why);
        let whole = |key: &str| -> Result<Vec<usize>> {
            let numbers = value[key].as_array().map(|list| list.iter().map(|n| usize::try_from(n.as_u64()?).ok()));
            let numbers = numbers.and_then(Iterator::collect::<Option<_>>);
            numbers.ok_or_else(|| bad(format!("has {key} that is no list of whole numbers")))
        };
        let (dims, place) = (whole("shape")?, whole("data_offsets")?);
        let kind = value["dtype"].as_str().unwrap_or_default();
        let element = TYPES.iter().find(|(name, _)| *name == kind).map(|&(_, element)| element);
        let element = element.ok_or_else(|| bad(format!("has type {kind}; expected numbers")))?;
        let [start, end] = place[..] else { return Err(bad(format!("has data_offsets {place:?}; expected two"))) };
        let bytes = count(&dims).and_then(|n| n.checked_mul(element.size()));
        match end.checked_sub(start) {
            Some(len) if Some(len) == bytes => Ok(Self { name, element, dims, place: [start, end] }),
            _ => Err(bad(format!("of shape {dims:?} and type {kind} has data_offsets {place:?}"))),
        }
    }
}

/// The header, and the bytes after it.
fn split<'a>(source: &str, bytes: &'a [u8]) -> Result<(Map<String, Value>, &'a [u8])> {
    let bad = |why: String| Error::format(source, format!("not a whole safetensors file: {why}"));
    let (len, rest) = bytes.split_first_chunk().ok_or_else(|| bad(format!("has {} bytes", bytes.len())))?;
    let len = u64::from_le_bytes(*len);
    let header = usize::try_from(len).ok().filter(|&len| len <= LONGEST).and_then(|len| rest.split_at_checked(len));
    let (header, data) = header.ok_or_else(|| bad(format!("a header of {len} bytes in {}", bytes.len())))?;
    match serde_json::from_slice(header) {
        Ok(Value::Object(map)) => Ok((map, data)),
        Ok(_) => Err(bad("the header is no object".into())),
        Err(error) => Err(bad(format!("the header is no JSON: {error}"))),
    }
}

/// Sorts by either order with one function.
fn sort(entries: &mut [Entry], order: fn(&Entry, &Entry) -> Ordering) {
    entries.sort_unstable_by(order);
}

/// Reads a whole file.
pub(super) fn read(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let (header, data) = split(source, bytes)?;
    let mut file = TensorFile::named(source);
    let mut entries = Vec::new();
    for (name, value) in &header {
        if name != METADATA {
            entries.push(Entry::read(source, name, value)?);
            continue;
        }
        let bad = |why: String| Error::format(format!("{source}: {METADATA}"), why);
        for (key, text) in value.as_object().into_iter().flatten() {
            let text = text.as_str().ok_or_else(|| bad(format!("{key:?} is no text")))?;
            file.metadata.insert(key.clone(), text.into());
        }
        if !value.is_object() && !value.is_null() {
            return Err(bad("is no object".into()));
        }
    }
    // The tensors' bytes follow each other without gap, up to the end.
    sort(&mut entries, |a, b| a.place.cmp(&b.place));
    let end = entries.iter().try_fold(0, |end, entry| (entry.place[0] == end).then_some(entry.place[1]));
    if end != Some(data.len()) {
        let why = format!("the tensors do not fill the {} bytes after the header one by one", data.len());
        return Err(Error::format(source, format!("not a whole safetensors file: {why}")));
    }
    sort(&mut entries, |a, b| a.name.cmp(b.name));
    let mut budget = Budget::of(bytes.len());
    for Entry { name, element, dims, place: [start, end] } in entries {
        let (bytes, strides) = (&data[start..end], strides(&dims, false));
        let view = View { element, bytes, big_endian: false, offset: 0, dims: &dims, strides: &strides };
        let values = view.values(&|| format!("{source}: tensor {name:?}"), &mut budget)?;
        file.insert(name, &dims, values);
    }
    Ok(file)
}

/// The file's bytes. The same content always gives the same bytes. The file was checked.
pub(super) fn write(file: &TensorFile) -> Vec<u8> {
    // PyTorch's loaders look for this key.
    let mut metadata = file.metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let quoted = |text: &str| serde_json::to_string(text).expect("text is always written");
    let texts = serde_json::to_string(&metadata).expect("texts are always written");
    let mut header = format!("{{{}:{texts}", quoted(METADATA));
    let mut end = 0;
    for (name, dims, values) in file.tensors() {
        let start = end;
        end += 4 * values.len();
        // Whole numbers in brackets are JSON as `Debug` writes them.
        header +=
            &format!(",{}:{{\"dtype\":\"F32\",\"shape\":{dims:?},\"data_offsets\":[{start},{end}]}}", quoted(name));
    }
    header.push('}');
    // Spaces up to a multiple of 8, so that the data are aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(file.tensors().flat_map(|(_, _, values)| values).flat_map(|v| v.to_le_bytes()));
    bytes
}
