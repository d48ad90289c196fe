//! Softmax over the last axis.

use crate::error::{Error, Result};
use crate::kernels::{Softmax, SoftmaxBackward};
use crate::tensor::Tensor;

fn extent(x: &Tensor) -> Result<(u32, u32)> {
    x.check_dtype("softmax", "self", "f32")?;
    match x.dims().last() {
        Some(&width) => Ok(((x.len() / width) as u32, width as u32)),
        None => Err(Error::shape("softmax", "self", "at least one axis", x.dims())),
    }
}

/// Softmax over the last axis, or its logarithm.
pub fn softmax(x: &Tensor, log: bool) -> Result<Tensor> {
    let (rows, width) = extent(x)?;
    let y = Tensor::empty("softmax", x.device(), x.dims())?;
    x.device().run(&Softmax { rows, width, log: log as u32 }, [x], [&y])?;
    Ok(y)
}

/// `dx` from `y = softmax(x)` and `dy`.
pub fn softmax_backward(y: &Tensor, dy: &Tensor, log: bool) -> Result<Tensor> {
    let (rows, width) = extent(y)?;
    let dx = Tensor::empty("softmax_backward", y.device(), y.dims())?;
    y.device().run(&SoftmaxBackward { rows, width, log: log as u32 }, [y, dy], [&dx])?;
    Ok(dx)
}
