//! The sequence engine: turns one recurrent layer into a plan and runs it, forward and backward.
//!
//! The input product of all steps is one GEMM before the plan, the weight gradients are GEMMs after it; the serial
//! loop in between, which only the cell knows, is `gru.rs`.

mod gru;
mod plan;

pub use plan::Plan;

use super::linalg::product;
use super::reduce::{SumOptions, sum_into};
use crate::error::{Error, Result};
use crate::kernels::{Copy, Gru, GruPack, MatMul};
use crate::tensor::Tensor;

/// The recurrent cell of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A GRU whose reset gate acts after the recurrent product: PyTorch, Keras `reset_after=True`, ONNX 1.
    GruResetAfter,
    /// A GRU whose reset gate acts before the recurrent product: Cho 2014, Keras `reset_after=False`, ONNX 0.
    GruResetBefore,
}

/// One recurrent layer, time-first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub cell: Cell,
    pub steps: usize,
    pub batch: usize,
    pub input: usize,
    pub hidden: usize,
    pub directions: usize,
    pub reverse: bool,
    pub plan: Plan,
}

/// Parameters of one direction, in PyTorch's layout.
#[derive(Clone)]
pub(crate) struct Weights {
    /// `[3H, I]`
    pub w_ih: Tensor,
    /// `[3H, H]`
    pub w_hh: Tensor,
    /// `[3H]`, `b_ih` and `b_hh`
    pub bias: Option<(Tensor, Tensor)>,
}

impl Weights {
    /// The tensors, in PyTorch's order.
    pub fn list(&self) -> Vec<Tensor> {
        let bias = self.bias.iter().flat_map(|(ih, hh)| [ih.clone(), hh.clone()]);
        [self.w_ih.clone(), self.w_hh.clone()].into_iter().chain(bias).collect()
    }

    /// The same weights, off the tape.
    pub fn detach(&self) -> Self {
        let bias = self.bias.as_ref().map(|(ih, hh)| (ih.detach(), hh.detach()));
        Self { w_ih: self.w_ih.detach(), w_hh: self.w_hh.detach(), bias }
    }
}

/// What a forward pass leaves.
pub(crate) struct Forward {
    /// `[T, B, D·H]`
    pub y: Tensor,
    /// `[D, B, H]`
    pub h_n: Tensor,
    /// For backward: the states between the steps, and the gates (a stub unless they were asked for).
    pub state: Tensor,
    pub saved: Tensor,
}

/// What a backward pass gives.
pub(crate) struct Backward {
    pub dx: Tensor,
    pub dh0: Tensor,
    /// Per direction: `w_ih`, `w_hh`, `b_ih`, `b_hh`.
    pub weights: Vec<[Tensor; 4]>,
}

impl Layer {
    fn kernel(&self, save: bool) -> Gru {
        let [steps, batch, hidden, directions] =
            [self.steps, self.batch, self.hidden, self.directions].map(|n| n as u32);
        let reset_before = (self.cell == Cell::GruResetBefore) as u32;
        Gru { steps, batch, hidden, directions, reverse: self.reverse as u32, step: 0, reset_before, save: save as u32 }
    }

    fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// First element of the states that direction `d` starts its steps from, in the order of time.
    fn states_before(&self, d: usize) -> usize {
        let p = self.kernel(false);
        p.state_at(d, p.before(d, 0), 0)
    }

    /// Slot of the first and of the last state of direction `d`.
    fn ends(&self, d: usize) -> (usize, usize) {
        if self.kernel(false).is_reverse(d) { (self.steps, 0) } else { (0, self.steps) }
    }

    /// Packs the recurrent matrices of all directions.
    pub fn pack(&self, weights: &[Weights], transposed: bool) -> Result<Tensor> {
        let device = weights[0].w_hh.device();
        let depth = self.hidden + 1 - transposed as usize;
        let packed = Tensor::empty("gru_pack", device, &[self.kernel(false).packed_len(depth)])?;
        let zeros = Tensor::zeros(device, &[3 * self.hidden])?;
        for (d, w) in weights.iter().enumerate() {
            let p = GruPack { hidden: self.hidden as u32, direction: d as u32, transposed: transposed as u32 };
            let bias = w.bias.as_ref().map_or(&zeros, |(_, hh)| hh);
            device.run(&p, [&w.w_hh, bias], [&packed])?;
        }
        Ok(packed)
    }

    /// Runs the layer on `x` `[T, B, I]` from `h0` `[D, B, H]`.
    pub fn forward(
        &self,
        x: &Tensor,
        h0: &Tensor,
        lengths: &Tensor,
        weights: &[Weights],
        packed: &Tensor,
        save: bool,
    ) -> Result<Forward> {
        let device = x.device();
        let p = self.kernel(save);
        let (rows, gates, one) = (self.rows(), 3 * self.hidden, self.batch * self.hidden);
        let projected = Tensor::empty("gru", device, &[self.directions, rows, gates])?;
        for (d, w) in weights.iter().enumerate() {
            let c_offset = (d * rows * gates) as u32;
            let p = MatMul { c_offset, ..MatMul::new(rows, gates, self.input).b_transposed() };
            product(&p, x, &w.w_ih, w.bias.as_ref().map(|(ih, _)| ih), &projected)?;
        }
        let state = Tensor::empty("gru", device, &[self.directions, self.steps + 1, self.batch * self.hidden])?;
        for d in 0..self.directions {
            copy_words(h0, d * one, &state, p.state_at(d, self.ends(d).0, 0), one)?;
        }
        let y = Tensor::empty("gru", device, &[self.steps, self.batch, self.directions * self.hidden])?;
        let saved = Tensor::empty("gru", device, &[if gru::keeps_gates(self, save) { p.saved_len() } else { 1 }])?;
        gru::forward(self, p, [&projected, packed, lengths], [&state, &y, &saved])?;
        let h_n = Tensor::empty("gru", device, &[self.directions, self.batch, self.hidden])?;
        for d in 0..self.directions {
            copy_words(&state, p.state_at(d, self.ends(d).1, 0), &h_n, d * one, one)?;
        }
        Ok(Forward { y, h_n, state, saved })
    }

    /// Back-propagation through time from `dy` and `dh_n`.
    #[allow(clippy::too_many_arguments, reason = "what a forward pass left, and what came after it")]
    pub fn backward(
        &self,
        x: &Tensor,
        lengths: &Tensor,
        weights: &[Weights],
        state: &Tensor,
        saved: &Tensor,
        dy: &Tensor,
        dh_n: &Tensor,
    ) -> Result<Backward> {
        let device = x.device();
        let p = self.kernel(true);
        let packed = self.pack(weights, true)?;
        let d_gates = Tensor::empty("gru_backward", device, &[p.saved_len()])?;
        let carry = Tensor::empty("gru_backward", device, &[self.directions, self.batch, self.hidden])?;
        copy_words(dh_n, 0, &carry, 0, carry.len())?;
        gru::backward(self, p, [&packed, lengths, state, saved, dy], [&d_gates, &carry])?;

        let sums = Tensor::empty("gru_backward", device, &[self.directions, 4 * self.hidden])?;
        sum_into(&d_gates, [self.directions, self.rows(), 4 * self.hidden], SumOptions::default(), &sums, 0)?;
        let dx = Tensor::empty("gru_backward", device, x.dims())?;
        let mut grads = Vec::with_capacity(self.directions);
        for (d, w) in weights.iter().enumerate() {
            grads.push(self.weight_gradients(d, x, state, saved, &d_gates, &sums)?);
            let (a_offset, a_row) = (p.gates_at(d, 0, 0, 4) as u32, 4 * p.hidden);
            let product_dx = MatMul {
                a_offset,
                a_row,
                accumulate: (d > 0) as u32,
                ..MatMul::new(self.rows(), self.input, 3 * self.hidden)
            };
            product(&product_dx, &d_gates, &w.w_ih, None, &dx)?;
        }
        Ok(Backward { dx, dh0: carry, weights: grads })
    }

    /// `dW = ∂aᵀ·X`, `dU = ∂cᵀ·H` and the column sums, over all steps at once.
    fn weight_gradients(
        &self,
        d: usize,
        x: &Tensor,
        state: &Tensor,
        saved: &Tensor,
        d_gates: &Tensor,
        sums: &Tensor,
    ) -> Result<[Tensor; 4]> {
        let device = x.device();
        let (rows, h) = (self.rows(), self.hidden);
        let grad = |dims: &[usize]| Tensor::empty("gru_backward", device, dims);
        let first = self.kernel(true).gates_at(d, 0, 0, 4);
        // Columns `from..` of the gate gradients, transposed.
        let gates = |from: usize, m: usize, n: usize| MatMul {
            a_offset: (first + from) as u32,
            a_row: 1,
            a_col: 4 * h as u32,
            ..MatMul::new(m, n, rows)
        };
        let w_ih = grad(&[3 * h, self.input])?;
        product(&gates(0, 3 * h, self.input), d_gates, x, None, &w_ih)?;

        let w_hh = grad(&[3 * h, h])?;
        let b_offset = self.states_before(d) as u32;
        product(&MatMul { b_offset, ..gates(0, 2 * h, h) }, d_gates, state, None, &w_hh)?;
        let c_offset = (2 * h * h) as u32;
        let candidate = match self.cell {
            Cell::GruResetAfter => {
                product(&MatMul { b_offset, c_offset, ..gates(3 * h, h, h) }, d_gates, state, None, &w_hh)?;
                3 * h
            }
            Cell::GruResetBefore => {
                let (b_offset, b_row) = ((first + 3 * h) as u32, 4 * h as u32);
                product(&MatMul { b_offset, b_row, c_offset, ..gates(2 * h, h, h) }, d_gates, saved, None, &w_hh)?;
                2 * h
            }
        };

        let (b_ih, b_hh) = (grad(&[3 * h])?, grad(&[3 * h])?);
        for (from, to, dst, len) in [(0, 0, &b_ih, 3 * h), (0, 0, &b_hh, 2 * h), (candidate, 2 * h, &b_hh, h)] {
            copy_words(sums, d * 4 * h + from, dst, to, len)?;
        }
        Ok([w_ih, w_hh, b_ih, b_hh])
    }
}

/// `len` consecutive elements of `src` from `from` on, to `dst` from `to` on.
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

/// The `[B]` tensor of valid steps, checked.
pub(crate) fn check_lengths(op: &'static str, lengths: &[usize], batch: usize, steps: usize) -> Result<Vec<u32>> {
    if lengths.len() != batch {
        return Err(Error::shape(op, "lengths", format!("[{batch}]"), &[lengths.len()]));
    }
    if let Some(bad) = lengths.iter().find(|&&l| l == 0 || l > steps) {
        return Err(Error::value(op, "lengths", format!("1..={steps}"), bad));
    }
    Ok(lengths.iter().map(|&l| l as u32).collect())
}
