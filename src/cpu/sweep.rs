//! Order in which a product reads its weights.

use std::ops::Range;

/// Blocks of a product, and the direction in which they are traversed. Steps alternate the direction, so that the cache
/// still holds the last weights read. In a fixed direction, a cache smaller than the weights would never hit.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub blocks: Range<usize>,
    pub is_back: bool,
}

impl Sweep {
    /// Iterates over the blocks in order of traversal, each with its `len` words of `out`.
    pub fn over<'a>(&self, out: &'a mut [f32], len: usize) -> impl Iterator<Item = (usize, &'a mut [f32])> {
        let (mut parts, is_back) = (self.blocks.clone().zip(out.chunks_exact_mut(len)), self.is_back);
        std::iter::from_fn(move || if is_back { parts.next_back() } else { parts.next() })
    }
}

impl From<Range<usize>> for Sweep {
    fn from(blocks: Range<usize>) -> Self {
        Self { blocks, is_back: false }
    }
}
