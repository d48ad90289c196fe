//! The tape: the operations of [`ops`](crate::ops) as methods of [`Tensor`] that record the data for the backward pass.
//!
//! A result is tracked if an operand is. Nothing else is recorded, so inference has no tape.

mod arithmetic;
#[cfg(feature = "autograd")]
mod backward;
mod conv;
mod functions;
mod masked;
mod min_gru;
mod movement;
mod normalize;
mod operators;
mod product;
mod recurrent;
mod reduce;
mod split;

pub(crate) use min_gru::min_gru;
pub(crate) use recurrent::{Kept, RecurrentRun, recurrent};

use std::sync::Arc;

use crate::error::Result;
use crate::tensor::{Backward, Gradients, Node, Tape, Tensor};

/// Puts `outputs` on the tape if any of `inputs` is on it. `saved` names what `backward` reads.
pub(crate) fn record<const N: usize>(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; N],
    backward: impl FnOnce() -> Gradients,
) -> [Tensor; N] {
    record_as(op, inputs, saved, outputs, || Backward::Function(backward()))
}

fn record_as<const N: usize>(
    op: &'static str,
    inputs: &[&Tensor],
    saved: &[&Tensor],
    outputs: [Tensor; N],
    backward: impl FnOnce() -> Backward,
) -> [Tensor; N] {
    // Without the feature, there is no tape, and the linker drops all code that only the backward pass needs.
    if cfg!(not(feature = "autograd")) || !inputs.iter().any(|t| t.is_tracked()) {
        return outputs;
    }
    let node = Arc::new(Node {
        op,
        inputs: inputs.iter().map(|&t| t.clone()).collect(),
        saved: saved.iter().map(|t| (t.detach(), t.version())).collect(),
        outputs: N,
        backward: backward(),
    });
    let mut index = 0;
    outputs.map(|t| {
        let tape = Tape::Node(node.clone(), index);
        index += 1;
        t.with_tape(tape)
    })
}

/// [`record`] for one input and one output, whose gradient is a function of `dy`.
fn record_unary(
    op: &'static str,
    x: &Tensor,
    saved: &[&Tensor],
    y: Tensor,
    dx: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Tensor {
    let [y] = record(op, &[x], saved, [y], || Box::new(move |dys| Ok(vec![dys[0].as_ref().map(&dx).transpose()?])));
    y
}
