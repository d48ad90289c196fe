//! B-trees of version 2: sorted records in the leaves and in the nodes above them.

use super::super::{Walk, short, word};
use super::{number, width};

/// Maximum depth of a tree.
const DEEPEST: usize = 16;
/// Bytes of a node besides its records: signature, version, type and checksum.
const NODE: usize = 10;

impl<'a> Walk<'a> {
    /// Returns the records of a tree, whose type must be one of `kinds`, in no particular order.
    pub(in super::super) fn records(&mut self, address: usize, kinds: &[u8]) -> Result<Vec<&'a [u8]>, String> {
        let damaged = || "has a damaged B-tree".to_string();
        let address = self.claim(address)?;
        let head = self.at(address)?;
        let Some(&[b'B', b'T', b'H', b'D', 0, kind]) = head.first_chunk() else { return Err(damaged()) };
        let fields = (number(head, 6, 4), short(head, 10), short(head, 12), word(head, 16), short(head, 24));
        let (Some(node), Some(size), Some(depth), Some(root), Some(count)) = fields else { return Err(damaged()) };
        if !kinds.contains(&kind) || size == 0 || depth > DEEPEST {
            return Err(damaged());
        }
        // Extents of a pointer at each level: address, records of the child, records below the child.
        let room = node.checked_sub(NODE).ok_or_else(damaged)?;
        let most = room / size;
        let (mut total, mut pointers) = (most, Vec::new());
        for level in 0..depth {
            pointers.push(8 + width(most) + if level == 0 { 0 } else { width(total) });
            let inner = room.checked_sub(pointers[level]).ok_or_else(damaged)? / (size + pointers[level]);
            total = (inner + 1).saturating_mul(total).saturating_add(inner);
        }
        let mut out = Vec::new();
        let mut nodes = if count == 0 { Vec::new() } else { vec![(root, count, depth)] };
        while let Some((address, count, level)) = nodes.pop() {
            let address = self.claim(address)?;
            self.count(count)?;
            let node = self.at(address)?;
            let signature: &[u8] = if level == 0 { b"BTLF\0" } else { b"BTIN\0" };
            if !node.starts_with(signature) {
                return Err(damaged());
            }
            let records = node.get(6..6 + count * size).ok_or_else(damaged)?;
            out.extend(records.chunks_exact(size));
            if let Some(below) = level.checked_sub(1) {
                for child in 0..=count {
                    let at = 6 + count * size + child * pointers[below];
                    let count = number(node, at + 8, width(most)).ok_or_else(damaged)?;
                    nodes.push((word(node, at).ok_or_else(damaged)?, count, below));
                }
            }
        }
        Ok(out)
    }
}
