//! The sequence engine: runs a recurrent layer by its plan, forward and backward.
//!
//! One GEMM projects the input of all steps before the serial loop, and GEMMs compute the weight gradients after it
//! (`gradients.rs`). `fused.rs` runs the loop for cells without options, `steps.rs` for all cells and options.
//! `checkpointing.rs` saves memory by running the layer in chunks of steps, at the cost of time. `wavefront.rs`
//! overlaps several layers.

mod checkpointing;
mod fused;
mod gradients;
mod plan;
mod steps;
mod wavefront;

pub(crate) use checkpointing::States;
pub(crate) use fused::Format;
pub use plan::Plan;
pub(crate) use wavefront::chunk;

use super::linalg::product;
use super::movement;
use crate::cell::Cell;
use crate::error::Result;
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID};
use crate::kernels::time::Order;
use crate::kernels::{Copy, MatMul, ValidRows};
use crate::math::Activation;
use crate::tensor::Tensor;

/// Random noise in the recurrence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    /// Zoneout probabilities of `h` and of the LSTM's `c`.
    pub zoneout: [f32; 2],
    /// Random key of zoneout during training. `None` uses its expected value instead, as in evaluation.
    pub zone_key: Option<[u32; 2]>,
    /// Probability and random key of recurrent dropout, during training.
    pub dropout: Option<(f32, [u32; 2])>,
}

/// One recurrent layer. Sequences are time-first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub cell: Cell,
    pub steps: usize,
    pub batch: usize,
    pub input: usize,
    pub hidden: usize,
    /// Width of the output: `hidden`, or the width of the projection.
    pub out: usize,
    pub directions: usize,
    pub reverse: bool,
    pub activations: [Activation; 5],
    /// Bound of the pre-activations.
    pub clip: Option<f32>,
    /// `f = 1 − i`
    pub input_forget: bool,
    pub peephole: bool,
    pub noise: Noise,
    pub plan: Plan,
    /// Format of the recurrent matrices in the fused kernels. Other than f32 only for inference on a GPU.
    pub format: Format,
}

/// Parameters of one direction, in PyTorch's layout.
#[derive(Clone)]
pub(crate) struct Weights {
    /// `[G·H, I]`
    pub w_ih: Tensor,
    /// `[G·H, out]`
    pub w_hh: Tensor,
    /// `b_ih` and `b_hh`, `[G·H]`
    pub bias: Option<(Tensor, Tensor)>,
    /// The projection, `[out, H]`
    pub w_hr: Option<Tensor>,
    /// Peephole weights of the gates i, f, o, `[3H]`
    pub peephole: Option<Tensor>,
}

impl Weights {
    /// Returns the tensors and their names, in PyTorch's order.
    pub fn list(&self) -> Vec<(&'static str, Tensor)> {
        let mut list = vec![("weight_ih", self.w_ih.clone()), ("weight_hh", self.w_hh.clone())];
        if let Some((ih, hh)) = &self.bias {
            list.extend([("bias_ih", ih.clone()), ("bias_hh", hh.clone())]);
        }
        list.extend(self.w_hr.iter().map(|w| ("weight_hr", w.clone())));
        list.extend(self.peephole.iter().map(|p| ("weight_peephole", p.clone())));
        list
    }

    /// Applies `f` to each tensor, in the order of [`list`](Self::list).
    pub fn map<E>(&self, mut f: impl FnMut(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        let (w_ih, w_hh) = (f(&self.w_ih)?, f(&self.w_hh)?);
        let bias = match &self.bias {
            Some((ih, hh)) => Some((f(ih)?, f(hh)?)),
            None => None,
        };
        let (w_hr, peephole) = (self.w_hr.as_ref().map(&mut f), self.peephole.as_ref().map(f));
        Ok(Self { w_ih, w_hh, bias, w_hr: w_hr.transpose()?, peephole: peephole.transpose()? })
    }
}

/// Inputs of a forward pass, besides the weights.
#[derive(Clone)]
pub(crate) struct Reads {
    /// `[T, B, I]`
    pub x: Tensor,
    /// Bits that describe each step, `[T, B]`
    pub marks: Tensor,
    /// Whether any step is masked. There, `x` must be 0 or finite if a backward pass follows.
    pub gaps: bool,
    /// Whether the caller provided the initial states. Those of a sequence without valid steps may be NaN.
    pub given: bool,
}

impl Reads {
    /// Returns the rows of all steps as a factor of a product: `width` elements each, `row` apart, starting at
    /// `offset`. The other factor is 0 at masked steps, so these rows must be finite. If they may not be, returns a
    /// copy with zeros there.
    fn rows(&self, x: &Tensor, offset: usize, row: usize, width: usize) -> Result<Rows> {
        if !(self.gaps && self.given) {
            return Ok(Rows { tensor: x.clone(), offset, row });
        }
        Ok(Rows { tensor: valid_rows(&self.marks, x, [offset, row, width])?, offset: 0, row: width })
    }
}

/// Rows of the steps within a tensor.
struct Rows {
    tensor: Tensor,
    offset: usize,
    row: usize,
}

/// Copies rows of `x`, with zeros at masked steps. Rows have `width` elements and are `row` apart, starting at
/// `offset`.
pub(crate) fn valid_rows(marks: &Tensor, x: &Tensor, [offset, row, width]: [usize; 3]) -> Result<Tensor> {
    let y = Tensor::empty("recurrent", x.device(), &[marks.len(), width])?;
    let [rows, width, src_row, src_offset] = [marks.len(), width, row, offset].map(|n| n as u32);
    x.device().run(&ValidRows { rows, width, src_row, src_offset }, [marks, x], [&y])?;
    Ok(y)
}

/// Results of a forward pass.
#[derive(Clone)]
pub(crate) struct Forward {
    /// Output `[T, B, D·out]`
    pub y: Tensor,
    /// State after the last step, `[D, B, width]`
    pub last: Tensor,
    /// States between the steps, for the backward pass.
    pub state: Tensor,
    /// Gates of every step, if saving was requested.
    pub saved: Tensor,
    /// Under recurrent dropout, the states that the recurrent product reads.
    pub dropped: Option<Tensor>,
}

/// Gradients from a backward pass.
pub(crate) struct Backward {
    pub dx: Tensor,
    /// Gradient of the initial state, `[D, B, width]`
    pub d_first: Tensor,
    /// Gradients of the weights per direction, in the order of [`Weights::list`].
    pub weights: Vec<Vec<Tensor>>,
}

impl Layer {
    fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// Returns the width of the state: `h`, for the LSTM `h` and `c`.
    pub fn width(&self) -> usize {
        self.out + if self.cell == Cell::Lstm { self.hidden } else { 0 }
    }

    fn order(&self) -> Order {
        Order { steps: self.steps, reverse: self.reverse as u32 }
    }

    /// Returns the slots of the first and of the last state of direction `d`.
    fn ends(&self, d: usize) -> (usize, usize) {
        if self.order().is_reverse(d) { (self.steps, 0) } else { (0, self.steps) }
    }

    /// Returns the index of the first element of `slot` in `[D, T + 1, B, width]`.
    fn slot_at(&self, d: usize, slot: usize, width: usize) -> usize {
        (d * (self.steps + 1) + slot) * self.batch * width
    }

    /// Returns the lengths of a row of `saved` and of a row of `d_gates`.
    fn row_lens(&self) -> (usize, usize) {
        let (saved, d_gates) = match (self.plan, self.cell) {
            (Plan::Whole | Plan::Chain, cell) => (cell.saved(), cell.gradients()),
            (Plan::Steps, Cell::Gru | Cell::GruResetBefore) => (7, 4),
            (Plan::Steps, Cell::Lstm) => (11, if self.peephole { 7 } else { 4 }),
            (Plan::Steps, Cell::Rnn | Cell::RnnRelu) => (2, 1),
        };
        (saved * self.hidden, d_gates * self.hidden)
    }

    /// Packs the recurrent matrices for the fused kernels. Returns a placeholder for other plans.
    pub fn pack(&self, weights: &[Weights]) -> Result<Tensor> {
        match self.plan {
            Plan::Steps => Tensor::empty("recurrent", weights[0].w_hh.device(), &[1]),
            _ => (self.format.pack)(self, weights),
        }
    }

    /// Runs the layer from `first` `[D, B, width]`. `save` keeps the gates for the backward pass.
    pub fn forward(
        &self,
        reads: &Reads,
        first: &Tensor,
        weights: &[Weights],
        packed: &Tensor,
        save: bool,
    ) -> Result<Forward> {
        let device = reads.x.device();
        let (rows, gates, width) = (self.rows(), self.cell.gates() * self.hidden, self.width());
        let projected = Tensor::empty("recurrent", device, &[self.directions, rows, gates])?;
        for (d, w) in weights.iter().enumerate() {
            let c_offset = (d * rows * gates) as u32;
            let p = MatMul { c_offset, ..MatMul::new(rows, gates, self.input).b_transposed() };
            product(&p, &reads.x, &w.w_ih, w.bias.as_ref().map(|(ih, _)| ih), &projected)?;
        }
        let one = self.batch * width;
        let state = Tensor::empty("recurrent", device, &[self.directions, self.steps + 1, one])?;
        for d in 0..self.directions {
            copy_words(first, d * one, &state, self.slot_at(d, self.ends(d).0, width), one)?;
        }
        let y = Tensor::empty("recurrent", device, &[self.steps, self.batch, self.directions * self.out])?;
        let (saved, dropped) = match self.plan {
            Plan::Steps => steps::forward(self, &projected, &reads.marks, weights, first, [&state, &y], save)?,
            _ => {
                let saved = fused::saved(self, save, device)?;
                let reads = [&projected, packed, &reads.marks];
                fused::forward(self, reads, [&state, &y, &saved], save, fused::Span::whole(self))?;
                (saved, None)
            }
        };
        let last = Tensor::empty("recurrent", device, &[self.directions, self.batch, width])?;
        for d in 0..self.directions {
            copy_words(&state, self.slot_at(d, self.ends(d).1, width), &last, d * one, one)?;
        }
        Ok(Forward { y, last, state, saved, dropped })
    }

    /// Backpropagates through time from `dy` and the gradient of the last state.
    pub fn backward(
        &self,
        reads: &Reads,
        weights: &[Weights],
        run: &Forward,
        dy: &Tensor,
        d_last: &Tensor,
    ) -> Result<Backward> {
        let device = reads.x.device();
        let d_gates = Tensor::empty("recurrent_backward", device, &[self.directions, self.rows(), self.row_lens().1])?;
        let carry = Tensor::zeros(device, &[2, self.directions, self.batch, self.width()])?;
        copy_words(d_last, 0, &carry, 0, d_last.len())?;
        let projections = match self.plan {
            Plan::Steps => steps::backward(self, reads, weights, run, dy, [&d_gates, &carry])?,
            _ => {
                fused::backward(self, weights, [&reads.marks, &run.state, &run.saved, dy], [&d_gates, &carry])?;
                Vec::new()
            }
        };
        gradients::collect(self, reads, weights, run, &d_gates, &carry, projections)
    }

    /// Returns the values of a gate `[T, B, D·H]` from a run that saved them.
    pub fn gate(&self, saved: &Tensor, gate: usize) -> Result<Tensor> {
        let (row, h) = (self.row_lens().0, self.hidden);
        let out = Tensor::empty("recurrent", saved.device(), &[self.steps, self.batch, self.directions * h])?;
        let [t, b, d, hidden] = [self.steps, self.batch, self.directions, h].map(|n| n as u32);
        let (row, all) = (row as u32, d * hidden);
        let kernel = Copy {
            dims: [d, t, b, hidden],
            src_strides: [t * b * row, b * row, row, 1],
            dst_strides: [hidden, b * all, all, 1],
            src_offset: gate as u32 * hidden,
            dst_offset: 0,
        };
        saved.device().run(&kernel, [saved], [&out])?;
        Ok(out)
    }
}

/// Copies `len` consecutive elements from index `from` of `src` to index `to` of `dst`.
fn copy_words(src: &Tensor, from: usize, dst: &Tensor, to: usize, len: usize) -> Result<()> {
    let strides = [0, 0, 0, 1];
    let kernel = Copy {
        dims: [1, 1, 1, len as u32],
        src_strides: strides,
        dst_strides: strides,
        src_offset: from as u32,
        dst_offset: to as u32,
    };
    src.device().run(&kernel, [src], [dst])
}

/// Returns the peephole weights of all directions `[D, 3H]`, or a placeholder if there are none.
fn peepholes(weights: &[Weights]) -> Result<Tensor> {
    match weights.iter().map(|w| w.peephole.as_ref()).collect::<Option<Vec<_>>>() {
        Some(parts) => movement::concat(&parts, 0),
        None => Ok(weights[0].w_hh.clone()),
    }
}

/// Which steps of a batch are valid, and where the state restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Schedule<'a> {
    /// `[B]`
    pub lengths: Option<&'a [usize]>,
    /// Valid steps, `[T, B]`
    pub mask: Option<&'a [bool]>,
    /// Steps before which a new sequence begins, `[T, B]`
    pub resets: Option<&'a [bool]>,
    /// Resets restart from the initial state instead of 0.
    pub to_first: bool,
    /// Masked steps output the state instead of 0.
    pub repeat: bool,
}

impl Schedule<'_> {
    /// Returns the `marks` `[T, B]`. The caller must have checked the lengths of the arguments.
    pub fn marks(&self, steps: usize, batch: usize) -> Vec<u32> {
        let valid = |t: usize, row: usize| {
            self.lengths.is_none_or(|l| t < l[row]) && self.mask.is_none_or(|m| m[t * batch + row])
        };
        let begins = |t: usize, row: usize| t > 0 && t < steps && self.resets.is_some_and(|r| r[t * batch + row]);
        let mut marks = vec![if self.to_first { TO_FIRST } else { 0 }; steps * batch];
        for row in 0..batch {
            for reverse in [false, true] {
                let mut seen = false;
                for step in 0..steps {
                    let t = if reverse { steps - 1 - step } else { step };
                    let mark = &mut marks[t * batch + row];
                    seen |= valid(t, row);
                    *mark |= if valid(t, row) { VALID } else { 0 };
                    // There is no output to repeat before the first valid step of a sequence.
                    *mark |= if self.repeat && seen { REPEAT << reverse as u32 } else { 0 };
                    let ends_here = begins(if reverse { t } else { t + 1 }, row);
                    *mark |= if ends_here { RESET << reverse as u32 } else { 0 };
                    seen &= !ends_here;
                }
            }
        }
        marks
    }
}
