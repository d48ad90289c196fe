//! Learning-rate range test.

use super::Trainer;
use crate::error::{Error, Result};
use crate::nn::{Mode, Module};
use crate::tensor::Tensor;
use crate::train::step::Step;
use crate::train::{Batch, Data, clip_grad_norm};

/// Options of [`Trainer::test_rates`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateTestOptions {
    /// The first rate.
    pub low: f64,
    /// The last rate.
    pub high: f64,
    /// Number of updates. Their rates are spaced geometrically from `low` to `high`.
    pub updates: usize,
}

impl Default for RateTestOptions {
    fn default() -> Self {
        Self { low: 1e-7, high: 1.0, updates: 100 }
    }
}

/// Result of [`Trainer::test_rates`].
#[derive(Clone, Debug, PartialEq)]
pub struct RateTest {
    /// Rates, ascending.
    pub rates: Vec<f64>,
    /// Smoothed losses before the update with each rate.
    pub losses: Vec<f32>,
}

impl RateTest {
    /// Returns a tenth of the rate with the smallest smoothed loss, a common choice for a constant rate. Returns `None`
    /// without losses.
    pub fn suggestion(&self) -> Option<f64> {
        let least = self.losses.iter().zip(&self.rates).min_by(|a, b| a.0.total_cmp(b.0));
        least.map(|(_, rate)| rate / 10.0)
    }
}

impl Trainer {
    /// Learning-rate range test: makes updates at increasing rates and records their losses, until the smoothed loss is
    /// far above the smallest one, NaN or infinite. Then restores the weights. This trainer does not change.
    ///
    /// Smith: *Cyclical learning rates for training neural networks* (2015).
    ///
    /// ```
    /// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
    /// let (device, mut rng) = (Device::cpu(), Rng::new(1));
    /// let model = Linear::new(&device, 1, 1, true, &mut rng)?;
    /// let data = HostData::new(&device, vec![0.5; 64], &[1])?.with_targets(vec![1.0; 64], &[1])?;
    /// let optimizer = Optimizer::adam(model.parameters(), 0.1)?;
    /// let mut trainer = Trainer::new(optimizer, TrainOptions::default(), rng);
    /// let test = trainer.test_rates_blocking(&model, &data, RateTestOptions::default(), loss::mse)?;
    /// trainer.set_rate(test.suggestion().unwrap())?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Errors from the model, the loss and the device; [`Error::Value`] for empty data, fewer than two updates, and
    /// rates that do not ascend from above 0.
    pub async fn test_rates(
        &self,
        model: &dyn Module,
        data: &dyn Data,
        options: RateTestOptions,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<RateTest> {
        self.rate_test(data, options, &mut Step::of_module(model, Box::new(loss))?).await
    }

    /// [`test_rates`](Self::test_rates) with a step function, as in [`fit_with`](Self::fit_with).
    ///
    /// # Errors
    /// Same as [`test_rates`](Self::test_rates).
    pub async fn test_rates_with(
        &self,
        data: &dyn Data,
        options: RateTestOptions,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<RateTest> {
        self.rate_test(data, options, &mut Step::Function(Box::new(step))).await
    }

    /// [`test_rates`](Self::test_rates), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`test_rates`](Self::test_rates).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn test_rates_blocking(
        &self,
        model: &dyn Module,
        data: &dyn Data,
        options: RateTestOptions,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<RateTest> {
        crate::wait::block_on(self.test_rates(model, data, options, loss))
    }

    /// [`test_rates_with`](Self::test_rates_with), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`test_rates`](Self::test_rates).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn test_rates_with_blocking(
        &self,
        data: &dyn Data,
        options: RateTestOptions,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<RateTest> {
        crate::wait::block_on(self.test_rates_with(data, options, step))
    }

    async fn rate_test(&self, data: &dyn Data, options: RateTestOptions, step: &mut Step<'_>) -> Result<RateTest> {
        const OP: &str = "Trainer::test_rates";
        self.check_data(data)?;
        let (batch, shuffle) = (self.options.batch, self.options.shuffle);
        if let Some(lanes) = data.lanes().filter(|lanes| *lanes != batch || shuffle) {
            let expected = format!("batch: {lanes}, shuffle: false, for data that continues");
            return Err(Error::value(OP, "options", expected, format!("batch: {batch}, shuffle: {shuffle}")));
        }
        let RateTestOptions { low, high, updates } = options;
        if !(low > 0.0 && high > low && high.is_finite()) {
            return Err(Error::value(OP, "low and high", "ascending rates above 0", format!("{low} and {high}")));
        }
        if updates < 2 {
            return Err(Error::value(OP, "updates", "at least 2", updates));
        }
        let before: Vec<&Tensor> = self.optimizer.distinct().map(|(_, parameter)| parameter).collect();
        let values = Tensor::read_all(&before).await?;
        let tested = self.raise_rates(data, options, step).await;
        self.optimizer.zero_grad();
        before.iter().zip(&values).try_for_each(|(parameter, values)| parameter.assign(values))?;
        tested
    }

    /// Trains at increasing rates with a separate optimizer.
    async fn raise_rates(&self, data: &dyn Data, options: RateTestOptions, step: &mut Step<'_>) -> Result<RateTest> {
        /// Decay of the moving average of the losses.
        const SMOOTH: f32 = 0.9;
        /// The test ends when the loss exceeds the smallest one by this factor times the first or the smallest loss,
        /// whichever is larger.
        const WORST: f32 = 3.0;
        let RateTestOptions { low, high, updates } = options;
        let mut optimizer = self.optimizer.fresh()?;
        let mut rng = self.rng.clone();
        let mut order: Vec<usize> = (0..data.len()).collect();
        if self.options.shuffle {
            rng.shuffle(&mut order);
        }
        let batches: Vec<&[usize]> = order.chunks(self.options.batch).collect();
        let mut test = RateTest { rates: Vec::new(), losses: Vec::new() };
        let (mut mean, mut weight, mut least) = (0.0, 0.0, f32::INFINITY);
        for (update, examples) in (0..updates).zip(batches.iter().cycle()) {
            let rate = low * (high / low).powf(update as f64 / (updates - 1) as f64);
            optimizer.set_rate(rate)?;
            optimizer.zero_grad();
            let value = step.loss(&data.batch(examples)?.of(examples), &mut Mode::Train(&mut rng))?;
            value.backward()?;
            if let Some(max) = self.options.clip_norm {
                clip_grad_norm(&optimizer.parameters(), max)?;
            }
            let loss = value.read().await?[0];
            mean = SMOOTH * mean + (1.0 - SMOOTH) * loss;
            weight = SMOOTH * weight + (1.0 - SMOOTH);
            let smooth = mean / weight;
            let first = test.losses.first().map_or(smooth, |loss| *loss).abs();
            if !smooth.is_finite() || smooth > least + WORST * first.max(least.abs()) {
                break;
            }
            least = least.min(smooth);
            test.rates.push(rate);
            test.losses.push(smooth);
            optimizer.step()?;
        }
        Ok(test)
    }
}
