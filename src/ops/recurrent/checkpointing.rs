//! Gradient checkpointing: splits a layer into chunks of about √T steps and keeps only the states between them. The
//! backward pass recomputes each chunk before it backpropagates through it.

use std::ops::Range;

use super::{Backward, Layer, Reads, Weights};
use crate::error::Result;
use crate::kernels::{BinaryOp, Copy};
use crate::ops::{elementwise, movement};
use crate::tensor::Tensor;

/// For each direction, the packed matrix, and the state `[1, B, width]` before each chunk in the order of execution.
pub struct States(Vec<(Tensor, Vec<Tensor>)>);

impl Layer {
    /// Returns a layer with only direction `d` and the steps of a chunk.
    fn part(&self, d: usize, steps: usize) -> Self {
        Self { steps, directions: 1, reverse: self.order().is_reverse(d), ..*self }
    }

    /// Returns the chunks of direction `d` in the order of execution.
    fn chunks(&self, d: usize) -> Vec<Range<usize>> {
        let len = (self.steps as f64).sqrt().ceil() as usize;
        let mut all: Vec<_> = (0..self.steps).step_by(len).map(|t| t..(t + len).min(self.steps)).collect();
        if self.order().is_reverse(d) {
            all.reverse();
        }
        all
    }

    /// Like [`Layer::forward`], but keeps only the states between chunks. Returns the output, the last states, and
    /// these.
    pub fn forward_checkpointed(
        &self,
        reads: &Reads,
        first: &Tensor,
        weights: &[Weights],
    ) -> Result<([Tensor; 2], States)> {
        let width = self.directions * self.out;
        let y = Tensor::empty("recurrent", reads.x.device(), &[self.steps, self.batch, width])?;
        let (mut states, mut last) = (Vec::new(), Vec::new());
        for (d, w) in weights.iter().enumerate() {
            let w = std::slice::from_ref(w);
            let packed = self.part(d, 1).pack(w)?;
            let (mut before, mut state) = (Vec::new(), movement::slice(first, 0, d..d + 1)?);
            for steps in self.chunks(d) {
                let run = self.part(d, steps.len()).forward(&reads.part(&steps)?, &state, w, &packed, false)?;
                y.device().run(&self.columns(d, &steps).into_whole(), [&run.y], [&y])?;
                before.push(std::mem::replace(&mut state, run.last));
            }
            states.push((packed, before));
            last.push(state);
        }
        let last = movement::concat(&last.iter().collect::<Vec<_>>(), 0)?;
        Ok(([y, last], States(states)))
    }

    /// Like [`Layer::backward`], but from the states that [`forward_checkpointed`](Self::forward_checkpointed) kept.
    pub fn backward_checkpointed(
        &self,
        reads: &Reads,
        weights: &[Weights],
        states: &States,
        dy: &Tensor,
        d_last: &Tensor,
    ) -> Result<Backward> {
        let dx = Tensor::empty("recurrent_backward", dy.device(), reads.x.dims())?;
        let (mut sums, mut d_first) = (Vec::new(), Vec::new());
        for (d, (w, (packed, before))) in weights.iter().zip(&states.0).enumerate() {
            let w = std::slice::from_ref(w);
            let mut sum: Option<Vec<Tensor>> = None;
            let mut d_state = movement::slice(d_last, 0, d..d + 1)?;
            for (steps, state) in self.chunks(d).into_iter().zip(before).rev() {
                let (part, reads) = (self.part(d, steps.len()), reads.part(&steps)?);
                let run = part.forward(&reads, state, w, packed, true)?;
                let dy_part = Tensor::empty("recurrent_backward", dy.device(), run.y.dims())?;
                dy.device().run(&self.columns(d, &steps).into_part(), [dy], [&dy_part])?;
                let grads = part.backward(&reads, w, &run, &dy_part, &d_state)?;
                let mut dx_part = grads.dx;
                if d > 0 {
                    let of_others = movement::slice(&dx, 0, steps.clone())?;
                    dx_part = elementwise::binary(BinaryOp::Add, &of_others, &dx_part)?;
                }
                movement::write_slice(&dx_part, &dx, 0, steps.start)?;
                let fresh = grads.weights.into_iter().flatten();
                sum = Some(match sum {
                    None => fresh.collect(),
                    Some(sum) => {
                        let add = |(sum, fresh): (&Tensor, Tensor)| elementwise::binary(BinaryOp::Add, sum, &fresh);
                        sum.iter().zip(fresh).map(add).collect::<Result<_>>()?
                    }
                });
                d_state = grads.d_first;
            }
            sums.push(sum.unwrap_or_default());
            d_first.push(d_state);
        }
        let d_first = movement::concat(&d_first.iter().collect::<Vec<_>>(), 0)?;
        Ok(Backward { dx, d_first, weights: sums })
    }

    /// Locates the outputs of direction `d` at `steps` within the layer's output.
    fn columns(&self, d: usize, steps: &Range<usize>) -> Columns {
        let [len, batch, out, all] = [steps.len(), self.batch, self.out, self.directions * self.out].map(|n| n as u32);
        let offset = (steps.start * self.batch * self.directions + d) * self.out;
        Columns {
            dims: [1, len, batch, out],
            part: [0, batch * out, out, 1],
            whole: [0, batch * all, all, 1],
            offset: offset as u32,
        }
    }
}

/// Strides of the outputs of a chunk `[steps, B, out]`, alone and within those of all steps and directions.
struct Columns {
    dims: [u32; 4],
    part: [u32; 4],
    whole: [u32; 4],
    offset: u32,
}

impl Columns {
    fn into_whole(self) -> Copy {
        let Self { dims, part, whole, offset } = self;
        Copy { dims, src_strides: part, dst_strides: whole, src_offset: 0, dst_offset: offset }
    }

    fn into_part(self) -> Copy {
        let Self { dims, part, whole, offset } = self;
        Copy { dims, src_strides: whole, dst_strides: part, src_offset: offset, dst_offset: 0 }
    }
}

impl Reads {
    fn part(&self, steps: &Range<usize>) -> Result<Self> {
        let x = movement::slice(&self.x, 0, steps.clone())?;
        Ok(Self { x, marks: movement::slice(&self.marks, 0, steps.clone())?, ..*self })
    }
}
