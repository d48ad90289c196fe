//! Object headers, which describe groups and datasets.

use super::{Walk, short, word};
use crate::io::element::Element;

/// An object of the file.
pub(in crate::io) enum Object<'a> {
    Group(Group<'a>),
    Dataset(Dataset<'a>),
    /// A dataset in an unsupported form, with the reason.
    Unsupported(String),
}

pub(in crate::io) enum Group<'a> {
    /// The members are in a B-tree, and their names in a heap.
    Table {
        tree: usize,
        heap: usize,
    },
    Links(Links<'a>),
}

/// The messages about the members of a group in the newer format.
#[derive(Default)]
pub(in crate::io) struct Links<'a> {
    /// Where further members are.
    pub info: Option<&'a [u8]>,
    /// One message per member.
    pub messages: Vec<&'a [u8]>,
}

/// Numbers in row-major order.
pub(in crate::io) struct Dataset<'a> {
    pub element: Element,
    pub big_endian: bool,
    pub dims: Vec<usize>,
    /// The message with the extents, which also has their limits.
    pub space: &'a [u8],
    pub data: Data<'a>,
}

pub(in crate::io) enum Data<'a> {
    Contiguous(&'a [u8]),
    Chunked(Chunked<'a>),
}

pub(in crate::io) struct Chunked<'a> {
    /// The message with the extents of a chunk and the place of the list of chunks.
    pub layout: &'a [u8],
    /// The message about the filters, if there is one.
    pub filters: &'a [u8],
}

/// Type, flags and body of a header message.
pub(super) type Message<'a> = (usize, u8, &'a [u8]);

/// The header messages that define an object.
#[derive(Default)]
struct Parts<'a> {
    group: Option<(usize, usize)>,
    links: Option<Links<'a>>,
    dims: Option<(Vec<usize>, &'a [u8])>,
    element: Option<(Element, bool)>,
    /// `Some(None)` if the dataset was never written.
    data: Option<Option<Data<'a>>>,
    filters: Option<&'a [u8]>,
    /// Why the dataset cannot be read, although it is not damaged.
    unsupported: Option<String>,
}

impl<'a> Walk<'a> {
    /// Reads the header at `address`, which must have been claimed.
    pub fn object(&mut self, address: usize) -> Result<Object<'a>, String> {
        let mut parts = Parts::default();
        for (kind, flags, body) in self.messages(address)? {
            self.message(&mut parts, kind, flags, body)?;
        }
        parts.object()
    }

    /// Reads the messages of the header at `address`, which must have been claimed: their types, flags and bodies.
    pub(super) fn messages(&mut self, address: usize) -> Result<Vec<Message<'a>>, String> {
        let damaged = || "has a damaged object header".to_string();
        let head = self.at(address)?;
        if head.starts_with(b"OHDR") {
            return (self.extras.messages)(self, head);
        }
        let (Some(1), Some(count), Some(size)) = (head.first(), short(head, 2), head.get(8..12)) else {
            return Err(damaged());
        };
        let size = u32::from_le_bytes(size.try_into().map_err(|_| damaged())?) as usize;
        let mut blocks = vec![size.checked_add(16).and_then(|end| head.get(16..end)).ok_or_else(damaged)?];
        let (mut out, mut left) = (Vec::new(), count);
        while let Some(mut block) = blocks.pop() {
            while left > 0 && block.len() >= 8 {
                self.count(1)?;
                let (kind, len) = (short(block, 0).ok_or_else(damaged)?, short(block, 2).ok_or_else(damaged)?);
                let body = block.get(8..8 + len).ok_or_else(damaged)?;
                if kind == 0x10 {
                    let (start, len) = (word(body, 0).ok_or_else(damaged)?, word(body, 8).ok_or_else(damaged)?);
                    let start = self.claim(start)?;
                    blocks.push(self.at(start)?.get(..len).ok_or_else(damaged)?);
                } else {
                    out.push((kind, block[4], body));
                }
                (block, left) = (&block[8 + len..], left - 1);
            }
        }
        Ok(out)
    }

    fn message(&self, parts: &mut Parts<'a>, kind: usize, flags: u8, body: &'a [u8]) -> Result<(), String> {
        let damaged = || "has a damaged object header".to_string();
        if flags & 2 != 0 && matches!(kind, 1 | 3 | 8 | 0x0b) {
            return Err("has a committed type, which is not supported".into());
        }
        let before = match kind {
            0x01 => parts.dims.replace((dims(body)?, body)).is_some(),
            0x02 => parts.links.get_or_insert_default().info.replace(body).is_some(),
            0x06 => {
                parts.links.get_or_insert_default().messages.push(body);
                false
            }
            0x03 => match element(body)? {
                Ok(element) => parts.element.replace(element).is_some(),
                Err(why) => parts.unsupported.replace(why).is_some(),
            },
            0x07 => parts.unsupported.replace("lies in an external file, which is not supported".into()).is_some(),
            0x08 => match self.layout(body)? {
                Ok(data) => parts.data.replace(data).is_some(),
                Err(why) => parts.unsupported.replace(why).is_some(),
            },
            0x0b => parts.filters.replace(body).is_some(),
            0x11 => {
                let group = (word(body, 0).ok_or_else(damaged)?, word(body, 8).ok_or_else(damaged)?);
                parts.group.replace(group).is_some()
            }
            _ => false,
        };
        if before { Err(format!("has two header messages of type {kind:#04x}")) } else { Ok(()) }
    }

    /// Returns the place of the data; `None` if they were never written. The inner error is an unsupported layout.
    #[allow(clippy::type_complexity, reason = "one use")]
    fn layout(&self, body: &'a [u8]) -> Result<Result<Option<Data<'a>>, String>, String> {
        let damaged = || "has data that reach past the end of the file".to_string();
        let data = match *body {
            [3..=5, 0, ref rest @ ..] => {
                let len = short(rest, 0).ok_or_else(damaged)?;
                rest.get(2..2 + len).map(Data::Contiguous).ok_or_else(damaged)?
            }
            [3..=5, 1, ref rest @ ..] if !rest.starts_with(&[0xff; 8]) => {
                let (start, len) = (word(rest, 0).ok_or_else(damaged)?, word(rest, 8).ok_or_else(damaged)?);
                let data = start.checked_add(len).and_then(|end| self.bytes.get(start..end));
                data.map(Data::Contiguous).ok_or_else(damaged)?
            }
            [3..=5, 2, ..] => Data::Chunked(Chunked { layout: body, filters: &[] }),
            [3..=5, 1, ..] => return Ok(Ok(None)),
            _ => {
                let start = &body[..body.len().min(2)];
                return Ok(Err(format!("has a data layout that is not supported: {start:?}")));
            }
        };
        Ok(Ok(Some(data)))
    }
}

impl<'a> Parts<'a> {
    fn object(self) -> Result<Object<'a>, String> {
        let group = match (self.group, self.links) {
            (Some(_), Some(_)) => return Err("is two groups".into()),
            (Some((tree, heap)), None) => Some(Group::Table { tree, heap }),
            (None, links) => links.map(Group::Links),
        };
        if let Some(group) = group {
            if self.data.is_some() || self.dims.is_some() || self.element.is_some() {
                return Err("is both a group and a dataset".into());
            }
            return Ok(Object::Group(group));
        }
        if let Some(why) = self.unsupported {
            return Ok(Object::Unsupported(why));
        }
        let (Some((dims, space)), Some((element, big_endian)), Some(data)) = (self.dims, self.element, self.data)
        else {
            return Err("is neither a group nor a dataset".into());
        };
        let data = match (data, self.filters) {
            (Some(Data::Chunked(chunked)), filters) => {
                Data::Chunked(Chunked { filters: filters.unwrap_or_default(), ..chunked })
            }
            (Some(_), Some(_)) => return Err("has filters, but no chunks".into()),
            (Some(data), None) => data,
            (None, _) if dims.contains(&0) => Data::Contiguous(&[]),
            (None, _) => return Ok(Object::Unsupported("was never written".into())),
        };
        Ok(Object::Dataset(Dataset { element, big_endian, dims, space, data }))
    }
}

/// Parses the extents of a dataspace message.
fn dims(body: &[u8]) -> Result<Vec<usize>, String> {
    let (rank, start) = match *body {
        [1, rank, ..] => (rank as usize, 8),
        [2, rank, _, 0 | 1, ..] => (rank as usize, 4),
        _ => return Err("has a dataspace that is not supported".into()),
    };
    let dims: Option<Vec<_>> = (0..rank).map(|k| word(body, start + 8 * k)).collect();
    dims.ok_or_else(|| "has a damaged dataspace".into())
}

/// Parses a datatype message. Returns the element type, and whether it is big-endian. The inner error is an unsupported
/// type.
fn element(body: &[u8]) -> Result<Result<(Element, bool), String>, String> {
    let &[class, flags, _, _, s0, s1, s2, s3, ref rest @ ..] = body else {
        return Err("has a damaged datatype".into());
    };
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let bits = (short(rest, 0), short(rest, 2));
    let whole = bits == (Some(0), Some(size.wrapping_mul(8) as usize));
    // Widths of exponent and mantissa, which distinguish IEEE 754 floats and bfloat16.
    let widths = (rest.get(5), rest.get(7));
    let element = match (class & 15, size, flags & 8 != 0) {
        (0, 1, false) => Element::U8,
        (0, 2, false) => Element::U16,
        (0, 4, false) => Element::U32,
        (0, 8, false) => Element::U64,
        (0, 1, true) => Element::I8,
        (0, 2, true) => Element::I16,
        (0, 4, true) => Element::I32,
        (0, 8, true) => Element::I64,
        (1, 2, _) if widths == (Some(&5), Some(&10)) => Element::F16,
        (1, 2, _) if widths == (Some(&8), Some(&7)) => Element::Bf16,
        (1, 4, _) if widths == (Some(&8), Some(&23)) => Element::F32,
        (1, 8, _) if widths == (Some(&11), Some(&52)) => Element::F64,
        (class, ..) => return Ok(Err(format!("has HDF5 type class {class} of {size} bytes; expected numbers"))),
    };
    if !whole || (class & 15 == 1 && flags & 0x40 != 0) {
        return Ok(Err("has a number format that is not supported".into()));
    }
    Ok(Ok((element, flags & 1 != 0)))
}
