//! Fractal heaps, which hold the links and attributes of groups with many of them.
//!
//! A heap is a space of offsets. Rows of blocks divide it: a row has `width` blocks of one size, which doubles from
//! the second row on. Blocks up to some size hold objects, larger ones hold rows of blocks again.

use super::super::{Walk, short, word};
use super::{address, number, width};

pub(super) struct Heap<'a> {
    bytes: &'a [u8],
    /// Bytes of an object's identifier.
    identifier: usize,
    /// Bytes of an offset, and of a length, in the identifier of an object.
    sizes: (usize, usize),
    /// Blocks in a row, and size of the first blocks.
    width: usize,
    start: usize,
    /// Rows of blocks that hold objects.
    direct: usize,
    root: usize,
    /// Rows of the root; 0 if it holds objects.
    rows: usize,
    /// Objects outside the blocks: their identifiers and bytes.
    huge: Vec<(usize, &'a [u8])>,
}

impl<'a> Heap<'a> {
    /// Reads the head of the heap at `place`.
    pub fn open(walk: &mut Walk<'a>, place: usize) -> Result<Self, String> {
        let damaged = || "has a damaged heap".to_string();
        let place = walk.claim(place)?;
        let head = walk.at(place)?;
        let fields = (number(head, 10, 4), address(head, 22), short(head, 110), word(head, 112), word(head, 120));
        let (Some(managed), Some(huge), Some(columns), Some(start), Some(largest)) = fields else {
            return Err(damaged());
        };
        let fields = (short(head, 5), short(head, 128), word(head, 132), short(head, 140));
        let (Some(identifier), Some(bits), Some(root), Some(rows)) = fields else { return Err(damaged()) };
        let are_powers = [columns, start, largest].iter().all(|n| n.is_power_of_two() && *n <= 1 << 31);
        let is_countable = columns.checked_mul(start).is_some();
        if !head.starts_with(b"FRHP\0") || !are_powers || !is_countable || largest < start || bits > 64 || managed == 0
        {
            return Err(damaged());
        }
        if short(head, 7) != Some(0) {
            return Err("has a compressed heap, which is not supported".into());
        }
        let sizes = (bits.div_ceil(8), width(largest).min(width(managed)));
        let direct = (largest / start).ilog2() as usize + 2;
        let (bytes, huge_objects) = (walk.bytes, Vec::new());
        let mut heap = Self { bytes, identifier, sizes, width: columns, start, direct, root, rows, huge: huge_objects };
        if let Some(huge) = huge {
            // Address, length and identifier.
            for record in walk.records(huge, &[1])? {
                let (Some(at), Some(len), Some(id)) = (word(record, 0), word(record, 8), word(record, 16)) else {
                    return Err(damaged());
                };
                heap.huge.push((id, walk.at(at)?.get(..len).ok_or_else(damaged)?));
            }
            heap.huge.sort_unstable_by_key(|(id, _)| *id);
        }
        Ok(heap)
    }

    /// Returns the number of bytes of an object's identifier.
    pub fn identifier(&self) -> usize {
        self.identifier
    }

    /// Returns the object with this identifier.
    pub fn object(&self, id: &'a [u8]) -> Result<&'a [u8], String> {
        self.find(id).ok_or_else(|| "has a damaged heap".into())
    }

    fn find(&self, id: &'a [u8]) -> Option<&'a [u8]> {
        let &[first, ref rest @ ..] = id else { return None };
        let (offset, len) = self.sizes;
        match first >> 4 {
            0 => self.block(number(rest, 0, offset)?)?.get(..number(rest, offset, len)?),
            1 => {
                let id = number(rest, 0, rest.len().min(8))?;
                let at = self.huge.binary_search_by_key(&id, |(id, _)| *id).ok()?;
                Some(self.huge[at].1)
            }
            // In the identifier itself.
            2 => rest.get(..usize::from(first & 15) + 1),
            _ => None,
        }
    }

    /// Returns the bytes from an offset on.
    fn block(&self, offset: usize) -> Option<&'a [u8]> {
        let (mut address, mut rest, mut rows) = (self.root, offset, self.rows);
        let first_row = self.width * self.start;
        while rows > 0 {
            let row = (rest / first_row).checked_ilog2().map_or(0, |log| log as usize + 1);
            let before = if row == 0 { 0 } else { first_row << (row - 1) };
            let size = self.start << row.saturating_sub(1);
            let column = (rest - before) / size;
            let node = self.bytes.get(address..).filter(|node| row < rows && node.starts_with(b"FHIB\0"))?;
            address = word(node, 13 + self.sizes.0 + 8 * (row * self.width + column))?;
            rest -= before + column * size;
            // A block of rows covers as much as a block of objects of its size would.
            rows = if row < self.direct { 0 } else { (size / first_row).checked_ilog2()? as usize + 1 };
        }
        let block = self.bytes.get(address..).filter(|block| block.starts_with(b"FHDB\0"))?;
        block.get(rest..)
    }
}
