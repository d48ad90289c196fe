//! Operations on strided tensors, by kernels that take up to four axes.
//!
//! A tensor has up to [`MAX_RANK`] axes, but the parameter blocks of [`Copy`] and [`Binary`](crate::kernels::Binary)
//! hold four. Most shapes fit: axes of extent 1 are dropped, and neighbors that are contiguous in both operands merge.

use crate::error::Result;
use crate::kernels::Copy;
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;

/// Axes of a kernel.
const KERNEL: usize = 4;

/// Extent of an axis, and the elements from one of its indices to the next in two operands.
type Axis = [u32; 3];

/// Extents and strides in the form that kernels take, outermost first.
pub struct Fitted {
    pub dims: [u32; KERNEL],
    pub strides: [[u32; KERNEL]; 2],
}

/// The fewest axes that address the same elements of two operands, in the same order.
pub struct Axes {
    /// Outermost first; those in front of `first` are `[1, 0, 0]`.
    axes: [Axis; MAX_RANK],
    first: usize,
}

impl Axes {
    /// Drops axes of extent 1 and merges neighbors that are contiguous in both operands.
    pub fn new(dims: &[u32; MAX_RANK], strides: [&[u32; MAX_RANK]; 2]) -> Self {
        let (mut axes, mut first) = ([[1, 0, 0]; MAX_RANK], MAX_RANK);
        for i in (0..MAX_RANK).rev().filter(|&i| dims[i] > 1) {
            let [extent, a, b] = [dims[i], strides[0][i], strides[1][i]];
            match axes.get_mut(first) {
                Some(inner) if a == inner[0] * inner[1] && b == inner[0] * inner[2] => inner[0] *= extent,
                _ => {
                    first -= 1;
                    axes[first] = [extent, a, b];
                }
            }
        }
        Self { axes, first }
    }

    /// Returns the axes for a kernel; `None` if they are too many.
    pub fn fitted(&self) -> Option<Fitted> {
        if self.first < MAX_RANK - KERNEL {
            return None;
        }
        let [.., x, y, z, w] = self.axes;
        let of = |part: usize| [x[part], y[part], z[part], w[part]];
        Some(Fitted { dims: of(0), strides: [of(1), of(2)] })
    }

    /// Removes and returns the shortest axis.
    fn take_shortest(&mut self) -> Axis {
        let mut shortest = self.first;
        for i in self.first..MAX_RANK {
            if self.axes[i][0] < self.axes[shortest][0] {
                shortest = i;
            }
        }
        let axis = self.axes[shortest];
        for i in (self.first..shortest).rev() {
            self.axes[i + 1] = self.axes[i];
        }
        self.axes[self.first] = [1, 0, 0];
        self.first += 1;
        axis
    }
}

/// Returns `x` repeated to `shape`, to which it must broadcast.
pub fn repeated(op: &'static str, x: &Tensor, shape: &Shape) -> Result<Tensor> {
    let y = Tensor::empty(op, x.device(), shape.dims())?;
    copy((x, x.shape().strides(), 0), (&y, shape.strides(), 0), shape.padded())?;
    Ok(y.with_dtype(x.dtype()))
}

/// Copies the elements at `dims` from `src` to `dst`, each with its own strides and offset.
///
/// Runs one kernel if the axes fit. Otherwise it runs one for every index of the shortest axes: at most as many as the
/// square root of the number of elements.
pub fn copy(
    (src, src_strides, src_offset): (&Tensor, [u32; MAX_RANK], usize),
    (dst, dst_strides, dst_offset): (&Tensor, [u32; MAX_RANK], usize),
    dims: [u32; MAX_RANK],
) -> Result<()> {
    let mut axes = Axes::new(&dims, [&src_strides, &dst_strides]);
    let (mut outer, mut taken, mut runs) = ([[1, 0, 0]; MAX_RANK - KERNEL], 0, 1);
    let fitted = loop {
        match axes.fitted() {
            Some(fitted) => break fitted,
            None => {
                outer[taken] = axes.take_shortest();
                runs *= outer[taken][0];
                taken += 1;
            }
        }
    };
    for run in 0..runs {
        let (mut rest, mut offsets) = (run, [src_offset as u32, dst_offset as u32]);
        for [extent, a, b] in &outer[..taken] {
            let index = rest % extent;
            rest /= extent;
            offsets = [offsets[0] + index * a, offsets[1] + index * b];
        }
        let Fitted { dims, strides: [src_strides, dst_strides] } = fitted;
        let [src_offset, dst_offset] = offsets;
        src.device().run(&Copy { dims, src_strides, dst_strides, src_offset, dst_offset }, [src], [dst])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extents after merging.
    fn extents(dims: &[usize], strides: [[u32; MAX_RANK]; 2]) -> Vec<u32> {
        let axes = Axes::new(&Shape::new("test", dims).unwrap().padded(), strides.each_ref());
        axes.axes[axes.first..].iter().map(|axis| axis[0]).collect()
    }

    #[test]
    fn contiguous_axes_are_merged() {
        let of = |dims: &[usize]| Shape::new("test", dims).unwrap().strides();
        let dims = [2, 3, 1, 2, 2, 1, 3, 2];
        assert_eq!(extents(&dims, [of(&dims); 2]), [144]);
        assert_eq!(extents(&[1; 8], [of(&[1; 8]); 2]), [0u32; 0]);
        // A row that is added to each of six rows, and a column.
        assert_eq!(extents(&[2, 3, 4, 5], [of(&[2, 3, 4, 5]), of(&[4, 5])]), [6, 20]);
        assert_eq!(extents(&[2, 3, 4, 5], [of(&[2, 3, 4, 5]), of(&[2, 3, 1, 1])]), [6, 20]);
        // A part of an axis is not contiguous with the one before it.
        assert_eq!(extents(&[2, 3, 4], [of(&[2, 5, 4]), of(&[2, 3, 4])]), [2, 12]);
    }

    #[test]
    fn take_shortest_removes_the_shortest_axis() {
        let dims = [5, 2, 3, 2, 7].map(|d| d as usize);
        let of = |dims: &[usize]| Shape::new("test", dims).unwrap().strides();
        let strides = [of(&dims), of(&[1, 2, 1, 2, 1])];
        let mut axes = Axes::new(&Shape::new("test", &dims).unwrap().padded(), strides.each_ref());
        assert!(axes.fitted().is_none());
        assert_eq!(axes.take_shortest(), [2, 42, 2]);
        let fitted = axes.fitted().unwrap();
        assert_eq!((fitted.dims, fitted.strides[1]), ([5, 3, 2, 7], [0, 0, 1, 0]));
    }
}
