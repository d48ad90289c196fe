//! Clipping by the norm of all gradients together

use crate::error::{Error, Result};
use crate::nn::by_storage;
use crate::ops::optim;
use crate::ops::reduce::{SumOptions, sum_all};
use crate::tensor::Tensor;

/// Scales all gradients by `min(1, max_norm / (‖g‖ + 1e-6))`, where `‖g‖` is their norm as one vector, like PyTorch's
/// `clip_grad_norm_`. Returns the norm as a tensor, without reading it back. A parameter that is listed more than once,
/// or under several names, counts once.
///
/// If the norm is NaN or infinite, the gradients do not change, so that one gradient does not make all of them NaN.
///
/// ```
/// use wgru::{Device, Tensor, train::clip_grad_norm};
/// let w = Tensor::from_slice(&Device::cpu(), &[3.0, 4.0], &[2])?.requires_grad();
/// w.mul(&w)?.sum()?.backward()?;                                     // gradient (6, 8), norm 10
/// let norm = clip_grad_norm(&[("w".into(), w.clone())], 5.0)?.unwrap();
/// assert_eq!(norm.item_blocking()?, 10.0);
/// assert!((w.grad().unwrap().read_blocking()?[0] - 3.0).abs() < 1e-5);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] unless `max_norm` is positive.
pub fn clip_grad_norm(parameters: &[(String, Tensor)], max_norm: f32) -> Result<Option<Tensor>> {
    if max_norm <= 0.0 || max_norm.is_nan() {
        return Err(Error::value("clip_grad_norm", "max_norm", "more than 0", max_norm));
    }
    let parameters = by_storage(parameters);
    let grads = parameters.iter().filter_map(|p| p.grad().transpose()).collect::<Result<Vec<_>>>()?;
    if grads.is_empty() {
        return Ok(None);
    }
    let squares = SumOptions { square: true, ..SumOptions::default() };
    let sums = grads.iter().map(|g| sum_all(g, squares)?.reshape(&[1])).collect::<Result<Vec<_>>>()?;
    let norm = Tensor::concat(&sums.iter().collect::<Vec<_>>(), 0)?.sum()?.sqrt()?;
    let factor = optim::clip_factor(&norm, max_norm)?;
    parameters.iter().try_for_each(|p| p.map_grad(|grad| grad.mul(&factor)))?;
    Ok(Some(norm))
}
