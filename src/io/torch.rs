//! Reads files written by `torch.save`.
//!
//! Since PyTorch 1.6, they are zip archives: `<name>/data.pkl` describes the content, and `<name>/data/<key>` are the
//! storages. Older files are a sequence of pickles and storages. Source: PyTorch, *torch/serialization.py*.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::btree_map::Entry;

use super::TensorFile;
use super::budget::Budget;
use super::element::{Element, View};
use super::pickle::{self, Heap, Storage, Value};
use super::signature::TORCH_LEGACY;
use super::zip::Archive;
use crate::error::{Error, Result};

/// Maximum nesting depth of dicts and lists.
const DEEPEST: usize = 32;
/// Maximum length of a tensor's name, in bytes.
const LONGEST: usize = 1024;
/// Maximum number of values visited. A dict that is referenced several times is visited each time.
const MOST: usize = 1 << 17;
/// Maximum size of the pickle in bytes. It does not contain the elements of the tensors.
const MAX_PICKLE: usize = 16 << 20;

/// The storages of a file, by key.
type Storages<'a> = HashMap<&'a str, Cow<'a, [u8]>>;

/// Whether an archive with a member of this name was written by `torch.save`.
pub(super) fn is_pickle(name: &str) -> bool {
    name == "data.pkl" || name.strip_suffix("/data.pkl").is_some_and(|folder| !folder.contains('/'))
}

pub(super) fn read_archive(source: &str, archive: &Archive, len: usize) -> Result<TensorFile> {
    let bad = |why: String| Error::format(source, why);
    let mut budget = Budget::of(len);
    let pickles: Vec<_> = archive.members().iter().filter(|m| is_pickle(m.name)).collect();
    let [member] = pickles[..] else { return Err(bad("has no data.pkl, or several".into())) };
    let folder = &member.name[..member.name.len() - "data.pkl".len()];
    let program = archive.read(member, &mut budget)?;
    check_len(source, program.len())?;
    let (value, heap, rest) = pickle::load(&program, &mut budget).map_err(bad)?;
    if !rest.is_empty() {
        return Err(bad("has data after its pickle".into()));
    }
    let big_endian = match archive.find(&format!("{folder}byteorder")) {
        None => false,
        Some(order) => match &*archive.read(order, &mut budget)? {
            b"little" => false,
            b"big" => true,
            _ => return Err(archive.error(order.name, "is neither little nor big")),
        },
    };
    let mut storages = Storages::new();
    for storage in elements(source, &heap)? {
        let name = format!("{folder}data/{}", storage.key);
        let member = archive.find(&name).ok_or_else(|| archive.error(&name, "is not in the archive"))?;
        storages.insert(storage.key, archive.read(member, &mut budget)?);
    }
    Tree { source, heap: &heap, storages, big_endian, budget }.file(value)
}

pub(super) fn read_legacy(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let bad = |why: String| Error::format(source, why);
    let cut = || bad("is cut short".into());
    let rest = bytes.strip_prefix(TORCH_LEGACY).ok_or_else(|| bad("not a file written by torch.save".into()))?;
    let mut budget = Budget::of(bytes.len());
    let (version, _, rest) = pickle::load(rest, &mut budget).map_err(bad)?;
    if version != Value::Int(1001) {
        return Err(bad(format!("has torch.save version {version:?}; expected 1001")));
    }
    let (system, parts, rest) = pickle::load(rest, &mut budget).map_err(bad)?;
    let Value::Dict(system) = system else { return Err(bad("does not state its byte order".into())) };
    let little = (Value::Text("little_endian"), Value::Bool(true));
    let big_endian = !parts.pairs(system).contains(&little);
    let (value, heap, rest) = pickle::load(rest, &mut budget).map_err(bad)?;
    let (keys, parts, mut rest) = pickle::load(rest, &mut budget).map_err(bad)?;
    let Value::List(keys) = keys else { return Err(bad("has no list of storages".into())) };
    let elements: HashMap<&str, Element> = elements(source, &heap)?.iter().map(|s| (s.key, s.element)).collect();
    let mut storages = Storages::new();
    for key in parts.items(keys) {
        let Value::Text(key) = *key else { return Err(bad("has a storage whose key is not a string".into())) };
        let element = elements.get(key).ok_or_else(|| bad(format!("has storage {key:?}, which no tensor uses")))?;
        let (count, data) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let count = if big_endian { u64::from_be_bytes(*count) } else { u64::from_le_bytes(*count) };
        let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(element.size())).ok_or_else(cut)?;
        let (data, after) = data.split_at_checked(len).ok_or_else(cut)?;
        if storages.insert(key, Cow::Borrowed(data)).is_some() {
            return Err(bad(format!("holds storage {key:?} twice")));
        }
        rest = after;
    }
    if !rest.is_empty() {
        return Err(bad(format!("has {} bytes after its storages", rest.len())));
    }
    Tree { source, heap: &heap, storages, big_endian, budget }.file(value)
}

/// Returns the storages that the tensors use, each once.
fn elements<'a>(source: &str, heap: &Heap<'a>) -> Result<Vec<Storage<'a>>> {
    let mut all: Vec<Storage> = heap.storages().cloned().collect();
    all.sort_unstable_by_key(|storage| storage.key);
    all.dedup();
    match all.windows(2).find(|pair| pair[0].key == pair[1].key) {
        Some(pair) => {
            let why = format!("has elements of two types, {:?} and {:?}", pair[0].element, pair[1].element);
            Err(Error::format(format!("{source}: storage {:?}", pair[0].key), why))
        }
        None => Ok(all),
    }
}

fn check_len(source: &str, len: usize) -> Result<()> {
    if len <= MAX_PICKLE {
        return Ok(());
    }
    Err(Error::format(source, format!("has a pickle of {len} bytes; expected at most {MAX_PICKLE}")))
}

/// The content of a pickle, to be converted to named tensors.
struct Tree<'a> {
    source: &'a str,
    heap: &'a Heap<'a>,
    storages: Storages<'a>,
    big_endian: bool,
    budget: Budget,
}

impl<'a> Tree<'a> {
    /// Walks from `root`: tensors become tensors and other leaves become metadata, both named by their path.
    fn file(mut self, root: Value<'a>) -> Result<TensorFile> {
        let mut file = TensorFile::named(self.source);
        let mut open = vec![(String::new(), root, 0)];
        let mut seen = 0usize;
        while let Some((name, value, depth)) = open.pop() {
            let parts: Vec<(Value, Value)> = match value {
                Value::Tensor(id) => {
                    self.tensor(&mut file, if depth == 0 { "tensor" } else { &name }, id)?;
                    continue;
                }
                Value::Dict(id) => self.heap.pairs(id).to_vec(),
                Value::List(id) | Value::Tuple(id) => {
                    self.heap.items(id).iter().zip(0..).map(|(v, k)| (Value::Int(k), *v)).collect()
                }
                leaf => {
                    // The same string may be referenced many times.
                    let bytes = if let Value::Text(text) = leaf { text.len() } else { 0 };
                    self.budget.take(|| format!("{}: the texts", self.source), bytes)?;
                    let Some(text) = text(&leaf) else { continue };
                    match file.metadata.entry(name) {
                        Entry::Vacant(place) => drop(place.insert(text)),
                        Entry::Occupied(place) => return Err(self.error(place.key(), "appears twice")),
                    }
                    continue;
                }
            };
            seen += parts.len();
            if depth == DEEPEST || seen > MOST {
                let why = format!("is nested deeper than {DEEPEST}, or holds more than {MOST} values");
                return Err(self.error(&name, why));
            }
            let first = open.len();
            for (key, value) in parts {
                open.push((self.join(&name, &key, depth)?, value, depth + 1));
            }
            let mut names: Vec<&str> = open[first..].iter().map(|(name, ..)| name.as_str()).collect();
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(self.error(pair[0], "appears twice"));
            }
        }
        if file.names().next().is_none() {
            return Err(Error::format(self.source, "holds no tensor"));
        }
        if let Some(name) = file.names().find(|name| file.metadata.contains_key(*name)) {
            return Err(self.error(name, "is both a tensor and another value"));
        }
        file.sorted()
    }

    fn error(&self, name: &str, why: impl ToString) -> Error {
        let name: String = name.chars().take(64).collect();
        Error::format(format!("{}: {name:?}", self.source), why)
    }

    /// Returns the name of an item of the container `name`, which is at `depth`.
    fn join(&mut self, name: &str, key: &Value, depth: usize) -> Result<String> {
        let key = match key {
            Value::Text(_) | Value::Int(_) | Value::Bool(_) => text(key).unwrap_or_default(),
            _ => return Err(self.error(name, "has a key that is neither a string nor a number")),
        };
        if name.len() + key.len() > LONGEST {
            return Err(self.error(name, format!("holds a name of more than {LONGEST} bytes")));
        }
        self.budget.take_name(self.source, name.len() + key.len())?;
        Ok(if depth == 0 { key } else { format!("{name}.{key}") })
    }

    fn tensor(&mut self, file: &mut TensorFile, name: &str, id: usize) -> Result<()> {
        let what = || format!("{}: tensor {name:?}", self.source);
        let missing = || Error::format(what(), "has no storage");
        let tensor = self.heap.tensor(id).ok_or_else(missing)?;
        let storage = self.heap.storage(tensor.storage).ok_or_else(missing)?;
        let bytes = self.storages.get(storage.key).ok_or_else(missing)?;
        let view = View {
            element: storage.element,
            bytes,
            big_endian: self.big_endian,
            offset: tensor.offset,
            dims: &tensor.dims,
            strides: &tensor.strides,
        };
        let values = view.values(&what, &mut self.budget)?;
        file.insert(name, &tensor.dims, values);
        Ok(())
    }
}

/// Converts a leaf to metadata; `None` if it has no textual form.
fn text(leaf: &Value) -> Option<String> {
    match leaf {
        Value::Bool(v) => Some(v.to_string()),
        Value::Int(v) => Some(v.to_string()),
        Value::Float(v) => Some(v.to_string()),
        Value::Text(v) => Some(v.to_string()),
        _ => None,
    }
}
