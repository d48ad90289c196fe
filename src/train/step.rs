//! The loss of a batch: a step function, or a module and a loss of its output.

use super::Batch;
use super::valid::valid_steps;
use crate::error::{Error, Result};
use crate::nn::{Mode, Module, Padded, check_last_steps};
use crate::tensor::{DType, Tensor};

/// The loss of a batch, as a scalar.
pub(super) type StepFn<'a> = dyn FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send + 'a;
/// The loss of a prediction and its target, as a scalar.
pub(super) type LossFn<'a> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send + 'a;

/// Type-erased, so that the training loop is compiled once.
pub(super) enum Step<'a> {
    Function(Box<StepFn<'a>>),
    Module(&'a dyn Module, Box<LossFn<'a>>),
}

impl<'a> Step<'a> {
    /// Creates a step that computes the loss of `model`'s output.
    ///
    /// # Errors
    /// [`Error::Value`] for a model with a `LastStep` after a reverse direction.
    pub fn of_module(model: &'a dyn Module, loss: Box<LossFn<'a>>) -> Result<Self> {
        check_last_steps(&model.kind())?;
        Ok(Step::Module(model, loss))
    }

    /// Returns the model, if the step has one.
    pub fn model(&self) -> Option<&'a dyn Module> {
        match self {
            Step::Function(_) => None,
            Step::Module(model, _) => Some(*model),
        }
    }

    /// Returns the loss of a batch.
    pub fn loss(&mut self, batch: &Batch, mode: &mut Mode) -> Result<Tensor> {
        match self {
            Step::Function(step) => step(batch, mode),
            Step::Module(model, loss) => {
                check_for_module(batch)?;
                let Some(lengths) = batch.lengths() else {
                    return loss(&model.forward_with(batch.x(), mode)?, batch.targets());
                };
                match model.forward_padded(&without_padding(batch.x(), lengths)?, lengths, mode)? {
                    Padded::Rows(y) => loss(&y, batch.targets()),
                    Padded::Steps(y) => {
                        check_step_targets(batch, &y)?;
                        let [y, targets] = [&y, batch.targets()].map(|x| valid_steps(x, Some(lengths)));
                        loss(&y?, &targets?)
                    }
                }
            }
        }
    }
}

/// Sets the padding of sequences `[B, T, ..]` to 0, because the gradients of weights are sums over all steps, and 0·NaN
/// is NaN. Indices stay.
pub(super) fn without_padding(x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (&[batch, steps, ..], DType::F32) = (x.dims(), x.dtype()) else { return Ok(x.clone()) };
    if lengths.len() != batch || lengths.iter().all(|&length| length >= steps) {
        return Ok(x.clone());
    }
    let valid: Vec<f32> = lengths.iter().flat_map(|&length| (0..steps).map(move |t| f32::from(t < length))).collect();
    let dims = [&[batch, steps][..], &vec![1; x.dims().len() - 2]].concat();
    x.mask(&Tensor::from_slice(x.device(), &valid, &dims)?)
}

/// Rejects targets that are not those of every step of an output.
fn check_step_targets(batch: &Batch, y: &Tensor) -> Result<()> {
    let (y, targets) = (y.dims(), batch.targets().dims());
    if y.len() >= 2 && targets.len() >= 2 && y[..2] == targets[..2] {
        return Ok(());
    }
    let first = &y[..y.len().min(2)];
    let expected = format!(
        "{first:?} first, as in the output, which has a time axis; for one target per sequence, the model needs a \
         layer such as LastState"
    );
    Err(Error::shape("Trainer::fit", "targets", expected, targets))
}

/// Rejects batches with more than one input, or without targets.
fn check_for_module(batch: &Batch) -> Result<()> {
    let refuse = |expected: &str, got: String| Err(Error::value("Trainer::fit", "data", expected, got));
    if batch.inputs().len() > 1 {
        return refuse("one input; fit_with takes more", format!("{} inputs", batch.inputs().len()));
    }
    if !batch.has_targets() {
        return refuse("targets, from with_targets or with_classes", "none".into());
    }
    Ok(())
}
