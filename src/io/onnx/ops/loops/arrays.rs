//! Constants in the body of a loop, which are cut and turned before they become weights.

use std::rc::Rc;

/// Floats of any shape.
#[derive(Clone)]
pub struct Array {
    pub dims: Vec<usize>,
    pub values: Rc<Vec<f32>>,
}

impl Array {
    pub fn new(dims: &[usize], values: Vec<f32>) -> Self {
        Self { dims: dims.to_vec(), values: Rc::new(values) }
    }

    /// Returns the only value of an array without axes.
    pub fn scalar(&self) -> Option<f32> {
        self.dims.is_empty().then(|| self.values.first().copied())?
    }

    /// Returns the only value of an array with any axes.
    pub fn single(&self) -> Option<f32> {
        (self.values.len() == 1).then(|| self.values[0])
    }

    /// Returns the values of a row `[n]` or `[1, n]`.
    pub fn row(&self) -> Option<&[f32]> {
        matches!(*self.dims, [_] | [1, _]).then_some(&self.values[..])
    }

    /// Returns the extents of a matrix.
    pub fn matrix(&self) -> Option<[usize; 2]> {
        self.dims[..].try_into().ok()
    }

    /// Returns the part from `start` to `end` along an axis.
    pub fn part(&self, axis: usize, start: usize, end: usize) -> Option<Self> {
        let extent = *self.dims.get(axis)?;
        if start > end || end > extent {
            return None;
        }
        let inner: usize = self.dims[axis + 1..].iter().product();
        let block = extent * inner;
        let mut values = Vec::new();
        if block > 0 {
            self.values.chunks_exact(block).for_each(|outer| values.extend(&outer[start * inner..end * inner]));
        }
        let mut dims = self.dims.clone();
        dims[axis] = end - start;
        Some(Self { dims, values: Rc::new(values) })
    }

    /// Swaps the axes of a matrix.
    pub fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.matrix()?;
        let values = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c)).map(|at| self.values[at]);
        Some(Self::new(&[columns, rows], values.collect()))
    }

    /// Removes axes of extent 1: the given ones, or all.
    pub fn squeezed(&self, axes: Option<&[i64]>) -> Option<Self> {
        let rank = self.dims.len() as i64;
        let gone = |axis: usize| match axes {
            None => self.dims[axis] == 1,
            Some(axes) => axes.iter().any(|&a| a == axis as i64 || a + rank == axis as i64),
        };
        if (0..self.dims.len()).any(|axis| gone(axis) && self.dims[axis] != 1) {
            return None;
        }
        let dims = (0..self.dims.len()).filter(|&axis| !gone(axis)).map(|axis| self.dims[axis]).collect();
        Some(Self { dims, values: self.values.clone() })
    }
}
