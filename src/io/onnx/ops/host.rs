//! Arithmetic on integers, on the host

use super::super::value::{Ints, Value};
use super::Args;
use crate::error::{Error, Result};

pub fn overflow() -> Error {
    Error::value("onnx", "integers", "a result of 64 bits", "an overflow, or a division by 0")
}

/// Extents of `a ∘ b` by NumPy's rule, for any number of axes.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Error::shape("onnx", "inputs", format!("broadcastable to {a:?}"), b)),
        })
        .collect()
}

/// Number of elements, or an error where a `usize` does not count them.
pub fn count(dims: &[usize]) -> Result<usize> {
    let counted = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    counted.ok_or_else(|| Error::shape("onnx", "shape", "countable extents", dims))
}

/// The cost of a function of two broadcast inputs.
pub fn broadcast_len(args: &Args) -> Result<usize> {
    count(&broadcast(args.value(0)?.dims(), args.value(1)?.dims())?)
}

/// Place in an array of `dims` of element `at` of an array of `to`; an extent of 1 repeats.
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

/// `a ∘ b`, broadcast.
pub fn binary(a: &Ints, b: &Ints, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Ints> {
    let dims = broadcast(&a.dims, &b.dims)?;
    let each = |i| f(a.values[place(&a.dims, &dims, i)], b.values[place(&b.dims, &dims, i)]);
    let values = (0..limited(&dims)?).map(each).collect::<Option<Vec<_>>>().ok_or_else(overflow)?;
    Ints::new(dims, values)
}

/// The integers repeated until they have `dims`.
pub fn expand(x: &Ints, dims: &[usize]) -> Result<Ints> {
    let values = (0..limited(dims)?).map(|i| x.values[place(&x.dims, dims, i)]).collect();
    Ints::new(dims.to_vec(), values)
}

/// The element of a source for every element of a result of extents `to`: axis `axis` by `at`, the others as they are.
pub fn select(x: &Ints, axis: usize, at: &[usize]) -> Result<Ints> {
    let inner: usize = x.dims[axis + 1..].iter().product();
    let (outer, extent) = (x.dims[..axis].iter().product::<usize>(), x.dims[axis]);
    let mut dims = x.dims.clone();
    dims[axis] = at.len();
    limited(&dims)?;
    let mut values = Vec::with_capacity(outer * at.len() * inner);
    for o in 0..outer {
        for &i in at {
            values.extend(&x.values[(o * extent + i) * inner..][..inner]);
        }
    }
    Ints::new(dims, values)
}

/// The axes in another order.
pub fn permute(x: &Ints, axes: &[usize]) -> Result<Ints> {
    let dims: Vec<usize> = axes.iter().map(|&a| x.dims[a]).collect();
    let stride = |axis: usize| x.dims[axis + 1..].iter().product::<usize>();
    let values = (0..count(&dims)?).map(|mut at| {
        let mut from = 0;
        for (&extent, &axis) in dims.iter().zip(axes).rev() {
            from += at % extent * stride(axis);
            at /= extent;
        }
        x.values[from]
    });
    let values = values.collect();
    Ints::new(dims, values)
}

/// Values one after the other along an axis.
pub fn concat(parts: &[&Ints], axis: usize) -> Result<Ints> {
    let mut dims = parts[0].dims.clone();
    for x in &parts[1..] {
        let same = x.dims.len() == dims.len() && (0..dims.len()).all(|a| a == axis || x.dims[a] == dims[a]);
        if !same {
            return Err(Error::shape("onnx", "inputs", format!("{:?} but for axis {axis}", parts[0].dims), &x.dims));
        }
        dims[axis] = dims[axis].checked_add(x.dims[axis]).ok_or_else(overflow)?;
    }
    let outer: usize = dims[..axis].iter().product();
    let mut values = Vec::with_capacity(limited(&dims)?);
    for o in 0..outer {
        for x in parts {
            let run: usize = x.dims[axis..].iter().product();
            values.extend(&x.values[o * run..][..run]);
        }
    }
    Ints::new(dims, values)
}

/// Most integers that an operator makes: they are shapes and indices, and live on the host.
const MOST: usize = 1 << 22;

/// The number of elements, within what the host holds.
pub fn limited(dims: &[usize]) -> Result<usize> {
    match count(dims)? {
        n if n <= MOST => Ok(n),
        _ => Err(Error::shape("onnx", "integers", format!("at most {MOST} elements on the host"), dims)),
    }
}

/// Integers as extents or positions of axes.
pub fn extents(values: &[i64]) -> Result<Vec<usize>> {
    let all: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    all.ok_or_else(|| Error::value("onnx", "shape", "extents of at least 0", format!("{values:?}")))
}

/// The integers of an optional input.
pub fn optional<'a>(args: &Args<'a>, i: usize) -> Result<Option<&'a [i64]>> {
    args.get(i).map(Value::as_ints).transpose()
}
