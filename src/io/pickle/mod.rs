//! Reads pickles that hold tensors, without executing Python.
//!
//! A pickle is a program for a stack machine. This machine supports the instructions that create numbers, strings,
//! lists and dicts, and the few globals that tensors need. Any other instruction or global is an error that names it,
//! so a hostile file cannot call anything.
//!
//! With `ALL`, for [`TensorFile::import`](super::TensorFile::import), it also supports NumPy's arrays and plain
//! pickles, and other globals are opaque: calling one creates an object with the attributes that the pickle sets, and
//! its arguments are dropped. So a module saved as a whole still shows its parameters. The parameter is a constant, so
//! that other programs do not contain that code (ADR 0042).
//!
//! All objects lie in one arena, so reference cycles in the file are harmless, and nothing recurses. Source: Python,
//! *Lib/pickletools.py*, protocols 2 to 5.

mod globals;
mod machine;
mod numpy;

pub(super) use globals::{Global, Kind};
pub(super) use machine::load;
pub(super) use numpy::{Array, Dtype};

use std::borrow::Cow;
use std::ops::Range;

/// A value on the stack. Compound values are indices into the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A value that tensors do not need, such as an integer of more than 64 bits or a device.
    Opaque,
    Global(Global<'a>),
    Bytes(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    /// An object of a foreign class: its attributes and items, as a dict.
    Object(usize),
    Storage(usize),
    Tensor(usize),
    /// A tensor that the file describes elsewhere, by its key.
    Named(i64),
    /// A tensor in an unsupported layout, with the name of the function that builds it.
    Unsupported(&'a str),
    Dtype(usize),
    Array(usize),
}

/// Arena of the compound values.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    bytes: Vec<Cow<'a, [u8]>>,
    /// Tuples and lists.
    items: Vec<Vec<Value<'a>>>,
    pairs: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Strided>,
    dtypes: Vec<Dtype<'a>>,
    arrays: Vec<Array>,
    /// The first few names of foreign globals.
    pub foreign: Vec<(&'a str, &'a str)>,
}

/// A sequence of elements that tensors may share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub kind: Kind<'a>,
    pub place: Place<'a>,
}

/// Where the elements of a storage are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place<'a> {
    /// In the file, under this name.
    File(&'a str),
    /// In a part of these bytes of the pickle.
    Bytes(usize, Range<usize>),
}

/// A tensor: a strided view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Strided {
    pub storage: usize,
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
    /// Whether its elements are conjugated or negated views, which is not supported.
    pub flagged: bool,
}

impl<'a> Heap<'a> {
    pub fn bytes(&self, id: usize) -> &[u8] {
        self.bytes.get(id).map(|bytes| &**bytes).unwrap_or_default()
    }

    pub fn items(&self, id: usize) -> &[Value<'a>] {
        self.items.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn pairs(&self, id: usize) -> &[(Value<'a>, Value<'a>)] {
        self.pairs.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn storage(&self, id: usize) -> Option<&Storage<'a>> {
        self.storages.get(id)
    }

    pub fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.storages.iter()
    }

    pub fn tensor(&self, id: usize) -> Option<&Strided> {
        self.tensors.get(id)
    }

    pub fn array(&self, id: usize) -> Option<&Array> {
        self.arrays.get(id)
    }

    pub fn dtype(&self, id: usize) -> Option<&Dtype<'a>> {
        self.dtypes.get(id)
    }
}
