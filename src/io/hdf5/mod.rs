//! Reads HDF5 as h5py writes it by default, which is how Keras stores weights.
//!
//! Supports groups in the oldest format (symbol tables), and numeric datasets, contiguous or chunked. Other datasets
//! are unreadable tensors; any other feature (links, groups in newer formats) is an error that names it. Every
//! structure is visited once, so the work is bounded by the size of the file. Source: The HDF Group, *HDF5 file format
//! specification*, version 3.0.

mod attributes;
mod chunks;
mod object;

use std::borrow::Cow;
use std::collections::HashSet;

use super::TensorFile;
use super::budget::Budget;
use super::element::{View, strides};
use super::signature::HDF5;
use crate::error::{Error, Result};
use object::{Chunked, Data, Dataset, Object};

pub(super) use attributes::texts;
pub(super) use chunks::assemble;

/// Maximum nesting depth of groups.
const DEEPEST: usize = 32;
/// Maximum length of a tensor's name, in bytes.
const LONGEST: usize = 1024;

/// Reads a chunked dataset. The inner error is an unsupported feature.
pub(super) type Assemble = for<'a> fn(
    &mut Walk<'a>,
    &Dataset<'a>,
    &Chunked<'a>,
    &dyn Fn() -> String,
    &mut Budget,
) -> Result<Result<Vec<u8>, String>>;

/// For [`read`] in programs without chunked datasets.
pub(super) fn refuse(
    _: &mut Walk,
    _: &Dataset,
    _: &Chunked,
    _: &dyn Fn() -> String,
    _: &mut Budget,
) -> Result<Result<Vec<u8>, String>> {
    Ok(Err("is chunked, which only TensorFile::import reads".into()))
}

/// Reads the datasets of a file. Names of groups are joined by dots.
pub(super) fn read(source: &str, bytes: &[u8], budget: &mut Budget, chunks: Assemble) -> Result<TensorFile> {
    let root = root(bytes).map_err(|why| Error::format(source, why))?;
    let mut file = TensorFile::named(source);
    let mut walk = Walk::new(bytes, root);
    let mut open = vec![(String::new(), root, 0)];
    while let Some((name, address, depth)) = open.pop() {
        let what = || format!("{source}: {name:?}");
        let bad = |why: String| Error::format(what(), why);
        match walk.object(address).map_err(bad)? {
            Object::Dataset(dataset) => {
                let bytes = match &dataset.data {
                    Data::Contiguous(bytes) => Ok(Cow::Borrowed(*bytes)),
                    Data::Chunked(chunked) => chunks(&mut walk, &dataset, chunked, &what, budget)?.map(Cow::Owned),
                };
                let values = match bytes {
                    Ok(bytes) => {
                        let values = values(&dataset, &bytes, &what, budget)?;
                        budget.give(if let Cow::Owned(bytes) = bytes { bytes.len() } else { 0 });
                        values
                    }
                    Err(why) => Err(why),
                };
                file.put(&name, &dataset.dims, values);
            }
            Object::Unsupported(why) => file.put(&name, &[], Err(why)),
            Object::Group { tree, heap } => {
                if depth == DEEPEST {
                    return Err(bad(format!("is nested deeper than {DEEPEST}")));
                }
                for (part, address) in walk.members(tree, heap).map_err(bad)? {
                    let full = if name.is_empty() { part.to_string() } else { format!("{name}.{part}") };
                    if full.len() > LONGEST {
                        return Err(Error::format(source, format!("has a name of more than {LONGEST} bytes")));
                    }
                    budget.take_name(source, full.len())?;
                    open.push((full, address, depth + 1));
                }
            }
        }
    }
    file.sorted()
}

fn values(
    dataset: &Dataset,
    bytes: &[u8],
    what: &dyn Fn() -> String,
    budget: &mut Budget,
) -> Result<Result<Vec<f32>, String>> {
    let &Dataset { element, big_endian, ref dims, .. } = dataset;
    View { element, bytes, big_endian, offset: 0, dims, strides: &strides(dims, false) }.values(what, budget)
}

/// Returns the address of the root group's header, from the superblock.
fn root(bytes: &[u8]) -> Result<usize, String> {
    let rest = bytes.strip_prefix(HDF5).ok_or("is not an HDF5 file")?;
    let cut = || "is cut short in its superblock".to_string();
    let skip = match rest.first() {
        Some(0) => 24,
        Some(1) => 28,
        Some(version) => return Err(format!("has HDF5 superblock version {version}; expected 0 or 1, h5py's default")),
        None => return Err(cut()),
    };
    if bytes.get(13..15) != Some(&[8, 8]) {
        return Err("has HDF5 addresses that are not 8 bytes long".into());
    }
    if word(bytes, skip).ok_or_else(cut)? != 0 {
        return Err("has an HDF5 base address that is not 0".into());
    }
    // Three more addresses follow, then the root's entry: the offset of its name, then the address of its header.
    word(bytes, skip + 32 + 8).ok_or_else(cut)
}

/// Reads a little-endian address or length.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(word)).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(u16::from_le_bytes(word) as usize)
}

/// Traversal of a file that visits no address twice.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    /// Addresses that were visited, or will be.
    seen: HashSet<usize>,
    /// Number of header messages that may still be read. Each takes at least 8 bytes, and messages do not overlap.
    unread: usize,
}

impl<'a> Walk<'a> {
    /// Starts at the root group's header.
    fn new(bytes: &'a [u8], root: usize) -> Self {
        Self { bytes, seen: HashSet::from([root]), unread: bytes.len() / 8 }
    }

    /// Claims an address that nothing else may point to.
    fn claim(&mut self, address: usize) -> Result<usize, String> {
        if self.seen.insert(address) {
            Ok(address)
        } else {
            Err("contains an object twice, or an object that contains itself".into())
        }
    }

    fn at(&self, address: usize) -> Result<&'a [u8], String> {
        self.bytes.get(address..).ok_or_else(|| "lies past the end of the file".into())
    }

    /// Returns the names and header addresses of a group's members, from its B-tree of symbol tables and its heap of
    /// names.
    fn members(&mut self, tree: usize, heap: usize) -> Result<Vec<(&'a str, usize)>, String> {
        let damaged = || "has a damaged symbol table".to_string();
        let heap = self.claim(heap)?;
        let head = self.at(heap)?;
        let names = match head.get(..4) {
            Some(b"HEAP") => {
                let (len, start) = (word(head, 8).ok_or_else(damaged)?, word(head, 24).ok_or_else(damaged)?);
                start.checked_add(len).and_then(|end| self.bytes.get(start..end)).ok_or_else(damaged)?
            }
            _ => return Err(damaged()),
        };
        let mut out = Vec::new();
        let mut nodes = vec![self.claim(tree)?];
        while let Some(node) = nodes.pop() {
            let node = self.at(node)?;
            let count = short(node, 6).ok_or_else(damaged)?;
            match node.get(..5) {
                Some(b"TREE\0") => {
                    for child in (0..count).map(|k| word(node, 32 + 16 * k)) {
                        nodes.push(self.claim(child.ok_or_else(damaged)?)?);
                    }
                }
                Some(b"SNOD\x01") => {
                    for entry in (0..count).map(|k| node.get(8 + 40 * k..48 + 40 * k)) {
                        let entry = entry.ok_or_else(damaged)?;
                        let name = word(entry, 0).and_then(|at| names.get(at..)).ok_or_else(damaged)?;
                        let end = name.iter().take(LONGEST + 1).position(|&b| b == 0).ok_or_else(damaged)?;
                        let name = std::str::from_utf8(&name[..end]).map_err(|_| damaged())?;
                        if entry[16] == 2 {
                            return Err(format!("holds a soft link {name:?}, which is not supported"));
                        }
                        out.push((name, self.claim(word(entry, 8).ok_or_else(damaged)?)?));
                    }
                }
                _ => return Err(damaged()),
            }
        }
        Ok(out)
    }
}
