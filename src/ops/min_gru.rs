//! A layer of minimal GRUs: pre-activations of all steps as products, and a recurrence that is linear in the state.

use super::linalg::product;
use super::movement;
use super::reduce::{SumOptions, sum_into};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{MatMul, MinGruChunks, MinGruChunksBackward, MinGruSequence, MinGruSequenceBackward, Scan};
use crate::tensor::Tensor;

/// Number of invocations that keeps a GPU busy.
const BUSY: usize = 1 << 14;
/// Minimum number of steps per chunk.
const LEAST: usize = 32;

/// Number of steps per invocation; on a CPU, all of them.
pub fn chunk(device: &Device, steps: usize, width: usize) -> usize {
    if !device.is_gpu() {
        return steps;
    }
    steps.div_ceil((BUSY / width).clamp(1, steps.div_ceil(LEAST)))
}

/// Returns the states before each chunk of `p`, `[chunks, width]`: `first`, then the states that follow from the affine
/// maps of the chunks, which `run` computes.
fn carry(p: &MinGruSequence, first: &Tensor, run: impl FnOnce([&Tensor; 2]) -> Result<()>) -> Result<Tensor> {
    let (device, chunks, width) = (first.device(), p.chunks(), p.width());
    if chunks == 1 {
        return Ok(first.clone());
    }
    let rows = |rows: usize| Tensor::empty("min_gru", device, &[rows, width]);
    let (a_all, b_all, after) = (rows(chunks)?, rows(chunks)?, rows(chunks - 1)?);
    run([&a_all, &b_all])?;
    let scan = Scan { steps: chunks as u32 - 1, width: width as u32, log: p.log };
    device.run(&scan, [&a_all, &b_all, first], [&after])?;
    movement::concat(&[&first.view("min_gru", &[1, width])?, &after], 0)
}

/// Weight `[H, I]` and bias `[H]` of `linear_z` or `linear_h`.
pub type Linear = (Tensor, Option<Tensor>);

/// One layer, time-first.
#[derive(Clone)]
pub struct Layer {
    pub p: MinGruSequence,
    /// `[B]`, valid steps.
    pub lengths: Tensor,
}

/// Results of a forward pass.
pub struct Forward {
    /// `[2·D, T, B, H]`, the pre-activations: `k` and `v` of each direction.
    kv: Tensor,
    /// `[T, B, D·H]`
    pub y: Tensor,
    /// `[D, B, H]`
    pub h_n: Tensor,
}

impl Layer {
    fn extents(&self) -> [usize; 4] {
        [self.p.directions, self.p.steps, self.p.batch, self.p.hidden].map(|n| n as usize)
    }

    /// Allocates the pre-activations.
    fn pairs(&self, device: &Device) -> Result<Tensor> {
        let [directions, steps, batch, hidden] = self.extents();
        Tensor::empty("min_gru", device, &[2 * directions, steps, batch, hidden])
    }

    /// Index of the first pre-activation of the `i`-th linear layer.
    fn part_at(&self, i: usize) -> u32 {
        let [_, steps, batch, hidden] = self.extents();
        (i * steps * batch * hidden) as u32
    }

    /// Runs the layer on `x` `[T, B, I]` and the initial states `[D, B, H]`; `linears` lists the linear layers by
    /// direction.
    pub fn forward(&self, x: &Tensor, h0: &Tensor, linears: &[Linear]) -> Result<Forward> {
        let (device, [directions, steps, batch, hidden]) = (x.device(), self.extents());
        let (rows, input) = (steps * batch, x.len() / (steps * batch));
        let kv = self.pairs(device)?;
        for (i, (weight, bias)) in linears.iter().enumerate() {
            let p = MatMul { c_offset: self.part_at(i), ..MatMul::new(rows, hidden, input).b_transposed() };
            product(&p, x, weight, bias.as_ref(), &kv)?;
        }
        let y = Tensor::empty("min_gru", device, &[steps, batch, directions * hidden])?;
        let h_n = Tensor::empty("min_gru", device, &[directions, batch, hidden])?;
        let carry = carry(&self.p, h0, |terms| device.run(&MinGruChunks(self.p), [&kv, &self.lengths], terms))?;
        device.run(&self.p, [&kv, &self.lengths, &carry], [&y, &h_n])?;
        Ok(Forward { kv, y, h_n })
    }

    /// Returns the gradients of the pre-activations and of `h0`, from those of `y` and `h_n`.
    pub fn backward(&self, run: &Forward, h0: &Tensor, [dy, d_last]: [&Tensor; 2]) -> Result<[Tensor; 2]> {
        let (device, p, kv, lengths) = (dy.device(), self.p, &run.kv, &self.lengths);
        let (d_kv, d_h0) = (self.pairs(device)?, Tensor::empty("min_gru", device, h0.dims())?);
        // Gradients are never logarithms.
        let plain = MinGruSequence { log: 0, ..p };
        let terms = |terms: [&Tensor; 2]| device.run(&MinGruChunksBackward(p), [kv, lengths, dy], terms);
        let carry = carry(&plain, d_last, terms)?;
        device.run(&MinGruSequenceBackward(p), [kv, lengths, h0, &run.y, dy, &carry], [&d_kv, &d_h0])?;
        Ok([d_kv, d_h0])
    }

    /// `dx = Σ d_kv·W`
    pub fn d_input(&self, d_kv: &Tensor, x: &Tensor, linears: &[Linear]) -> Result<Tensor> {
        let dx = Tensor::empty("min_gru", x.device(), x.dims())?;
        let [_, steps, batch, hidden] = self.extents();
        let rows = steps * batch;
        for (i, (weight, _)) in linears.iter().enumerate() {
            let (a_offset, accumulate) = (self.part_at(i), (i > 0) as u32);
            let p = MatMul { a_offset, accumulate, ..MatMul::new(rows, x.len() / rows, hidden) };
            product(&p, d_kv, weight, None, &dx)?;
        }
        Ok(dx)
    }

    /// `dW = d_kvᵀ·x` of the `i`-th linear layer.
    pub fn d_weight(&self, d_kv: &Tensor, x: &Tensor, i: usize) -> Result<Tensor> {
        let [_, steps, batch, hidden] = self.extents();
        let (rows, input) = (steps * batch, x.len() / (steps * batch));
        let dw = Tensor::empty("min_gru", x.device(), &[hidden, input])?;
        let p = MatMul { a_offset: self.part_at(i), ..MatMul::new(hidden, input, rows).a_transposed() };
        product(&p, d_kv, x, None, &dw)?;
        Ok(dw)
    }

    /// Returns the gradients of the biases of all linear layers, `[2·D, H]`.
    pub fn d_biases(&self, d_kv: &Tensor) -> Result<Tensor> {
        let [directions, steps, batch, hidden] = self.extents();
        let sums = Tensor::empty("min_gru", d_kv.device(), &[2 * directions, hidden])?;
        sum_into(d_kv, [2 * directions, steps * batch, hidden], SumOptions::default(), &sums, 0)?;
        Ok(sums)
    }
}
