//! Safetensors, read and written whole

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A safetensors file in memory: tensors as f32, by name, and the metadata.
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
    /// Where it came from, for messages.
    source: String,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] when it is truncated, no safetensors, or holds a type that is no float.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads the bytes of a file; `source` names it in messages.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn from_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |e: safetensors::SafeTensorError| Error::format(source, format!("not a whole safetensors file: {e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let parsed = SafeTensors::deserialize(bytes).map_err(bad)?;
        let mut tensors = Vec::with_capacity(parsed.len());
        for (name, view) in parsed.iter() {
            let values = floats(&view).ok_or_else(|| {
                let why = format!("has type {:?}; expected F32, F64, F16 or BF16", view.dtype());
                Error::format(format!("{source}: tensor {name:?}"), why)
            })?;
            tensors.push((name.to_string(), view.shape().to_vec(), values));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { source: source.into(), tensors, metadata })
    }

    /// The file's bytes. The same content always gives the same bytes, which the crate `safetensors` does not promise
    /// of the metadata; so the header is written here.
    ///
    /// # Errors
    /// [`Error::Format`] when two tensors bear the same name, or a shape does not count its values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // PyTorch's loaders look for this key.
        let mut metadata = self.metadata.clone();
        metadata.entry("format".into()).or_insert_with(|| "pt".into());
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".into(), serde_json::json!(metadata));
        let mut end = 0;
        for (name, dims, values) in &self.tensors {
            if dims.iter().product::<usize>() != values.len() {
                let why = format!("has {} values for shape {dims:?}", values.len());
                return Err(Error::format(format!("tensor {name:?}"), why));
            }
            let start = end;
            end += 4 * values.len();
            let entry = serde_json::json!({ "dtype": "F32", "shape": dims, "data_offsets": [start, end] });
            if header.insert(name.clone(), entry).is_some() {
                return Err(Error::format(format!("tensor {name:?}"), "stands twice"));
            }
        }
        let mut header = serde_json::Value::from(header).to_string();
        // Spaces up to a multiple of 8, so that the data are aligned.
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let mut bytes = Vec::with_capacity(8 + header.len() + end);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(self.tensors.iter().flat_map(|(_, _, values)| values).flat_map(|v| v.to_le_bytes()));
        Ok(bytes)
    }

    /// Writes the file; what was at `path` stays until the new one is complete.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// Adds a tensor.
    pub fn insert(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        self.tensors.push((name.into(), dims.to_vec(), values));
    }

    /// Reads tensors back from their device and adds them, named `<prefix><name>`.
    pub(crate) async fn insert_all(&mut self, prefix: &str, tensors: &[(String, Tensor)]) -> Result<()> {
        for (name, tensor) in tensors {
            self.insert(&format!("{prefix}{name}"), tensor.dims(), tensor.read().await?);
        }
        Ok(())
    }

    /// Names of the tensors, sorted in a file that was read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(name, _, _)| name.as_str())
    }

    /// Extents and values of a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor when it is not there.
    pub fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let found = self.tensors.iter().find(|(n, _, _)| n == name);
        let (_, dims, values) = found.ok_or_else(|| {
            let there: Vec<_> = self.names().take(8).collect();
            Error::format(format!("{}: tensor {name:?}", self.source), format!("is not there; there are {there:?} …"))
        })?;
        Ok((dims, values))
    }

    /// Values of a tensor that must have `dims`.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor.
    pub fn expect(&self, name: &str, dims: &[usize]) -> Result<&[f32]> {
        let (got, values) = self.get(name)?;
        if got == dims {
            return Ok(values);
        }
        let why = format!("has shape {got:?}; expected {dims:?}");
        Err(Error::format(format!("{}: tensor {name:?}", self.source), why))
    }

    /// A value of the metadata.
    ///
    /// # Errors
    /// [`Error::Format`] naming the key when it is not there or cannot be read.
    pub fn field<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let bad = |why: String| Error::format(format!("{}: metadata {key:?}", self.source), why);
        let text = self.metadata.get(key).ok_or_else(|| bad("is not there".into()))?;
        text.parse().map_err(|_| bad(format!("{text:?} cannot be read")))
    }
}

fn floats(view: &TensorView) -> Option<Vec<f32>> {
    fn map<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.chunks_exact(N).filter_map(|b| b.try_into().ok()).map(f).collect()
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(map(bytes, f32::from_le_bytes)),
        Dtype::F64 => Some(map(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => Some(map(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(map(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// Writes `bytes` beside `path` and moves them there when they are on the disk: `path` is whole at every moment.
///
/// # Errors
/// [`Error::Io`]; the old file is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let thread = std::thread::current().id();
    let beside = path.with_file_name(format!(".{name}.{}.{thread:?}.tmp", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(|error| {
        let _ = fs::remove_file(&beside);
        Error::io(path)(error)
    })
}
