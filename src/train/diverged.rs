//! Finds the cause of divergence: the first parameter, input or layer that is not finite.

use super::Batch;
use super::step::{Step, without_padding};
use super::valid::valid_steps;
use crate::error::Result;
use crate::nn::{Kind, Mode, Module, Padded};
use crate::tensor::{DType, Tensor};

/// Finds the first non-finite value, in the order of the computation: parameters, batch, layers, loss. `flagged` names
/// the parameters whose update was not finite; `batch` is the batch of the failed update.
pub(super) async fn cause(
    step: &mut Step<'_>,
    parameters: &[(String, Tensor)],
    flagged: &[&str],
    batch: Option<Batch>,
) -> Result<String> {
    if let Some((first, others)) = flagged.split_first() {
        let others = match others.len() {
            0 => String::new(),
            n => format!(" (and of {n} more)"),
        };
        return Ok(format!(
            "the update of parameter {first:?}{others} is not finite: its gradient is NaN or infinite, or the step \
             overflows"
        ));
    }
    for (name, parameter) in parameters {
        if !is_finite(parameter).await? {
            return Ok(format!("parameter {name:?} was not finite before this update"));
        }
    }
    let Some(batch) = batch else { return Ok("the loss is not finite".into()) };
    if let Some((name, example)) = first_bad_value(&batch).await? {
        return Ok(format!("{name} of example {example} holds NaN or infinity"));
    }
    let passed = match step.model() {
        None => format!("the parameters and the batch are finite (examples {})", list(batch.examples())),
        Some(model) => {
            let mut path = Vec::new();
            if !forward(model, &batch, &mut path).await? {
                let layer = match path.join(".") {
                    path if path.is_empty() => "the model".into(),
                    path => format!("layer {path:?}"),
                };
                return Ok(format!(
                    "the output of {layer} is not finite, though its input and its parameters are finite"
                ));
            }
            "the model's output is finite".into()
        }
    };
    Ok(match is_finite(&step.loss(&batch, &mut Mode::Eval)?).await? {
        false => format!("the loss is not finite, though {passed}"),
        true => {
            "the loss is finite in evaluation mode, but not in training mode: check dropout and other random layers"
                .into()
        }
    })
}

/// Runs a model layer by layer in evaluation mode. Returns whether every output is finite, except for padding; if not,
/// `path` names the first layer with a non-finite output.
async fn forward(module: &dyn Module, batch: &Batch, path: &mut Vec<String>) -> Result<bool> {
    // Depth first, without recursion: a stack of `(name depth, name, module)`.
    let mut todo: Vec<(usize, String, &dyn Module)> = vec![(0, String::new(), module)];
    // `None` after a layer whose output has no time axis.
    let mut lengths = batch.lengths();
    let mut y = lengths.map_or_else(|| Ok(batch.x().clone()), |lengths| without_padding(batch.x(), lengths))?;
    while let Some((depth, name, module)) = todo.pop() {
        path.truncate(depth);
        if !name.is_empty() {
            path.push(name);
        }
        if let Kind::Sequence(parts) = module.kind() {
            let depth = path.len();
            todo.extend(parts.into_iter().rev().map(|(name, part)| (depth, name.to_string(), part)));
            continue;
        }
        let valid;
        (y, valid) = match lengths.map(|lengths| module.forward_padded(&y, lengths, &mut Mode::Eval)).transpose()? {
            Some(Padded::Steps(y)) => (y.clone(), valid_steps(&y, lengths)?),
            Some(Padded::Rows(y)) => {
                lengths = None;
                (y.clone(), y)
            }
            None => {
                let y = module.forward(&y)?;
                (y.clone(), y)
            }
        };
        if !is_finite(&valid).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.dtype() != DType::F32 || tensor.read().await?.iter().all(|v| v.is_finite()))
}

/// Returns the first input or target with a non-finite value, and the index of the example. Skips the padding of the
/// first input, and of targets with the same steps.
async fn first_bad_value(batch: &Batch) -> Result<Option<(String, usize)>> {
    let (count, targets) =
        (batch.inputs().len(), batch.has_targets().then(|| ("the target".to_string(), batch.targets())));
    let name = |i: usize| if count == 1 { "the input".to_string() } else { format!("input {}", i + 1) };
    let inputs = batch.inputs().iter().enumerate().map(|(i, input)| (name(i), input));
    for (place, (name, values)) in inputs.chain(targets).enumerate() {
        if values.dtype() != DType::F32 {
            continue;
        }
        let width = (values.len() / batch.len()).max(1);
        let step = values.dims().get(2..).map_or(1, |dims| dims.iter().product());
        let has_steps = || values.dims().get(..2).is_some_and(|dims| batch.x().dims().starts_with(dims));
        let lengths = batch.lengths().filter(|_| place == 0 || place == count && has_steps());
        for (row, values) in values.read().await?.chunks(width).enumerate() {
            let valid = lengths.and_then(|lengths| lengths.get(row)).map_or(values.len(), |steps| steps * step);
            if values.iter().take(valid).any(|v| !v.is_finite()) {
                return Ok(Some((name, batch.examples().get(row).copied().unwrap_or(row))));
            }
        }
    }
    Ok(None)
}

/// Lists the first examples of a batch.
fn list(examples: &[usize]) -> String {
    const MOST: usize = 8;
    let first: Vec<String> = examples.iter().take(MOST).map(usize::to_string).collect();
    let more = examples.len().saturating_sub(MOST);
    first.join(", ") + &if more == 0 { String::new() } else { format!(" and {more} more") }
}
