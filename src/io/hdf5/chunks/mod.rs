//! Chunked datasets, which may be compressed.
//!
//! Supports the filters that h5py offers for numbers: deflate, shuffle, and the checksum.

mod arrays;
mod lists;

use super::object::{Chunked, Dataset};
use super::{Walk, short};
use crate::error::{Error, Result};
use crate::io::budget::Budget;
use lists::Layout;

/// A step that was applied to each chunk when it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Deflate,
    /// Stores the first bytes of all elements, then the second ones, and so on.
    Shuffle,
    /// Four bytes after the data.
    Checksum,
}

/// Parses a filter pipeline message. The inner error is an unsupported filter.
fn filters(body: &[u8]) -> Result<Result<Vec<Filter>, String>, String> {
    let damaged = || "has damaged filters".to_string();
    let (version, count) = match *body {
        [] => return Ok(Ok(Vec::new())),
        [version @ (1 | 2), count, ..] => (version, count),
        _ => return Err(damaged()),
    };
    let (mut at, mut out) = (if version == 1 { 8 } else { 2 }, Vec::new());
    for _ in 0..count {
        let id = short(body, at).ok_or_else(damaged)?;
        let is_named = version == 1 || id >= 256;
        let name = if is_named { short(body, at + 2).ok_or_else(damaged)? } else { 0 };
        at += if is_named { 4 } else { 2 };
        // Flags, then the number of parameters.
        let parameters = short(body, at + 2).ok_or_else(damaged)?;
        let padding = if version == 1 { parameters % 2 } else { 0 };
        let name = if version == 1 { name.next_multiple_of(8) } else { name };
        at += 4 + name + 4 * (parameters + padding);
        let filter = match id {
            1 => Filter::Deflate,
            2 => Filter::Shuffle,
            3 => Filter::Checksum,
            _ => return Ok(Err(format!("is compressed with the HDF5 filter {id}, which is not supported"))),
        };
        if out.contains(&filter) {
            return Err(format!("has the HDF5 filter {id} twice"));
        }
        out.push(filter);
    }
    if at > body.len() { Err(damaged()) } else { Ok(Ok(out)) }
}

/// A chunk in the file.
struct Chunk<'a> {
    bytes: &'a [u8],
    skipped: u32,
    /// Index of its first element along each axis.
    start: Vec<usize>,
}

/// The chunks of a dataset.
struct Grid<'a> {
    /// Extents of the dataset, and of a chunk.
    dims: &'a [usize],
    extents: &'a [usize],
    /// The message with the extents of the dataset and their limits.
    space: &'a [u8],
    /// Bytes of a chunk without filters.
    bytes: usize,
    is_filtered: bool,
}

/// Bytes of a [`Chunk`] and its address, besides 8 per axis.
const LISTED: usize = 96;

/// Assembles a dataset from its chunks. `what` names it in errors.
pub(in crate::io) fn assemble(
    walk: &mut Walk,
    dataset: &Dataset,
    chunked: &Chunked,
    what: &dyn Fn() -> String,
    budget: &mut Budget,
) -> Result<Result<Vec<u8>, String>> {
    let filters = match filters(chunked.filters).map_err(|why| Error::format(what(), why))? {
        Ok(filters) => filters,
        Err(why) => return Ok(Err(why)),
    };
    let bad = |why: String| Error::format(what(), why);
    let layout = match Layout::of(chunked.layout).map_err(bad)? {
        Ok(layout) => layout,
        Err(why) => return Ok(Err(why)),
    };
    let (dims, extents, size) = (&dataset.dims[..], &layout.extents[..], dataset.element.size());
    let product = |extents: &[usize]| extents.iter().try_fold(size, |n, &d| n.checked_mul(d));
    let (Some(len), Some(chunk_len)) = (product(dims), product(extents)) else {
        return Err(bad(format!("has the impossible shape {dims:?}, in chunks of {extents:?}")));
    };
    if dims.len() != extents.len() || extents.contains(&0) {
        return Err(bad(format!("has chunks of {extents:?} for shape {dims:?}")));
    }
    if len == 0 {
        return Ok(Ok(Vec::new()));
    }
    let count = dims.iter().zip(extents).try_fold(1usize, |n, (&d, &e)| n.checked_mul(d.div_ceil(e)));
    let Some(list) = layout.place else { return Ok(Err("was never written".into())) };
    let listed = count.and_then(|count| count.checked_mul(LISTED + 8 * dims.len())).unwrap_or(usize::MAX);
    budget.take(what, listed)?;
    let grid = Grid { dims, extents, space: dataset.space, bytes: chunk_len, is_filtered: !filters.is_empty() };
    let chunks = walk.chunks(&layout, list, &grid).map_err(bad)?;
    let mut starts: Vec<&[usize]> = chunks.iter().map(|chunk| &chunk.start[..]).collect();
    starts.sort_unstable();
    starts.dedup();
    let fits = |start: &[usize]| start.iter().zip(dims.iter().zip(extents)).all(|(s, (d, e))| s < d && s % e == 0);
    if Some(starts.len()) != count || starts.len() != chunks.len() || !starts.iter().all(|start| fits(start)) {
        let expected = count.map_or("fewer".into(), |count| count.to_string());
        return Err(bad(format!("has {} chunks; expected {expected}, one per position", chunks.len())));
    }
    // Chunks at the edges may extend past the dataset.
    let unpacked = chunk_len.saturating_mul(chunks.len()).saturating_add(chunk_len.saturating_mul(3));
    budget.take(what, unpacked.max(len))?;
    let mut out = vec![0; len];
    for chunk in &chunks {
        let data = unfilter(chunk, &filters, chunk_len, size).map_err(bad)?;
        place(&mut out, &data, chunk, dims, extents, size);
    }
    budget.give(unpacked.max(len) - len + listed);
    Ok(Ok(out))
}

/// Undoes the filters of a chunk, which has `len` bytes without them.
fn unfilter(chunk: &Chunk, filters: &[Filter], len: usize, size: usize) -> Result<Vec<u8>, String> {
    let mut data = std::borrow::Cow::Borrowed(chunk.bytes);
    for (k, filter) in filters.iter().enumerate().rev() {
        if chunk.skipped >> k.min(31) & 1 == 1 {
            continue;
        }
        data = match filter {
            Filter::Checksum => {
                data.len().checked_sub(4).map(|end| data[..end].to_vec()).ok_or("has a chunk without its checksum")?
            }
            Filter::Deflate => {
                // The checksum may still follow the data.
                let mut out = vec![0; len + 4];
                let input = std::iter::once(&data[..]);
                let n = miniz_oxide::inflate::decompress_slice_iter_to_slice(&mut out, input, true, false);
                out.truncate(n.map_err(|_| "has a chunk that cannot be decompressed")?);
                out
            }
            Filter::Shuffle => {
                let count = data.len() / size;
                let mut out = vec![0; data.len()];
                for (at, byte) in out.iter_mut().enumerate().take(count * size) {
                    *byte = data[at % size * count + at / size];
                }
                out
            }
        }
        .into();
    }
    if data.len() == len {
        Ok(data.into_owned())
    } else {
        Err(format!("has a chunk of {} bytes; expected {len}", data.len()))
    }
}

/// Copies the part of a chunk that lies in the dataset, row by row.
fn place(out: &mut [u8], data: &[u8], chunk: &Chunk, dims: &[usize], extents: &[usize], size: usize) {
    let Some((&width, outer)) = extents.split_last() else { return out.copy_from_slice(data) };
    let rows: usize = outer.iter().product();
    let last = outer.len();
    let len = size * width.min(dims[last] - chunk.start[last]);
    for row in 0..rows {
        let (mut rest, mut to, mut step) = (row, chunk.start[last], dims[last]);
        let mut is_inside = true;
        for axis in (0..last).rev() {
            let at = chunk.start[axis] + rest % extents[axis];
            is_inside &= at < dims[axis];
            (to, step, rest) = (to + at * step, step * dims[axis], rest / extents[axis]);
        }
        if is_inside {
            out[to * size..to * size + len].copy_from_slice(&data[row * width * size..row * width * size + len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_chunks_with_a_checksum_are_restored() {
        let bytes = [1, 3, 5, 2, 4, 6, 9, 9, 9, 9];
        let (filters, start) = ([Filter::Shuffle, Filter::Checksum], vec![0]);
        let chunk = |skipped, bytes| Chunk { bytes, skipped, start: start.clone() };
        assert_eq!(unfilter(&chunk(0, &bytes), &filters, 6, 2), Ok(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(unfilter(&chunk(1, &bytes), &filters, 6, 2), Ok(bytes[..6].to_vec()));
        assert!(unfilter(&chunk(0, &bytes[..3]), &filters, 6, 2).is_err());
        assert!(unfilter(&chunk(0, &bytes), &filters, 8, 2).is_err());
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(&[7; 100], 6);
        assert_eq!(unfilter(&chunk(0, &packed), &[Filter::Deflate], 100, 1), Ok(vec![7; 100]));
        assert!(unfilter(&chunk(0, &packed), &[Filter::Deflate], 90, 1).is_err());
    }

    #[test]
    fn chunks_at_the_edges_are_cut() {
        // A dataset of 3 by 5 in chunks of 2 by 2; each element is two bytes.
        let (dims, extents) = ([3, 5], [2, 2]);
        let mut out = vec![0xff; 30];
        for (row, column) in (0..2).flat_map(|r| (0..3).map(move |c| (r, c))) {
            let start = vec![2 * row, 2 * column];
            let value = |r: usize, c: usize| [(2 * row + r) as u8, (2 * column + c) as u8];
            let data = [value(0, 0), value(0, 1), value(1, 0), value(1, 1)].concat();
            place(&mut out, &data, &Chunk { bytes: &[], skipped: 0, start }, &dims, &extents, 2);
        }
        let want: Vec<u8> = (0..3).flat_map(|r| (0..5).flat_map(move |c| [r, c])).collect();
        assert_eq!(out, want);
        let mut scalar = [0; 2];
        place(&mut scalar, &[1, 2], &Chunk { bytes: &[], skipped: 0, start: vec![] }, &[], &[], 2);
        assert_eq!(scalar, [1, 2]);
    }

    #[test]
    fn filters_are_parsed_in_both_versions() {
        let first = [1, 2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 1, 0, 1, 0];
        let first = [&first[..], b"deflate\0", &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(filters(&first), Ok(Ok(vec![Filter::Shuffle, Filter::Deflate])));
        let second = [2, 2, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 6, 0, 0, 0];
        assert_eq!(filters(&second), Ok(Ok(vec![Filter::Checksum, Filter::Deflate])));
        assert!(filters(&[2, 1, 7, 0, 0, 0, 0, 0]).is_ok_and(|inner| inner.is_err_and(|why| why.contains("filter 7"))));
        assert!(filters(&first[..40]).is_err() && filters(&[3, 0]).is_err() && filters(&[2]).is_err());
    }
}
