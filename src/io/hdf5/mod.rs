//! Reads HDF5 as h5py writes it, which is how Keras stores weights.
//!
//! Supports groups of hard links, and numeric datasets, contiguous or chunked. Other datasets are unreadable tensors;
//! any other feature, such as soft links, is an error that names it. Every structure is visited once, so the work is
//! bounded by the size of the file. Source: The HDF Group, *HDF5 file format specification*, version 4.0.

mod attributes;
mod chunks;
mod newer;
mod object;

use std::borrow::Cow;
use std::collections::HashSet;

use super::TensorFile;
use super::budget::Budget;
use super::element::{View, strides};
use super::signature::HDF5;
use crate::error::{Error, Result};
use object::{Chunked, Data, Dataset, Group, Links, Message, Object};

pub(super) use attributes::texts;

/// Maximum nesting depth of groups.
const DEEPEST: usize = 32;
/// Maximum length of a tensor's name, in bytes.
const LONGEST: usize = 1024;

/// Parts of the reader that not all programs contain.
pub(super) struct Extras {
    /// Reads a chunked dataset. The inner error is an unsupported feature.
    chunks: Assemble,
    /// Reads the messages of an object header of version 2.
    messages: for<'a> fn(&mut Walk<'a>, &'a [u8]) -> Result<Vec<Message<'a>>, String>,
    /// Returns the names and header addresses of a group's members.
    members: for<'a> fn(&mut Walk<'a>, &Links<'a>) -> Result<Members<'a>, String>,
}

/// Names and header addresses of a group's members.
type Members<'a> = Vec<(&'a str, usize)>;

type Assemble = for<'a> fn(
    &mut Walk<'a>,
    &Dataset<'a>,
    &Chunked<'a>,
    &dyn Fn() -> String,
    &mut Budget,
) -> Result<Result<Vec<u8>, String>>;

const NEWER: &str = "is in a newer format of HDF5 than h5py's default, which only TensorFile::import reads";

/// Files as h5py writes them by default, without chunks.
pub(super) static BASIC: Extras = Extras {
    chunks: |_, _, _, _, _| Ok(Err("is chunked, which only TensorFile::import reads".into())),
    messages: |_, _| Err(NEWER.into()),
    members: |_, _| Err(NEWER.into()),
};

pub(super) static ALL: Extras = Extras { chunks: chunks::assemble, messages: newer::messages, members: newer::members };

/// Reads the datasets of a file. Names of groups are joined by dots.
pub(super) fn read(source: &str, bytes: &[u8], budget: &mut Budget, extras: &'static Extras) -> Result<TensorFile> {
    let root = root(bytes).map_err(|why| Error::format(source, why))?;
    let mut file = TensorFile::named(source);
    let mut walk = Walk::new(bytes, root, extras);
    let mut open = vec![(String::new(), root, 0)];
    while let Some((name, address, depth)) = open.pop() {
        let what = || format!("{source}: {name:?}");
        let bad = |why: String| Error::format(what(), why);
        match walk.object(address).map_err(bad)? {
            Object::Dataset(dataset) => {
                let bytes = match &dataset.data {
                    Data::Contiguous(bytes) => Ok(Cow::Borrowed(*bytes)),
                    Data::Chunked(chunked) => {
                        (extras.chunks)(&mut walk, &dataset, chunked, &what, budget)?.map(Cow::Owned)
                    }
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
            Object::Group(group) => {
                if depth == DEEPEST {
                    return Err(bad(format!("is nested deeper than {DEEPEST}")));
                }
                let members = match &group {
                    Group::Table { tree, heap } => walk.members(*tree, *heap),
                    Group::Links(links) => (extras.members)(&mut walk, links),
                };
                for (part, address) in members.map_err(bad)? {
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
    // The sizes of addresses and lengths, the base address, and the address of the root's header. Before version 2,
    // three more addresses follow the base address, then the root's entry: the offset of its name, then its header.
    let (sizes, base, root) = match rest.first() {
        Some(0) => (13, 24, 64),
        Some(1) => (13, 28, 68),
        Some(2 | 3) => (9, 12, 36),
        Some(version) => return Err(format!("has HDF5 superblock version {version}; expected 0 to 3")),
        None => return Err(cut()),
    };
    if bytes.get(sizes..sizes + 2) != Some(&[8, 8]) {
        return Err("has HDF5 addresses that are not 8 bytes long".into());
    }
    if word(bytes, base).ok_or_else(cut)? != 0 {
        return Err("has an HDF5 base address that is not 0".into());
    }
    word(bytes, root).ok_or_else(cut)
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
    /// Number of header messages and records that may still be read. Each takes at least 4 bytes, and they do not
    /// overlap.
    unread: usize,
    extras: &'static Extras,
}

impl<'a> Walk<'a> {
    /// Starts at the root group's header.
    fn new(bytes: &'a [u8], root: usize, extras: &'static Extras) -> Self {
        Self { bytes, seen: HashSet::from([root]), unread: bytes.len() / 4, extras }
    }

    /// Counts header messages or records.
    fn count(&mut self, count: usize) -> Result<(), String> {
        self.unread = self.unread.checked_sub(count).ok_or("has structures that overlap")?;
        Ok(())
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
    fn members(&mut self, tree: usize, heap: usize) -> Result<Members<'a>, String> {
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
