//! Runs cells without options with fused kernels.

use std::ops::Range;

use half::{bf16, f16};

use super::{Layer, Plan, Weights};
use crate::cell::Cell;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{
    CellSequence, CellSequenceBackward, GruCandidate, GruGates, GruPackLow, GruResetBackward, GruSequence,
    GruSequenceBackward, GruStep, GruStepBackward, Pack, Plain, Stored,
};
use crate::precision::Precision;
use crate::tensor::Tensor;

/// The steps that a call runs, and the order of the directions: `reverse` and `lag` of [`Plain`].
pub struct Span {
    pub steps: Range<usize>,
    pub reverse: u32,
    pub lag: usize,
}

impl Span {
    /// Returns all steps of a layer.
    pub fn whole(layer: &Layer) -> Self {
        Self { steps: 0..layer.steps, reverse: layer.reverse as u32, lag: 0 }
    }
}

fn kernel(layer: &Layer, save: bool, span: &Span) -> Plain {
    let [steps, batch, hidden, directions] =
        [layer.steps, layer.batch, layer.hidden, layer.directions].map(|n| n as u32);
    let [step, count, lag] = [span.steps.start, span.steps.len(), span.lag].map(|n| n as u32);
    let cell = layer.cell as u32;
    Plain { steps, batch, hidden, directions, reverse: span.reverse, step, count, lag, cell, save: save as u32 }
}

/// Returns the parameters of a kernel that runs all steps of a layer.
fn whole(layer: &Layer, save: bool) -> Plain {
    kernel(layer, save, &Span::whole(layer))
}

/// Format of the recurrent matrices in the fused kernels. It holds pointers to the functions that use these kernels, so
/// that a program only links the kernels of the formats it uses.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub precision: Precision,
    /// Packs the recurrent matrices of all directions.
    pub pack: fn(&Layer, &[Weights]) -> Result<Tensor>,
    forward: Forward,
}

type Forward = fn(&Layer, Plain, [&Tensor; 3], [&Tensor; 3]) -> Result<()>;

impl Format {
    pub const F32: Self = Self {
        precision: Precision::F32,
        pack: |layer, weights| pack(layer, weights, false),
        forward: forward_by::<f32>,
    };

    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F16 => Self { precision, pack: pack_low::<f16>, forward: forward_by::<f16> },
            Precision::Bf16 => Self { precision, pack: pack_low::<bf16>, forward: forward_by::<bf16> },
            Precision::Int8 => Self { precision, pack: pack_low::<i8>, forward: forward_by::<i8> },
        }
    }
}

fn pack_low<W: Stored>(layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
    let device = weights[0].w_hh.device();
    let packed = Tensor::empty("gru_pack_low", device, &[whole(layer, false).packed_len([W::depth(layer.hidden), 3])])?;
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
    let kernel = whole(layer, false);
    let [rows, gates] = kernel.extent(transposed);
    let packed = Tensor::empty("pack", device, &[kernel.packed_len([rows, gates])])?;
    let zeros = Tensor::zeros(device, &[gates * layer.hidden])?;
    for (d, w) in weights.iter().enumerate() {
        let p = Pack {
            hidden: layer.hidden as u32,
            gates: gates as u32,
            depth: rows as u32 - !transposed as u32,
            direction: d as u32,
            transposed: transposed as u32,
        };
        let bias = w.bias.as_ref().map_or(&zeros, |(_, hh)| hh);
        device.run(&p, [&w.w_hh, bias], [&packed])?;
    }
    Ok(packed)
}

/// Allocates `saved` for [`forward`].
pub fn saved(layer: &Layer, save: bool, device: &Device) -> Result<Tensor> {
    // The first half of a chained step passes the gates to the second half in `saved`.
    let keeps = save || (layer.cell == Cell::GruResetBefore && layer.plan == Plan::Chain);
    Tensor::empty("gru", device, &[if keeps { whole(layer, save).saved_len() } else { 1 }])
}

/// Computes `state`, `y` and `saved` from the projected input `x`, `packed` and `marks`.
pub fn forward(layer: &Layer, reads: [&Tensor; 3], writes: [&Tensor; 3], save: bool, span: Span) -> Result<()> {
    (layer.format.forward)(layer, kernel(layer, save, &span), reads, writes)
}

fn forward_by<W: Stored>(layer: &Layer, p: Plain, reads: [&Tensor; 3], writes: [&Tensor; 3]) -> Result<()> {
    let (device, steps) = (reads[0].device(), p.step..p.step + p.count);
    match (layer.plan, layer.cell) {
        (Plan::Chain, Cell::GruResetBefore) => {
            let ([x, packed, _], [state, _, saved]) = (reads, writes);
            let mut gates = device.bind::<3, 1, GruGates<W>>([x, packed, state], [saved])?;
            let mut candidate = device.bind::<3, 3, GruCandidate<W>>(reads, writes)?;
            for step in steps {
                gates.run(&Plain { step, ..p }.into())?;
                candidate.run(&Plain { step, ..p }.into())?;
            }
        }
        (Plan::Chain, _) => {
            let mut bound = device.bind::<3, 3, GruStep<W>>(reads, writes)?;
            steps.into_iter().try_for_each(|step| bound.run(&Plain { step, ..p }.into()))?;
        }
        (_, Cell::Lstm | Cell::Rnn | Cell::RnnRelu) => {
            let mut bound = device.bind::<3, 3, CellSequence>(reads, writes)?;
            parts(device, &p).iter().try_for_each(|p| bound.run(&CellSequence(*p)))?;
        }
        _ => {
            let mut bound = device.bind::<3, 3, GruSequence<W>>(reads, writes)?;
            parts(device, &p).iter().try_for_each(|p| bound.run(&(*p).into()))?;
        }
    }
    Ok(())
}

/// Splits the steps of the plan *whole* into as few dispatches as the limit of loop iterations on a GPU allows.
fn parts(device: &Device, p: &Plain) -> Vec<Plain> {
    let most = if device.is_gpu() { p.most_steps() } else { usize::MAX };
    let (first, end) = (p.step as usize, (p.step + p.count) as usize);
    let part = |step: usize| Plain { step: step as u32, count: (end - step).min(most) as u32, ..*p };
    (first..end).step_by(most).map(part).collect()
}

/// Computes `d_gates` from `marks`, `state`, `saved` and `dy`, and turns `carry` from `dh_n` into `dh0`.
pub fn backward(
    layer: &Layer,
    weights: &[Weights],
    [marks, state, saved, dy]: [&Tensor; 4],
    writes: [&Tensor; 2],
) -> Result<()> {
    let (device, p) = (marks.device(), whole(layer, true));
    let packed = &pack(layer, weights, true)?;
    let reads = [packed, marks, state, saved, dy];
    if !layer.cell.is_gru() {
        let mut bound = device.bind::<5, 2, CellSequenceBackward>(reads, writes)?;
        return parts(device, &p).iter().rev().try_for_each(|p| bound.run(&CellSequenceBackward(*p)));
    }
    if layer.plan == Plan::Whole {
        let mut bound = device.bind::<5, 2, GruSequenceBackward>(reads, writes)?;
        return parts(device, &p).iter().rev().try_for_each(|p| bound.run(&GruSequenceBackward(*p)));
    }
    let mut bound = device.bind::<5, 2, GruStepBackward>(reads, writes)?;
    let mut reset = device.bind::<4, 2, GruResetBackward>([packed, marks, state, saved], writes)?;
    for step in 0..=p.steps {
        bound.run(&GruStepBackward(Plain { step, ..p }))?;
        if layer.cell == Cell::GruResetBefore && step < p.steps {
            reset.run(&GruResetBackward(Plain { step, ..p }))?;
        }
    }
    Ok(())
}
