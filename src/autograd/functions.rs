//! Elementwise functions of one tensor, and dropout.

use super::record_unary;
use crate::error::{Error, Result};
use crate::kernels::UnaryOp;
use crate::ops::elementwise;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// # Elementwise functions
impl Tensor {
    fn unary(&self, name: &'static str, op: UnaryOp, alpha: f32) -> Result<Tensor> {
        let y = elementwise::unary(op, alpha, self)?;
        let (x, kept) = (self.detach(), y.clone());
        let read = match op {
            UnaryOp::Scale | UnaryOp::AddScalar => None,
            UnaryOp::Sigmoid | UnaryOp::Tanh | UnaryOp::Sqrt | UnaryOp::Exp => Some(y.clone()),
            _ => Some(self.detach()),
        };
        let saved: Vec<&Tensor> = read.iter().collect();
        Ok(record_unary(name, self, &saved, y, move |dy| elementwise::unary_backward(op, alpha, &x, &kept, dy)))
    }

    /// `alpha · self`
    ///
    /// # Errors
    /// [`Error::DType`] for indices.
    pub fn scale(&self, alpha: f32) -> Result<Tensor> {
        self.unary("scale", UnaryOp::Scale, alpha)
    }

    /// `self + alpha`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn add_scalar(&self, alpha: f32) -> Result<Tensor> {
        self.unary("add_scalar", UnaryOp::AddScalar, alpha)
    }

    /// `max(self, 0)`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn relu(&self) -> Result<Tensor> {
        self.unary("relu", UnaryOp::Relu, 0.0)
    }

    /// `1 / (1 + e^(−self))`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn sigmoid(&self) -> Result<Tensor> {
        self.unary("sigmoid", UnaryOp::Sigmoid, 0.0)
    }

    /// `tanh(self)`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn tanh(&self) -> Result<Tensor> {
        self.unary("tanh", UnaryOp::Tanh, 0.0)
    }

    /// `self²`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn square(&self) -> Result<Tensor> {
        self.unary("square", UnaryOp::Square, 0.0)
    }

    /// `√self`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn sqrt(&self) -> Result<Tensor> {
        self.unary("sqrt", UnaryOp::Sqrt, 0.0)
    }

    /// `|self|`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn abs(&self) -> Result<Tensor> {
        self.unary("abs", UnaryOp::Abs, 0.0)
    }

    /// `min(self, limit)`; NaN stays NaN
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn clamp_max(&self, limit: f32) -> Result<Tensor> {
        self.unary("clamp_max", UnaryOp::Min, limit)
    }

    /// `e^self`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn exp(&self) -> Result<Tensor> {
        self.unary("exp", UnaryOp::Exp, 0.0)
    }

    /// `log self`, to base e
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn log(&self) -> Result<Tensor> {
        self.unary("log", UnaryOp::Log, 0.0)
    }

    /// `self`, below 0 `alpha·(e^self − 1)`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn elu(&self, alpha: f32) -> Result<Tensor> {
        self.unary("elu", UnaryOp::Elu, alpha)
    }

    /// `log(1 + e^self)`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn softplus(&self) -> Result<Tensor> {
        self.unary("softplus", UnaryOp::Softplus, 0.0)
    }

    /// `self / (1 + |self|)`
    ///
    /// # Errors
    /// Same as [`Tensor::scale`].
    pub fn softsign(&self) -> Result<Tensor> {
        self.unary("softsign", UnaryOp::Softsign, 0.0)
    }

    /// The remainder of Stirling's formula, `log Γ(self) − (self − ½)·log self + self − ½·log 2π`, for losses.
    #[cfg(feature = "autograd")]
    pub(crate) fn stirling(&self) -> Result<Tensor> {
        self.unary("stirling", UnaryOp::Stirling, 0.0)
    }

    /// Dropout: sets each element to 0 with probability `p`, and scales the others by `1 / (1 − p)`, as
    /// `torch.nn.functional.dropout` during training. The mask is drawn from `rng`, and does not depend on the device.
    ///
    /// ```
    /// use wgru::{Device, Rng, Tensor};
    /// let x = Tensor::ones(&Device::cpu(), &[100])?;
    /// let y = x.dropout(0.5, &mut Rng::new(7))?.read_blocking()?;
    /// assert!(y.iter().all(|&v| v == 0.0 || v == 2.0));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] unless `0 ≤ p < 1`, [`Error::DType`] for indices.
    pub fn dropout(&self, p: f32, rng: &mut Rng) -> Result<Tensor> {
        self.check_dtype("dropout", "self", "f32")?;
        if !(0.0..1.0).contains(&p) {
            return Err(Error::value("dropout", "p", "0 ≤ p < 1", p));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let key = rng.fork();
        let y = elementwise::dropout(self, p, key)?;
        Ok(record_unary("dropout", self, &[], y, move |dy| elementwise::dropout(dy, p, key)))
    }
}
