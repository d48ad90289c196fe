//! Bound on the memory that reading a file takes

use crate::error::{Error, Result};

/// Bytes that any file may unfold to, however small it is.
const ROOM: usize = 32 << 20;
/// Beyond that, bytes for each byte of the file. Half precision doubles, bytes quadruple, compressed weights shrink by a
/// tenth; only long runs of zeros need more.
const RATIO: usize = 16;
/// Overhead of one named entry in bytes, beside its name and values: its place in tables that grow by doubling.
const NAMED: usize = 512;

/// Counts what is made from a file: inflated members, tensors as f32, names, objects of pickles. A file of a few bytes can
/// describe terabytes (a deflated run of zeros, a view with stride 0); it is refused before anything of that size is made.
///
/// Loading a file takes at most 100 MB and 20 bytes for each byte of the file (ADR 0032); the part beyond [`ROOM`] and
/// [`RATIO`] is for what is not counted: the directory of an archive, the tables of a reader, the copy that a layer makes.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// The budget of a file of `len` bytes.
    pub fn of(len: usize) -> Self {
        Self { left: ROOM.saturating_add(len.saturating_mul(RATIO)) }
    }

    /// Takes `bytes` for `what`.
    ///
    /// # Errors
    /// [`Error::Format`] when that is more than is left.
    pub fn take(&mut self, what: impl Fn() -> String, bytes: usize) -> Result<()> {
        if self.allows(bytes) {
            return Ok(());
        }
        Err(Error::format(what(), format!("unfolds to more than a file of this size may: to {bytes} bytes more")))
    }

    /// Takes `bytes` if they are left.
    pub fn allows(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Charges the overhead of a tensor or text with a name of `len` bytes.
    ///
    /// # Errors
    /// As [`Budget::take`].
    pub fn take_name(&mut self, source: &str, len: usize) -> Result<()> {
        self.take(|| format!("{source}: the names"), NAMED + 2 * len)
    }

    /// Gives back what was taken for something that is gone.
    pub fn give(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }
}
