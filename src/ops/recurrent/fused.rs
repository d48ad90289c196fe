//! The plain GRU, by its fused kernels.

use super::{Cell, Layer, Plan, Weights};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{
    Gru, GruCandidate, GruGates, GruPack, GruResetBackward, GruSequence, GruSequenceBackward, GruStep, GruStepBackward,
};
use crate::tensor::Tensor;

fn kernel(layer: &Layer, save: bool) -> Gru {
    let [steps, batch, hidden, directions] =
        [layer.steps, layer.batch, layer.hidden, layer.directions].map(|n| n as u32);
    let reset_before = (layer.cell == Cell::GruResetBefore) as u32;
    Gru { steps, batch, hidden, directions, reverse: layer.reverse as u32, step: 0, reset_before, save: save as u32 }
}

/// Steps of the longest sequence that one dispatch takes on a GPU: one that computed for seconds would look hung to its
/// driver. A longer one runs as a chain, whose buffers are the same.
const LONGEST: usize = 4096;

fn plan(layer: &Layer, device: &Device) -> Plan {
    if device.is_gpu() && layer.steps > LONGEST { Plan::Chain } else { layer.plan }
}

/// Packs the recurrent matrices of all directions.
pub fn pack(layer: &Layer, weights: &[Weights], transposed: bool) -> Result<Tensor> {
    let device = weights[0].w_hh.device();
    let depth = layer.hidden + 1 - transposed as usize;
    let packed = Tensor::empty("gru_pack", device, &[kernel(layer, false).packed_len(depth)])?;
    let zeros = Tensor::zeros(device, &[3 * layer.hidden])?;
    for (d, w) in weights.iter().enumerate() {
        let p = GruPack { hidden: layer.hidden as u32, direction: d as u32, transposed: transposed as u32 };
        let bias = w.bias.as_ref().map_or(&zeros, |(_, hh)| hh);
        device.run(&p, [&w.w_hh, bias], [&packed])?;
    }
    Ok(packed)
}

/// From `x` (projected), `packed` and `marks` to `state` and `y`; gives `saved`.
pub fn forward(layer: &Layer, reads: [&Tensor; 3], [state, y]: [&Tensor; 2], save: bool) -> Result<Tensor> {
    let device = reads[0].device();
    let (p, plan) = (kernel(layer, save), plan(layer, device));
    // The halves of a chained step hand the gates on.
    let keeps = save || (layer.cell == Cell::GruResetBefore && plan == Plan::Chain);
    let saved = Tensor::empty("gru", device, &[if keeps { p.saved_len() } else { 1 }])?;
    let writes = [state, y, &saved];
    match (plan, layer.cell) {
        (Plan::Chain, Cell::GruResetBefore) => {
            let [x, packed, _] = reads;
            let mut gates = device.bind::<3, 1, GruGates>([x, packed, state], [&saved])?;
            let mut candidate = device.bind::<3, 3, GruCandidate>(reads, writes)?;
            for step in 0..p.steps {
                gates.run(&GruGates(Gru { step, ..p }))?;
                candidate.run(&GruCandidate(Gru { step, ..p }))?;
            }
        }
        (Plan::Chain, _) => {
            let mut bound = device.bind::<3, 3, GruStep>(reads, writes)?;
            (0..p.steps).try_for_each(|step| bound.run(&GruStep(Gru { step, ..p })))?;
        }
        _ => device.run(&GruSequence(p), reads, writes)?,
    }
    Ok(saved)
}

/// From `marks`, `state`, `saved` and `dy` to `d_gates`, and `carry` from `dh_n` to `dh0`.
pub fn backward(
    layer: &Layer,
    weights: &[Weights],
    [marks, state, saved, dy]: [&Tensor; 4],
    writes: [&Tensor; 2],
) -> Result<()> {
    let (device, p) = (marks.device(), kernel(layer, true));
    let packed = &pack(layer, weights, true)?;
    let reads = [packed, marks, state, saved, dy];
    if plan(layer, device) == Plan::Whole {
        return device.run(&GruSequenceBackward(p), reads, writes);
    }
    let mut bound = device.bind::<5, 2, GruStepBackward>(reads, writes)?;
    let mut reset = device.bind::<4, 2, GruResetBackward>([packed, marks, state, saved], writes)?;
    for step in 0..=p.steps {
        bound.run(&GruStepBackward(Gru { step, ..p }))?;
        if layer.cell == Cell::GruResetBefore && step < p.steps {
            reset.run(&GruResetBackward(Gru { step, ..p }))?;
        }
    }
    Ok(())
}
