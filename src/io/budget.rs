//! Limits the memory used to read a file.

use crate::error::{Error, Result};

/// Decoded bytes allowed for any file, however small it is.
const ROOM: usize = 32 << 20;
/// Additional decoded bytes allowed per byte of the file. Half precision doubles in size, 8-bit integers quadruple, and
/// compressed weights shrink by a tenth; only long runs of zeros need more.
const RATIO: usize = 16;
/// Overhead of one named entry in bytes, besides its name and values: its slots in tables that grow by doubling.
const NAMED: usize = 512;

/// Counts the bytes decoded from a file: inflated members, tensors as f32, names, objects of pickles. A file of a few
/// bytes can describe terabytes (a deflated run of zeros, a view with stride 0); such a file is rejected before the
/// memory is allocated.
///
/// Loading a file takes at most 100 MB plus 20 bytes per byte of the file (ADR 0032). The part beyond [`ROOM`] and
/// [`RATIO`] covers memory that is not counted: the directory of an archive, the tables of a reader, the copy that a
/// layer makes.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// Creates the budget for a file of `len` bytes.
    pub fn of(len: usize) -> Self {
        Self { left: ROOM.saturating_add(len.saturating_mul(RATIO)) }
    }

    /// Charges `bytes`; `what` names their purpose in the error.
    ///
    /// # Errors
    /// [`Error::Format`] if the budget does not allow them.
    pub fn take(&mut self, what: impl Fn() -> String, bytes: usize) -> Result<()> {
        if self.allows(bytes) {
            return Ok(());
        }
        Err(Error::format(what(), format!("expands too much for a file of this size: it needs another {bytes} bytes")))
    }

    /// Charges `bytes` if the budget allows them. Returns whether it does.
    pub fn allows(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Charges the overhead of a tensor or string with a name of `len` bytes.
    ///
    /// # Errors
    /// Same as [`Budget::take`].
    pub fn take_name(&mut self, source: &str, len: usize) -> Result<()> {
        self.take(|| format!("{source}: the names"), NAMED + 2 * len)
    }

    /// Returns bytes to the budget once their memory has been freed.
    pub fn give(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }
}
