//! Arrays of chunks: fixed arrays, and extensible arrays for datasets that may grow along one axis.
//!
//! Source: The HDF Group, *HDF5 file format specification*, version 4.0, VII.C and VII.D.

use super::super::newer::address;
use super::super::word;

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

/// An element of a chunk that was never written.
const UNDEFINED: &[u8] = &[0xff; 8];

/// A block whose elements are in pages, because there are many.
struct Pages<'a> {
    /// Elements of a page.
    len: usize,
    /// Which pages were written, as bits from the highest one on, and the number of the block's first bit.
    written: &'a [u8],
    first: usize,
}

/// Returns an element of `size` bytes of a block, whose elements start at `start`.
fn element<'a>(block: &'a [u8], start: usize, index: usize, size: usize, pages: Option<Pages>) -> Option<&'a [u8]> {
    let at = match pages {
        None => start.checked_add(index.checked_mul(size)?)?,
        Some(Pages { len, written, first }) => {
            let (page, within) = (index / len, index % len);
            let bit = first.checked_add(page)?;
            if written.get(bit / 8)? & (0x80 >> (bit % 8)) == 0 {
                return Some(UNDEFINED);
            }
            let before = page.checked_mul(len.checked_mul(size)?.checked_add(CHECKSUM)?)?;
            start.checked_add(CHECKSUM)?.checked_add(before)?.checked_add(within * size)?
        }
    };
    block.get(at..at.checked_add(size)?)
}

/// Returns element `index` of the fixed array whose head starts with `head`.
pub(super) fn fixed<'a>(bytes: &'a [u8], head: &[u8], index: usize) -> Option<&'a [u8]> {
    let &[b'F', b'A', b'H', b'D', 0, _, size, bits] = head.first_chunk()? else { return None };
    let (size, count) = (usize::from(size), word(head, 8)?);
    let page = 1usize.checked_shl(bits.into())?;
    if size < 8 || index >= count {
        return None;
    }
    let block = bytes.get(word(head, 16)?..).filter(|block| block.starts_with(b"FADB\0"))?;
    if count <= page {
        return element(block, 14, index, size, None);
    }
    let bits = count.div_ceil(page).div_ceil(8);
    let pages = Pages { len: page, written: block.get(14..)?.get(..bits)?, first: 0 };
    element(block, 14 + bits, index, size, Some(pages))
}

/// An extensible array: the first elements are in the index block, others in data blocks. These belong to super
/// blocks, of which the first are in the index block, too. Super block s has 2^⌊s/2⌋ data blocks, each with 2^⌈s/2⌉
/// times the elements of the smallest one.
pub(super) struct Extensible<'a> {
    bytes: &'a [u8],
    /// Bytes of an element.
    size: usize,
    /// Elements in the index block.
    inside: usize,
    /// Elements of the smallest data block.
    smallest: usize,
    /// Super blocks in the index block, and addresses of data blocks there.
    direct: usize,
    pointers: usize,
    /// Elements of a page.
    page: usize,
    /// Bytes of the position of a block.
    offset: usize,
    index: &'a [u8],
}

impl<'a> Extensible<'a> {
    pub fn open(bytes: &'a [u8], place: usize) -> Option<Self> {
        let head = bytes.get(place..)?;
        let &[b'E', b'A', b'H', b'D', 0, _, size, bits, inside, smallest, pointers, page] = head.first_chunk()? else {
            return None;
        };
        let index = bytes.get(word(head, 60)?..).filter(|block| block.starts_with(b"EAIB\0"))?;
        let (smallest, pointers) = (usize::from(smallest), usize::from(pointers));
        if size < 8 || !smallest.is_power_of_two() || !pointers.is_power_of_two() || bits > 64 {
            return None;
        }
        Some(Self {
            bytes,
            size: size.into(),
            inside: inside.into(),
            smallest,
            direct: 2 * pointers.ilog2() as usize,
            pointers: 2 * (pointers - 1),
            page: 1usize.checked_shl(page.into())?,
            offset: usize::from(bits).div_ceil(8),
            index,
        })
    }

    /// Returns element `index`.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let Some(mut rest) = index.checked_sub(self.inside) else {
            return element(self.index, 14, index, self.size, None);
        };
        // Super blocks 0 to s - 1 have 2^s - 1 times the elements of the smallest data block.
        let s = (rest / self.smallest + 1).ilog2() as usize;
        rest -= ((1 << s) - 1) * self.smallest;
        let (blocks, elements) = (1usize << (s / 2), self.smallest.checked_mul(1 << s.div_ceil(2))?);
        let (block, rest) = (rest / elements, rest % elements);
        let addresses = 14 + self.inside * self.size;
        let mut pages = None;
        let data = if s < self.direct {
            // Data blocks of the super blocks before: 1, 1, 2, 2, 4, 4, …
            let before = ((1 << (s / 2)) - 1) * 2 + if s % 2 == 1 { 1 << (s / 2) } else { 0 };
            address(self.index, addresses + 8 * (before + block))?
        } else {
            let Some(place) = address(self.index, addresses + 8 * (self.pointers + s - self.direct))? else {
                return Some(UNDEFINED);
            };
            let node = self.bytes.get(place..).filter(|node| node.starts_with(b"EASB\0"))?;
            let start = 14 + self.offset;
            let mut bits = 0;
            if elements > self.page {
                let count = elements / self.page;
                bits = blocks.checked_mul(count.div_ceil(8))?;
                let written = node.get(start..)?.get(..bits)?;
                pages = Some(Pages { len: self.page, written, first: block.checked_mul(count)? });
            }
            address(node, start.checked_add(bits)?.checked_add(block.checked_mul(8)?)?)?
        };
        let Some(data) = data else { return Some(UNDEFINED) };
        let data = self.bytes.get(data..).filter(|data| data.starts_with(b"EADB\0"))?;
        element(data, 14 + self.offset, rest, self.size, pages)
    }
}
