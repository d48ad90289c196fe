//! Float buffers aligned to cache lines, so that no vector load touches two lines.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const BYTES: usize = 64;
const FLOATS: usize = BYTES / size_of::<f32>();

/// Floats that start at a cache line.
pub struct Lines {
    /// Padded by a cache line to align the start. The system provides plain zeroed memory lazily, page by page; an
    /// aligned allocation would be zeroed at once.
    words: Vec<f32>,
    first: usize,
    len: usize,
}

impl Lines {
    /// Allocates `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let words = vec![0.0f32; len + FLOATS - 1];
        let first = (BYTES - words.as_ptr().addr() % BYTES) % BYTES / size_of::<f32>();
        Self { words, first, len }
    }

    /// Limits the length to the first `len` floats.
    pub fn shorten(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Restores the full length.
    pub fn restore(&mut self) {
        self.len = self.words.len() + 1 - FLOATS;
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        let mut clone = Self::zeros(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl Deref for Lines {
    type Target = [f32];

    // Browser builds inline nothing that is not marked, and streams come here several times a step.
    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.words[self.first..self.first + self.len]
    }
}

impl DerefMut for Lines {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.words[self.first..self.first + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_at_a_cache_line() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut lines = Lines::zeros(len);
            assert_eq!((lines.len(), lines.as_ptr().addr() % BYTES), (len, 0));
            lines.fill(1.0);
            assert!(lines.iter().all(|v| *v == 1.0));
        }
    }
}
