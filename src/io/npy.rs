//! Reads and writes NumPy's `.npy` and `.npz`.
//!
//! Source: NEP 1, *A simple file format for NumPy arrays*.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::TensorFile;
use super::budget::Budget;
use super::element::{Element, View, count, strides};
use super::recognize::foreign;
use super::signature::NPY;
use super::tensors::METADATA;
use super::zip::{self, Archive};
use crate::error::{Error, Result};
use crate::json;

/// Maximum length of a header in bytes. Typical headers take about a hundred.
const MAX_HEADER: usize = 1 << 16;
/// Maximum number of characters in a string.
const MAX_TEXT: usize = (1 << 24) - 1;

/// Parsed header of an array.
struct Header {
    dtype: Dtype,
    big_endian: bool,
    first_fastest: bool,
    dims: Vec<usize>,
}

enum Dtype {
    Number(Element),
    /// String of this many characters, four bytes each.
    Text(usize),
    /// An unsupported type.
    Other(String),
}

/// Reads the array of an `.npy` file.
pub(super) fn read_npy(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    if !bytes.starts_with(NPY) {
        return Err(foreign(source, bytes, "an .npy array"));
    }
    let mut file = TensorFile::named(source);
    add_array(&mut file, "arr_0", bytes, &mut Budget::of(bytes.len()))?;
    file.sorted()
}

/// Reads the arrays of an `.npz` file.
pub(super) fn read_npz(source: &str, archive: &Archive, len: usize) -> Result<TensorFile> {
    let mut budget = Budget::of(len);
    let mut file = TensorFile::named(source);
    for member in archive.members() {
        let Some(name) = member.name.strip_suffix(".npy") else {
            return Err(archive.error(member.name, "is not an .npy array"));
        };
        budget.take_name(source, name.len())?;
        let bytes = archive.read(member, &mut budget)?;
        add_array(&mut file, name, &bytes, &mut budget)?;
        if let Cow::Owned(inflated) = bytes {
            budget.give(inflated.len());
        }
    }
    file.sorted()
}

fn add_array(file: &mut TensorFile, name: &str, bytes: &[u8], budget: &mut Budget) -> Result<()> {
    let what = || format!("{}: array {name:?}", file.source());
    let bad = |why: String| Error::format(what(), why);
    let (header, data) = split_header(bytes).map_err(bad)?;
    let size = match &header.dtype {
        Dtype::Number(element) => element.size(),
        Dtype::Text(characters) => 4 * characters,
        Dtype::Other(other) => {
            file.put(name, &header.dims, Err(format!("has a type that cannot be read: {other:?} is not supported")));
            return Ok(());
        }
    };
    let len = count(&header.dims).and_then(|n| n.checked_mul(size));
    if len != Some(data.len()) {
        return Err(bad(format!("has {} bytes of data for shape {:?}, {size} per element", data.len(), header.dims)));
    }
    match header.dtype {
        Dtype::Number(element) => {
            let strides = strides(&header.dims, header.first_fastest);
            let (big_endian, dims) = (header.big_endian, &header.dims[..]);
            let view = View { element, bytes: data, big_endian, offset: 0, dims, strides: &strides };
            let values = view.values(&what, budget)?;
            file.put(name, &header.dims, values);
        }
        Dtype::Text(_) if name == METADATA && header.dims.is_empty() && !header.big_endian => {
            // Each character takes four bytes in the array, but may be a single byte of JSON.
            budget.take(what, data.len() / 4 * json::TEXTS_SHARE + 3 * data.len())?;
            file.metadata = metadata(data).map_err(|why| bad(format!("is not a JSON object of strings: {why}")))?;
        }
        _ => file.put(name, &header.dims, Err("holds text; expected numbers".into())),
    }
    Ok(())
}

fn metadata(data: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let letters = data.chunks_exact(4).map(|b| Some(u32::from_le_bytes(b.try_into().ok()?)));
    // NumPy pads with zeros.
    let text: Option<String> = letters.take_while(|c| *c != Some(0)).map(|c| char::from_u32(c?)).collect();
    let text = text.ok_or("not Unicode")?;
    json::texts(json::object(text.as_bytes())?)
}

/// Splits a file into its header and the data after it.
fn split_header(bytes: &[u8]) -> Result<(Header, &[u8]), String> {
    let cut = || "is cut short in its header".to_string();
    let rest = bytes.strip_prefix(NPY).ok_or("is not an .npy array")?;
    let (len, rest) = match *rest {
        [1, _, a, b, ref rest @ ..] => (u16::from_le_bytes([a, b]) as usize, rest),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [1..=3, ..] => return Err(cut()),
        _ => return Err(format!("has .npy version {:?}; expected 1, 2 or 3", rest.first())),
    };
    if len > MAX_HEADER {
        return Err(format!("has a header of {len} bytes; expected at most {MAX_HEADER}"));
    }
    let (text, data) = rest.split_at_checked(len).ok_or_else(cut)?;
    let text = std::str::from_utf8(text).map_err(|_| "has a header that is not UTF-8")?;
    let start = || text.trim_end().chars().take(200).collect::<String>();
    Ok((parse(text).map_err(|why| format!("has a header that cannot be read: {why}: {}", start()))?, data))
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse(text: &str) -> Result<Header, String> {
    let mut scan = Scan(text);
    let (mut dtype, mut order, mut dims) = (None, None, None);
    scan.expect('{')?;
    while !scan.eat('}') {
        let key = scan.string()?;
        scan.expect(':')?;
        let before = match key {
            "descr" if scan.eat('[') => return Err("a structured type is not supported".into()),
            "descr" => dtype.replace(parse_dtype(scan.string()?)).is_some(),
            "fortran_order" if scan.word("True") => order.replace(true).is_some(),
            "fortran_order" if scan.word("False") => order.replace(false).is_some(),
            "shape" => dims.replace(scan.tuple()?).is_some(),
            _ => return Err(format!("unexpected {key:?}")),
        };
        if before {
            return Err(format!("{key:?} appears twice"));
        }
        if !scan.eat(',') && !scan.0.trim_start().starts_with('}') {
            return Err("no comma between entries".into());
        }
    }
    if !scan.0.trim().is_empty() {
        return Err("text after the closing brace".into());
    }
    let (Some((dtype, big_endian)), Some(first_fastest), Some(dims)) = (dtype, order, dims) else {
        return Err("descr, fortran_order or shape is missing".into());
    };
    Ok(Header { dtype, big_endian, first_fastest, dims })
}

/// Parses a `descr` such as `<f4`. Returns the type, and whether it is big-endian.
fn parse_dtype(descr: &str) -> (Dtype, bool) {
    let (order, kind) = (descr.chars().next().unwrap_or('?'), descr.get(1..).unwrap_or_default());
    let is_known = matches!(order, '<' | '|' | '>');
    let characters = kind.strip_prefix('U').and_then(|n| n.parse().ok()).filter(|&n| n <= MAX_TEXT);
    let dtype = match (Element::of_numpy(kind), characters) {
        (Some(element), _) if is_known => Dtype::Number(element),
        (_, Some(characters)) if is_known => Dtype::Text(characters),
        _ => Dtype::Other(descr.chars().take(64).collect()),
    };
    (dtype, order == '>')
}

/// Scanner over the rest of a Python literal.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.trim_start().strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("expected {c:?}")) }
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|&c| c == '\'' || c == '"').ok_or("expected a string")?;
        let (inside, rest) = text[1..].split_once(quote).ok_or("a string does not end")?;
        self.0 = rest;
        Ok(inside)
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let (inside, rest) = self.0.split_once(')').ok_or("a tuple does not end")?;
        self.0 = rest;
        let inside = inside.trim().trim_end_matches(',');
        // Python 2 wrote long integers with an L.
        let number = |n: &str| n.trim().trim_end_matches('L').parse().map_err(|_| format!("{n:?} is not an extent"));
        if inside.is_empty() { Ok(Vec::new()) } else { inside.split(',').map(number).collect() }
    }
}

/// Returns the content of an `.npy` file of version 1.
fn write_npy(descr: &str, dims: &[usize], data: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut shape: String = dims.iter().map(|d| format!("{d}, ")).collect();
    if dims.len() > 1 {
        shape.truncate(shape.len() - 2);
    }
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // Pad with spaces and a newline, so that the data start at a multiple of 64.
    let padding = 63 - (NPY.len() + 4 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = NPY.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Returns the content of an `.npy` file with a tensor.
pub(super) fn tensor_to_npy(dims: &[usize], values: &[f32]) -> Vec<u8> {
    write_npy("<f4", dims, values.iter().flat_map(|v| v.to_le_bytes()))
}

/// Returns the content of an `.npz` file with all tensors, and with the metadata as JSON in a NumPy string.
pub(super) fn to_npz(file: &TensorFile) -> Result<Vec<u8>> {
    let mut members = Vec::new();
    for (name, dims, values) in file.tensors() {
        members.push((format!("{name}.npy"), tensor_to_npy(dims, values)));
    }
    if !file.metadata.is_empty() {
        let text = json::write_texts(&file.metadata);
        let data = text.chars().flat_map(|c| (c as u32).to_le_bytes());
        let len = text.chars().count();
        if len > MAX_TEXT {
            let why = format!("takes {len} characters as JSON; an .npz file can hold at most {MAX_TEXT}");
            return Err(Error::format("the metadata", why));
        }
        members.push((format!("{METADATA}.npy"), write_npy(&format!("<U{len}"), &[], data)));
    }
    zip::write(&members)
}
