//! Integers on the host, and the checked products of extents.

use std::sync::Arc;

use super::element::ElementType;
use crate::error::{Error, Result};

/// Maximum number of axes, which limits what a hostile file can request.
pub(super) const MOST_AXES: usize = 16;
/// Maximum number of integers that an operator may produce. They are shapes and indices, and live on the host.
const MOST: usize = 1 << 22;
/// Maximum product of a value's extents, counting an extent of 0 as 1, so that no partial product overflows and every
/// loop over some of the axes is bounded. Element indices have 32 bits.
const EXTENT: usize = u32::MAX as usize - 1;

/// Integers on the host: shapes, lengths, indices. All integer types of files and bool are stored as one type. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Ints {
    dims: Vec<usize>,
    values: Arc<Vec<i64>>,
    /// Type in the file, where it matters: the zero point of a quantization has it.
    kind: ElementType,
}

impl PartialEq for Ints {
    fn eq(&self, other: &Self) -> bool {
        self.dims == other.dims && self.values == other.values
    }
}

impl Eq for Ints {}

impl Ints {
    /// Checks that `dims` match the number of `values`, and that extents are not excessive even if another one is 0.
    pub(super) fn new(dims: Vec<usize>, values: Vec<i64>) -> Result<Self> {
        let extent = extent(&dims)?;
        if dims.contains(&0) && extent > MOST {
            return Err(too_many(&dims));
        }
        match elements(&dims)? {
            n if n == values.len() => Ok(Self { dims, values: Arc::new(values), kind: ElementType::Int64 }),
            _ => Err(Error::shape("onnx", "integers", format!("{} elements", values.len()), &dims)),
        }
    }

    /// Creates a list.
    pub(super) fn list(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], values: Arc::new(values), kind: ElementType::Int64 }
    }

    /// Sets the type.
    pub(super) fn of_kind(self, kind: ElementType) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn kind(&self) -> ElementType {
        self.kind
    }

    /// Returns the same integers with a different shape.
    pub(super) fn reshaped(&self, dims: &[usize]) -> Result<Self> {
        match extent(dims)? {
            _ if elements(dims)? != self.values.len() => {
                Err(Error::shape("onnx", "integers", format!("{} elements", self.values.len()), dims))
            }
            extent if dims.contains(&0) && extent > MOST => Err(too_many(dims)),
            _ => Ok(Self { dims: dims.to_vec(), values: self.values.clone(), kind: self.kind }),
        }
    }

    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    pub(super) fn into_values(self) -> Vec<i64> {
        Arc::try_unwrap(self.values).unwrap_or_else(|shared| shared.to_vec())
    }

    /// Number of elements or, if an extent is 0, the product of the others: the cost of a loop over the axes.
    pub(super) fn extent(&self) -> usize {
        if self.values.is_empty() { extent(&self.dims).unwrap_or(EXTENT) } else { self.values.len() }
    }
}

fn too_many(dims: &[usize]) -> Error {
    Error::shape("onnx", "integers", format!("at most {MOST} elements on the host"), dims)
}

/// Returns the product of extents, counting those of 0 as 1.
///
/// # Errors
/// [`Error::Shape`] if 32-bit indices cannot address every element; [`Error::Value`] for more axes than are supported.
pub(super) fn extent(dims: &[usize]) -> Result<usize> {
    if dims.len() > MOST_AXES {
        return Err(Error::value("onnx", "axes", format!("at most {MOST_AXES}"), dims.len()));
    }
    let product = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n <= EXTENT));
    product.ok_or_else(|| Error::shape("onnx", "shape", "extents whose product is below 2^32 - 1", dims))
}

/// Returns the number of elements of a shape, checked by [`extent`].
pub(super) fn elements(dims: &[usize]) -> Result<usize> {
    let extent = extent(dims)?;
    Ok(if dims.contains(&0) { 0 } else { extent })
}

/// Returns the number of elements of a shape, limited to what an operator may produce on the host.
pub(super) fn limited(dims: &[usize]) -> Result<usize> {
    match extent(dims)? {
        n if n <= MOST => elements(dims),
        _ => Err(too_many(dims)),
    }
}

/// Formats a list for an error message, shortened if it is long.
pub(super) fn shown<T: std::fmt::Debug>(list: &[T]) -> String {
    const SHOWN: usize = 8;
    match list.get(..SHOWN) {
        Some(first) if list.len() > SHOWN => format!("{first:?} and {} more", list.len() - SHOWN),
        _ => format!("{list:?}"),
    }
}
