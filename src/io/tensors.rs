//! A dictionary of named tensors in memory.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use super::element::count;
use crate::error::{Error, Result};

/// The name under which files store their metadata.
pub(super) const METADATA: &str = "__metadata__";

/// A number below the length of a list, in the order of the list's elements.
struct Place<'a> {
    index: usize,
    compare: &'a dyn Fn(usize, usize) -> Ordering,
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.compare)(self.index, other.index)
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place<'_> {}

/// Returns the numbers below `len`, sorted by `compare`. A heap adds about 3 KB less to browser builds than the sorts of
/// slices, and one function serves all lists.
pub(super) fn sorted_order(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let places: BinaryHeap<Place> = (0..len).map(|index| Place { index, compare }).collect();
    places.into_sorted_vec().into_iter().map(|place| place.index).collect()
}

/// A set of names. They are sorted, because a hash set would add to the size of browser builds.
pub(super) struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    pub fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        Self(sorted_order(names.len(), &|a, b| names[a].cmp(names[b])).into_iter().map(|i| names[i]).collect())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|own| (*own).cmp(name)).is_ok()
    }

    /// Whether a name appears more than once.
    fn repeat(&self, name: &str) -> bool {
        self.0.get(self.0.partition_point(|own| *own < name) + 1).is_some_and(|next| *next == name)
    }
}

/// Name, shape and values of a tensor.
pub(super) type Entry = (String, Vec<usize>, Vec<f32>);

/// Named f32 tensors and metadata in memory.
///
/// Reads safetensors, NumPy's `.npy` and `.npz`, PyTorch's `.pt`, and Keras' `.weights.h5` and `.keras`, and detects
/// the format by the content. Elements of any width become f32. A value that f32 cannot represent (a large integer, or
/// a number beyond its range) and an unsupported element type make the tensor [unreadable](Self::unreadable), which is
/// an error only when it is used, or if the file has no other tensor.
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
    tensors: Vec<Entry>,
    /// Number of tensors at the start whose names ascend, among which names are found by bisection: all of a file that
    /// was read.
    ascending: usize,
    /// Reasons why tensors of the file could not be read, by name.
    unreadable: BTreeMap<String, String>,
    /// Text by key.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Checks that names are unique, that shapes match the numbers of values, and that all tensors could be read.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(name) = self.unreadable.keys().next() {
            return Err(self.unread(name));
        }
        let names = Names::new(self.names());
        if let Some(name) = self.names().find(|name| names.repeat(name)) {
            return Err(Error::format(format!("tensor {name:?}"), "appears twice"));
        }
        if names.contains(METADATA) {
            return Err(Error::format(format!("tensor {METADATA:?}"), "has a name reserved for the metadata"));
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
        let start = format!("{prefix}.");
        let own = |name: &str| name[start.len()..].to_string();
        let mut part = TensorFile::named(&self.source);
        part.set(self.starting(&start).map(|(name, dims, values)| (own(name), dims.clone(), values.clone())).collect());
        for (from, to) in [(&self.metadata, &mut part.metadata), (&self.unreadable, &mut part.unreadable)] {
            let under = from.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
            to.extend(under.map(|(name, text)| (own(name), text.clone())));
        }
        part
    }

    /// Iterates over the tensors whose names start with `start`.
    pub(super) fn starting(&self, start: &str) -> impl Iterator<Item = &Entry> {
        let (ascending, rest) = self.tensors.split_at(self.ascending);
        let first = ascending.partition_point(|(name, ..)| name.as_str() < start);
        let found = ascending[first..].iter().take_while(move |(name, ..)| name.starts_with(start));
        found.chain(rest.iter().filter(move |(name, ..)| name.starts_with(start)))
    }

    /// Iterates over the tensors that could not be read: their names, and the reasons as phrases that follow the name.
    /// They are not among the [`names`](Self::names), and [`get`](Self::get) returns the reason as an error.
    pub fn unreadable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unreadable.iter().map(|(name, why)| (name.as_str(), why.as_str()))
    }

    /// Removes the tensors that could not be read. A file that still has some cannot be saved, because it would lose
    /// them silently.
    pub fn discard_unreadable(&mut self) {
        self.unreadable.clear();
    }

    /// Keeps only the tensors whose names pass the test.
    pub(super) fn retain(&mut self, test: &dyn Fn(&str) -> bool) {
        let mut tensors = std::mem::take(&mut self.tensors);
        tensors.retain(|(name, ..)| test(name));
        self.set(tensors);
    }

    /// Replaces all tensors.
    fn set(&mut self, tensors: Vec<Entry>) {
        let ascend = tensors.windows(2).take_while(|pair| pair[0].0 < pair[1].0).count();
        self.ascending = tensors.len().min(ascend + 1);
        self.tensors = tensors;
    }

    /// Returns the reason why a tensor could not be read.
    pub(super) fn reason(&self, name: &str) -> Option<&str> {
        self.unreadable.get(name).map(String::as_str)
    }

    /// Renames all tensors and metadata.
    pub(super) fn renamed(self, rename: &dyn Fn(&str) -> String) -> Self {
        let texts = |all: BTreeMap<String, String>| all.into_iter().map(|(name, text)| (rename(&name), text)).collect();
        let mut file = Self::named(&self.source);
        file.set(self.tensors.into_iter().map(|(name, dims, values)| (rename(&name), dims, values)).collect());
        file.unreadable = texts(self.unreadable);
        file.metadata = texts(self.metadata);
        file
    }

    /// Returns the error for an unreadable tensor.
    fn unread(&self, name: &str) -> Error {
        let why = self.unreadable.get(name).map(String::as_str).unwrap_or_default();
        Error::format(format!("{}: tensor {name:?}", self.source), why)
    }

    /// Adds a tensor whose values, or the reason why they could not be read, are `values`.
    pub(super) fn put(&mut self, name: &str, dims: &[usize], values: Result<Vec<f32>, String>) {
        match values {
            Ok(values) => self.add(name, dims, values),
            Err(why) => drop(self.unreadable.insert(name.into(), why)),
        }
    }

    /// Creates an empty file, named `source` in error messages.
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
        let tensors = order.into_iter().map(|i| std::mem::take(&mut self.tensors[i])).collect();
        self.set(tensors);
        let bad = |name: &str, why: &str| Err(Error::format(format!("{}: tensor {name:?}", self.source), why));
        if let Some(pair) = self.tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return bad(&pair[0].0, "appears twice");
        }
        if self.names().any(|name| name == METADATA) {
            return bad(METADATA, "has a name reserved for the metadata");
        }
        if let Some(name) = self.names().find(|name| self.unreadable.contains_key(*name)) {
            return bad(name, "appears twice");
        }
        match self.unreadable.keys().next() {
            Some(name) if self.tensors.is_empty() => Err(self.unread(name)),
            _ => Ok(self),
        }
    }

    /// Adds a tensor. If there is one with this name, it is replaced, as in a map, also if it is
    /// [unreadable](Self::unreadable).
    ///
    /// ```
    /// use wgru::io::TensorFile;
    /// let mut file = TensorFile::default();
    /// file.insert("bias", &[2], vec![0.5, -0.5]);
    /// file.insert("bias", &[1], vec![0.25]);
    /// assert_eq!(file.names().count(), 1);
    /// assert_eq!(file.get("bias")?, (&[1][..], &[0.25][..]));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn insert(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        if self.unreadable.contains_key(name) {
            // `BTreeMap::remove` would add 2 KB to browser builds.
            let all = std::mem::take(&mut self.unreadable);
            self.unreadable.extend(all.into_iter().filter(|(other, _)| other != name));
        }
        match self.position(name) {
            Some(at) => (self.tensors[at].1, self.tensors[at].2) = (dims.to_vec(), values),
            None => self.add(name, dims, values),
        }
    }

    /// Adds a tensor under a name that must be new. Does not look for the name: saving the file, and
    /// [`sorted`](Self::sorted), reject a duplicate.
    pub(super) fn add(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        let is_next = self.tensors.last().is_none_or(|(last, ..)| last.as_str() < name);
        if is_next && self.ascending == self.tensors.len() {
            self.ascending += 1;
        }
        self.tensors.push((name.into(), dims.to_vec(), values));
    }

    /// Returns the index of a tensor, if the file has it.
    fn position(&self, name: &str) -> Option<usize> {
        let (ascending, rest) = self.tensors.split_at(self.ascending);
        match ascending.binary_search_by(|(own, ..)| own.as_str().cmp(name)) {
            Ok(at) => Some(at),
            Err(_) => rest.iter().position(|(own, ..)| own == name).map(|at| ascending.len() + at),
        }
    }

    /// Returns the shape and the values of a tensor, if the file has it.
    pub(super) fn find(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let (_, dims, values) = &self.tensors[self.position(name)?];
        Some((dims, values))
    }

    /// Iterates over names, shapes and values.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|(name, dims, values)| (name.as_str(), &dims[..], &values[..]))
    }

    /// Iterates over the names of the tensors, which are sorted if the file was read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(name, _, _)| name.as_str())
    }

    /// Returns the prefix under which the file has a tensor called `name`, if there is one.
    pub(super) fn prefix_of(&self, name: &str) -> Option<&str> {
        self.names().find_map(|whole| whole.strip_suffix(name)?.strip_suffix('.'))
    }

    /// Returns the shape and the values of a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor if it is missing.
    pub fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        self.find(name).ok_or_else(|| {
            if self.unreadable.contains_key(name) {
                return self.unread(name);
            }
            let why = match self.prefix_of(name) {
                Some(prefix) => format!("is missing, but exists under {prefix:?}: use TensorFile::under({prefix:?})"),
                None => format!("is missing; the file has {:?} …", self.names().take(8).collect::<Vec<_>>()),
            };
            Error::format(format!("{}: tensor {name:?}", self.source), why)
        })
    }

    /// Returns the values of a tensor that must have the shape `dims`.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor if it is missing or has the wrong shape.
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
        let text = self.metadata.get(key).ok_or_else(|| bad("is missing".into()))?;
        text.parse().map_err(|_| bad(format!("{text:?} cannot be read")))
    }
}
