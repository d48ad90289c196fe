//! The serial part of a GRU layer, by plan.

use super::{Cell, Layer, Plan};
use crate::error::Result;
use crate::kernels::{
    Gru, GruCandidate, GruGates, GruResetBackward, GruSequence, GruSequenceBackward, GruStep, GruStepBackward,
};
use crate::tensor::Tensor;

/// Whether the forward pass needs room for the gates: for backward, and between the halves of a chained step.
pub fn keeps_gates(layer: &Layer, save: bool) -> bool {
    save || (layer.cell == Cell::GruResetBefore && layer.plan == Plan::Chain)
}

/// From `x` (projected), `packed` and `lengths` to `state`, `y` and `saved`.
pub fn forward(layer: &Layer, p: Gru, reads: [&Tensor; 3], writes: [&Tensor; 3]) -> Result<()> {
    let device = reads[0].device();
    match (layer.plan, layer.cell) {
        (Plan::Whole, _) => device.run(&GruSequence(p), reads, writes),
        (Plan::Chain, Cell::GruResetAfter) => {
            let mut step = device.bind::<3, 3, GruStep>(reads, writes)?;
            (0..p.steps).try_for_each(|t| step.run(&GruStep(Gru { step: t, ..p })))
        }
        (Plan::Chain, Cell::GruResetBefore) => {
            let ([x, packed, _], [state, _, saved]) = (reads, writes);
            let mut gates = device.bind::<3, 1, GruGates>([x, packed, state], [saved])?;
            let mut candidate = device.bind::<3, 3, GruCandidate>(reads, writes)?;
            (0..p.steps).try_for_each(|t| {
                gates.run(&GruGates(Gru { step: t, ..p }))?;
                candidate.run(&GruCandidate(Gru { step: t, ..p }))
            })
        }
    }
}

/// From `packed` (transposed), `lengths`, `state`, `saved` and `dy` to `d_gates`, and `carry` from `dh_n` to `dh0`.
pub fn backward(layer: &Layer, p: Gru, reads: [&Tensor; 5], writes: [&Tensor; 2]) -> Result<()> {
    let device = reads[0].device();
    if layer.plan == Plan::Whole {
        return device.run(&GruSequenceBackward(p), reads, writes);
    }
    let mut step = device.bind::<5, 2, GruStepBackward>(reads, writes)?;
    let [packed, lengths, state, saved, _] = reads;
    let mut reset = device.bind::<4, 2, GruResetBackward>([packed, lengths, state, saved], writes)?;
    for t in 0..=p.steps {
        step.run(&GruStepBackward(Gru { step: t, ..p }))?;
        if layer.cell == Cell::GruResetBefore && t < p.steps {
            reset.run(&GruResetBackward(Gru { step: t, ..p }))?;
        }
    }
    Ok(())
}
