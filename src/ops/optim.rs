//! Updates of parameters in place.

use crate::error::{Error, Result};
use crate::kernels::{Adam, Sgd};
use crate::tensor::Tensor;

fn check(op: &'static str, w: &Tensor, grad: &Tensor) -> Result<()> {
    if grad.dims() == w.dims() {
        return Ok(());
    }
    Err(Error::shape(op, "grad", format!("{:?}", w.dims()), grad.dims()))
}

/// One step of SGD on `w`, with its velocity `v`.
pub fn sgd(p: &Sgd, grad: &Tensor, w: &Tensor, v: &Tensor) -> Result<()> {
    check("sgd", w, grad)?;
    w.device().run(p, [grad], [w, v])
}

/// One step of Adam or AdamW on `w`, with its two moments.
pub fn adam(p: &Adam, grad: &Tensor, w: &Tensor, m: &Tensor, v: &Tensor) -> Result<()> {
    check("adam", w, grad)?;
    w.device().run(p, [grad], [w, m, v])
}
