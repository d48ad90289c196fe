//! Reads files written by `torch.save`.
//!
//! Since PyTorch 1.6, they are zip archives: `<name>/data.pkl` describes the content, and `<name>/data/<key>` are the
//! storages. Older files are a sequence of pickles and storages. Source: PyTorch, *torch/serialization.py*.

mod tree;

use std::borrow::Cow;
use std::collections::HashMap;

use super::TensorFile;
use super::budget::Budget;
use super::pickle::{self, Heap, Kind, Place, Value};
use super::signature::TORCH_LEGACY;
use super::zip::Archive;
use crate::error::{Error, Result};
pub(super) use tree::{Named, Storages, Tree};

/// Maximum size of the pickle in bytes. It does not contain the elements of the tensors.
const MAX_PICKLE: usize = 16 << 20;

/// Whether an archive with a member of this name was written by `torch.save`.
pub(super) fn is_pickle(name: &str) -> bool {
    name == "data.pkl" || name.strip_suffix("/data.pkl").is_some_and(|folder| !folder.contains('/'))
}

/// Whether an archive with a member of this name is a TorchScript program.
pub(super) fn is_script(name: &str) -> bool {
    name == "constants.pkl" || name.ends_with("/constants.pkl")
}

/// Reads an archive of `torch.save`; with `ALL`, also one with foreign objects.
pub(super) fn read_archive<const ALL: bool>(
    source: &str,
    archive: &Archive,
    budget: &mut Budget,
) -> Result<TensorFile> {
    let folder = folder(source, archive)?;
    read_pickle::<ALL>(source, archive, [folder, "data"], false, budget)
}

/// Reads an archive of `torch.jit.save`. Its code is ignored. Its modules are objects, whose attributes are parameters,
/// buffers and other modules. A frozen program has only constants, which are read as `constants.0` and so on.
pub(super) fn read_script(source: &str, archive: &Archive, len: usize) -> Result<TensorFile> {
    let (folder, mut budget) = (folder(source, archive)?, Budget::of(len));
    for kind in ["data", "constants"] {
        let file = read_pickle::<true>(source, archive, [folder, kind], true, &mut budget)?;
        if file.names().next().is_some() {
            return Ok(file);
        }
    }
    let why = "a TorchScript program without weights: load it in PyTorch with torch.jit.load, and save its weights \
               with torch.save(module.state_dict(), path)";
    Err(Error::format(source, why))
}

/// Returns the folder of the only `data.pkl`, with a slash at its end.
fn folder<'a>(source: &str, archive: &Archive<'a>) -> Result<&'a str> {
    let mut pickles =
        archive.members().iter().filter_map(|m| m.name.strip_suffix("data.pkl").filter(|_| is_pickle(m.name)));
    match (pickles.next(), pickles.next()) {
        (Some(folder), None) => Ok(folder),
        _ => Err(Error::format(source, "has no data.pkl, or several")),
    }
}

/// Reads the pickle `<folder><kind>.pkl`, whose storages are `<folder><kind>/<key>`.
fn read_pickle<const ALL: bool>(
    source: &str,
    archive: &Archive,
    [folder, kind]: [&str; 2],
    is_script: bool,
    budget: &mut Budget,
) -> Result<TensorFile> {
    let bad = |why: String| Error::format(source, why);
    let missing = |name: &str| archive.error(name, "is not in the archive");
    let name = format!("{folder}{kind}.pkl");
    let program = archive.read(archive.find(&name).ok_or_else(|| missing(&name))?, budget)?;
    check_len(source, program.len())?;
    let (value, heap, rest) = pickle::load::<ALL>(&program, budget, false).map_err(bad)?;
    if !rest.is_empty() {
        return Err(bad("has data after its pickle".into()));
    }
    let big_endian = match archive.find(&format!("{folder}byteorder")) {
        None => false,
        Some(order) => match &*archive.read(order, budget)? {
            b"little" => false,
            b"big" => true,
            _ => return Err(archive.error(order.name, "is neither little nor big")),
        },
    };
    let mut storages = Storages::new();
    for (key, _) in elements(source, &heap)? {
        let name = format!("{folder}{kind}/{key}");
        let member = archive.find(&name).ok_or_else(|| missing(&name))?;
        storages.insert(key, archive.read(member, budget)?);
    }
    let root = if ALL && kind != "data" { kind } else { "" };
    Tree { big_endian, is_script, ..Tree::new(source, &heap, storages, budget) }.file::<ALL>(root, value)
}

/// Reads a file of `torch.save` before PyTorch 1.6; with `ALL`, also one with foreign objects.
pub(super) fn read_legacy<const ALL: bool>(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let bad = |why: String| Error::format(source, why);
    let cut = || bad("is cut short".into());
    let rest = bytes.strip_prefix(TORCH_LEGACY).ok_or_else(|| bad("not a file written by torch.save".into()))?;
    let mut budget = Budget::of(bytes.len());
    let (version, _, rest) = pickle::load::<ALL>(rest, &mut budget, false).map_err(bad)?;
    if version != Value::Int(1001) {
        return Err(bad(format!("has torch.save version {version:?}; expected 1001")));
    }
    let (system, parts, rest) = pickle::load::<ALL>(rest, &mut budget, false).map_err(bad)?;
    let Value::Dict(system) = system else { return Err(bad("does not state its byte order".into())) };
    let little = (Value::Text("little_endian"), Value::Bool(true));
    let big_endian = !parts.pairs(system).contains(&little);
    let (value, heap, rest) = pickle::load::<ALL>(rest, &mut budget, false).map_err(bad)?;
    let (keys, parts, mut rest) = pickle::load::<ALL>(rest, &mut budget, false).map_err(bad)?;
    let Value::List(keys) = keys else { return Err(bad("has no list of storages".into())) };
    let elements = elements(source, &heap)?;
    let mut storages = Storages::new();
    for key in parts.items(keys) {
        let Value::Text(key) = *key else { return Err(bad("has a storage whose key is not a string".into())) };
        let element = elements.get(key).ok_or_else(|| bad(format!("has storage {key:?}, which no tensor uses")))?;
        let (count, data) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let count = if big_endian { u64::from_be_bytes(*count) } else { u64::from_le_bytes(*count) };
        let unknown = || bad(format!("has storage {key:?} with elements of unknown size: {element:?}"));
        let size = element.size().ok_or_else(unknown)?;
        let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(size)).ok_or_else(cut)?;
        let (data, after) = data.split_at_checked(len).ok_or_else(cut)?;
        if storages.insert(key, Cow::Borrowed(data)).is_some() {
            return Err(bad(format!("holds storage {key:?} twice")));
        }
        rest = after;
    }
    if !rest.is_empty() {
        return Err(bad(format!("has {} bytes after its storages", rest.len())));
    }
    Tree { big_endian, ..Tree::new(source, &heap, storages, &mut budget) }.file::<ALL>("", value)
}

/// Returns the element types of the storages in the file that the tensors use, by key.
pub(super) fn elements<'a>(source: &str, heap: &Heap<'a>) -> Result<HashMap<&'a str, Kind<'a>>> {
    let mut all = HashMap::new();
    for storage in heap.storages() {
        let Place::File(key) = storage.place else { continue };
        let before = all.insert(key, storage.kind);
        if let Some(before) = before.filter(|before| *before != storage.kind) {
            let why = format!("has elements of two types, {before:?} and {:?}", storage.kind);
            return Err(Error::format(format!("{source}: storage {key:?}"), why));
        }
    }
    Ok(all)
}

fn check_len(source: &str, len: usize) -> Result<()> {
    if len <= MAX_PICKLE {
        return Ok(());
    }
    Err(Error::format(source, format!("has a pickle of {len} bytes; expected at most {MAX_PICKLE}")))
}
