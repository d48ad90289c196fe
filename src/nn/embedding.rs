//! Embedding layer.

use super::{Kind, Mode, Module};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Looks up rows of a learned table, as `torch.nn.Embedding`: indices `[..]` give `[.., width]`.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Embedding, Mode, Module}};
/// let device = Device::cpu();
/// let embedding = Embedding::new(&device, 10, 3, &mut Rng::new(0))?;
/// let y = embedding.forward(&Tensor::from_indices(&device, &[1, 9], &[2])?)?;
/// assert_eq!(y.dims(), [2, 3]);
/// assert!(embedding.forward(&Tensor::from_indices(&device, &[10], &[1])?).is_err());
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// Creates a layer with weights from the standard normal distribution, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0.
    pub fn new(device: &Device, rows: usize, width: usize, rng: &mut Rng) -> Result<Self> {
        if rows == 0 || width == 0 {
            return Err(Error::value("Embedding", "size", "at least 1", format!("{rows} by {width}")));
        }
        // Allocates first, so that an impossible size fails before numbers are drawn.
        let weight = Tensor::empty("Embedding", device, &[rows, width])?;
        let values: Vec<f32> = (0..weight.len()).map(|_| rng.normal()).collect();
        weight.assign(&values)?;
        Ok(Self { weight: weight.requires_grad() })
    }

    /// Creates a layer from an existing table `[rows, width]`, such as pretrained word vectors.
    ///
    /// # Errors
    /// [`Error::Shape`] for a table of the wrong rank, [`Error::DType`] for indices.
    pub fn from_weight(weight: Tensor) -> Result<Self> {
        weight.check_dtype("Embedding", "weight", "f32")?;
        match weight.dims() {
            [_, _] => Ok(Self { weight: weight.requires_grad() }),
            dims => Err(Error::shape("Embedding", "weight", "[rows, width]", dims)),
        }
    }

    /// Returns the table `[rows, width]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl Module for Embedding {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("weight".into(), self.weight.clone())]
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        mode.parameter(&self.weight).gather(x)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Embedding
    }
}
