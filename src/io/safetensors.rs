//! Reads and writes safetensors files: the length of the header in eight bytes, the JSON header, and the data of the
//! tensors.
//!
//! The crate `safetensors` is only a test dependency, because it writes metadata in no fixed order, and its
//! deserializers would add 20 KB to a web page. Tests compare both readers on files with damaged headers.

use super::TensorFile;
use super::budget::Budget;
use super::element::{Element, MAX_AXES, View, count, strides};
use super::recognize::foreign;
use super::signature::{SAFETENSORS_LONGEST, is_safetensors};
use super::tensors::{METADATA, sorted_order};
use crate::error::{Error, Result};
use crate::json;

/// Element types by their names in the format.
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

/// Header entry of a tensor.
struct Entry {
    name: String,
    element: Element,
    dims: Vec<usize>,
    /// Start and end of its bytes, counted from the end of the header.
    place: [usize; 2],
}

impl Entry {
    fn read(source: &str, name: String, object: &str) -> Result<Self> {
        let bad = |why: String| Error::format(format!("{source}: tensor {name:?}"), why);
        let parts = ["dtype", "shape", "data_offsets"];
        let mut values = [None; 3];
        for entry in json::entries(object) {
            let (key, value) = entry.map_err(|why| bad(format!("holds {why}")))?;
            let Some(part) = parts.iter().position(|part| *part == key) else { continue };
            if values[part].replace(value).is_some() {
                return Err(bad(format!("has {key:?} twice")));
            }
        }
        let [kind, shape, place] = values.map(Option::unwrap_or_default);
        let no_list = |key: &str| bad(format!("has a {key} that is not a list of at most {MAX_AXES} whole numbers"));
        let dims = json::whole_numbers(shape, MAX_AXES).ok_or_else(|| no_list("shape"))?;
        let place = json::whole_numbers(place, MAX_AXES).ok_or_else(|| no_list("data_offsets"))?;
        let kind = json::text(kind).unwrap_or_default();
        let element = TYPES.iter().find(|(name, _)| *name == kind).map(|&(_, element)| element);
        let element = element.ok_or_else(|| bad(format!("has type {kind}; expected numbers")))?;
        let [start, end] = place[..] else { return Err(bad(format!("has data_offsets {place:?}; expected two"))) };
        let bytes = count(&dims).and_then(|n| n.checked_mul(element.size()));
        match end.checked_sub(start) {
            Some(len) if Some(len) == bytes => Ok(Self { name, element, dims, place: [start, end] }),
            _ => Err(bad(format!("has data_offsets {place:?}, which do not match shape {dims:?} of type {kind}"))),
        }
    }
}

/// Splits a file into its header and the bytes after it.
fn split<'a>(source: &str, bytes: &'a [u8]) -> Result<(&'a str, &'a [u8])> {
    if !is_safetensors(bytes) {
        return Err(foreign(source, bytes, "a safetensors file"));
    }
    let bad = |why: String| Error::format(source, format!("not a complete safetensors file: {why}"));
    let (len, rest) = bytes.split_first_chunk().ok_or_else(|| bad(format!("it has only {} bytes", bytes.len())))?;
    let len = u64::from_le_bytes(*len);
    let header = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
    let (header, data) =
        header.ok_or_else(|| bad(format!("it has a header of {len} bytes, but only {} bytes in all", bytes.len())))?;
    Ok((json::object(header).map_err(|why| bad(format!("the header is {why}")))?, data))
}

/// Reads a safetensors file.
pub(super) fn read(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let (header, data) = split(source, bytes)?;
    let mut file = TensorFile::named(source);
    let mut budget = Budget::of(bytes.len());
    let (mut entries, mut has_metadata) = (Vec::new(), false);
    for entry in json::entries(header) {
        let (name, value) = entry.map_err(|why| Error::format(source, format!("the header holds {why}")))?;
        budget.take_name(source, name.len())?;
        if name != METADATA {
            entries.push(Entry::read(source, name, value)?);
            continue;
        }
        let bad = |why: String| Error::format(format!("{source}: {METADATA}"), why);
        if std::mem::replace(&mut has_metadata, true) {
            return Err(bad("appears twice".into()));
        }
        if !value.starts_with('{') && value != "null" {
            return Err(bad("is not an object".into()));
        }
        budget.take(|| format!("{source}: {METADATA}"), json::TEXTS_SHARE * value.len())?;
        file.metadata = json::texts(value).map_err(|why| bad(format!("holds {why}")))?;
    }
    // The bytes of the tensors must be contiguous and fill the rest of the file.
    let order = sorted_order(entries.len(), &|a, b| entries[a].place.cmp(&entries[b].place));
    let places = order.iter().map(|&i| entries[i].place);
    let end = places.into_iter().try_fold(0, |end, [from, to]| (from == end).then_some(to));
    if end != Some(data.len()) {
        let why = format!("the tensors do not cover the {} bytes after the header exactly once", data.len());
        return Err(Error::format(source, format!("not a complete safetensors file: {why}")));
    }
    for Entry { name, element, dims, place: [start, end] } in entries {
        let (bytes, strides) = (&data[start..end], strides(&dims, false));
        let view = View { element, bytes, big_endian: false, offset: 0, dims: &dims, strides: &strides };
        let values = view.values(&|| format!("{source}: tensor {name:?}"), &mut budget)?;
        file.put(&name, &dims, values);
    }
    file.sorted()
}

/// Returns the content of a safetensors file. The same tensors and metadata always give the same bytes. `file` must
/// have been checked.
///
/// # Errors
/// [`Error::Format`] if names and metadata are longer than the format allows.
pub(super) fn write(file: &TensorFile) -> Result<Vec<u8>> {
    // PyTorch's loaders look for this key.
    let mut metadata = file.metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let mut header = format!("{{{}:{}", json::quoted(METADATA), json::write_texts(&metadata));
    let mut end = 0;
    for (name, dims, values) in file.tensors() {
        let start = end;
        end += 4 * values.len();
        // `Debug` formats a list of whole numbers as valid JSON.
        header += &format!(
            ",{}:{{\"dtype\":\"F32\",\"shape\":{dims:?},\"data_offsets\":[{start},{end}]}}",
            json::quoted(name)
        );
    }
    header.push('}');
    // Pad with spaces to a multiple of 8, so that the data are aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    if header.len() > SAFETENSORS_LONGEST {
        let why = format!(
            "would take {} bytes in a safetensors header, which may have at most {SAFETENSORS_LONGEST}",
            header.len()
        );
        return Err(Error::format("names and metadata", why));
    }
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(file.tensors().flat_map(|(_, _, values)| values).flat_map(|v| v.to_le_bytes()));
    Ok(bytes)
}
