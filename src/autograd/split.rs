//! Splits a tensor into parts.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::movement;
use crate::tensor::{Backward, Node, Tape, Tensor};

impl Tensor {
    /// Splits one axis into consecutive parts of the extents `sizes`: the inverse of [`Tensor::concat`]. All parts
    /// share one node of the tape, whose gradient is one tensor.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such axis, or the sizes do not add up to its extent.
    pub fn split(&self, axis: usize, sizes: &[usize]) -> Result<Vec<Tensor>> {
        let Some(&extent) = self.dims().get(axis) else {
            return Err(Error::value("split", "axis", format!("below {}", self.dims().len()), axis));
        };
        let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if total != Some(extent) || sizes.contains(&0) {
            let expected = format!("extents of at least 1 that add up to {extent}");
            return Err(Error::value("split", "sizes", expected, format!("{sizes:?}")));
        }
        let mut start = 0;
        let mut part = |&size: &usize| {
            start += size;
            movement::slice(self, axis, start - size..start)
        };
        let parts = sizes.iter().map(&mut part).collect::<Result<Vec<_>>>()?;
        if !self.is_tracked() {
            return Ok(parts);
        }
        let (sizes, dims) = (sizes.to_vec(), self.dims().to_vec());
        let backward = move |dys: &[Option<Tensor>]| {
            let Some(some) = dys.iter().flatten().next() else { return Ok(vec![None]) };
            let dx = Tensor::empty("split", some.device(), &dims)?;
            let mut start = 0;
            for (dy, size) in dys.iter().zip(&sizes) {
                let zeros = || {
                    let mut dims = dims.clone();
                    dims[axis] = *size;
                    Tensor::zeros(some.device(), &dims)
                };
                movement::write_slice(&dy.clone().map_or_else(zeros, Ok)?, &dx, axis, start)?;
                start += size;
            }
            Ok(vec![Some(dx)])
        };
        let node = Arc::new(Node {
            op: "split",
            inputs: vec![self.clone()],
            saved: vec![],
            outputs: parts.len(),
            backward: Backward::Function(Box::new(backward)),
        });
        Ok(parts.into_iter().enumerate().map(|(i, part)| part.with_tape(Tape::Node(node.clone(), i))).collect())
    }
}
