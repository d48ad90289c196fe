//! The newer format of HDF5, which h5py writes with `libver="latest"`: object headers of version 2, and groups whose
//! links are header messages or lie in a heap.
//!
//! Checksums of these structures are not verified, as the older format has none.

mod header;
mod heap;
mod links;
mod tree;

use super::word;
pub(super) use header::messages;
pub(super) use links::{attributes, members};

/// Reads a little-endian number of up to 8 bytes.
pub(super) fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    usize::try_from(bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b))).ok()
}

/// Returns the number of bytes of a field that holds numbers up to `most`.
pub(super) fn width(most: usize) -> usize {
    most.checked_ilog2().unwrap_or(0) as usize / 8 + 1
}

/// Reads an address; the inner `None` is that of a structure that does not exist.
pub(super) fn address(bytes: &[u8], at: usize) -> Option<Option<usize>> {
    match bytes.get(at..)?.starts_with(&[0xff; 8]) {
        true => Some(None),
        false => word(bytes, at).map(Some),
    }
}
