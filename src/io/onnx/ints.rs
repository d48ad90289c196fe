//! Integers on the host, and the one place where extents are multiplied

use crate::error::{Error, Result};

/// Most axes of integers: a limit on what a hostile file can ask for.
pub(super) const MOST_AXES: usize = 16;
/// Most integers that an operator makes: they are shapes and indices, and live on the host.
const MOST: usize = 1 << 22;
/// Product of the extents that a value may have, counting an extent of 0 as 1: then no product of some of them
/// overflows, and a loop over some of them ends. Indices of elements are 32 bits.
const EXTENT: usize = u32::MAX as usize - 1;

/// Integers on the host: shapes, lengths, indices. The types int32, int64 and bool of a file are one type here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ints {
    dims: Vec<usize>,
    values: Vec<i64>,
}

impl Ints {
    /// Checks that `dims` count `values`, and that no extent beside a 0 is out of proportion.
    pub(super) fn new(dims: Vec<usize>, values: Vec<i64>) -> Result<Self> {
        let extent = extent(&dims)?;
        if dims.contains(&0) && extent > MOST {
            return Err(too_many(&dims));
        }
        match elements(&dims)? {
            n if n == values.len() => Ok(Self { dims, values }),
            _ => Err(Error::shape("onnx", "integers", format!("{} elements", values.len()), &dims)),
        }
    }

    /// A list.
    pub(super) fn list(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], values }
    }

    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    pub(super) fn into_values(self) -> Vec<i64> {
        self.values
    }

    /// Elements, or the product of the other extents beside a 0: what a loop over its axes costs.
    pub(super) fn extent(&self) -> usize {
        if self.values.is_empty() { extent(&self.dims).unwrap_or(EXTENT) } else { self.values.len() }
    }
}

fn too_many(dims: &[usize]) -> Error {
    Error::shape("onnx", "integers", format!("extents of at most {MOST} elements on the host"), dims)
}

/// The product of extents, those of 0 counted as 1.
///
/// # Errors
/// [`Error::Shape`] when a 32-bit index does not reach every element, or for more axes than are supported.
pub(super) fn extent(dims: &[usize]) -> Result<usize> {
    if dims.len() > MOST_AXES {
        return Err(Error::value("onnx", "axes", format!("at most {MOST_AXES}"), dims.len()));
    }
    let product = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n <= EXTENT));
    product.ok_or_else(|| Error::shape("onnx", "shape", "extents whose product is below 2^32 - 1", dims))
}

/// Number of elements of extents that [`extent`] accepts.
pub(super) fn elements(dims: &[usize]) -> Result<usize> {
    let extent = extent(dims)?;
    Ok(if dims.contains(&0) { 0 } else { extent })
}

/// Number of elements, where an operator makes integers of `dims` on the host.
pub(super) fn limited(dims: &[usize]) -> Result<usize> {
    match extent(dims)? {
        n if n <= MOST => elements(dims),
        _ => Err(too_many(dims)),
    }
}

/// A list, cut to what a message shows.
pub(super) fn shown<T: std::fmt::Debug>(list: &[T]) -> String {
    const SHOWN: usize = 8;
    match list.get(..SHOWN) {
        Some(first) if list.len() > SHOWN => format!("{first:?} and {} more", list.len() - SHOWN),
        _ => format!("{list:?}"),
    }
}
