//! Size-bucketed free list, which recycles buffers.

/// Maximum number of bytes kept.
const KEPT: u64 = 512 << 20;

/// Free list of recyclable objects, bucketed by size. The buckets are sorted by size: there are few of them, and a map
/// would add to the size of browser builds.
pub(crate) struct FreeList<T> {
    by_size: Vec<(u64, Vec<T>)>,
    bytes: u64,
    closed: bool,
}

impl<T> Default for FreeList<T> {
    fn default() -> Self {
        Self { by_size: Vec::new(), bytes: 0, closed: false }
    }
}

/// Rounds a size up to an eighth of its power of two, so that few distinct sizes circulate.
pub(crate) fn size_class(bytes: u64) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(256);
    bytes.max(16).next_multiple_of(step)
}

impl<T> FreeList<T> {
    /// Returns the index of a bucket, or where to insert it.
    fn bucket(&self, size: u64) -> Result<usize, usize> {
        self.by_size.binary_search_by_key(&size, |(size, _)| *size)
    }

    /// Takes an object of `size` bytes, if there is one.
    pub fn take(&mut self, size: u64) -> Option<T> {
        let at = self.bucket(size).ok()?;
        let thing = self.by_size[at].1.pop()?;
        self.bytes -= size;
        Some(thing)
    }

    /// Puts an object of `size` bytes back. If the free list would exceed its limit, it is emptied first, because it
    /// holds sizes that are no longer requested.
    pub fn give(&mut self, size: u64, thing: T) {
        if self.closed || size > KEPT {
            return;
        }
        if self.bytes + size > KEPT {
            *self = Self::default();
        }
        self.bytes += size;
        let at = self.bucket(size).unwrap_or_else(|at| {
            self.by_size.insert(at, (size, Vec::new()));
            at
        });
        self.by_size[at].1.push(thing);
    }

    /// Frees all objects.
    #[cfg(feature = "gpu")]
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.by_size.clear();
    }

    /// Frees all objects, and stops recycling.
    #[cfg(feature = "gpu")]
    pub fn close(&mut self) {
        *self = Self { closed: true, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_lists_return_matching_sizes_and_stay_within_their_limit() {
        let mut free_list = FreeList::default();
        free_list.give(256, 'a');
        assert_eq!((free_list.take(512), free_list.take(256), free_list.take(256)), (None, Some('a'), None));
        ['b', 'c', 'd'].into_iter().for_each(|thing| free_list.give(KEPT / 2, thing));
        assert_eq!(
            (free_list.take(KEPT / 2), free_list.take(KEPT / 2)),
            (Some('d'), None),
            "the older sizes were evicted"
        );
        free_list.give(KEPT + 1, 'e');
        assert_eq!(free_list.take(KEPT + 1), None);
        assert!((1..100_000).all(|bytes| {
            let class = size_class(bytes);
            class >= bytes && size_class(class) == class && class - bytes <= (bytes / 4).max(256)
        }));
    }
}
