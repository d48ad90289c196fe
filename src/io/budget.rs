//! What a file may make us hold

use crate::error::{Error, Result};

/// Bytes that any file may unfold to, however small it is.
const ROOM: usize = 64 << 20;
/// Beyond that, bytes for each byte of the file. Real weights stay far below: half precision doubles, bytes quadruple.
const RATIO: usize = 64;

/// Counts what is made from a file: inflated members, tensors as f32, names. A file of a few bytes can describe
/// terabytes (a deflated run of zeros, a view with stride 0); it is refused before anything of that size is made.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// The budget of a file of `len` bytes.
    pub fn of(len: usize) -> Self {
        Self { left: ROOM.max(len.saturating_mul(RATIO)) }
    }

    /// Takes `bytes` for `what`.
    ///
    /// # Errors
    /// [`Error::Format`] when that is more than is left.
    pub fn take(&mut self, what: impl Fn() -> String, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::format(what(), format!("unfolds to {bytes} bytes, too many for a file of this size"))),
        }
    }
}
