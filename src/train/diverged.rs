//! Finds why training diverged: the first parameter, input or layer that is not finite

use super::LossFn;
use crate::error::Result;
use crate::nn::{Kind, Module};
use crate::tensor::{DType, Tensor};

/// The batch of the failed update.
pub(super) struct Batch<'a> {
    pub x: Tensor,
    pub y: Tensor,
    /// Indices of its examples.
    pub examples: &'a [usize],
}

/// Finds the first value that is not finite in the order in which values flow: parameters, batch, layers, loss.
/// `flagged` names the parameters whose update was not finite.
pub(super) async fn cause(
    model: &dyn Module,
    parameters: &[(String, Tensor)],
    flagged: &[&str],
    batch: Option<Batch<'_>>,
    loss: &LossFn<'_>,
) -> Result<String> {
    if let Some((first, others)) = flagged.split_first() {
        let others = match others.len() {
            0 => String::new(),
            n => format!(" (and of {n} more)"),
        };
        return Ok(format!(
            "the update of parameter {first:?}{others} is not finite: its gradient is NaN or infinite, or the step overflows"
        ));
    }
    for (name, parameter) in parameters {
        if !is_finite(parameter).await? {
            return Ok(format!("parameter {name:?} was not finite before this update"));
        }
    }
    let Some(Batch { x, y, examples }) = batch else { return Ok("the loss is not finite".into()) };
    for (name, values) in [("input", &x), ("target", &y)] {
        if let Some(example) = first_bad_example(values, examples).await? {
            return Ok(format!("the {name} of example {example} holds NaN or infinity"));
        }
    }
    let mut path = Vec::new();
    let y_model = match forward(model, &x, &mut path).await? {
        Output::Finite(y_model) => y_model,
        Output::BadLayer if path.is_empty() => {
            return Ok("the model's output is not finite, though its input and its parameters are finite".into());
        }
        Output::BadLayer => {
            let layer = path.join(".");
            return Ok(format!(
                "the output of layer {layer:?} is not finite, though its input and its parameters are finite"
            ));
        }
    };
    Ok(match is_finite(&loss(&y_model, &y)?).await? {
        false => "the loss is not finite, though the model's output is finite".into(),
        true => {
            "the loss is not finite in training, but finite in evaluation: check dropout and other random layers".into()
        }
    })
}

enum Output {
    Finite(Tensor),
    /// `path` then names the layer.
    BadLayer,
}

/// Runs a model layer by layer in evaluation, to the first layer whose output is not finite.
async fn forward(module: &dyn Module, x: &Tensor, path: &mut Vec<String>) -> Result<Output> {
    // Depth first, without recursion: `(name depth, name, module)` still to run, the next one last.
    let mut todo: Vec<(usize, String, &dyn Module)> = vec![(0, String::new(), module)];
    let mut y = x.clone();
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
        y = module.forward(&y)?;
        if !is_finite(&y).await? {
            return Ok(Output::BadLayer);
        }
    }
    Ok(Output::Finite(y))
}

async fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.dtype() != DType::F32 || tensor.read().await?.iter().all(|v| v.is_finite()))
}

/// Index of the first example with a value that is not finite, in a batch-first tensor.
async fn first_bad_example(values: &Tensor, examples: &[usize]) -> Result<Option<usize>> {
    if values.dtype() != DType::F32 {
        return Ok(None);
    }
    let width = (values.len() / examples.len().max(1)).max(1);
    let bad = values.read().await?.iter().position(|v| !v.is_finite());
    Ok(bad.map(|at| examples.get(at / width).copied().unwrap_or(at / width)))
}
