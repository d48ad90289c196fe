//! Copies of tensors in host memory, made while the device works on: what is needed to go on after its loss.

use crate::device::Reading;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// Copies of tensors in host memory, as they were together at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCopy<T> {
    /// What the caller wants to know of that moment: a frame number, the state of a generator.
    pub tag: T,
    tensors: Vec<(String, Vec<usize>, DType, Vec<f32>)>,
}

impl<T> HostCopy<T> {
    /// Extents and values of a tensor; of indices, the bits.
    ///
    /// # Errors
    /// [`Error::Value`] for a name that is not there.
    pub fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let found = self.tensors.iter().find(|(n, ..)| n == name);
        let (_, dims, _, values) = found.ok_or_else(|| Error::value("HostCopy::get", "name", "one kept", name))?;
        Ok((dims, values))
    }

    /// Names, extents and values, in the order in which they were given.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|(name, dims, _, values)| (&**name, &dims[..], &values[..]))
    }

    /// A tensor on a device, the one that was lost or another.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`Tensor::from_slice`].
    pub fn tensor(&self, name: &str, device: &crate::Device) -> Result<Tensor> {
        let (dims, values) = self.get(name)?;
        let dtype = self.tensors.iter().find(|(n, ..)| n == name).map_or(DType::F32, |(_, _, dtype, _)| *dtype);
        Ok(Tensor::from_slice(device, values, dims)?.with_dtype(dtype))
    }
}

/// Keeps copies of the tensors of a run at an interval, without waiting for the device: the way back after its loss.
///
/// ```
/// use wgru::{Device, Keeper, Rng, Tensor, nn::{GruConfig, Mode, SequenceInput}};
/// let device = Device::cpu();
/// let gru = GruConfig { input: 2, hidden: 4, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// let mut h = Tensor::zeros(&device, &[1, 1, 4])?;
/// let mut keeper = Keeper::every(10);
/// for frame in 0..25 {
///     let x = Tensor::full(&device, frame as f32, &[1, 1, 2])?;
///     h = gru.run(&x, SequenceInput { h0: Some(&h), ..Default::default() }, &mut Mode::Eval)?.h_n;
///     keeper.offer(|| frame, &[("h", &h)])?;
/// }
/// // After `Error::DeviceLost`: open a device, load the weights there, and go on behind the frame of the tag.
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
    device: crate::Device,
    /// Those that have not arrived, the first one last.
    readings: Vec<Reading>,
}

impl<T> Keeper<T> {
    /// Keeps every `every`-th of what is offered; 0 is taken for 1.
    pub fn every(every: usize) -> Self {
        Self { every: every.max(1), offered: 0, pending: None, kept: None }
    }

    /// Looks whether copies have arrived, and begins new ones if it is time and none are under way. The tensors must be of
    /// one device. They are copied as they are after the work recorded so far; later work may overwrite them.
    ///
    /// # Errors
    /// [`Error::DeviceMix`]; [`Error::DeviceLost`] and other errors of the device. What was [`kept`](Self::kept) stays.
    pub fn offer(&mut self, tag: impl FnOnce() -> T, tensors: &[(&str, &Tensor)]) -> Result<()> {
        self.look()?;
        self.offered += 1;
        if self.pending.is_some() || !self.offered.is_multiple_of(self.every) {
            return Ok(());
        }
        self.begin(tag(), tensors)
    }

    /// Begins copies now, whatever the interval; those under way are given up.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
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

    /// Takes what has arrived, without waiting.
    ///
    /// # Errors
    /// Those of the device.
    pub(crate) fn look(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        while let Some(reading) = pending.readings.last_mut() {
            let Some(values) = pending.device.poll_read(reading)? else { return Ok(()) };
            pending.readings.pop();
            pending.arrive(values);
        }
        self.kept = self.pending.take().map(|pending| pending.copy);
        Ok(())
    }

    /// Waits for copies that are under way.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn finish(&mut self) -> Result<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        while let Some(reading) = pending.readings.pop() {
            let values = pending.device.finish_read(reading).await?;
            pending.arrive(values);
        }
        self.kept = Some(pending.copy);
        Ok(())
    }

    /// Whether copies are under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes the last copies that arrived whole.
    pub(crate) fn take(&mut self) -> Option<HostCopy<T>> {
        self.kept.take()
    }

    /// The last copies that arrived whole.
    pub fn kept(&self) -> Option<&HostCopy<T>> {
        self.kept.as_ref()
    }
}

impl<T> Pending<T> {
    /// Keeps the values of the reading that was taken out.
    fn arrive(&mut self, values: Vec<f32>) {
        let at = self.copy.tensors.len() - self.readings.len() - 1;
        self.copy.tensors[at].3 = values;
    }
}
