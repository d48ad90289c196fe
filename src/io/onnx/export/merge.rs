//! Combines several values to one.

use super::super::info::Extent;
use super::graph::{Graph, Value, int, refuse, wrong};
use crate::error::Result;
use crate::io::network::Merge;

/// Returns the extents of a result to which both operands broadcast.
fn broadcast(a: &[Extent], b: &[Extent]) -> Vec<Extent> {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let mut out = long.to_vec();
    for (out, other) in out.iter_mut().rev().zip(short.iter().rev()) {
        if *out == Extent::Fixed(1) || !matches!((&out, other), (Extent::Fixed(_), _) | (_, Extent::Fixed(1))) {
            *out = other.clone();
        }
    }
    out
}

/// Adds the combination of values.
pub fn merged(graph: &mut Graph, name: &str, merge: Merge, all: &[&Value]) -> Result<Value> {
    let Some((first, rest)) = all.split_first() else { return Err(refuse(name, "a layer", "a merge of nothing")) };
    let operator = match merge {
        Merge::Add | Merge::Average => "Add",
        Merge::Subtract => "Sub",
        Merge::Multiply => "Mul",
        Merge::Concat(axis) => {
            let rank = first.dims.len();
            let at = usize::try_from(if axis < 0 { axis + rank as isize } else { axis }).unwrap_or(rank);
            if at >= rank || all.iter().any(|value| value.dims.len() != rank) {
                return Err(wrong(name, first, &format!("an axis {axis}")));
            }
            let mut dims = first.dims.clone();
            let sum = all.iter().try_fold(0, |sum, value| match value.dims[at] {
                Extent::Fixed(n) => Some(sum + n),
                _ => None,
            });
            dims[at] = sum.map_or(Extent::Free, Extent::Fixed);
            return Ok(graph.node(&format!("{name}/Concat"), "Concat", all, vec![int("axis", at as i64)], dims));
        }
    };
    let mut y = (*first).clone();
    for (k, part) in rest.iter().enumerate() {
        let dims = broadcast(&y.dims, &part.dims);
        y = graph.node(&format!("{name}/{operator}{k}"), operator, &[&y, part], vec![], dims);
    }
    if merge == Merge::Average {
        let share = graph.floats(&format!("{name}/share"), &[], &[1.0 / all.len() as f32]);
        y = graph.node(&format!("{name}/Mul"), "Mul", &[&y, &share], vec![], y.dims.clone());
    }
    Ok(y)
}
