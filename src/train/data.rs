//! Training data

use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Examples that can be drawn by number.
pub trait Data: Send + Sync {
    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Input and target of these examples, batch-first.
    ///
    /// # Errors
    /// Those of the device.
    fn batch(&self, examples: &[usize]) -> Result<(Tensor, Tensor)>;
}

/// Examples in host memory, uploaded a batch at a time.
///
/// ```
/// use wgru::{Device, train::{Data, HostData}};
/// let data = HostData::new(&Device::cpu(), vec![1.0, 2.0, 3.0, 4.0], &[2], vec![10.0, 20.0], &[1])?;
/// let (x, y) = data.batch(&[1])?;
/// assert_eq!((x.to_vec()?, y.to_vec()?), (vec![3.0, 4.0], vec![20.0]));
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct HostData {
    device: Device,
    inputs: (Vec<f32>, Vec<usize>),
    targets: (Vec<f32>, Vec<usize>),
    len: usize,
}

impl HostData {
    /// Examples whose inputs have `input_dims` and whose targets have `target_dims`, one after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both hold the same whole number of examples, at least one.
    pub fn new(
        device: &Device,
        inputs: Vec<f32>,
        input_dims: &[usize],
        targets: Vec<f32>,
        target_dims: &[usize],
    ) -> Result<Self> {
        let (x, y): (usize, usize) = (input_dims.iter().product(), target_dims.iter().product());
        let len = inputs.len().checked_div(x).unwrap_or(0);
        if len == 0 || inputs.len() != len * x {
            return Err(Error::shape("HostData", "inputs", format!("a multiple of {input_dims:?}"), &[inputs.len()]));
        }
        if targets.len() != len * y {
            return Err(Error::shape("HostData", "targets", format!("{len} of {target_dims:?}"), &[targets.len()]));
        }
        let (inputs, targets) = ((inputs, input_dims.to_vec()), (targets, target_dims.to_vec()));
        Ok(Self { device: device.clone(), inputs, targets, len })
    }

    fn rows(&self, (values, dims): &(Vec<f32>, Vec<usize>), examples: &[usize]) -> Result<Tensor> {
        let width: usize = dims.iter().product();
        let mut rows = Vec::with_capacity(examples.len() * width);
        for &i in examples {
            if i >= self.len {
                return Err(Error::value("HostData", "example", format!("below {}", self.len), i));
            }
            rows.extend_from_slice(&values[i * width..][..width]);
        }
        Tensor::from_slice(&self.device, &rows, &[&[examples.len()], &dims[..]].concat())
    }
}

impl Data for HostData {
    fn len(&self) -> usize {
        self.len
    }

    fn batch(&self, examples: &[usize]) -> Result<(Tensor, Tensor)> {
        Ok((self.rows(&self.inputs, examples)?, self.rows(&self.targets, examples)?))
    }
}
