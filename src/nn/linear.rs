//! Linear layer.

use super::{Kind, Mode, Module, uniform};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Linear layer `y = x·Wᵀ + b`, as `torch.nn.Linear`: `[.., in]` gives `[.., out]`.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Linear, Mode, Module}};
/// let device = Device::cpu();
/// let linear = Linear::new(&device, 4, 2, true, &mut Rng::new(0))?;
/// let y = linear.forward(&Tensor::zeros(&device, &[5, 4])?)?;
/// assert_eq!(y.dims(), [5, 2]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Creates a layer with weights and biases uniform in `±1/√in`, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0.
    pub fn new(device: &Device, input: usize, output: usize, bias: bool, rng: &mut Rng) -> Result<Self> {
        if input == 0 || output == 0 {
            return Err(Error::value("Linear", "size", "at least 1", format!("{input} to {output}")));
        }
        let bound = 1.0 / (input as f32).sqrt();
        let weight = uniform(device, &[output, input], bound, rng)?;
        let bias = bias.then(|| uniform(device, &[output], bound, rng)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// Creates a layer from existing parameters on one device: `weight` `[out, in]` and `bias` `[out]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for other shapes, [`Error::DType`], [`Error::DeviceMix`].
    pub fn from_parameters(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let op = "Linear";
        weight.check_dtype(op, "weight", "f32")?;
        let &[units, _] = weight.dims() else { return Err(Error::shape(op, "weight", "[out, in]", weight.dims())) };
        if let Some(bias) = &bias {
            bias.check_dtype(op, "bias", "f32")?;
            weight.device().check_same(op, "bias", bias)?;
            if bias.dims() != [units] {
                return Err(Error::shape(op, "bias", format!("[{units}]"), bias.dims()));
            }
        }
        Ok(Self { weight: weight.requires_grad(), bias: bias.map(|bias| bias.requires_grad()) })
    }

    /// Returns the weight `[out, in]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Returns the bias `[out]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Returns weight and bias, detached from the tape in evaluation mode.
    pub(super) fn used(&self, mode: &Mode) -> (Tensor, Option<Tensor>) {
        (mode.parameter(&self.weight), self.bias.as_ref().map(|bias| mode.parameter(bias)))
    }
}

impl Module for Linear {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let weight = ("weight".to_string(), self.weight.clone());
        std::iter::once(weight).chain(self.bias.iter().map(|b| ("bias".to_string(), b.clone()))).collect()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (weight, bias) = self.used(mode);
        x.linear(&weight, bias.as_ref())
    }

    padded_by_step!();

    fn kind(&self) -> Kind<'_> {
        Kind::Linear
    }
}
