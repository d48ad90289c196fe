//! Layer normalization.

use super::{Kind, Mode, Module};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Normalizes over the last axis, as `torch.nn.LayerNorm`: `[.., width]` gives `[.., width]`.
///
/// ```text
/// y = (x − mean) / √(variance + ε) · weight + bias        variance = Σ (x − mean)² / width
/// ```
///
/// Ba, Kiros, Hinton: *Layer normalization* (2016).
///
/// ```
/// use wgru::{Device, Tensor, nn::{LayerNorm, Mode, Module}};
/// let device = Device::cpu();
/// let norm = LayerNorm::new(&device, 4)?;
/// let x = Tensor::from_slice(&device, &[1.0, 3.0, 1.0, 3.0], &[1, 4])?;
/// let y = norm.forward(&x)?.read_blocking()?;
/// assert!((y[0] + 1.0).abs() < 1e-5 && (y[1] - 1.0).abs() < 1e-5);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

/// PyTorch's ε.
pub(super) const EPS: f32 = 1e-5;

impl LayerNorm {
    /// Creates a layer with weights of 1, biases of 0 and ε = 1e-5, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Value`] for a width of 0.
    pub fn new(device: &Device, width: usize) -> Result<Self> {
        if width == 0 {
            return Err(Error::value("LayerNorm", "width", "at least 1", 0));
        }
        let weight = Tensor::full(device, 1.0, &[width])?.requires_grad();
        Ok(Self { weight, bias: Tensor::zeros(device, &[width])?.requires_grad(), eps: EPS })
    }

    /// Creates a layer from its weight and bias, `[width]` each, and its ε.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::DeviceMix`] for other tensors; [`Error::Value`] for an ε below 0.
    pub fn from_parameters(weight: Tensor, bias: Tensor, eps: f32) -> Result<Self> {
        weight.check_dtype("LayerNorm", "weight", "f32")?;
        bias.check_dtype("LayerNorm", "bias", "f32")?;
        weight.device().check_same("LayerNorm", "bias", &bias)?;
        if weight.dims().len() != 1 {
            return Err(Error::shape("LayerNorm", "weight", "[width]", weight.dims()));
        }
        if bias.dims() != weight.dims() {
            return Err(Error::shape("LayerNorm", "bias", format!("{:?}", weight.dims()), bias.dims()));
        }
        if !(eps >= 0.0 && eps.is_finite()) {
            return Err(Error::value("LayerNorm", "eps", "a finite number of at least 0", eps));
        }
        Ok(Self { weight: weight.requires_grad(), bias: bias.requires_grad(), eps })
    }
}

impl Module for LayerNorm {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("weight".into(), self.weight.clone()), ("bias".into(), self.bias.clone())]
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        x.layer_norm(&mode.parameter(&self.weight), &mode.parameter(&self.bias), self.eps)
    }

    padded_by_step!();

    fn kind(&self) -> Kind<'_> {
        Kind::LayerNorm(self.eps)
    }
}
