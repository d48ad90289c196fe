//! Lists of the chunks of a dataset: their addresses and sizes, and masks of the filters that were skipped.

use super::super::newer::{address, number};
use super::super::{Walk, short, word};
use super::arrays::{Extensible, fixed};
use super::{Chunk, Grid};

/// How a dataset is divided into chunks, and how they are listed.
pub(super) struct Layout<'a> {
    /// Extents of a chunk.
    pub extents: Vec<usize>,
    list: List<'a>,
    /// Address of the list, or of the only chunk; `None` if nothing was ever written.
    pub place: Option<usize>,
    /// Whether chunks that extend past the dataset are stored without filters.
    raw_edges: bool,
}

enum List<'a> {
    /// A B-tree of the first version.
    Tree,
    /// One chunk. With filters: its size, and the mask.
    Single(&'a [u8]),
    /// All chunks one after another.
    Implicit,
    FixedArray,
    ExtensibleArray,
    /// A B-tree of the second version.
    Tree2,
}

impl<'a> Layout<'a> {
    /// Parses a message about the layout of a chunked dataset. The inner error is an unsupported list.
    pub fn of(body: &'a [u8]) -> Result<Result<Self, String>, String> {
        let damaged = || "has a damaged data layout".to_string();
        // The axes include one more, which is the size of an element.
        let extents = |axes: usize, at: usize, size: usize| -> Option<Vec<usize>> {
            (0..axes.checked_sub(1)?).map(|axis| number(body, at + axis * size, size)).collect()
        };
        let &[version, _, third, fourth, ..] = body else { return Err(damaged()) };
        if version == 3 {
            let axes = usize::from(third);
            let (Some(place), Some(extents)) = (address(body, 3), extents(axes, 11, 4)) else { return Err(damaged()) };
            return Ok(Ok(Self { extents, list: List::Tree, place, raw_edges: false }));
        }
        let (flags, axes, size) = (third, usize::from(fourth), usize::from(*body.get(4).ok_or_else(damaged)?));
        let extents = extents(axes, 5, size).filter(|_| (1..=8).contains(&size)).ok_or_else(damaged)?;
        let (&kind, rest) = body.get(5 + axes * size..).and_then(<[u8]>::split_first).ok_or_else(damaged)?;
        // Parameters of the list, which its own head repeats.
        let (list, skip) = match kind {
            1 if flags & 2 != 0 => (List::Single(rest.get(..12).ok_or_else(damaged)?), 12),
            1 => (List::Single(&[]), 0),
            2 => (List::Implicit, 0),
            3 => (List::FixedArray, 1),
            4 => (List::ExtensibleArray, 5),
            5 => (List::Tree2, 6),
            _ => return Ok(Err(format!("has a list of chunks of an unknown kind {kind}"))),
        };
        let place = address(rest, skip).ok_or_else(damaged)?;
        Ok(Ok(Self { extents, list, place, raw_edges: flags & 1 != 0 }))
    }
}

/// An entry of a list: an address and, with filters, a size and the mask. `None` if the chunk was never written.
#[allow(clippy::type_complexity, reason = "one use")]
fn entry(entry: &[u8], grid: &Grid) -> Option<Option<(usize, usize, u32)>> {
    let Some(address) = address(entry, 0)? else { return Some(None) };
    if !grid.is_filtered {
        return Some(Some((address, grid.bytes, 0)));
    }
    let width = entry.len().checked_sub(12).filter(|width| (1..=8).contains(width))?;
    Some(Some((address, number(entry, 8, width)?, number(entry, 8 + width, 4)? as u32)))
}

impl<'a> Walk<'a> {
    /// Lists the chunks of a dataset.
    pub(super) fn chunks(&mut self, layout: &Layout, place: usize, grid: &Grid) -> Result<Vec<Chunk<'a>>, String> {
        let damaged = || "has a damaged list of chunks".to_string();
        let mut found = Found { walk: self, layout, grid, chunks: Vec::new(), total: 0 };
        let axes = grid.dims.len();
        match layout.list {
            List::Tree => found.tree(place)?,
            List::Single([]) => found.add(vec![0; axes], place, grid.bytes, 0)?,
            List::Single(filtered) => {
                let (Some(size), Some(skipped)) = (word(filtered, 0), number(filtered, 8, 4)) else {
                    return Err(damaged());
                };
                found.add(vec![0; axes], place, size, skipped as u32)?;
            }
            List::Implicit => {
                for (start, index) in grid.positions(None).ok_or_else(damaged)? {
                    let address = index.checked_mul(grid.bytes).and_then(|offset| offset.checked_add(place));
                    found.add(start, address.ok_or_else(damaged)?, grid.bytes, 0)?;
                }
            }
            List::FixedArray => {
                let head = found.walk.at(place)?;
                for (start, index) in grid.positions(None).ok_or_else(damaged)? {
                    let element = fixed(found.walk.bytes, head, index).ok_or_else(damaged)?;
                    found.entry(start, element)?;
                }
            }
            List::ExtensibleArray => {
                let array = Extensible::open(found.walk.bytes, place).ok_or_else(damaged)?;
                for (start, index) in grid.positions(grid.unlimited()).ok_or_else(damaged)? {
                    let element = array.get(index).ok_or_else(damaged)?;
                    found.entry(start, element)?;
                }
            }
            List::Tree2 => {
                for record in found.walk.records(place, &[10, 11])? {
                    let (own, scaled) = record.split_at(record.len().checked_sub(8 * axes).ok_or_else(damaged)?);
                    let start = (0..axes).map(|axis| word(scaled, 8 * axis)?.checked_mul(grid.extents[axis]));
                    found.entry(start.collect::<Option<_>>().ok_or_else(damaged)?, own)?;
                }
            }
        }
        Ok(found.chunks)
    }
}

/// Collects chunks that do not overlap.
struct Found<'a, 'w> {
    walk: &'w mut Walk<'a>,
    layout: &'w Layout<'w>,
    grid: &'w Grid<'w>,
    chunks: Vec<Chunk<'a>>,
    total: usize,
}

impl Found<'_, '_> {
    fn entry(&mut self, start: Vec<usize>, element: &[u8]) -> Result<(), String> {
        match entry(element, self.grid).ok_or("has a damaged list of chunks")? {
            Some((address, size, skipped)) => self.add(start, address, size, skipped),
            None => Ok(()),
        }
    }

    fn add(&mut self, start: Vec<usize>, address: usize, size: usize, skipped: u32) -> Result<(), String> {
        let address = self.walk.claim(address)?;
        let bytes = self.walk.at(address)?.get(..size).ok_or("has a damaged list of chunks")?;
        self.total += bytes.len();
        if self.total > self.walk.bytes.len() {
            return Err("has chunks that overlap".into());
        }
        let ends_inside = |(&start, (&dim, &extent)): (&usize, (&usize, &usize))| {
            dim.checked_sub(start).is_some_and(|rest| rest >= extent)
        };
        let grid = self.grid;
        let is_raw = self.layout.raw_edges && !start.iter().zip(grid.dims.iter().zip(grid.extents)).all(ends_inside);
        self.chunks.push(Chunk { bytes, skipped: if is_raw { u32::MAX } else { skipped }, start });
        Ok(())
    }

    /// Adds the chunks in a B-tree of the first version.
    fn tree(&mut self, tree: usize) -> Result<(), String> {
        let damaged = || "has a damaged list of chunks".to_string();
        let axes = self.grid.dims.len();
        let mut nodes = vec![self.walk.claim(tree)?];
        // Key: size, mask, the start along each axis, and a 0; then the address.
        let (key, entry) = (16 + 8 * axes, 24 + 8 * axes);
        while let Some(node) = nodes.pop() {
            let node = self.walk.at(node)?;
            let count = short(node, 6).ok_or_else(damaged)?;
            let Some(&[b'T', b'R', b'E', b'E', 1, level]) = node.first_chunk() else { return Err(damaged()) };
            for k in 0..count {
                let entry = node.get(24 + entry * k..24 + entry * (k + 1)).ok_or_else(damaged)?;
                let address = word(entry, key).ok_or_else(damaged)?;
                if level > 0 {
                    nodes.push(self.walk.claim(address)?);
                    continue;
                }
                let start = (0..axes).map(|axis| word(entry, 8 + 8 * axis)).collect::<Option<_>>();
                let [size, skipped] =
                    [0, 4].map(|at| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]));
                self.add(start.ok_or_else(damaged)?, address, size as usize, skipped)?;
            }
        }
        Ok(())
    }
}

impl Grid<'_> {
    /// Returns the limits of the extents, which are the extents themselves if the message has none.
    fn limits(&self) -> Option<Vec<Option<usize>>> {
        let axes = self.dims.len();
        let has_limits = self.space.get(2)? & 1 != 0;
        if !has_limits {
            return Some(self.dims.iter().map(|&dim| Some(dim)).collect());
        }
        let start = if self.space[0] == 1 { 8 } else { 4 } + 8 * axes;
        (0..axes).map(|axis| address(self.space, start + 8 * axis)).collect()
    }

    /// Returns the only axis without a limit.
    fn unlimited(&self) -> Option<usize> {
        self.limits()?.iter().position(Option::is_none)
    }

    /// Iterates over the starts of the chunks and their numbers in a list: row by row in a dataset as large as its
    /// limits, after moving the axis `first` to the front.
    fn positions(&self, first: Option<usize>) -> Option<impl Iterator<Item = (Vec<usize>, usize)>> {
        let axes = self.dims.len();
        let limits = self.limits()?;
        let order = first.into_iter().chain((0..axes).filter(|axis| Some(*axis) != first));
        let (mut steps, mut step) = (vec![0; axes], 1usize);
        for axis in order.collect::<Vec<_>>().into_iter().rev() {
            steps[axis] = step;
            // The first axis may be unlimited, and no other one.
            match limits[axis] {
                Some(limit) => step = step.checked_mul(limit.max(self.dims[axis]).div_ceil(self.extents[axis]))?,
                None if Some(axis) == first => drop(step.checked_mul(self.dims[axis].div_ceil(self.extents[axis]))?),
                None => return None,
            }
        }
        let counts: Vec<usize> =
            self.dims.iter().zip(self.extents).map(|(dim, extent)| dim.div_ceil(*extent)).collect();
        let total: usize = counts.iter().product();
        let extents = self.extents.to_vec();
        Some((0..total).map(move |position| {
            let (mut start, mut index, mut rest) = (vec![0; axes], 0, position);
            for axis in (0..axes).rev() {
                let at = rest % counts[axis];
                rest /= counts[axis];
                (start[axis], index) = (at * extents[axis], index + at * steps[axis]);
            }
            (start, index)
        }))
    }
}
