//! Named tensors in memory, read from and written to files.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::budget::Budget;
use super::element::count;
use super::format::{Format, keras_weights};
use super::recognise::foreign;
use super::{hdf5, npy, safetensors, torch};
use crate::error::{Error, Result};
use crate::replace::write_atomically;
use crate::tensor::Tensor;

/// The name under which files store their metadata.
pub(super) const METADATA: &str = "__metadata__";

const NPZ: &str = "an .npz archive";
const TORCH: &str = "a file of torch.save";
const KERAS: &str = "weights of Keras";

/// Shapes and values by name.
pub(super) type Tensors<'a> = HashMap<&'a str, (&'a [usize], &'a [f32])>;

/// Returns the numbers below `len`, sorted by `compare`. One function serves all lists, because sorting adds about 3 KB
/// of code per element type.
pub(super) fn sorted_order(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_unstable_by(|&a, &b| compare(a, b));
    order
}

/// Named f32 tensors and metadata in memory.
///
/// Reads safetensors, NumPy's `.npy` and `.npz`, PyTorch's `.pt`, and Keras' `.weights.h5` and `.keras`, and detects
/// the format by the content. Elements of any width become f32. A value that f32 cannot represent (a large integer, or
/// a number beyond its range) is an error that names its tensor.
///
/// Files may be hostile: reading never executes code from a file, and takes at most 100 MB plus 20 bytes per byte of
/// the file. Larger content is rejected before it is allocated. Duplicate names are errors, and so are files of other
/// kinds: the error names the kind and says what to do.
///
/// ```
/// use wgru::io::TensorFile;
/// let mut file = TensorFile::default();
/// file.insert("bias", &[2], vec![0.5, -0.5]);
/// let copy = TensorFile::from_bytes("memory", &file.to_bytes()?)?;
/// assert_eq!(copy.get("bias")?, (&[2][..], &[0.5, -0.5][..]));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFile {
    /// Name of the file, for error messages.
    source: String,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// Text by key.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file in any supported format.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is damaged, has an unsupported format, or contains elements that
    /// are not numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads the bytes of a file in any supported format; `source` names the file in error messages.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn from_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, "a file of tensors")? {
            Format::Safetensors => safetensors::read(source, bytes),
            Format::Npy => npy::read_npy(source, bytes),
            Format::Npz(archive) => npy::read_npz(source, &archive, bytes.len()),
            Format::Torch(archive) => torch::read_archive(source, &archive, bytes.len()),
            Format::TorchLegacy => torch::read_legacy(source, bytes),
            Format::Hdf5 => hdf5::read(source, bytes, &mut Budget::of(bytes.len())),
            Format::Keras(archive) => keras_weights(source, &archive, bytes.len()),
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

    /// Reads a `.pt` or `.pth` file of `torch.save`; any other format is an error. The file holds a state dict, or
    /// nested dicts and lists of tensors, which are named by their path, joined by dots (`model.weight_ih_l0`).
    /// Numbers, texts and booleans beside the tensors become metadata. Never executes code from the file: the reader
    /// supports only the parts of pickle that tensors need, and anything else is an error that names it.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_pt(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, TORCH)? {
            Format::Torch(archive) => torch::read_archive(source, &archive, bytes.len()),
            Format::TorchLegacy => torch::read_legacy(source, bytes),
            _ => Err(foreign(source, bytes, TORCH)),
        }
    }

    /// Reads Keras' `.weights.h5` or `.keras`; any other format is an error. Tensors are named by their path in the
    /// file, joined by dots: `layers.gru.cell.vars.0` is the first variable of the first GRU, because Keras numbers
    /// layers by class and ignores their names. Supports the part of HDF5 that Keras writes: groups of the first
    /// format, and unchunked numbers. Any other feature is an error that names it.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_keras(source: &str, bytes: &[u8]) -> Result<Self> {
        match Format::of(source, bytes, KERAS)? {
            Format::Hdf5 => hdf5::read(source, bytes, &mut Budget::of(bytes.len())),
            Format::Keras(archive) => keras_weights(source, &archive, bytes.len()),
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

    /// Returns the content of an `.npz` file, as `numpy.savez` lays it out. The metadata become an extra member,
    /// `__metadata__`.
    ///
    /// # Errors
    /// As [`TensorFile::to_bytes`]; also if the file would be 4 GiB or larger, which needs zip64.
    pub fn to_npz(&self) -> Result<Vec<u8>> {
        self.check()?;
        npy::to_npz(self)
    }

    /// Returns the content of an `.npy` file with one tensor.
    ///
    /// # Errors
    /// As [`TensorFile::to_bytes`]; also if there is no tensor of this name.
    pub fn to_npy(&self, name: &str) -> Result<Vec<u8>> {
        self.check()?;
        let (dims, values) = self.get(name)?;
        Ok(npy::tensor_to_npy(dims, values))
    }

    /// Checks that names are unique, and that shapes match the numbers of values.
    pub(super) fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        if let Some(name) = self.names().find(|name| !names.insert(*name)) {
            return Err(Error::format(format!("tensor {name:?}"), "stands twice"));
        }
        if names.contains(METADATA) {
            return Err(Error::format(format!("tensor {METADATA:?}"), "bears the name of the metadata"));
        }
        let counts = |dims: &[usize], values: &[f32]| count(dims) == Some(values.len());
        match self.tensors.iter().find(|(_, dims, values)| !counts(dims, values)) {
            Some((name, dims, values)) => {
                let why = format!("has {} values for shape {dims:?}", values.len());
                Err(Error::format(format!("tensor {name:?}"), why))
            }
            None => Ok(()),
        }
    }

    /// Returns the part of the file under `prefix`: tensors and metadata named `<prefix>.<name>` here are named
    /// `<name>` there. This extracts the model from a training checkpoint that stores it under a key.
    ///
    /// ```
    /// use wgru::io::TensorFile;
    /// let mut file = TensorFile::default();
    /// file.insert("model.encoder.bias", &[1], vec![0.5]);
    /// assert_eq!(file.under("model.encoder").get("bias")?.1, [0.5]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    #[must_use]
    pub fn under(&self, prefix: &str) -> TensorFile {
        let strip = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(String::from);
        let mut part = TensorFile::named(&self.source);
        part.tensors = self.tensors.iter().filter_map(|(n, d, v)| Some((strip(n)?, d.clone(), v.clone()))).collect();
        part.metadata.extend(self.metadata.iter().filter_map(|(k, v)| Some((strip(k)?, v.clone()))));
        part
    }

    /// Writes a safetensors file. An existing file at `path` stays until the new one is complete; see
    /// [`write_atomically`](super::write_atomically).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// Creates an empty file that error messages call `source`.
    pub(super) fn named(source: &str) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Sorts the tensors by name.
    ///
    /// # Errors
    /// [`Error::Format`] for a duplicate name, and for a tensor with the name of the metadata.
    pub(super) fn sorted(mut self) -> Result<Self> {
        let order = sorted_order(self.tensors.len(), &|a, b| self.tensors[a].0.cmp(&self.tensors[b].0));
        self.tensors = order.into_iter().map(|i| std::mem::take(&mut self.tensors[i])).collect();
        let bad = |name: &str, why: &str| Err(Error::format(format!("{}: tensor {name:?}", self.source), why));
        if let Some(pair) = self.tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return bad(&pair[0].0, "stands twice");
        }
        if self.names().any(|name| name == METADATA) {
            return bad(METADATA, "bears the name of the metadata");
        }
        Ok(self)
    }

    /// Adds a tensor.
    pub fn insert(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        self.tensors.push((name.into(), dims.to_vec(), values));
    }

    /// Reads tensors back from their device and adds them, named `<prefix><name>`. A tensor that is listed twice under
    /// the same name is added once.
    pub(crate) async fn insert_all(&mut self, prefix: &str, tensors: &[(String, Tensor)]) -> Result<()> {
        for (i, (name, tensor)) in tensors.iter().enumerate() {
            if tensors[..i].iter().any(|(n, t)| n == name && t.shares_memory(tensor)) {
                continue;
            }
            self.insert(&format!("{prefix}{name}"), tensor.dims(), tensor.read().await?);
        }
        Ok(())
    }

    /// Iterates over names, shapes and values.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|(name, dims, values)| (name.as_str(), &dims[..], &values[..]))
    }

    /// Returns the tensors by name.
    pub(super) fn index(&self) -> Tensors<'_> {
        self.tensors().map(|(name, dims, values)| (name, (dims, values))).collect()
    }

    /// Iterates over the names of the tensors, which are sorted if the file was read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(name, _, _)| name.as_str())
    }

    /// Returns the prefix of a tensor's full name, if `name` is only its end.
    pub(super) fn prefix_of(&self, name: &str) -> Option<&str> {
        self.names().find_map(|whole| whole.strip_suffix(name)?.strip_suffix('.'))
    }

    /// Returns the shape and the values of a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor if it is missing.
    pub fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let found = self.tensors.iter().find(|(n, _, _)| n == name);
        let (_, dims, values) = found.ok_or_else(|| {
            let why = match self.prefix_of(name) {
                Some(prefix) => format!("is not there, but under {prefix:?}: take TensorFile::under({prefix:?})"),
                None => format!("is not there; there are {:?} …", self.names().take(8).collect::<Vec<_>>()),
            };
            Error::format(format!("{}: tensor {name:?}", self.source), why)
        })?;
        Ok((dims, values))
    }

    /// Returns the values of a tensor that must have the shape `dims`.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor if it is missing or has another shape.
    pub fn expect(&self, name: &str, dims: &[usize]) -> Result<&[f32]> {
        let (got, values) = self.get(name)?;
        if got == dims {
            return Ok(values);
        }
        let why = format!("has shape {got:?}; expected {dims:?}");
        Err(Error::format(format!("{}: tensor {name:?}", self.source), why))
    }

    /// Parses a value of the metadata.
    ///
    /// # Errors
    /// [`Error::Format`] naming the key if it is missing or cannot be parsed.
    pub fn field<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let bad = |why: String| Error::format(format!("{}: metadata {key:?}", self.source), why);
        let text = self.metadata.get(key).ok_or_else(|| bad("is not there".into()))?;
        text.parse().map_err(|_| bad(format!("{text:?} cannot be read")))
    }
}
