//! Embedding layer.

use super::{Kind, Mode, Module};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::movement::write_slice;
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
    padding_idx: Option<u32>,
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
        Ok(Self { weight: weight.requires_grad(), padding_idx: None })
    }

    /// Creates a layer from an existing table `[rows, width]`, such as pretrained word vectors.
    /// To freeze them, use [`set_requires_grad`](super::set_requires_grad).
    ///
    /// # Errors
    /// [`Error::Shape`] for a table of the wrong rank, [`Error::DType`] for indices.
    pub fn from_weight(weight: Tensor) -> Result<Self> {
        weight.check_dtype("Embedding", "weight", "f32")?;
        match weight.dims() {
            [_, _] => Ok(Self { weight: weight.requires_grad(), padding_idx: None }),
            dims => Err(Error::shape("Embedding", "weight", "[rows, width]", dims)),
        }
    }

    /// Marks an index as padding, as `padding_idx` of PyTorch, and sets its row to 0, even in a table that is shared
    /// through [`from_weight`](Self::from_weight). This layer gives the row no gradient; another layer that shares the
    /// table may.
    ///
    /// ```
    /// use wgru::{Device, Rng, Tensor, nn::{Embedding, Mode, Module}};
    /// let (device, mut rng) = (Device::cpu(), Rng::new(0));
    /// let embedding = Embedding::new(&device, 3, 2, &mut rng)?.with_padding_idx(0)?;
    /// let y = embedding.forward_with(&Tensor::from_indices(&device, &[0, 2], &[2])?, &mut Mode::Train(&mut rng))?;
    /// y.sum()?.backward()?;
    /// assert_eq!(y.read_blocking()?[..2], [0.0, 0.0]);
    /// assert_eq!(embedding.weight().grad().unwrap().read_blocking()?, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for an index beyond the table; errors from the device.
    pub fn with_padding_idx(self, padding_idx: u32) -> Result<Self> {
        let &[rows, width] = self.weight.dims() else { unreachable!("a table has two axes") };
        let row = padding_idx as usize;
        if row >= rows {
            return Err(Error::value("Embedding", "padding_idx", format!("below {rows}, the rows"), padding_idx));
        }
        write_slice(&Tensor::zeros(self.weight.device(), &[1, width])?, &self.weight, 0, row)?;
        Ok(Self { padding_idx: Some(padding_idx), ..self })
    }

    /// Returns the index that is padding, if there is one.
    pub fn padding_idx(&self) -> Option<u32> {
        self.padding_idx
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
        let table = mode.parameter(&self.weight);
        match self.padding_idx {
            Some(row) => table.gather_padded(x, row),
            None => table.gather(x),
        }
    }

    padded_by_step!();

    fn kind(&self) -> Kind<'_> {
        Kind::Embedding
    }
}
