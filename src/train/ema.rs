//! Exponential moving averages of parameters.

use crate::error::{Error, Result};
use crate::kernels::{BinaryOp, UnaryOp};
use crate::nn::by_storage;
use crate::ops::elementwise::{binary, unary};
use crate::ops::movement::write_slice;
use crate::tensor::Tensor;

/// Exponential moving averages of parameters. They often generalize better than the last values:
///
/// ```text
/// average ← average + (1 − d)·(parameter − average),    d = min(decay, (1 + n) / (10 + n)) at update n, from 0
/// ```
///
/// The smaller decay of the first updates removes the influence of the random initial values, as in TensorFlow's
/// `ExponentialMovingAverage` with `num_updates`. A [`Trainer`](super::Trainer) does all of this with
/// [`TrainOptions::ema`](super::TrainOptions::ema); use this type in your own training loops.
///
/// ```
/// use wgru::{Device, Tensor, train::{Ema, Method, Optimizer, SgdConfig}};
/// let w = Tensor::zeros(&Device::cpu(), &[1])?.requires_grad();
/// let parameters = vec![("w".to_string(), w.clone())];
/// let mut ema = Ema::new(&parameters, 0.9)?;
/// let mut optimizer = Optimizer::new(parameters, Method::Sgd(SgdConfig::default()), 1.0)?;
/// for _ in 0..3 {
///     optimizer.zero_grad();
///     w.scale(-1.0)?.sum()?.backward()?;                             // the parameter grows by 1
///     optimizer.step()?;
///     ema.update()?;
/// }
/// ema.swap()?;                                                        // the parameter holds the average …
/// assert!(w.item_blocking()? < 3.0);
/// ema.swap()?;                                                        // … and its own value again
/// assert_eq!(w.item_blocking()?, 3.0);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Debug)]
pub struct Ema {
    decay: f32,
    updates: u64,
    /// Whether the parameters hold the averages.
    is_swapped: bool,
    /// Distinct parameters with their first names, and their averages.
    averages: Vec<(String, Tensor, Tensor)>,
}

impl Ema {
    /// Starts averages at the current values. Tied parameters share one average.
    ///
    /// # Errors
    /// [`Error::Value`] unless `0 ≤ decay < 1`, [`Error::DType`] for indices; errors from the device.
    pub fn new(parameters: &[(String, Tensor)], decay: f32) -> Result<Self> {
        check_decay(decay)?;
        let averaged = |(name, parameter): (String, Tensor)| {
            parameter.check_dtype("Ema", "parameters", "f32")?;
            Ok((name, parameter.detach(), copy(&parameter)?))
        };
        let distinct = by_storage(parameters).into_iter().map(|tied| (tied.name().to_string(), tied.tensor().clone()));
        Ok(Self { decay, updates: 0, is_swapped: false, averages: distinct.map(averaged).collect::<Result<_>>()? })
    }

    /// Adds the current values to the averages. Call it after every update.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn update(&mut self) -> Result<()> {
        let n = self.updates as f32;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        for (_, parameter, average) in &mut self.averages {
            let distance = binary(BinaryOp::Sub, parameter, average)?;
            *average = binary(BinaryOp::Add, average, &unary(UnaryOp::Scale, 1.0 - decay, &distance)?)?;
        }
        self.updates += 1;
        Ok(())
    }

    /// Exchanges the parameters and their averages, to evaluate or save the averages.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn swap(&mut self) -> Result<()> {
        for (_, parameter, average) in &mut self.averages {
            let value = copy(parameter)?;
            fill(parameter, average)?;
            *average = value;
        }
        self.is_swapped = !self.is_swapped;
        Ok(())
    }

    /// Returns the averages with the names of their parameters. After [`swap`](Self::swap), returns the values of the
    /// parameters instead.
    pub fn averages(&self) -> Vec<(String, Tensor)> {
        self.averages.iter().map(|(name, _, average)| (name.clone(), average.clone())).collect()
    }

    /// Whether the parameters hold the averages.
    pub(super) fn is_swapped(&self) -> bool {
        self.is_swapped
    }

    /// Returns the number of updates.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Continues from earlier averages, in the order of [`averages`](Self::averages).
    pub(crate) fn restore(&mut self, updates: u64, values: &[Vec<f32>]) -> Result<()> {
        self.updates = updates;
        self.averages.iter().zip(values).try_for_each(|((_, _, average), values)| average.assign(values))
    }
}

pub(super) fn check_decay(decay: f32) -> Result<()> {
    match (0.0..1.0).contains(&decay) {
        true => Ok(()),
        false => Err(Error::value("Ema", "decay", "0 ≤ decay < 1", decay)),
    }
}

/// Copies the elements on the device.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    let out = Tensor::empty("Ema", tensor.device(), tensor.dims())?;
    fill(&out, tensor)?;
    Ok(out)
}

/// Overwrites the elements of `to`.
fn fill(to: &Tensor, from: &Tensor) -> Result<()> {
    let flat = [from.len()];
    write_slice(&from.view("Ema", &flat)?, &to.view("Ema", &flat)?, 0, 0)
}
