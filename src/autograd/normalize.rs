//! Operations that normalize rows.

use super::{record, record_unary};
use crate::error::Result;
use crate::ops::{layer_norm, softmax};
use crate::tensor::Tensor;

impl Tensor {
    /// Normalizes each row along the last axis to mean 0 and variance 1, then scales and shifts it:
    ///
    /// ```text
    /// y = (x − mean) / √(variance + ε) · weight + bias        variance = Σ (x − mean)² / width
    /// ```
    ///
    /// `weight` and `bias` are `[width]`, as in `torch.nn.functional.layer_norm`, or `[groups, width]`: the
    /// second-to-last axis of `self` then has extent `groups`, and each of its indices has separate weights.
    ///
    /// Ba, Kiros, Hinton: *Layer normalization* (2016).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for weights of the wrong shape, [`Error::Value`](crate::Error::Value) for
    /// an `eps` below 0, [`Error::DType`](crate::Error::DType), [`Error::DeviceMix`](crate::Error::DeviceMix).
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
        let (y, stats) = layer_norm::layer_norm(self, weight, bias, eps)?;
        let (x, w) = (self.detach(), weight.detach());
        let [y] = record("layer_norm", &[self, weight, bias], &[self, weight], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(layer_norm::layer_norm_backward(&x, &w, &stats, dy)?.map(Some).to_vec()),
                None => Ok(vec![None; 3]),
            })
        });
        Ok(y)
    }

    /// Returns the softmax over the last axis.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a scalar.
    pub fn softmax(&self) -> Result<Tensor> {
        self.softmax_or_log("softmax", false)
    }

    /// Returns the logarithm of the softmax over the last axis.
    ///
    /// # Errors
    /// Same as [`Tensor::softmax`].
    pub fn log_softmax(&self) -> Result<Tensor> {
        self.softmax_or_log("log_softmax", true)
    }

    fn softmax_or_log(&self, name: &'static str, log: bool) -> Result<Tensor> {
        let y = softmax::softmax(self, log)?;
        let (kept, read) = (y.clone(), y.clone());
        Ok(record_unary(name, self, &[&read], y, move |dy| softmax::softmax_backward(&kept, dy, log)))
    }
}
