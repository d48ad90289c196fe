//! Runs the layers of a graph.

use super::functions::Merge;
use super::masks::{self, Mask, Rule};
use crate::error::Result;
use crate::nn::{Mode, Recurrent, RunOptions, Sequential};
use crate::tensor::Tensor;

/// A graph of layers. Value 0 is the input of the network, and value k + 1 the output of step k.
#[derive(Clone, Debug, Default)]
pub(in crate::io) struct Wiring {
    pub steps: Vec<Step>,
    /// The value that the network returns.
    pub output: usize,
}

/// A step of a graph.
#[derive(Clone, Debug)]
pub(in crate::io) struct Step {
    /// Values that it reads, which earlier steps have computed.
    pub inputs: Vec<usize>,
    pub action: Action,
    /// The mask of its output.
    pub rule: Rule,
}

/// The computation of a step.
#[derive(Clone, Debug)]
pub(in crate::io) enum Action {
    /// Layer k of the network.
    Layer(usize),
    /// A recurrent layer, which reads the mask of its input.
    Recurrent(usize),
    Merge(Merge),
    /// Sets the steps to 0 that the mask of the output excludes.
    Mask,
    /// The mean of the steps; those that the mask excludes do not count. Keeps the time axis if set.
    Mean(bool),
}

impl Wiring {
    /// Whether each layer reads the one before it, and nothing depends on a mask.
    pub fn is_chain(&self) -> bool {
        let is_next = |(k, step): (usize, &Step)| {
            let is_layer = matches!(step.action, Action::Layer(layer) | Action::Recurrent(layer) if layer == k);
            step.inputs == [k] && is_layer && !matches!(step.rule, Rule::Indices | Rule::Features(_))
        };
        self.steps.iter().enumerate().all(is_next) && self.output == self.steps.len()
    }

    /// Runs the graph.
    pub fn run(&self, layers: &Sequential, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let mut values: Vec<(Tensor, Option<Mask>)> = vec![(x.clone(), None)];
        for step in &self.steps {
            let inputs: Vec<&Tensor> = step.inputs.iter().map(|&at| &values[at].0).collect();
            let masks: Vec<Option<Mask>> = step.inputs.iter().map(|&at| values[at].1.clone()).collect();
            let (x, mask) = (inputs[0], masks[0].as_ref());
            let out = step.rule.apply(x, &masks)?;
            let y = match step.action {
                Action::Layer(k) => layers.at(k).forward_with(x, mode)?,
                Action::Recurrent(k) => match (mask, layers.at(k).downcast_ref::<Recurrent>()) {
                    (Some(mask), Some(layer)) => {
                        layer.run(x, RunOptions { mask: Some(mask), ..RunOptions::default() }, mode)?.output
                    }
                    _ => layers.at(k).forward_with(x, mode)?,
                },
                Action::Merge(merge) => merge.run(&inputs)?,
                Action::Mask => match &out {
                    Some(mask) => (x * &masks::factors(mask, x)?)?,
                    None => x.clone(),
                },
                Action::Mean(keep) => {
                    let mean = match mask {
                        Some(mask) => masks::mean(x, mask)?,
                        None => x.mean_axis(1)?,
                    };
                    let (batch, width) = (x.dims()[0], x.dims()[x.dims().len() - 1]);
                    if keep { mean.reshape(&[batch, 1, width])? } else { mean.reshape(&[batch, width])? }
                }
            };
            values.push((y, out));
        }
        Ok(values.swap_remove(self.output).0)
    }
}
