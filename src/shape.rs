//! Checked shapes: at most four axes, contiguous, the last axis fastest.

use crate::error::{Error, Result};

/// Most axes a tensor has.
pub const MAX_RANK: usize = 4;

/// Extents of a contiguous tensor, outermost first. Every extent is at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Checks `dims`.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than four axes, an extent of zero, or more elements than a `u32` counts.
    pub fn new(op: &'static str, dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::shape(op, "shape", "at most 4 axes", dims));
        }
        if dims.contains(&0) {
            return Err(Error::shape(op, "shape", "every extent at least 1", dims));
        }
        let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        match len {
            Some(n) if n < u32::MAX as usize => Ok(Self(dims.to_vec())),
            _ => Err(Error::shape(op, "shape", "fewer than 2^32 - 1 elements", dims)),
        }
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Extents as four axes, ones in front.
    pub fn dims4(&self) -> [u32; 4] {
        let mut out = [1; 4];
        for (o, &d) in out[MAX_RANK - self.0.len()..].iter_mut().zip(&self.0) {
            *o = d as u32;
        }
        out
    }

    /// Element strides as four axes; 0 where the extent is 1, so that such an axis broadcasts.
    pub fn strides4(&self) -> [u32; 4] {
        let dims = self.dims4();
        let mut stride = 1;
        let mut out = [0; 4];
        for axis in (0..MAX_RANK).rev() {
            if dims[axis] > 1 {
                out[axis] = stride;
            }
            stride *= dims[axis];
        }
        out
    }

    /// The shape that both broadcast to, by NumPy's rule: aligned at the last axis, extents equal or 1.
    ///
    /// # Errors
    /// [`Error::Shape`] when an extent differs and neither is 1.
    pub fn broadcast(op: &'static str, a: &Self, b: &Self) -> Result<Self> {
        let rank = a.0.len().max(b.0.len());
        let (da, db) = (a.dims4(), b.dims4());
        let mut dims = Vec::with_capacity(rank);
        for axis in MAX_RANK - rank..MAX_RANK {
            match (da[axis], db[axis]) {
                (x, y) if x == y || y == 1 => dims.push(x as usize),
                (1, y) => dims.push(y as usize),
                _ => return Err(Error::shape(op, "rhs", format!("broadcastable to {:?}", a.0), &b.0)),
            }
        }
        Self::new(op, &dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new("test", dims).unwrap()
    }

    #[test]
    fn shape_refuses_what_it_cannot_count() {
        for dims in [vec![1, 2, 3, 4, 5], vec![3, 0], vec![usize::MAX, 2], vec![1 << 20, 1 << 12]] {
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
        ];
        for (a, b, want) in cases {
            let got = Shape::broadcast("test", &shape(&a), &shape(&b)).ok().map(|s| s.dims().to_vec());
            assert_eq!(got, want);
        }
    }

    #[test]
    fn strides_are_zero_on_broadcast_axes() {
        assert_eq!(shape(&[2, 1, 3]).strides4(), [0, 3, 0, 1]);
    }
}
