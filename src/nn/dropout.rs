//! Dropout layer.

use super::{Kind, Mode, Module, check_share};
use crate::error::Result;
use crate::tensor::Tensor;

/// Zeroes each element with probability `p` during training, and scales the others by `1 / (1 − p)`; the identity in
/// evaluation mode.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Dropout, Mode, Module}};
/// let device = Device::cpu();
/// let x = Tensor::full(&device, 1.0, &[4])?;
/// assert_eq!(Dropout::new(0.5)?.forward(&x)?.read_blocking()?, [1.0; 4]);
/// let y = Dropout::new(0.5)?.forward_with(&x, &mut Mode::Train(&mut Rng::new(1)))?.read_blocking()?;
/// assert!(y.iter().all(|&v| v == 0.0 || v == 2.0));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Creates a layer that drops elements with probability `p`.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) unless `0 ≤ p < 1`.
    pub fn new(p: f32) -> Result<Self> {
        check_share("Dropout", "p", p)?;
        Ok(Self { p })
    }
}

impl Module for Dropout {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        mode.dropout(x, self.p)
    }

    padded_by_step!();

    fn kind(&self) -> Kind<'_> {
        Kind::Dropout
    }
}
