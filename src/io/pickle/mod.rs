//! Reads pickles that hold tensors, without executing Python.
//!
//! A pickle is a program for a stack machine. This machine supports the instructions that create numbers, strings,
//! lists and dicts, and the few globals that tensors need. Any other instruction or global is an error that names it,
//! so a hostile file cannot call anything. All objects lie in one arena, so reference cycles in the file are harmless,
//! and nothing recurses. Source: Python, *Lib/pickletools.py*, protocols 2 to 5.

mod globals;
mod machine;

pub(super) use globals::Global;
pub(super) use machine::load;

use super::element::Element;

/// A value on the stack. Compound values are indices into the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A value that tensors do not need: bytes, an integer of more than 64 bits, a device, an element type.
    Opaque,
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// Arena of the compound values.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    /// Tuples and lists.
    items: Vec<Vec<Value<'a>>>,
    pairs: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Strided>,
}

/// A sequence of elements that tensors may share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub element: Element,
    /// Name of the storage in the file.
    pub key: &'a str,
}

/// A tensor: a strided view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Strided {
    pub storage: usize,
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

impl<'a> Heap<'a> {
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
}
