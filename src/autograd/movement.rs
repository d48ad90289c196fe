//! Operations that only rearrange elements.

use std::ops::Range;

use super::{record, record_unary};
use crate::error::{Error, Result};
use crate::ops::{index, movement, reduce};
use crate::tensor::Tensor;

/// # Shape
///
/// Tensors are contiguous: operations that reorder elements copy them, even where PyTorch returns a view.
///
/// ```
/// use wgru::{Device, Tensor};
/// let device = Device::cpu();
/// let x = Tensor::arange(&device, 0.0, 6.0, 1.0)?.reshape(&[2, 3])?;
/// assert_eq!(x.t()?.read_blocking()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// assert_eq!(x.flip(&[1])?.read_blocking()?, [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
/// assert_eq!(x.slice(1, 1..3)?.read_blocking()?, [1.0, 2.0, 4.0, 5.0]);
/// assert_eq!(x.unsqueeze(1)?.dims(), [2, 1, 3]);
/// assert_eq!(x.unsqueeze(1)?.expand(&[2, 4, 3])?.dims(), [2, 4, 3]);
/// assert_eq!(x.permute(&[1, 0])?.unsqueeze(0)?.squeeze(0)?.dims(), [3, 2]);
/// # Ok::<(), wgru::Error>(())
/// ```
impl Tensor {
    /// Returns the same elements with a different shape, without a copy.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&self, dims: &[usize]) -> Result<Tensor> {
        self.reshaped("reshape", dims)
    }

    fn reshaped(&self, op: &'static str, dims: &[usize]) -> Result<Tensor> {
        let y = self.view(op, dims)?;
        let from = self.dims().to_vec();
        Ok(record_unary(op, self, &[], y, move |dy| dy.view(op, &from)))
    }

    /// Removes an axis of extent 1, without a copy.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such axis, [`Error::Shape`] if its extent is not 1.
    pub fn squeeze(&self, axis: usize) -> Result<Tensor> {
        let mut dims = self.dims().to_vec();
        match dims.get(axis) {
            None => return Err(Error::value("squeeze", "axis", format!("below {}", dims.len()), axis)),
            Some(1) => dims.remove(axis),
            Some(_) => return Err(Error::shape("squeeze", "self", format!("extent 1 of axis {axis}"), &dims)),
        };
        self.reshaped("squeeze", &dims)
    }

    /// Inserts a new axis of extent 1 before `axis`, or at the end if `axis` is the number of axes, without a copy.
    ///
    /// # Errors
    /// [`Error::Value`] if `axis` exceeds the number of axes, [`Error::Shape`] for more than
    /// [`MAX_RANK`](crate::MAX_RANK) axes.
    pub fn unsqueeze(&self, axis: usize) -> Result<Tensor> {
        let mut dims = self.dims().to_vec();
        if axis > dims.len() {
            return Err(Error::value("unsqueeze", "axis", format!("at most {}", dims.len()), axis));
        }
        dims.insert(axis, 1);
        self.reshaped("unsqueeze", &dims)
    }

    /// Permutes the axes: axis `i` of the result is axis `axes[i]` of `self`.
    ///
    /// # Errors
    /// [`Error::Value`] unless `axes` is a permutation.
    pub fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        let y = movement::permute(self, axes)?;
        let back = movement::inverse(axes);
        Ok(record_unary("permute", self, &[], y, move |dy| movement::permute(dy, &back)))
    }

    /// Transposes the last two axes.
    ///
    /// # Errors
    /// [`Error::Shape`] for fewer than two axes.
    pub fn t(&self) -> Result<Tensor> {
        let rank = self.dims().len();
        if rank < 2 {
            return Err(Error::shape("t", "self", "at least two axes", self.dims()));
        }
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(rank - 2, rank - 1);
        self.permute(&axes)
    }

    /// Reverses the order of the elements along each of `axes`, as `torch.flip`.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such axis, or it occurs twice.
    pub fn flip(&self, axes: &[usize]) -> Result<Tensor> {
        let y = movement::flip(self, axes)?;
        let axes = axes.to_vec();
        Ok(record_unary("flip", self, &[], y, move |dy| movement::flip(dy, &axes)))
    }

    /// Repeats the elements along axes of extent 1, and along new axes in front, to the shape `dims`. Elements are
    /// copied; [arithmetic](Self::add) broadcasts without a copy.
    ///
    /// # Errors
    /// [`Error::Shape`] if `self` does not broadcast to `dims`.
    pub fn expand(&self, dims: &[usize]) -> Result<Tensor> {
        let y = movement::expand(self, dims)?;
        let from = *self.shape();
        Ok(record_unary("expand", self, &[], y, move |dy| reduce::sum_to(dy, &from)))
    }

    /// Returns the part `range` of one axis.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such axis or part, or the range is empty.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        let y = movement::slice(self, axis, range.clone())?;
        let dims = self.dims().to_vec();
        Ok(record_unary("slice", self, &[], y, move |dy| {
            let dx = Tensor::zeros(dy.device(), &dims)?;
            movement::write_slice(dy, &dx, axis, range.start)?;
            Ok(dx)
        }))
    }

    /// Concatenates tensors along an axis. [`Tensor::split`] is the inverse.
    ///
    /// # Errors
    /// [`Error::Shape`] if another extent differs, [`Error::Value`] without parts or if there is no such axis,
    /// [`Error::DType`] for a mix of floats and indices.
    pub fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
        let y = movement::concat(parts, axis)?;
        let extents: Vec<usize> = parts.iter().map(|t| t.dims()[axis]).collect();
        let [y] = record("concat", parts, &[], [y], || {
            Box::new(move |dys| {
                let mut start = 0;
                extents
                    .iter()
                    .map(|&n| {
                        start += n;
                        dys[0].as_ref().map(|dy| movement::slice(dy, axis, start - n..start)).transpose()
                    })
                    .collect()
            })
        });
        Ok(y)
    }

    /// Looks up the rows of a table `[rows, width]` at `index` `[..]`: `[.., width]`, as
    /// `torch.nn.functional.embedding`.
    ///
    /// # Errors
    /// [`Error::Value`] if an index is not below the number of rows, [`Error::DType`] unless `index` holds indices,
    /// [`Error::Shape`] unless `self` has two axes.
    pub fn gather(&self, index: &Tensor) -> Result<Tensor> {
        let y = index::gather(self, index)?;
        let (dims, kept) = (self.dims().to_vec(), index.clone());
        Ok(record_unary("gather", self, &[index], y, move |dy| index::gather_backward(&dims, &kept, dy)))
    }

    /// [`gather`](Self::gather) from a table whose row `padding` has no gradient.
    pub(crate) fn gather_padded(&self, index: &Tensor, padding: u32) -> Result<Tensor> {
        let y = index::gather(self, index)?;
        let (dims, kept) = (self.dims().to_vec(), index.clone());
        Ok(record_unary("gather", self, &[index], y, move |dy| {
            let table = index::gather_backward(&dims, &kept, dy)?;
            movement::write_slice(&Tensor::zeros(dy.device(), &[1, dims[1]])?, &table, 0, padding as usize)?;
            Ok(table)
        }))
    }
}
