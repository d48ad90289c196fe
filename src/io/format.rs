//! Detects the format of a file by its first bytes and, in an archive, by its members.

use super::budget::Budget;
use super::recognize::foreign;
use super::signature::{HDF5, NPY, TORCH_LEGACY, is_safetensors};
use super::zip::Archive;
use super::{TensorFile, hdf5, torch};
use crate::error::{Error, Result};

/// Format of a file, with the archive directory that was read to detect it.
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
pub(super) const KERAS_WEIGHTS: &str = "model.weights.h5";

/// Whether an archive with a member of this name is a program of `torch.export`, in the present or in an older format.
pub(super) fn is_exported(name: &str) -> bool {
    name.ends_with("_weights_config.json") || name.ends_with("serialized_state_dict.pt")
}

/// Reads the weights in a `.keras` archive.
pub(super) fn keras_weights(
    source: &str,
    archive: &Archive,
    len: usize,
    extras: &'static hdf5::Extras,
) -> Result<TensorFile> {
    match archive.find(KERAS_WEIGHTS) {
        Some(member) => {
            let mut budget = Budget::of(len);
            let bytes = archive.read(member, &mut budget)?;
            hdf5::read(source, &bytes, &mut budget, extras)
        }
        None => Err(archive.error(KERAS_WEIGHTS, "is not in the archive")),
    }
}

impl<'a> Format<'a> {
    /// Detects the format of a file. `expected` names the expected kind of file in errors.
    ///
    /// # Errors
    /// [`Error::Format`] for an unsupported kind of file, naming the kind; errors of a damaged archive.
    pub fn of(source: &'a str, bytes: &'a [u8], expected: &str) -> Result<Self> {
        if bytes.starts_with(NPY) {
            return Ok(Self::Npy);
        }
        if bytes.starts_with(TORCH_LEGACY) {
            return Ok(Self::TorchLegacy);
        }
        if bytes.starts_with(HDF5) {
            return Ok(Self::Hdf5);
        }
        // Checked before archives, because the header length of a safetensors file may begin with the bytes "PK".
        if is_safetensors(bytes) {
            return Ok(Self::Safetensors);
        }
        if !Archive::is_start(bytes) {
            return Err(foreign(source, bytes, expected));
        }
        Self::of_archive(source, Archive::new(source, bytes)?)
    }

    fn of_archive(source: &str, archive: Archive<'a>) -> Result<Self> {
        let has = |test: fn(&str) -> bool| archive.members().iter().any(|m| test(m.name));
        let refuse = |why: &str| Err(Error::format(source, why));
        let is_torch = has(torch::is_pickle);
        if is_torch && has(torch::is_script) {
            return refuse(
                "a TorchScript program of torch.jit.save: TensorFile::import reads its weights (its state_dict)",
            );
        }
        match (is_torch, archive.find(KERAS_WEIGHTS).is_some()) {
            (true, true) => refuse("a zip archive with weights of both PyTorch and Keras"),
            (true, false) => Ok(Self::Torch(archive)),
            (false, true) => Ok(Self::Keras(archive)),
            (false, false) if archive.members().is_empty() || has(|name| name.ends_with(".npy")) => {
                Ok(Self::Npz(archive))
            }
            (false, false) => {
                let names: Vec<_> = archive.members().iter().take(4).map(|m| m.name).collect();
                let why = match has(is_exported) {
                    true => "a program of torch.export: TensorFile::import reads its weights",
                    false => {
                        "a zip archive with no .npy arrays, and no weights of PyTorch or Keras: unpack it, and open \
                              the model in it"
                    }
                };
                refuse(&format!("{why}; it holds {names:?} …"))
            }
        }
    }
}
