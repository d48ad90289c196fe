//! Pickles that hold tensors, read without running anything
//!
//! A pickle is a program for a stack machine. This one knows the instructions that make numbers, texts, lists and
//! dicts, and the few globals that tensors are made of; every other instruction or global is refused by its name, so
//! there is nothing that a hostile file could call. What it makes lies in one arena: loops in the file are no loops of
//! ours, and nothing recurses. Python: *Lib/pickletools.py*, protocols 2 to 5.

mod globals;
mod machine;

pub(super) use globals::Global;
pub(super) use machine::load;

use super::element::Element;

/// A value on the stack; what has parts is a number in the [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// Bytes, an integer of more than 64 bits, a device, an element type: nothing that we need.
    Opaque,
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// Everything with parts.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    /// Tuples and lists.
    items: Vec<Vec<Value<'a>>>,
    pairs: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Strided>,
}

/// A run of elements that tensors share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub element: Element,
    /// Its name in the file.
    pub key: &'a str,
}

/// A tensor is a view of a storage.
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
