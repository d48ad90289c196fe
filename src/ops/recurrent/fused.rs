//! The plain GRU, by its fused kernels.

use half::{bf16, f16};

use super::{Cell, Layer, Plan, Weights};
use crate::cpu::Precision;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{
    Gru, GruCandidate, GruGates, GruPack, GruPackLow, GruResetBackward, GruSequence, GruSequenceBackward, GruStep,
    GruStepBackward, Stored,
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

/// Packs the recurrent matrices of all directions as forward reads them.
pub fn pack_stored(layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
    match layer.stored {
        Precision::F32 => pack(layer, weights, false),
        Precision::F16 => pack_low::<f16>(layer, weights),
        Precision::Bf16 => pack_low::<bf16>(layer, weights),
        Precision::Int8 => pack_low::<i8>(layer, weights),
    }
}

fn pack_low<W: Stored>(layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
    let device = weights[0].w_hh.device();
    let packed = Tensor::empty("gru_pack_low", device, &[kernel(layer, false).packed_len(W::depth(layer.hidden))])?;
    let zeros = Tensor::zeros(device, &[3 * layer.hidden])?;
    for (d, w) in weights.iter().enumerate() {
        let bias = w.bias.as_ref().map_or(&zeros, |(_, hh)| hh);
        device.run(&GruPackLow::new::<W>(layer.hidden, d), [&w.w_hh, bias], [&packed])?;
    }
    Ok(packed)
}

/// Packs the recurrent matrices of all directions.
fn pack(layer: &Layer, weights: &[Weights], transposed: bool) -> Result<Tensor> {
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
pub fn forward(layer: &Layer, reads: [&Tensor; 3], writes: [&Tensor; 2], save: bool) -> Result<Tensor> {
    match layer.stored {
        Precision::F32 => forward_by::<f32>(layer, reads, writes, save),
        Precision::F16 => forward_by::<f16>(layer, reads, writes, save),
        Precision::Bf16 => forward_by::<bf16>(layer, reads, writes, save),
        Precision::Int8 => forward_by::<i8>(layer, reads, writes, save),
    }
}

fn forward_by<W: Stored>(layer: &Layer, reads: [&Tensor; 3], [state, y]: [&Tensor; 2], save: bool) -> Result<Tensor> {
    let device = reads[0].device();
    let (p, plan) = (kernel(layer, save), plan(layer, device));
    // The halves of a chained step hand the gates on.
    let keeps = save || (layer.cell == Cell::GruResetBefore && plan == Plan::Chain);
    let saved = Tensor::empty("gru", device, &[if keeps { p.saved_len() } else { 1 }])?;
    let writes = [state, y, &saved];
    match (plan, layer.cell) {
        (Plan::Chain, Cell::GruResetBefore) => {
            let [x, packed, _] = reads;
            let mut gates = device.bind::<3, 1, GruGates<W>>([x, packed, state], [&saved])?;
            let mut candidate = device.bind::<3, 3, GruCandidate<W>>(reads, writes)?;
            for step in 0..p.steps {
                gates.run(&Gru { step, ..p }.into())?;
                candidate.run(&Gru { step, ..p }.into())?;
            }
        }
        (Plan::Chain, _) => {
            let mut bound = device.bind::<3, 3, GruStep<W>>(reads, writes)?;
            (0..p.steps).try_for_each(|step| bound.run(&Gru { step, ..p }.into()))?;
        }
        _ => device.run(&GruSequence::<W>::from(p), reads, writes)?,
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
