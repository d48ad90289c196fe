//! Checked shapes: at most eight axes, contiguous, the last axis fastest.

use crate::error::{Error, Result};

/// Maximum number of axes of a tensor.
pub const MAX_RANK: usize = 8;

/// Extents of a contiguous tensor, outermost first. Every extent is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Padded with ones in front.
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// Creates a shape, after checking `dims`.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than [`MAX_RANK`] axes, an extent of 0, or 2^32 − 1 elements or more.
    pub fn new(op: &'static str, dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::shape(op, "shape", format!("at most {MAX_RANK} axes"), dims));
        }
        if dims.contains(&0) {
            return Err(Error::shape(op, "shape", "every extent at least 1", dims));
        }
        let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match len {
            Some(n) if n < u32::MAX as usize => {
                let mut shape = Self { dims: [1; MAX_RANK], rank: dims.len() };
                shape.dims[MAX_RANK - dims.len()..].copy_from_slice(dims);
                Ok(shape)
            }
            _ => Err(Error::shape(op, "shape", "fewer than 2^32 - 1 elements", dims)),
        }
    }

    /// Returns the extents.
    pub fn dims(&self) -> &[usize] {
        &self.dims[MAX_RANK - self.rank..]
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Returns the extents as [`MAX_RANK`] axes, padded with ones in front.
    pub fn padded(&self) -> [u32; MAX_RANK] {
        self.dims.map(|d| d as u32)
    }

    /// Returns the element strides of the axes of [`padded`](Self::padded); 0 where the extent is 1, so that such an
    /// axis broadcasts.
    pub fn strides(&self) -> [u32; MAX_RANK] {
        let mut stride = 1;
        let mut out = [0; MAX_RANK];
        for (o, &d) in out.iter_mut().zip(&self.dims).rev() {
            *o = if d > 1 { stride } else { 0 };
            stride *= d as u32;
        }
        out
    }

    /// Returns the shape that both broadcast to, by NumPy's rule: aligned at the last axis, extents equal or 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if an extent differs and neither is 1.
    pub fn broadcast(op: &'static str, a: &Self, b: &Self) -> Result<Self> {
        if a == b {
            return Ok(*a);
        }
        let rank = a.rank.max(b.rank);
        let mut dims = [1; MAX_RANK];
        for ((d, &x), &y) in dims.iter_mut().zip(&a.dims).zip(&b.dims) {
            *d = match (x, y) {
                _ if x == y || y == 1 => x,
                (1, _) => y,
                _ => return Err(Error::shape(op, "rhs", format!("broadcastable to {:?}", a.dims()), b.dims())),
            };
        }
        Self::new(op, &dims[MAX_RANK - rank..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new("test", dims).unwrap()
    }

    #[test]
    fn shapes_with_too_many_elements_are_refused() {
        for dims in [vec![1; 9], vec![3, 0], vec![usize::MAX, 2], vec![1 << 20, 1 << 12]] {
            assert!(Shape::new("test", &dims).is_err(), "{dims:?}");
        }
    }

    #[test]
    fn shape_broadcasts_as_numpy() {
        let cases = [
            (vec![2, 3], vec![3], Some(vec![2, 3])),
            (vec![4, 1, 3], vec![5, 1], Some(vec![4, 5, 3])),
            (vec![], vec![2], Some(vec![2])),
            (vec![2, 3], vec![2], None),
            (vec![2, 1, 1, 1, 1, 1, 1, 3], vec![4, 1, 1], Some(vec![2, 1, 1, 1, 1, 4, 1, 3])),
        ];
        for (a, b, want) in cases {
            let got = Shape::broadcast("test", &shape(&a), &shape(&b)).ok().map(|s| s.dims().to_vec());
            assert_eq!(got, want);
        }
    }

    #[test]
    fn strides_are_zero_on_broadcast_axes() {
        assert_eq!(shape(&[2, 1, 3]).strides(), [0, 0, 0, 0, 0, 3, 0, 1]);
    }
}
