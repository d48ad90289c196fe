//! What a file is, by its first bytes and by the members of an archive

use super::budget::Budget;
use super::zip::Archive;
use super::{TensorFile, hdf5, npy, torch};
use crate::error::Result;

/// A format, with what of the file was read to tell it.
pub(super) enum Format<'a> {
    Safetensors,
    Npy,
    Npz(Archive<'a>),
    Torch(Archive<'a>),
    TorchLegacy,
    Hdf5,
    Keras(Archive<'a>),
}

/// The member of a `.keras` archive that holds the weights.
const KERAS_WEIGHTS: &str = "model.weights.h5";

/// The weights in a `.keras` archive.
pub(super) fn keras_weights(source: &str, archive: &Archive, len: usize) -> Result<TensorFile> {
    match archive.find(KERAS_WEIGHTS) {
        Some(member) => {
            let mut budget = Budget::of(len);
            let bytes = archive.read(member, &mut budget)?;
            hdf5::read(source, &bytes, &mut budget)
        }
        None => Err(archive.error(KERAS_WEIGHTS, "is not in the archive")),
    }
}

impl<'a> Format<'a> {
    pub fn of(source: &'a str, bytes: &'a [u8]) -> Result<Self> {
        if bytes.starts_with(npy::MAGIC) {
            return Ok(Self::Npy);
        }
        if bytes.starts_with(torch::LEGACY) {
            return Ok(Self::TorchLegacy);
        }
        if bytes.starts_with(hdf5::MAGIC) {
            return Ok(Self::Hdf5);
        }
        // A member or, of an empty archive, the end. The header of a safetensors file may well be as long as "PK" says.
        if !(bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")) {
            return Ok(Self::Safetensors);
        }
        let archive = Archive::new(source, bytes)?;
        if archive.members().iter().any(|m| torch::is_pickle(m.name)) {
            return Ok(Self::Torch(archive));
        }
        Ok(if archive.find(KERAS_WEIGHTS).is_some() { Self::Keras(archive) } else { Self::Npz(archive) })
    }
}
