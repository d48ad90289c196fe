//! Saves and loads tunings.

use std::io::Read;
use std::path::Path;

use super::recognize::foreign;
use crate::error::{Error, Result};
use crate::replace::write_atomically;
use crate::tuning::Tuning;

impl Tuning {
    /// Writes the tuning as JSON, atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), self.to_json().as_bytes())
    }

    /// Reads a tuning that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`], and errors from [`Tuning::from_json`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        let mut bytes = Vec::new();
        file.take(Self::MAX_LEN as u64 + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if text.trim_start().starts_with('{') => Self::from_json(text),
            _ => Err(foreign(&path.display().to_string(), &bytes, "a tuning")),
        }
    }
}
