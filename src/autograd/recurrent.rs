//! A recurrent layer as one entry of the tape.

use std::any::Any;

use super::record_as;
use crate::error::Result;
use crate::ops::recurrent::{Forward, Layer, Reads, States, Weights};
use crate::tensor::{Backward, Tensor};

/// What a run of a layer keeps for its backward pass.
pub(crate) struct RecurrentRun {
    pub layer: Layer,
    pub reads: Reads,
    pub weights: Vec<Weights>,
    pub kept: Kept,
}

/// Values of a run that backward reads.
pub(crate) enum Kept {
    /// The gates of every step.
    Gates(Forward),
    /// Some states only: the gates are computed again.
    States(States),
}

/// Puts a run on the tape: `outputs` are its outputs and last states, `inputs` are `x`, the first states and the weights.
pub(crate) fn recurrent(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; 2],
    run: RecurrentRun,
) -> [Tensor; 2] {
    record_as(op, inputs, saved, outputs, || Backward::Recurrent(Box::new(run)))
}

/// The gradients of the inputs of `run`, a [`RecurrentRun`].
pub(super) fn backward(run: &(dyn Any + Send + Sync), dys: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let RecurrentRun { layer, reads, weights, kept } = run.downcast_ref().expect("recorded by `recurrent`");
    let device = reads.x.device();
    let or_zeros = |i: usize, dims: &[usize]| match &dys[i] {
        Some(dy) => Ok(dy.clone()),
        None => Tensor::zeros(device, dims),
    };
    let dy = or_zeros(0, &[layer.steps, layer.batch, layer.directions * layer.out])?;
    let d_last = or_zeros(1, &[layer.directions, layer.batch, layer.width()])?;
    let grads = match kept {
        Kept::Gates(run) => layer.backward(reads, weights, run, &dy, &d_last)?,
        Kept::States(states) => layer.backward_checkpointed(reads, weights, states, &dy, &d_last)?,
    };
    Ok([grads.dx, grads.d_first].into_iter().chain(grads.weights.into_iter().flatten()).map(Some).collect())
}
