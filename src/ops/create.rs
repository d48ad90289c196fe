//! Creates tensors: constants, ranges and random numbers.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::Fill;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// # Creation
///
/// ```
/// use wgru::{Device, Rng, Tensor};
/// let device = Device::cpu();
/// assert_eq!(Tensor::zeros(&device, &[2])?.read_blocking()?, [0.0, 0.0]);
/// assert_eq!(Tensor::ones(&device, &[2])?.read_blocking()?, [1.0, 1.0]);
/// assert_eq!(Tensor::full(&device, 0.5, &[2])?.read_blocking()?, [0.5, 0.5]);
/// assert_eq!(Tensor::arange(&device, 0.0, 3.0, 1.0)?.read_blocking()?, [0.0, 1.0, 2.0]);
/// assert_eq!(Tensor::randn(&device, &[2, 3], &mut Rng::new(0))?.dims(), [2, 3]);
/// # Ok::<(), wgru::Error>(())
/// ```
impl Tensor {
    /// Creates a tensor of zeros.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn zeros(device: &Device, dims: &[usize]) -> Result<Self> {
        Self::full(device, 0.0, dims)
    }

    /// Creates a tensor of ones.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn ones(device: &Device, dims: &[usize]) -> Result<Self> {
        Self::full(device, 1.0, dims)
    }

    /// Creates a tensor with the same value in every element.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn full(device: &Device, value: f32, dims: &[usize]) -> Result<Self> {
        let tensor = Self::empty("Tensor::full", device, dims)?;
        device.run(&Fill { len: tensor.len() as u32, value }, [], [&tensor])?;
        Ok(tensor)
    }

    /// `start`, `start + step`, … up to `end`, which is excluded, as `torch.arange`.
    ///
    /// # Errors
    /// [`Error::Value`] unless the range has at least one element and finite bounds; otherwise as
    /// [`Tensor::from_slice`].
    pub fn arange(device: &Device, start: f32, end: f32, step: f32) -> Result<Self> {
        let count = ((f64::from(end) - f64::from(start)) / f64::from(step)).ceil();
        if !(count >= 1.0 && count <= f64::from(u32::MAX)) {
            let got = format!("{start}, {end}, step {step}");
            return Err(Error::value("Tensor::arange", "end", "a range of at least one element", got));
        }
        let at = |i: usize| (f64::from(start) + i as f64 * f64::from(step)) as f32;
        let is_within = |v: f32| if step > 0.0 { v < end } else { v > end };
        let mut count = count as usize;
        // The last element may round to `end`.
        if count > 1 && !is_within(at(count - 1)) {
            count -= 1;
        }
        let mut next = (0..).map(at);
        Self::drawn("Tensor::arange", device, &[count], || next.next().unwrap_or(end))
    }

    /// Creates standard normal random numbers. They are drawn on the host, so they are the same on every device.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn randn(device: &Device, dims: &[usize], rng: &mut Rng) -> Result<Self> {
        Self::drawn("Tensor::randn", device, dims, || rng.normal())
    }

    /// Creates random numbers, uniform in `[0, 1)`. They are drawn on the host, so they are the same on every device.
    ///
    /// # Errors
    /// Same as [`Tensor::from_slice`].
    pub fn rand(device: &Device, dims: &[usize], rng: &mut Rng) -> Result<Self> {
        Self::drawn("Tensor::rand", device, dims, || rng.uniform(0.0, 1.0))
    }

    /// Allocates first, so that dimensions that do not fit fail before numbers are drawn.
    fn drawn(op: &'static str, device: &Device, dims: &[usize], mut draw: impl FnMut() -> f32) -> Result<Self> {
        let tensor = Self::empty(op, device, dims)?;
        tensor.assign(&(0..tensor.len()).map(|_| draw()).collect::<Vec<f32>>())?;
        Ok(tensor)
    }
}
