//! Integer arithmetic on the host.

use super::Args;
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent, limited, shown};
use crate::io::onnx::value::Value;
use crate::tensor::Tensor;

pub fn overflow() -> Error {
    Error::value("onnx", "integers", "a result of 64 bits", "an overflow, or a division by 0")
}

/// Returns the shape of `a ∘ b` by NumPy's broadcasting rule, for any number of axes.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Error::shape("onnx", "inputs", format!("broadcastable to {}", shown(a)), b)),
        })
        .collect()
}

/// Returns an error unless `x` broadcasts to exactly `dims`.
pub fn check_broadcasts_to(arg: &'static str, x: &Tensor, dims: &[usize]) -> Result<()> {
    match broadcast(x.dims(), dims) {
        Ok(both) if both == dims => Ok(()),
        _ => Err(Error::shape("onnx", arg, format!("broadcastable to {dims:?}"), x.dims())),
    }
}

/// Returns the index in an array of shape `dims` for index `at` in an array of shape `to`. An extent of 1 repeats.
fn place(dims: &[usize], to: &[usize], mut at: usize) -> usize {
    let (mut out, mut stride) = (0, 1);
    let lead = to.len() - dims.len();
    for axis in (lead..to.len()).rev() {
        let index = at % to[axis];
        at /= to[axis];
        let extent = dims[axis - lead];
        out += if extent == 1 { 0 } else { index * stride };
        stride *= extent;
    }
    out
}

/// Computes `a ∘ b`, with broadcasting.
pub fn binary(a: &Ints, b: &Ints, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Ints> {
    let dims = broadcast(a.dims(), b.dims())?;
    let each = |i| f(a.values()[place(a.dims(), &dims, i)], b.values()[place(b.dims(), &dims, i)]);
    let values = (0..limited(&dims)?).map(each).collect::<Option<Vec<_>>>().ok_or_else(overflow)?;
    Ints::new(dims, values)
}

/// `x` where `c` is not 0, `y` elsewhere, with broadcasting.
pub fn select_where(c: &Ints, x: &Ints, y: &Ints) -> Result<Ints> {
    let dims = broadcast(&broadcast(c.dims(), x.dims())?, y.dims())?;
    let at = |v: &Ints, i| v.values()[place(v.dims(), &dims, i)];
    let values = (0..limited(&dims)?).map(|i| if at(c, i) != 0 { at(x, i) } else { at(y, i) }).collect();
    Ints::new(dims, values)
}

/// Broadcasts integers to the shape `dims`.
pub fn expand(x: &Ints, dims: &[usize]) -> Result<Ints> {
    let values = (0..limited(dims)?).map(|i| x.values()[place(x.dims(), dims, i)]).collect();
    Ints::new(dims.to_vec(), values)
}

/// Selects the positions `at` along `axis`.
pub fn select(x: &Ints, axis: usize, at: impl ExactSizeIterator<Item = usize> + Clone) -> Result<Ints> {
    let mut dims = x.dims().to_vec();
    let along = std::mem::replace(&mut dims[axis], at.len());
    let mut values = Vec::with_capacity(limited(&dims)?);
    let (outer, inner) = (extent(&dims[..axis])?, x.dims()[axis + 1..].iter().product::<usize>());
    if !dims.contains(&0) {
        for o in 0..outer {
            for i in at.clone() {
                values.extend(&x.values()[(o * along + i) * inner..][..inner]);
            }
        }
    }
    Ints::new(dims, values)
}

/// Permutes the axes.
pub fn permute(x: &Ints, axes: &[usize]) -> Result<Ints> {
    let dims: Vec<usize> = axes.iter().map(|&a| x.dims()[a]).collect();
    let stride = |axis: usize| x.dims()[axis + 1..].iter().product::<usize>();
    let values = (0..x.values().len()).map(|mut at| {
        let mut from = 0;
        for (&extent, &axis) in dims.iter().zip(axes).rev() {
            from += at % extent * stride(axis);
            at /= extent;
        }
        x.values()[from]
    });
    let values = values.collect();
    Ints::new(dims, values)
}

/// Concatenates along an axis.
pub fn concat(parts: &[&Ints], axis: usize) -> Result<Ints> {
    let first = parts[0].dims();
    let mut dims = first.to_vec();
    for x in &parts[1..] {
        let same = x.dims().len() == first.len() && (0..first.len()).all(|a| a == axis || x.dims()[a] == first[a]);
        if !same {
            return Err(Error::shape("onnx", "inputs", format!("{first:?} but for axis {axis}"), x.dims()));
        }
        dims[axis] = dims[axis].checked_add(x.dims()[axis]).ok_or_else(overflow)?;
    }
    let mut values = Vec::with_capacity(limited(&dims)?);
    if !dims.contains(&0) {
        for o in 0..dims[..axis].iter().product() {
            for x in parts {
                let run: usize = x.dims()[axis..].iter().product();
                values.extend(&x.values()[o * run..][..run]);
            }
        }
    }
    Ints::new(dims, values)
}

/// Converts integers to extents or axes.
pub fn extents(values: &[i64]) -> Result<Vec<usize>> {
    let all: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    all.ok_or_else(|| Error::value("onnx", "shape", "extents of at least 0", shown(values)))
}

/// Returns the integers of an optional input.
pub fn optional<'a>(args: &Args<'a>, i: usize) -> Result<Option<&'a [i64]>> {
    args.get(i).map(Value::as_ints).transpose()
}
