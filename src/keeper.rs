//! Copies tensors to host memory without stalling the device. A run can continue from the copies after device loss.

use crate::device::{Device, Reading};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// A consistent copy of several tensors in host memory, taken at one moment of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCopy<T> {
    /// The caller's data for that moment, such as a frame number or the state of a random generator.
    pub tag: T,
    tensors: Vec<(String, Vec<usize>, DType, Vec<f32>)>,
}

impl<T> HostCopy<T> {
    /// Returns the extents and values of a tensor. Indices are returned as their bits.
    ///
    /// # Errors
    /// [`Error::Value`] for an unknown name.
    pub fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let found = self.tensors.iter().find(|(n, ..)| n == name);
        let (_, dims, _, values) =
            found.ok_or_else(|| Error::value("HostCopy::get", "name", "the name of a copied tensor", name))?;
        Ok((dims, values))
    }

    /// Iterates over names, extents and values, in the order in which the tensors were given.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|(name, dims, _, values)| (&**name, &dims[..], &values[..]))
    }

    /// Creates a tensor from its copy, on any device.
    ///
    /// # Errors
    /// Same as [`get`](Self::get) and [`Tensor::from_slice`].
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let (dims, values) = self.get(name)?;
        let dtype = self.tensors.iter().find(|(n, ..)| n == name).map_or(DType::F32, |(_, _, dtype, _)| *dtype);
        Ok(Tensor::from_slice(device, values, dims)?.with_dtype(dtype))
    }
}

/// Copies the tensors of a run to host memory at an interval, without waiting for the device. After device loss, the
/// run can continue from the last copies.
///
/// ```
/// use wgru::{Device, Keeper, Rng, Tensor, nn::{RecurrentConfig, Mode, RunOptions}};
/// let device = Device::cpu();
/// let gru = RecurrentConfig { input: 2, hidden: 4, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let mut h = Tensor::zeros(&device, &[1, 1, 4])?;
/// let mut keeper = Keeper::every(10);
/// for frame in 0..25 {
///     let x = Tensor::full(&device, frame as f32, &[1, 1, 2])?;
///     h = gru.run(&x, RunOptions { h0: Some(&h), ..Default::default() }, &mut Mode::Eval)?.h_n;
///     keeper.offer(|| frame, &[("h", &h)])?;
/// }
/// // After `Error::DeviceLost`: open a device, load the weights there, and continue after the frame in the tag.
/// let kept = keeper.kept().expect("two copies");
/// let (frame, h) = (kept.tag, kept.tensor("h", &Device::cpu())?);
/// assert_eq!((frame, h.dims()), (19, &[1, 1, 4][..]));
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Keeper<T> {
    every: usize,
    offered: usize,
    pending: Option<Pending<T>>,
    kept: Option<HostCopy<T>>,
}

struct Pending<T> {
    copy: HostCopy<T>,
    device: Device,
    /// Readbacks that have not arrived, in reverse order.
    readings: Vec<Reading>,
}

#[cfg(feature = "autograd")]
impl<T> HostCopy<T> {
    /// Adds values that are in host memory already.
    pub(crate) fn push(&mut self, name: &str, values: Vec<f32>) {
        self.tensors.push((name.into(), vec![values.len()], DType::F32, values));
    }
}

impl<T> Keeper<T> {
    /// Copies the tensors at every `every`-th call of [`offer`](Self::offer). 0 counts as 1.
    pub fn every(every: usize) -> Self {
        Self { every: every.max(1), offered: 0, pending: None, kept: None }
    }

    /// Collects copies that have arrived, and starts new ones if they are due and none are pending. All tensors must be
    /// on one device. They are copied in the state after the work recorded so far; later work may overwrite them.
    ///
    /// # Errors
    /// [`Error::DeviceMix`]; [`Error::DeviceLost`] and other errors from the device. [`kept`](Self::kept) does not
    /// change then.
    pub fn offer(&mut self, tag: impl FnOnce() -> T, tensors: &[(&str, &Tensor)]) -> Result<()> {
        self.look()?;
        self.offered += 1;
        if self.pending.is_some() || !self.offered.is_multiple_of(self.every) {
            return Ok(());
        }
        self.begin(tag(), tensors)
    }

    /// Starts copies now, regardless of the interval, and abandons pending ones.
    ///
    /// # Errors
    /// Same as [`offer`](Self::offer).
    pub fn begin(&mut self, tag: T, tensors: &[(&str, &Tensor)]) -> Result<()> {
        let Some((_, first)) = tensors.first() else { return Ok(()) };
        let device = first.device().clone();
        tensors.iter().try_for_each(|(_, tensor)| device.check_same("Keeper", "tensors", tensor))?;
        let mut readings = Tensor::start_reads(&tensors.iter().map(|(_, tensor)| *tensor).collect::<Vec<_>>())?;
        readings.reverse();
        let tensors = tensors.iter().map(|(name, t)| (name.to_string(), t.dims().to_vec(), t.dtype(), Vec::new()));
        self.pending = Some(Pending { copy: HostCopy { tag, tensors: tensors.collect() }, device, readings });
        self.look()
    }

    /// Collects copies that have arrived, without waiting.
    ///
    /// # Errors
    /// Errors from the device.
    pub(crate) fn look(&mut self) -> Result<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        while let Some(reading) = pending.readings.last_mut() {
            // On an error, the copies are abandoned.
            let Some(values) = pending.device.poll_read(reading)? else {
                self.pending = Some(pending);
                return Ok(());
            };
            pending.readings.pop();
            pending.arrive(values);
        }
        self.kept = Some(pending.copy);
        Ok(())
    }

    /// Waits for pending copies.
    ///
    /// # Errors
    /// Errors from the device.
    pub async fn finish(&mut self) -> Result<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        while let Some(reading) = pending.readings.pop() {
            let values = pending.device.finish_read(reading).await?;
            pending.arrive(values);
        }
        self.kept = Some(pending.copy);
        Ok(())
    }

    /// Whether copies are pending.
    #[cfg(feature = "autograd")]
    pub(crate) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes the last complete copies.
    #[cfg(feature = "autograd")]
    pub(crate) fn take(&mut self) -> Option<HostCopy<T>> {
        self.kept.take()
    }

    /// Returns the last complete copies.
    pub fn kept(&self) -> Option<&HostCopy<T>> {
        self.kept.as_ref()
    }
}

impl<T> Pending<T> {
    /// Stores the values of the readback that has just been removed from `readings`.
    fn arrive(&mut self, values: Vec<f32>) {
        let at = self.copy.tensors.len() - self.readings.len() - 1;
        self.copy.tensors[at].3 = values;
    }
}
