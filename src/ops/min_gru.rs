//! The minimal GRU: gates of all steps at once, and a recurrence that is linear in the state.

use super::{elementwise, movement};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{BinaryOp, MinGruBackward, MinGruGates, Scan, ScanChunks};
use crate::tensor::Tensor;

/// Invocations that keep a GPU busy.
const BUSY: usize = 1 << 14;
/// Least steps of a chunk.
const LEAST: usize = 32;

/// Steps that one invocation takes. A CPU takes all.
fn chunk(device: &Device, steps: usize, width: usize) -> usize {
    if !device.is_gpu() {
        return steps;
    }
    steps.div_ceil((BUSY / width).clamp(1, steps.div_ceil(LEAST)))
}

/// The states of `h_i = a_i·h_{i−1} + b_i`; `p` but for the chunk.
fn scan(p: Scan, a: &Tensor, b: &Tensor, h0: &Tensor) -> Result<Tensor> {
    let device = a.device();
    let h = Tensor::empty("scan", device, a.dims())?;
    let p = Scan { chunk: chunk(device, p.steps as usize, p.width as usize) as u32, ..p };
    if p.chunks() == 1 {
        device.run(&p, [a, b, h0, h0], [&h])?;
        return Ok(h);
    }
    let (chunks, width) = (p.chunks(), p.width as usize);
    let empty = || Tensor::empty("scan", device, &[chunks, width]);
    let (a_all, b_all, carry) = (empty()?, empty()?, empty()?);
    device.run(&ScanChunks(p), [a, b], [&a_all, &b_all])?;
    let over = Scan { steps: chunks as u32, chunk: chunks as u32, reverse: 0, lag: 0, exp: 0, ..p };
    device.run(&over, [&a_all, &b_all, h0, h0], [&carry])?;
    device.run(&p, [a, b, h0, &carry], [&h])?;
    Ok(h)
}

/// One direction of a layer.
#[derive(Clone)]
pub struct Direction {
    pub p: MinGruGates,
    /// `[B]`, valid steps.
    pub lengths: Tensor,
}

impl Direction {
    fn gates(&self, p: MinGruGates, k: &Tensor, v: &Tensor) -> Result<[Tensor; 2]> {
        let empty = || Tensor::empty("min_gru", k.device(), k.dims());
        let (a, b) = (empty()?, empty()?);
        k.device().run(&p, [k, v, &self.lengths], [&a, &b])?;
        Ok([a, b])
    }

    fn scan(&self) -> Scan {
        let MinGruGates { steps, reverse, log, .. } = self.p;
        Scan { steps, width: self.p.batch * self.p.hidden, chunk: steps, reverse, lag: 0, log, exp: log }
    }

    /// The states `[T, B, H]` from the pre-activations `k` and `v` and the first state `[B, H]`.
    pub fn forward(&self, k: &Tensor, v: &Tensor, h0: &Tensor) -> Result<Tensor> {
        let [a, b] = self.gates(self.p, k, v)?;
        scan(self.scan(), &a, &b, h0)
    }

    /// The gradients of `k`, `v` and, if `of_h0`, `h0` from those of the states `h`: the recurrence once more, from its
    /// end.
    pub fn backward(&self, [k, v, h0, h]: [&Tensor; 4], dh: &Tensor, of_h0: bool) -> Result<[Option<Tensor>; 3]> {
        let device = k.device();
        let [a, _] = self.gates(MinGruGates { log: 0, ..self.p }, k, v)?;
        let back = Scan { reverse: 1 - self.p.reverse, lag: 1, log: 0, exp: 0, ..self.scan() };
        let all = scan(back, &a, dh, &Tensor::zeros(device, h0.dims())?)?;
        let empty = || Tensor::empty("min_gru_backward", device, k.dims());
        let (dk, dv) = (empty()?, empty()?);
        device.run(&MinGruBackward(self.p), [k, v, &self.lengths, h0, h, &all], [&dk, &dv])?;
        if !of_h0 {
            return Ok([Some(dk), Some(dv), None]);
        }
        let first = if self.p.reverse == 1 { self.p.steps as usize - 1 } else { 0 };
        let at_first = |t: &Tensor| movement::slice(t, 0, first..first + 1);
        let dh0 = elementwise::binary(BinaryOp::Mul, &at_first(&a)?, &at_first(&all)?)?;
        Ok([Some(dk), Some(dv), Some(dh0.view("min_gru_backward", h0.dims())?)])
    }
}
