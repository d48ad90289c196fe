//! Softmax over the last axis.

use crate::error::{Error, Result};
use crate::kernels::{MaskedSoftmax, Softmax, SoftmaxBackward};
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

/// Softmax over the last axis of `x` `[batch, .., width]`, restricted to the elements that `keep` `[batch, width]`
/// selects; all others are 0. Its gradient is [`softmax_backward`].
pub fn masked_softmax(x: &Tensor, keep: &Tensor) -> Result<Tensor> {
    x.check_dtype("masked_softmax", "self", "f32")?;
    keep.check_dtype("masked_softmax", "keep", "u32")?;
    let &[batch, .., width] = x.dims() else {
        return Err(Error::shape("masked_softmax", "self", "[batch, .., width]", x.dims()));
    };
    if keep.dims() != [batch, width] {
        return Err(Error::shape("masked_softmax", "keep", format!("[{batch}, {width}]"), keep.dims()));
    }
    let y = Tensor::empty("masked_softmax", x.device(), x.dims())?;
    let [batch, rows, width] = [batch, x.len() / batch / width, width].map(|n| n as u32);
    x.device().run(&MaskedSoftmax { batch, rows, width }, [x, keep], [&y])?;
    Ok(y)
}
