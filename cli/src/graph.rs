//! Counts the operators of an ONNX file, also in subgraphs. The library reports only what is missing.

use std::collections::BTreeMap;

/// Maximum nesting depth of subgraphs.
const DEEPEST: usize = 16;

/// Fields of a message: numbers, and bytes of those with a length. `None` for damaged bytes.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        let (mut out, mut shift) = (0u64, 0);
        loop {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            out |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(out);
            }
            shift += 7;
        }
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        match tag & 7 {
            0 => drop(number(&mut bytes)?),
            1 => bytes = bytes.get(8..)?,
            2 => {
                let len = usize::try_from(number(&mut bytes)?).ok()?;
                out.push((tag >> 3, bytes.get(..len)?));
                bytes = &bytes[len..];
            }
            5 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some(out)
}

/// Returns how often each operator occurs.
pub fn operators(model: &[u8]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let graphs = fields(model).unwrap_or_default().into_iter().filter(|(field, _)| *field == 7);
    for (_, graph) in graphs {
        // Damaged parts are left out.
        let _ = count(graph, &mut counts, 0);
    }
    counts
}

fn count(graph: &[u8], counts: &mut BTreeMap<String, usize>, depth: usize) -> Option<()> {
    for (_, node) in fields(graph)?.into_iter().filter(|(field, _)| *field == 1) {
        let (mut operator, mut domain) = (String::new(), String::new());
        for (field, bytes) in fields(node)? {
            match field {
                4 => operator = String::from_utf8_lossy(bytes).into_owned(),
                7 => domain = String::from_utf8_lossy(bytes).into_owned(),
                // An attribute may hold a graph, or several.
                5 if depth < DEEPEST => {
                    for (_, graph) in fields(bytes)?.into_iter().filter(|(field, _)| matches!(field, 6 | 11)) {
                        count(graph, counts, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        let name = if matches!(&*domain, "" | "ai.onnx") { operator } else { format!("{domain}.{operator}") };
        *counts.entry(name).or_insert(0) += 1;
    }
    Some(())
}
