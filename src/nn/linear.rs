//! `y = x·Wᵀ + b`

use super::{Kind, Mode, Module, uniform};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// `y = x·Wᵀ + b`, as `torch.nn.Linear`: `[.., in]` gives `[.., out]`.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Linear, Mode, Module}};
/// let device = Device::cpu();
/// let linear = Linear::new(&device, 4, 2, true, &mut Rng::new(0))?;
/// let y = linear.forward(&Tensor::zeros(&device, &[5, 4])?, &mut Mode::Eval)?;
/// assert_eq!(y.dims(), [5, 2]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Weights uniform in `±1/√in`, as PyTorch starts them.
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

    /// Weight and bias as `mode` runs them.
    pub(super) fn used(&self, mode: &Mode) -> (Tensor, Option<Tensor>) {
        (mode.parameter(&self.weight), self.bias.as_ref().map(|bias| mode.parameter(bias)))
    }
}

impl Module for Linear {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let weight = ("weight".to_string(), self.weight.clone());
        std::iter::once(weight).chain(self.bias.iter().map(|b| ("bias".to_string(), b.clone()))).collect()
    }

    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (weight, bias) = self.used(mode);
        x.linear(&weight, bias.as_ref())
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Linear
    }
}
