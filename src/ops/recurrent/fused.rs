//! Runs cells without options with fused kernels.

use std::ops::Range;

use half::{bf16, f16};

use super::{Layer, Plan, Weights};
use crate::cell::Cell;
use crate::device::Device;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernels::fused::by_kind;
use crate::kernels::{
    Fused, Pack, PackLow, RecurrentSequence, RecurrentSequenceBackward, RecurrentStep, RecurrentStepBackward,
    WeightDtype,
};
use crate::ops::adapters::rules;
use crate::precision::Precision;
use crate::tensor::Tensor;

/// The steps that a call runs, and the order of the directions: `reverse` and `lag` of [`Fused`].
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

fn kernel(layer: &Layer, save: bool, span: &Span) -> Fused {
    let [steps, batch, hidden, directions] =
        [layer.steps, layer.batch, layer.hidden, layer.directions].map(|n| n as u32);
    let [step, count, lag] = [span.steps.start, span.steps.len(), span.lag].map(|n| n as u32);
    let cell = layer.cell as u32;
    // The halves of a step of the chain pass their gates in `saved`.
    let save = (save || has_halves(layer)) as u32;
    let reverse = span.reverse;
    Fused { steps, batch, hidden, directions, reverse, step, count, lag, cell, save, ..Fused::default() }
}

/// Returns `p` with the shader that the rules choose.
fn ruled(device: &Device, layer: &Layer, p: Fused) -> Fused {
    let sizes = [layer.batch, layer.hidden, layer.directions];
    let is_split = layer.plan.shares_sums(&rules(device), sizes);
    Fused { shader: if is_split { Fused::SPLIT } else { Fused::PLAIN }, ..p }
}

/// Whether a step takes two dispatches.
fn has_halves(layer: &Layer) -> bool {
    layer.cell == Cell::GruResetBefore && layer.plan == Plan::Chain
}

/// Returns the parameters of a kernel that runs all steps of a layer.
fn whole(layer: &Layer, save: bool) -> Fused {
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

type Forward = fn(&Layer, Fused, [&Tensor; 3], [&Tensor; 3]) -> Result<()>;

impl Format {
    pub const F32: Self = Self {
        precision: Precision::F32,
        pack: |layer, weights| pack(layer, weights, false),
        forward: forward_by::<f32>,
    };

    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 | Precision::Auto => Self::F32,
            Precision::F16 => Self { precision, pack: pack_low::<f16>, forward: forward_by::<f16> },
            Precision::Bf16 => Self { precision, pack: pack_low::<bf16>, forward: forward_by::<bf16> },
            Precision::Int8 => Self { precision, pack: pack_low::<i8>, forward: forward_by::<i8> },
        }
    }
}

fn pack_low<W: WeightDtype>(layer: &Layer, weights: &[Weights]) -> Result<Tensor> {
    let device = weights[0].w_hh.device();
    let gates = layer.cell.gates();
    let packed = whole(layer, false).packed_len([W::depth(layer.hidden), gates]);
    let packed = Tensor::empty("pack_low", device, &[packed])?;
    let zeros = Tensor::zeros(device, &[gates * layer.hidden])?;
    for (d, w) in weights.iter().enumerate() {
        let bias = w.bias.as_ref().map_or(&zeros, |(_, hh)| hh);
        device.run(&PackLow::new::<W>(layer.hidden, gates, d), [&w.w_hh, bias], [&packed])?;
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
    let p = whole(layer, save);
    Tensor::empty("recurrent", device, &[if p.save == 1 { p.saved_len() } else { 1 }])
}

/// Computes `state`, `y` and `saved` from the projected input `x`, `packed` and `marks`.
pub fn forward(layer: &Layer, reads: [&Tensor; 3], writes: [&Tensor; 3], save: bool, span: Span) -> Result<()> {
    (layer.format.forward)(layer, ruled(reads[0].device(), layer, kernel(layer, save, &span)), reads, writes)
}

fn forward_by<W: WeightDtype>(layer: &Layer, p: Fused, reads: [&Tensor; 3], writes: [&Tensor; 3]) -> Result<()> {
    by_kind!(layer.cell, C => forward_of::<C, W>(layer, p, reads, writes))
}

fn forward_of<const C: usize, W: WeightDtype>(
    layer: &Layer,
    p: Fused,
    reads: [&Tensor; 3],
    writes: [&Tensor; 3],
) -> Result<()> {
    let device = reads[0].device();
    if layer.plan == Plan::Whole {
        let variant = RecurrentSequence::<C, W>::from(p).variant();
        let mut bound = device.bind::<3, 3, RecurrentSequence<C, W>>(variant, reads, writes)?;
        return parts(device, &p).iter().try_for_each(|p| bound.run(&(*p).into()));
    }
    let mut bound = device.bind::<3, 3, RecurrentStep<C, W>>(p.shader as usize, reads, writes)?;
    for step in p.step..p.step + p.count {
        for half in 0..=has_halves(layer) as u32 {
            bound.run(&Fused { step, half, ..p }.into())?;
        }
    }
    Ok(())
}

/// Splits the steps of the plan *whole* into as few dispatches as the limit of loop iterations on a GPU allows.
fn parts(device: &Device, p: &Fused) -> Vec<Fused> {
    let most = if device.is_gpu() { p.most_steps() } else { usize::MAX };
    let (first, end) = (p.step as usize, (p.step + p.count) as usize);
    let part = |step: usize| Fused { step: step as u32, count: (end - step).min(most) as u32, ..*p };
    (first..end).step_by(most).map(part).collect()
}

/// Computes `d_gates` from `marks`, `state`, `saved` and `dy`, and turns `carry` from `dh_n` into `dh0`.
pub fn backward(layer: &Layer, weights: &[Weights], reads: [&Tensor; 4], writes: [&Tensor; 2]) -> Result<()> {
    let packed = &pack(layer, weights, true)?;
    let [marks, state, saved, dy] = reads;
    by_kind!(layer.cell, C => backward_of::<C>(layer, [packed, marks, state, saved, dy], writes))
}

fn backward_of<const C: usize>(layer: &Layer, reads: [&Tensor; 5], writes: [&Tensor; 2]) -> Result<()> {
    let device = reads[0].device();
    let p = ruled(device, layer, whole(layer, true));
    if layer.plan == Plan::Whole {
        let mut bound = device.bind::<5, 2, RecurrentSequenceBackward<C>>(p.shader as usize, reads, writes)?;
        return parts(device, &p).iter().rev().try_for_each(|p| bound.run(&RecurrentSequenceBackward(*p)));
    }
    let mut bound = device.bind::<5, 2, RecurrentStepBackward<C>>(p.shader as usize, reads, writes)?;
    for step in 0..=p.steps {
        for half in 0..=(has_halves(layer) && step < p.steps) as u32 {
            bound.run(&RecurrentStepBackward(Fused { step, half, ..p }))?;
        }
    }
    Ok(())
}
