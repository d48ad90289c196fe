//! A recurrent layer as one node of the tape.

use super::record_as;
use crate::ops::recurrent::{Forward, Layer, Reads, States, Weights};
use crate::tensor::{Backward, Tensor};

/// Values of a layer's run that its backward pass reads.
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
pub(crate) struct RecurrentRun {
    pub layer: Layer,
    pub reads: Reads,
    pub weights: Vec<Weights>,
    pub kept: Kept,
}

/// Values of the steps.
#[cfg_attr(not(feature = "autograd"), allow(dead_code, reason = "only backpropagation reads it"))]
#[allow(clippy::large_enum_variant, reason = "boxed by `Backward::Recurrent`")]
pub(crate) enum Kept {
    /// The gates of every step.
    Gates(Forward),
    /// Only some states; backward recomputes the gates.
    States(States),
}

/// Puts a run on the tape: `outputs` are its outputs and last states, `inputs` are `x`, the initial states and the
/// weights.
pub(crate) fn recurrent(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; 2],
    run: RecurrentRun,
) -> [Tensor; 2] {
    record_as(op, inputs, saved, outputs, || Backward::Recurrent(Box::new(run)))
}
