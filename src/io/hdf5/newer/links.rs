//! Groups of links, and attributes: header messages, or objects in a heap if there are many.

use super::super::object::Links;
use super::super::{LONGEST, Members, Walk, word};
use super::heap::Heap;
use super::{address, number};

/// Returns the names and header addresses of a group's members.
pub(in super::super) fn members<'a>(walk: &mut Walk<'a>, links: &Links<'a>) -> Result<Members<'a>, String> {
    let mut bodies = links.messages.clone();
    if let Some(&[0, flags, ref rest @ ..]) = links.info {
        let start = if flags & 1 != 0 { 8 } else { 0 };
        // Hash of the name, then the link.
        bodies.extend(objects(walk, rest.get(start..).unwrap_or_default(), (5, 4))?);
    } else if links.info.is_some() {
        return Err("has links of an unknown version".into());
    }
    bodies.into_iter().map(|body| link(walk, body)).collect()
}

/// Returns the attributes that a message of type 0x15 refers to, as the bodies of attribute messages.
pub(in super::super) fn attributes<'a>(walk: &mut Walk<'a>, body: &'a [u8]) -> Result<Vec<&'a [u8]>, String> {
    let &[0, flags, ref rest @ ..] = body else { return Err("has attributes of an unknown version".into()) };
    let start = if flags & 1 != 0 { 2 } else { 0 };
    objects(walk, rest.get(start..).unwrap_or_default(), (8, 0))
}

/// Returns the objects in a heap. `place` holds the addresses of the heap and of a B-tree of the type `kind`, whose
/// records have an object's identifier after `skip` bytes.
fn objects<'a>(walk: &mut Walk<'a>, place: &'a [u8], (kind, skip): (u8, usize)) -> Result<Vec<&'a [u8]>, String> {
    let damaged = || "has a damaged heap".to_string();
    let (heap, tree) = (address(place, 0).ok_or_else(damaged)?, address(place, 8).ok_or_else(damaged)?);
    let Some((heap, tree)) = heap.zip(tree) else { return Ok(Vec::new()) };
    let heap = Heap::open(walk, heap)?;
    let len = heap.identifier();
    let id = |record: &'a [u8]| record.get(skip..skip + len).ok_or_else(damaged);
    walk.records(tree, &[kind])?.into_iter().map(|record| heap.object(id(record)?)).collect()
}

/// Parses a link message. Returns the name, and the claimed address of the object.
fn link<'a>(walk: &mut Walk<'a>, body: &'a [u8]) -> Result<(&'a str, usize), String> {
    let damaged = || "has a damaged link".to_string();
    let &[1, flags, ref rest @ ..] = body else { return Err(damaged()) };
    // The type, the order of creation and the encoding of the name are optional.
    let kind = if flags & 8 != 0 { *rest.first().ok_or_else(damaged)? } else { 0 };
    let at = usize::from(flags & 8 != 0) + if flags & 4 != 0 { 8 } else { 0 } + usize::from(flags & 16 != 0);
    let size = 1 << (flags & 3);
    let len = number(rest, at, size).filter(|&len| len <= LONGEST).ok_or_else(damaged)?;
    let name = rest.get(at + size..).and_then(|rest| rest.get(..len)).ok_or_else(damaged)?;
    let name = std::str::from_utf8(name).map_err(|_| damaged())?;
    match kind {
        0 => Ok((name, walk.claim(word(rest, at + size + len).ok_or_else(damaged)?)?)),
        1 => Err(format!("holds a soft link {name:?}, which is not supported")),
        _ => Err(format!("holds an external link {name:?}, which is not supported")),
    }
}
