//! Reading and writing [`TensorFile`]s.

use std::fs;
use std::path::Path;

use super::budget::Budget;
use super::format::{Format, keras_weights};
use super::recognize::foreign;
use super::tensors::TensorFile;
use super::{hdf5, npy, safetensors, torch};
use crate::error::{Error, Result};
use crate::replace::write_atomically;
use crate::tensor::Tensor;

const NPZ: &str = "an .npz archive";
const TORCH: &str = "a file written by torch.save";
const KERAS: &str = "Keras weights";

impl TensorFile {
    /// Reads a file of safetensors, NumPy, PyTorch or Keras. [`import`](Self::import) reads more kinds of files.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is damaged, has an unsupported format, or contains elements that
    /// are not numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads the bytes of a file in any format that [`open`](Self::open) reads; `source` names the file in error messages.
    ///
    /// # Errors
    /// Same as [`TensorFile::open`].
    pub fn from_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, "a file of tensors")? {
            Format::Safetensors => safetensors::read(source, bytes),
            Format::Npy => npy::read_npy(source, bytes),
            Format::Npz(archive) => npy::read_npz(source, &archive, bytes.len()),
            Format::Torch(archive) => torch::read_archive::<false>(source, &archive, &mut Budget::of(bytes.len())),
            Format::TorchLegacy => torch::read_legacy::<false>(source, bytes),
            Format::Hdf5 => hdf5::read(source, bytes, &mut Budget::of(bytes.len()), &hdf5::BASIC),
            Format::Keras(archive) => keras_weights(source, &archive, bytes.len(), &hdf5::BASIC),
        }
    }

    /// Reads a safetensors file; any other format is an error.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_safetensors(source: &str, bytes: &[u8]) -> Result<Self> {
        safetensors::read(source, bytes)
    }

    /// Reads NumPy's `.npy`; any other format is an error. The array is named `arr_0`, as in `numpy.savez`.
    ///
    /// # Errors
    /// [`Error::Format`], also for elements that are not numbers.
    pub fn from_npy(source: &str, bytes: &[u8]) -> Result<Self> {
        npy::read_npy(source, bytes)
    }

    /// Reads NumPy's `.npz`, stored or compressed; any other format is an error.
    ///
    /// # Errors
    /// [`Error::Format`], also for zip64 and for elements that are not numbers.
    pub fn from_npz(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, NPZ)? {
            Format::Npz(archive) => npy::read_npz(source, &archive, bytes.len()),
            _ => Err(foreign(source, bytes, NPZ)),
        }
    }

    /// Reads a `.pt` or `.pth` file written by `torch.save`; any other format is an error. The file holds a state dict,
    /// or nested dicts and lists of tensors, which are named by their path, joined by dots (`model.weight_ih_l0`).
    /// Numbers, strings and booleans become metadata. Never executes code from the file: the reader supports only the
    /// parts of pickle that tensors need, and anything else is an error that names it.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_pt(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, TORCH)? {
            Format::Torch(archive) => torch::read_archive::<false>(source, &archive, &mut Budget::of(bytes.len())),
            Format::TorchLegacy => torch::read_legacy::<false>(source, bytes),
            _ => Err(foreign(source, bytes, TORCH)),
        }
    }

    /// Reads Keras' `.weights.h5` or `.keras`; any other format is an error. Tensors are named by their path in the
    /// file, joined by dots: `layers.gru.cell.vars.0` is the first variable of the first GRU, because Keras numbers
    /// layers by class and ignores their names. Supports the part of HDF5 that Keras writes: groups in the oldest
    /// format, and contiguous numeric datasets. Any other feature is an error that names it.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_keras(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, KERAS)? {
            Format::Hdf5 => hdf5::read(source, bytes, &mut Budget::of(bytes.len()), &hdf5::BASIC),
            Format::Keras(archive) => keras_weights(source, &archive, bytes.len(), &hdf5::BASIC),
            _ => Err(foreign(source, bytes, KERAS)),
        }
    }

    /// Returns the content of a safetensors file. The same tensors and metadata always give the same bytes.
    ///
    /// # Errors
    /// [`Error::Format`] if two tensors have the same name, or a shape does not match the number of values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        safetensors::write(self)
    }

    /// Returns the content of an `.npz` file, as `numpy.savez` lays it out. The metadata becomes an extra member,
    /// `__metadata__`.
    ///
    /// # Errors
    /// Same as [`TensorFile::to_bytes`]; also if the file would be 4 GiB or larger, which needs zip64.
    pub fn to_npz(&self) -> Result<Vec<u8>> {
        self.check()?;
        npy::to_npz(self)
    }

    /// Returns the content of an `.npy` file with one tensor.
    ///
    /// # Errors
    /// Same as [`TensorFile::to_bytes`]; also if there is no tensor of this name.
    pub fn to_npy(&self, name: &str) -> Result<Vec<u8>> {
        self.check()?;
        let (dims, values) = self.get(name)?;
        Ok(npy::tensor_to_npy(dims, values))
    }

    /// Writes a safetensors file. An existing file at `path` stays until the new one is complete; see
    /// [`write_atomically`](super::write_atomically).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// Reads tensors back from their device and adds them, named `<prefix><name>`. A tensor that is listed twice under
    /// the same name is added once.
    pub(crate) async fn insert_all(&mut self, prefix: &str, tensors: &[(String, Tensor)]) -> Result<()> {
        for (i, (name, tensor)) in tensors.iter().enumerate() {
            if tensors[..i].iter().any(|(n, t)| n == name && t.shares_memory(tensor)) {
                continue;
            }
            self.add(&format!("{prefix}{name}"), tensor.dims(), tensor.read().await?);
        }
        Ok(())
    }
}
