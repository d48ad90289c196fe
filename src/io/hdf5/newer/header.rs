//! Object headers of version 2.

use super::super::object::Message;
use super::super::{Walk, short, word};
use super::number;

/// Returns the messages of the header that `head` starts with: their types, flags and bodies.
pub(in super::super) fn messages<'a>(walk: &mut Walk<'a>, head: &'a [u8]) -> Result<Vec<Message<'a>>, String> {
    let damaged = || "has a damaged object header".to_string();
    let Some(&[2, flags]) = head.get(4..6) else { return Err(damaged()) };
    // Four times of access, and the limits for storing attributes elsewhere.
    let times = if flags & 0x20 != 0 { 16 } else { 0 };
    let limits = if flags & 0x10 != 0 { 4 } else { 0 };
    let (at, size) = (6 + times + limits, 1 << (flags & 3));
    let len = number(head, at, size).ok_or_else(damaged)?;
    let first = head.get(at + size..).and_then(|rest| rest.get(..len)).ok_or_else(damaged)?;
    // Type, size, flags, and the order of creation.
    let fields = if flags & 4 != 0 { 6 } else { 4 };
    let (mut blocks, mut out) = (vec![first], Vec::new());
    while let Some(mut block) = blocks.pop() {
        // Fewer bytes than a message has are a gap.
        while block.len() >= fields {
            walk.count(1)?;
            let (kind, len) = (block[0] as usize, short(block, 1).ok_or_else(damaged)?);
            let body = block.get(fields..fields + len).ok_or_else(damaged)?;
            if kind == 0x10 {
                let (start, len) = (word(body, 0).ok_or_else(damaged)?, word(body, 8).ok_or_else(damaged)?);
                let start = walk.claim(start)?;
                // A signature before the messages, and a checksum after them.
                let rest = walk.at(start)?.get(..len).and_then(|block| block.strip_prefix(b"OCHK"));
                blocks.push(rest.and_then(|rest| rest.get(..rest.len().checked_sub(4)?)).ok_or_else(damaged)?);
            } else {
                out.push((kind, block[3], body));
            }
            block = &block[fields + len..];
        }
    }
    Ok(out)
}
