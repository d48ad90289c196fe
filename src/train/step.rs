//! The loss of a batch: a step function, or a module and a loss of its output.

use super::Batch;
use crate::error::{Error, Result};
use crate::nn::{Mode, Module, check_last_steps};
use crate::tensor::Tensor;

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
                loss(&model.forward_with(batch.x(), mode)?, batch.targets())
            }
        }
    }
}

/// Rejects batches with more than one input, or with lengths, which a module would ignore.
fn check_for_module(batch: &Batch) -> Result<()> {
    let refuse = |expected: &str, got: String| Err(Error::value("Trainer::fit", "data", expected, got));
    if batch.inputs().len() > 1 {
        return refuse("one input; fit_with takes more", format!("{} inputs", batch.inputs().len()));
    }
    if batch.lengths().is_some() {
        return refuse("no lengths, which a module does not take; fit_with can use them", "lengths".into());
    }
    if !batch.has_targets() {
        return refuse("targets, from with_targets or with_classes", "none".into());
    }
    Ok(())
}
