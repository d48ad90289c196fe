//! Losses before reduction.

use super::index::check_indices;
use crate::error::{Error, Result};
use crate::kernels::{CrossEntropy, CrossEntropyBackward, Loss, LossBackward, LossKind};
use crate::tensor::{DType, Tensor};

/// `loss[i] = f(x[i], t[i])`
pub fn pointwise(kind: LossKind, delta: f32, x: &Tensor, t: &Tensor) -> Result<Tensor> {
    x.check_dtype("loss", "prediction", "f32")?;
    t.check_dtype("loss", "target", "f32")?;
    if x.dims() != t.dims() {
        return Err(Error::shape("loss", "target", format!("{:?}", x.dims()), t.dims()));
    }
    let loss = Tensor::empty("loss", x.device(), x.dims())?;
    x.device().run(&Loss { len: x.len() as u32, kind: kind as u32, delta }, [x, t], [&loss])?;
    Ok(loss)
}

/// `dx[i] = ∂loss[i]/∂x[i]·dloss[i]`
pub fn pointwise_backward(kind: LossKind, delta: f32, x: &Tensor, t: &Tensor, dloss: &Tensor) -> Result<Tensor> {
    let dx = Tensor::empty("loss_backward", x.device(), x.dims())?;
    x.device().run(&LossBackward { len: x.len() as u32, kind: kind as u32, delta }, [x, t, dloss], [&dx])?;
    Ok(dx)
}

/// Returns the loss of each row, and 1 for each row that counts. `ignored` may exceed the number of classes.
pub fn cross_entropy(x: &Tensor, target: &Tensor, ignored: u32, smoothing: f32) -> Result<(Tensor, Tensor)> {
    x.check_dtype("cross_entropy", "logits", "f32")?;
    let [rows, classes] = x.dims()[..] else {
        return Err(Error::shape("cross_entropy", "logits", "[rows, classes]", x.dims()));
    };
    if target.dims() != [rows] {
        return Err(Error::shape("cross_entropy", "target", format!("[{rows}]"), target.dims()));
    }
    // A target equal to `ignored` may be `≥ classes`; any other such target gives NaN in its row.
    match target.dtype() {
        DType::U32 { max } if max == ignored => {}
        _ => check_indices("cross_entropy", "target", target, classes)?,
    }
    let loss = Tensor::empty("cross_entropy", x.device(), &[rows])?;
    let counted = Tensor::empty("cross_entropy", x.device(), &[rows])?;
    let kernel = CrossEntropy { rows: rows as u32, classes: classes as u32, ignored, smoothing };
    x.device().run(&kernel, [x, target], [&loss, &counted])?;
    Ok((loss, counted))
}

/// Returns the gradient of the logits from that of each row's loss.
pub fn cross_entropy_backward(
    x: &Tensor,
    target: &Tensor,
    ignored: u32,
    smoothing: f32,
    dloss: &Tensor,
) -> Result<Tensor> {
    let dx = Tensor::empty("cross_entropy_backward", x.device(), x.dims())?;
    let (rows, classes) = (x.dims()[0] as u32, x.dims()[1] as u32);
    let kernel = CrossEntropyBackward { rows, classes, ignored, smoothing };
    x.device().run(&kernel, [x, target, dloss], [&dx])?;
    Ok(dx)
}
