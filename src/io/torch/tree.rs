//! Converts the value of a pickle to named tensors.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::io::element::{View, strides};
use crate::io::pickle::{Heap, Kind, Place, Value};

/// Maximum nesting depth of dicts and lists.
const DEEPEST: usize = 32;
/// Maximum length of a tensor's name, in bytes.
const LONGEST: usize = 1024;
/// Maximum number of values visited. A dict that is referenced several times is visited each time.
const MOST: usize = 1 << 17;

/// The storages of a file, by key.
pub(in crate::io) type Storages<'a> = HashMap<&'a str, Cow<'a, [u8]>>;

/// The content of a pickle.
pub(in crate::io) struct Tree<'a, 'b> {
    pub source: &'a str,
    pub heap: &'a Heap<'a>,
    pub storages: Storages<'a>,
    pub big_endian: bool,
    pub budget: &'b mut Budget,
    /// Whether objects are modules of TorchScript, with parameters and modules among their attributes.
    pub is_script: bool,
    /// Tensors to which the pickle refers by key.
    pub named: HashMap<i64, Named<'a>>,
}

/// A tensor that is described outside the pickle.
pub(in crate::io) struct Named<'a> {
    pub kind: Kind<'a>,
    pub bytes: &'a [u8],
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Entries of a container.
type Pairs<'a> = Vec<(Value<'a>, Value<'a>)>;

impl<'a, 'b> Tree<'a, 'b> {
    pub fn new(source: &'a str, heap: &'a Heap<'a>, storages: Storages<'a>, budget: &'b mut Budget) -> Self {
        Self { source, heap, storages, big_endian: false, budget, is_script: false, named: HashMap::new() }
    }

    /// Walks from `value`, which is named `root`: tensors become tensors and other leaves become metadata, both named
    /// by their path. Of a module, only parameters, buffers, modules and plain attributes are used, as in its state
    /// dict.
    ///
    /// # Errors
    /// [`Error::Format`] for a damaged or oversized content, and if there are no tensors, except in TorchScript.
    pub fn file<const ALL: bool>(mut self, root: &str, value: Value<'a>) -> Result<TensorFile> {
        let mut file = TensorFile::named(self.source);
        let (mut open, mut visited) = (vec![(root.to_string(), value, 0)], HashSet::new());
        let mut seen = 0usize;
        while let Some((name, value, depth)) = open.pop() {
            // Every entry of an object is looked at, also those that are set again.
            seen += if let Value::Object(id) = value { self.heap.pairs(id).len() } else { 0 };
            if seen > MOST {
                return Err(self.error(&name, format!("holds more than {MOST} values")));
            }
            let parts: Pairs = match value {
                Value::Tensor(_) | Value::Array(_) | Value::Unsupported(_) | Value::Named(_) => {
                    self.tensor::<ALL>(&mut file, if depth == 0 { "tensor" } else { &name }, value)?;
                    continue;
                }
                Value::Dict(id) => self.heap.pairs(id).to_vec(),
                Value::Object(id) if ALL => match self.module(id) {
                    Some(parts) => parts,
                    // A module may be shared. Any other object is visited once, because objects refer to each other.
                    None if self.is_script || visited.insert(id) => self.attributes(id),
                    None => continue,
                },
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
                if let Some(name) = self.join::<ALL>(&name, &key, depth == 0 && root.is_empty())? {
                    open.push((name, value, depth + 1));
                }
            }
            let mut known = HashSet::new();
            if let Some((twice, ..)) = open[first..].iter().find(|(name, ..)| !known.insert(name.as_str())) {
                return Err(self.error(twice, "appears twice"));
            }
        }
        if file.names().chain(file.unreadable().map(|(name, _)| name)).next().is_none() && !self.is_script {
            let foreign = if ALL { &self.heap.foreign[..] } else { &[] };
            let foreign: Vec<String> = foreign.iter().map(|(a, b)| format!("{a}.{b}")).collect();
            let why = match &foreign[..] {
                [] => "holds no tensor".to_string(),
                names => format!(
                    "holds no tensor: it refers to {names:?}, which tensors do not need, so nothing was executed; save \
                     only tensors, as torch.save(model.state_dict(), path) does"
                ),
            };
            return Err(Error::format(self.source, why));
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

    /// Returns the entry `key` of an object, if it is a dict.
    fn dict(&self, pairs: &[(Value<'a>, Value<'a>)], key: &str) -> Option<&[(Value<'a>, Value<'a>)]> {
        match pairs.iter().find(|(name, _)| *name == Value::Text(key))?.1 {
            Value::Dict(id) => Some(self.heap.pairs(id)),
            _ => None,
        }
    }

    /// Returns the parameters, buffers, modules and plain attributes of an object, if it is a module.
    fn module(&self, id: usize) -> Option<Pairs<'a>> {
        let all = self.heap.pairs(id);
        let (parameters, modules) = (self.dict(all, "_parameters")?, self.dict(all, "_modules")?);
        let buffers = self.dict(all, "_buffers").unwrap_or_default();
        let own = [parameters, buffers, modules].into_iter().flatten().filter(|(_, value)| *value != Value::None);
        let mut out: Pairs = own.copied().collect();
        let known: HashSet<&str> =
            out.iter().filter_map(|(key, _)| if let Value::Text(key) = key { Some(*key) } else { None }).collect();
        let attributes = self.attributes(id).into_iter().filter(|(key, value)| {
            let is_plain = matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_));
            is_plain && !matches!(key, Value::Text(key) if key.starts_with('_') || known.contains(key))
        });
        let attributes: Pairs = attributes.collect();
        out.extend(attributes);
        Some(out)
    }

    /// Returns the attributes of an object that can be named. Setting an attribute again replaces it.
    fn attributes(&self, id: usize) -> Pairs<'a> {
        let (mut texts, mut numbers) = (HashSet::new(), HashSet::new());
        let named = self.heap.pairs(id).iter().rev().filter(|(key, _)| match key {
            Value::Text(key) => *key != "training" && texts.insert(*key),
            Value::Int(key) => numbers.insert(*key),
            _ => false,
        });
        named.copied().collect()
    }

    /// Returns the name of an item of the container `name`, which is its key in the first container. A file with
    /// foreign objects may have keys that are neither strings nor numbers; such entries are left out.
    fn join<const ALL: bool>(&mut self, name: &str, key: &Value, is_first: bool) -> Result<Option<String>> {
        let key = match key {
            Value::Text(_) | Value::Int(_) | Value::Bool(_) => text(key).unwrap_or_default(),
            _ if ALL && !self.heap.foreign.is_empty() => return Ok(None),
            _ => return Err(self.error(name, "has a key that is neither a string nor a number")),
        };
        if name.len() + key.len() > LONGEST {
            return Err(self.error(name, format!("holds a name of more than {LONGEST} bytes")));
        }
        self.budget.take_name(self.source, name.len() + key.len())?;
        Ok(Some(if is_first { key } else { format!("{name}.{key}") }))
    }

    fn tensor<const ALL: bool>(&mut self, file: &mut TensorFile, name: &str, value: Value<'a>) -> Result<()> {
        let what = || format!("{}: tensor {name:?}", self.source);
        let missing = || Error::format(what(), "has no storage");
        let unsupported = |kind: &dyn std::fmt::Debug| Err(format!("has elements of the unsupported type {kind:?}"));
        let big_endian = self.big_endian;
        let (dims, values) = match value {
            Value::Named(key) if ALL => {
                let Named { kind, bytes, offset, dims, strides } = self.named.get(&key).ok_or_else(missing)?;
                let values = match *kind {
                    Kind::Number(element) => View { element, bytes, big_endian, offset: *offset, dims, strides }
                        .values(&what, self.budget)?,
                    Kind::Other(kind) => unsupported(&kind),
                };
                (&dims[..], values)
            }
            Value::Tensor(id) => {
                let tensor = self.heap.tensor(id).ok_or_else(missing)?;
                let storage = self.heap.storage(tensor.storage).ok_or_else(missing)?;
                let bytes = match &storage.place {
                    Place::File(key) => &**self.storages.get(key).ok_or_else(missing)?,
                    Place::Bytes(id, place) => self.heap.bytes(*id).get(place.clone()).ok_or_else(missing)?,
                };
                let values = match storage.kind {
                    Kind::Number(_) if tensor.flagged => {
                        Err("has flags, such as conjugation, which are not supported".into())
                    }
                    Kind::Number(element) => {
                        let (offset, dims, strides) = (tensor.offset, &tensor.dims[..], &tensor.strides[..]);
                        let view = View { element, bytes, big_endian, offset, dims, strides };
                        view.values(&what, self.budget)?
                    }
                    Kind::Other(kind) => unsupported(&kind),
                };
                (&tensor.dims[..], values)
            }
            Value::Array(id) if ALL => {
                let array = self.heap.array(id).ok_or_else(missing)?;
                let dtype = self.heap.dtype(array.dtype).ok_or_else(missing)?;
                let values = match (dtype.element(), array.data) {
                    (Some(element), Some(data)) => {
                        let (bytes, dims) = (self.heap.bytes(data), &array.dims[..]);
                        let (big_endian, strides) = (dtype.big_endian, strides(dims, array.first_fastest));
                        let view = View { element, bytes, big_endian, offset: 0, dims, strides: &strides };
                        view.values(&what, self.budget)?
                    }
                    _ => unsupported(&dtype.name),
                };
                (&array.dims[..], values)
            }
            Value::Unsupported(by) => (&[][..], Err(format!("has an unsupported layout, which {by} builds"))),
            _ => return Err(missing()),
        };
        file.put(name, dims, values);
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
