//! Evaluation, and preparation of training.

use super::Trainer;
use crate::error::{Error, Result};
use crate::nn::{Mode, Module};
use crate::tensor::Tensor;
use crate::train::step::Step;
use crate::train::watch::Watch;
use crate::train::{Batch, Data, clip_grad_norm};

impl Trainer {
    /// Compiles the shaders that training `model` needs. On a GPU, this saves hundreds of milliseconds in the first
    /// update. The random generator, weights and gradients do not change. On the CPU, it computes one update and
    /// discards it.
    ///
    /// # Errors
    /// Same as [`fit`](Self::fit).
    pub fn prepare(
        &self,
        model: &dyn Module,
        data: &dyn Data,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<()> {
        self.rehearse(data, &mut Step::of_module(model, Box::new(loss))?)
    }

    /// Compiles the shaders that training by a step function needs; see [`prepare`](Self::prepare). Calls `step` once.
    ///
    /// # Errors
    /// Same as [`fit_with`](Self::fit_with).
    pub fn prepare_with(
        &self,
        data: &dyn Data,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<()> {
        self.rehearse(data, &mut Step::Function(Box::new(step)))
    }

    fn rehearse(&self, data: &dyn Data, step: &mut Step<'_>) -> Result<()> {
        self.check_data(data)?;
        let examples: Vec<usize> = (0..self.options.batch.min(data.len())).collect();
        let batch = data.batch(&examples)?.of(&examples);
        let parameters = self.optimizer.parameters();
        let gradients: Vec<_> = parameters.iter().map(|(_, p)| p.grad()).collect();
        let mut update = || {
            let value = step.loss(&batch, &mut Mode::Train(&mut self.rng.clone()))?;
            value.backward()?;
            if let Some(max) = self.options.clip_norm {
                clip_grad_norm(&parameters, max)?;
            }
            let mut watch = Watch::new(value.device(), 1, None)?;
            watch.add(&value, 1.0)?;
            self.optimizer.rehearse(value.device(), watch.status())
        };
        // Dead-code elimination: the results are dropped, so the recorded work is never submitted.
        let result = update();
        parameters.iter().zip(gradients).for_each(|((_, p), gradient)| p.set_grad(gradient));
        result
    }

    /// Returns the mean loss of `model` over `data`, in evaluation mode.
    ///
    /// # Errors
    /// Errors from the model, the loss and the device; [`Error::Value`] for invalid data, as [`fit`](Self::fit).
    pub async fn evaluate(
        &self,
        model: &dyn Module,
        data: &dyn Data,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<f32> {
        mean_loss(data, self.options.batch, &mut Step::of_module(model, Box::new(loss))?).await
    }

    /// Returns the mean loss over `data`, computed by a step function in evaluation mode.
    ///
    /// # Errors
    /// Errors from the step and the device; [`Error::Value`] for empty data.
    pub async fn evaluate_with(
        &self,
        data: &dyn Data,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<f32> {
        mean_loss(data, self.options.batch, &mut Step::Function(Box::new(step))).await
    }

    /// [`evaluate`](Self::evaluate), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`evaluate`](Self::evaluate).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn evaluate_blocking(
        &self,
        model: &dyn Module,
        data: &dyn Data,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<f32> {
        crate::wait::block_on(self.evaluate(model, data, loss))
    }

    /// [`evaluate_with`](Self::evaluate_with), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`evaluate_with`](Self::evaluate_with).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn evaluate_with_blocking(
        &self,
        data: &dyn Data,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<f32> {
        crate::wait::block_on(self.evaluate_with(data, step))
    }
}

/// Returns the mean loss over `data` in evaluation mode, in batches of this many examples.
pub(super) async fn mean_loss(data: &dyn Data, batch: usize, step: &mut Step<'_>) -> Result<f32> {
    const EVALUATE: &str = "Trainer::evaluate";
    if batch == 0 {
        return Err(Error::value(EVALUATE, "batch", "at least 1", 0));
    }
    if let Some(lanes) = data.lanes().filter(|lanes| *lanes != batch) {
        return Err(Error::value(EVALUATE, "batch", format!("{lanes}, the lanes of the data"), batch));
    }
    let order: Vec<usize> = (0..data.len()).collect();
    let mut total: Option<Tensor> = None;
    for examples in order.chunks(batch) {
        let value = step.loss(&data.batch(examples)?.of(examples), &mut Mode::Eval)?.detach();
        let share = value.scale(examples.len() as f32 / order.len() as f32)?;
        total = Some(match total {
            Some(sum) => share.add(&sum)?,
            None => share,
        });
    }
    match total {
        Some(total) => Ok(total.read().await?[0]),
        None => Err(Error::value(EVALUATE, "data", "at least one example", 0)),
    }
}
