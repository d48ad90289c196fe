//! Data of tensors in separate files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
#[cfg(not(target_arch = "wasm32"))]
use std::path::{Component, Path, PathBuf};

use super::proto::{External, Graph, TensorProto};
use crate::error::{Error, Result};

/// Reads a file by its name.
pub(super) type Read<'a> = dyn FnMut(&str) -> Result<Vec<u8>> + 'a;

/// The separate files of a model.
pub(super) struct Files {
    files: HashMap<String, Vec<u8>>,
    /// Whether missing data is an error.
    needed: bool,
}

impl Files {
    /// Returns an empty collection, for callers that do not need the data.
    pub fn skipped() -> Self {
        Self { files: HashMap::new(), needed: false }
    }

    /// Reads every file that the initializers name, once.
    pub fn of(graph: &Graph, read: Option<&mut Read>) -> Result<Self> {
        let mut files = HashMap::new();
        let Some(read) = read else { return Ok(Self { files, needed: true }) };
        for tensor in graph.initializers() {
            let Some(External { location, .. }) = tensor?.external else { continue };
            if let Entry::Vacant(entry) = files.entry(location.to_string()) {
                entry.insert(read(location)?);
            }
        }
        Ok(Self { files, needed: true })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// Returns a tensor with its data; `None` if it is not needed and not there.
    pub fn resolve<'a>(&'a self, tensor: TensorProto<'a>) -> Result<Option<TensorProto<'a>>> {
        let Some(External { location, offset, length }) = tensor.external else { return Ok(Some(tensor)) };
        let bad = |why: String| Err(Error::format(format!("ONNX tensor {:?}", tensor.name), why));
        let Some(file) = self.files.get(location) else {
            let hint = "OnnxModel::open reads it from the folder of the model, and OnnxModel::load_with asks for it";
            return match self.needed {
                true => bad(format!("is stored in a separate file, {location:?}; {hint}")),
                false => Ok(None),
            };
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = match length {
            Some(length) => start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)),
            None => file.len(),
        };
        match file.get(start..end) {
            Some(part) => Ok(Some(TensorProto { raw: Some(part), external: None, ..tensor })),
            None => bad(format!("is at {start}..{end} of {location:?}, which has {} bytes", file.len())),
        }
    }
}

/// Returns the folder of a file.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Reads a file in the folder of a model.
///
/// # Errors
/// [`Error::Format`] for a name that leads out of the folder: an absolute path, one with `..`, or a symbolic link.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn read_beside(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let bad = |why: &str| Error::format(format!("ONNX external data {name:?}"), why);
    let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
    // A backslash separates folders on Windows, and a colon names a drive or a stream.
    if name.is_empty() || name.contains(['\\', ':', '\0']) || !Path::new(name).components().all(inside) {
        return Err(bad("is not a path within the folder of the model"));
    }
    let real = |path: &Path| -> Result<PathBuf> { path.canonicalize().map_err(Error::io(path)) };
    let path = real(&folder.join(name))?;
    if !path.starts_with(real(folder)?) {
        return Err(bad("leads out of the folder of the model"));
    }
    if !path.is_file() {
        return Err(bad("is not a file"));
    }
    std::fs::read(&path).map_err(Error::io(path))
}
