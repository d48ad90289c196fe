//! Memory of the CPU device's tensors, and the free list that recycles it.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::lines::Lines;
use crate::error::{Error, Result};
use crate::free_list::{FreeList, size_class};

/// Minimum size in bytes of recycled buffers. A large block from the system costs a page fault per page at first use.
const LARGE: u64 = 1 << 12;
/// Size in words from which [`Store::try_alloc`] first checks that the memory is available.
const ASKED: usize = 1 << 24;

/// Buffer of 4-byte words, shared by tensors of the CPU device.
pub(crate) struct Memory {
    words: RwLock<Lines>,
    free_list: Weak<Mutex<FreeList<Lines>>>,
}

/// Free list of buffers.
#[derive(Clone, Default)]
pub(crate) struct Store(Arc<Mutex<FreeList<Lines>>>);

impl Store {
    /// [`alloc`](Self::alloc) for sizes that users choose.
    ///
    /// # Errors
    /// [`Error::Value`] if the system does not have enough memory.
    pub fn try_alloc(&self, op: &'static str, words: usize) -> Result<Arc<Memory>> {
        // A zeroed allocation aborts if memory is short, while a reservation returns an error. In a browser, the abort
        // ends the module, and the npm package starts a new one.
        let is_there = cfg!(target_arch = "wasm32") || words < ASKED || {
            let bytes = usize::try_from(4 * words as u128).ok().filter(|&bytes| bytes <= isize::MAX as usize);
            let size = bytes.and_then(|bytes| usize::try_from(size_class(bytes as u64)).ok());
            size.is_some_and(|size| Vec::<u8>::new().try_reserve_exact(size).is_ok())
        };
        match is_there {
            true => Ok(self.alloc(words)),
            false => {
                let got = format!("{words} elements of 4 bytes");
                Err(Error::value(op, "shape", "elements that fit the memory of this system", got))
            }
        }
    }

    /// Allocates `words` words with unspecified content.
    pub fn alloc(&self, words: usize) -> Arc<Memory> {
        let size = size_class(4 * words as u64);
        if size < LARGE {
            return Arc::new(Memory { words: RwLock::new(Lines::zeros(words)), free_list: Weak::new() });
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(size);
        let mut lines = kept.unwrap_or_else(|| Lines::zeros(size as usize / 4));
        lines.shorten(words);
        // Poison value: makes uninitialized reads visible in debug builds.
        if cfg!(debug_assertions) {
            lines.fill(f32::NAN);
        }
        Arc::new(Memory { words: RwLock::new(lines), free_list: Arc::downgrade(&self.0) })
    }
}

impl Memory {
    pub fn read(&self) -> RwLockReadGuard<'_, Lines> {
        self.words.read().expect("a kernel panicked while it held this buffer")
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Lines> {
        self.words.write().expect("a kernel panicked while it held this buffer")
    }

    pub fn overwrite(&self, words: &[f32]) {
        self.write()[..words.len()].copy_from_slice(words);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (Some(free_list), Ok(words)) = (self.free_list.upgrade(), self.words.get_mut()) else { return };
        let mut words = std::mem::replace(words, Lines::zeros(0));
        words.restore();
        free_list.lock().unwrap_or_else(PoisonError::into_inner).give(4 * words.len() as u64, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_allocations_are_refused_and_name_the_bytes() {
        let error = Store::default().try_alloc("zeros", usize::MAX / 8).err().expect("refused").to_string();
        assert!(
            error.contains("zeros") && error.contains("memory of this system") && error.contains("bytes"),
            "{error}"
        );
        assert_eq!(Store::default().try_alloc("zeros", 3).map(|memory| memory.read().len()).ok(), Some(3));
    }
}
