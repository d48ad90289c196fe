//! Undoes what wrappers of PyTorch do to names and weights.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::io::TensorFile;

/// Removes the names that `torch.compile` and `DataParallel` insert, and multiplies out weight norms.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) if two entries get one name.
pub(super) fn normalize(file: TensorFile) -> Result<TensorFile> {
    let mut file = unwrap(file);
    fold_weight_norm(&mut file);
    file.sorted()
}

/// Removes the parts `_orig_mod` of names, and the part `module` if all tensors have it: at the start, or after the
/// first part, such as `state_dict`. Keeps the names of a file where this would give two entries one name.
fn unwrap(file: TensorFile) -> TensorFile {
    let compiled = |name: &str| {
        let parts: Vec<&str> = name.split('.').filter(|part| *part != "_orig_mod").collect();
        parts.join(".")
    };
    // `n_averaged` is beside the module in torch.optim.swa_utils.AveragedModel.
    let names: Vec<String> = file.names().map(compiled).filter(|name| name != "n_averaged").collect();
    // Whether all names under a first part, or all names of the file, go on with `module`.
    let mut wrapped: HashMap<&str, bool> = HashMap::new();
    for name in &names {
        if let Some((head, rest)) = name.split_once('.') {
            *wrapped.entry(head).or_insert(true) &= rest.starts_with("module.");
        }
    }
    let is_whole = !names.is_empty() && names.iter().all(|name| name.starts_with("module."));
    let prefixes: HashSet<String> = match is_whole {
        true => HashSet::from([String::new()]),
        false => wrapped.iter().filter(|(_, all)| **all).map(|(head, _)| format!("{head}.")).collect(),
    };
    let rename = |name: &str| {
        let name = compiled(name);
        let split = name.split_once('.').map_or(0, |(head, _)| head.len() + 1);
        for at in [0, split] {
            if let Some(rest) = name[at..].strip_prefix("module.").filter(|_| prefixes.contains(&name[..at])) {
                return format!("{}{rest}", &name[..at]);
            }
        }
        name
    };
    let stay_apart = |names: Vec<&str>| {
        let renamed: HashSet<String> = names.iter().map(|name| rename(name)).collect();
        renamed.len() == names.len()
    };
    let all = [
        file.names().collect(),
        file.unreadable().map(|(name, _)| name).collect(),
        file.metadata.keys().map(String::as_str).collect(),
    ];
    if all.into_iter().all(stay_apart) { file.renamed(&rename) } else { file }
}

/// Replaces the pairs of `torch.nn.utils.weight_norm`, old and new, by the weights `g · v / ‖v‖`.
fn fold_weight_norm(file: &mut TensorFile) {
    let (mut gone, mut folded) = (HashSet::new(), Vec::new());
    for (name, g_dims, g) in file.tensors() {
        let (base, v) = match (name.strip_suffix("_g"), name.strip_suffix(".original0")) {
            // The parameter that is normalized is a weight, or rarely a bias; other names may end the same way.
            (Some(base), _) if is_parameter(base) => (base.to_string(), format!("{base}_v")),
            (None, Some(base)) => {
                let Some((module, weight)) = base.rsplit_once("parametrizations.") else { continue };
                (format!("{module}{weight}"), format!("{base}.original1"))
            }
            _ => continue,
        };
        let Some(direction) = file.find(&v).filter(|_| file.find(&base).is_none()) else { continue };
        if let Some(values) = fold((g_dims, g), direction) {
            gone.extend([name.to_string(), v]);
            folded.push((base, direction.0.to_vec(), values));
        }
    }
    file.retain(&|name| !gone.contains(name));
    for (name, dims, values) in folded {
        file.add(&name, &dims, values);
    }
}

fn is_parameter(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.starts_with("weight") || last.starts_with("bias")
}

/// Returns `g · v / ‖v‖`, with one norm per element of `g`. Its extents are 1 or those of `v`; `None` for other ones.
fn fold((g_dims, g): (&[usize], &[f32]), (dims, v): (&[usize], &[f32])) -> Option<Vec<f32>> {
    let is_scalar = g.len() == 1;
    if !is_scalar && (g_dims.len() != dims.len() || g_dims.iter().zip(dims).any(|(&a, &b)| a != 1 && a != b)) {
        return None;
    }
    // Place in `g` of an element of `v`.
    let place = |mut at: usize| -> usize {
        if is_scalar {
            return 0;
        }
        let (mut place, mut step) = (0, 1);
        for (&own, &extent) in g_dims.iter().zip(dims).rev() {
            place += if own == 1 { 0 } else { at % extent * step };
            (at, step) = (at / extent, step * own);
        }
        place
    };
    let mut squares = vec![0.0f64; g.len()];
    for (at, &v) in v.iter().enumerate() {
        squares[place(at)] += f64::from(v) * f64::from(v);
    }
    let scale: Vec<f64> = g.iter().zip(&squares).map(|(&g, square)| f64::from(g) / square.sqrt()).collect();
    Some(v.iter().enumerate().map(|(at, &v)| (f64::from(v) * scale[place(at)]) as f32).collect())
}
