//! Runs a stack of layers as a wavefront: while one layer runs a chunk of steps, the next layer runs the chunk before
//! it. The layers are the directions of one fused kernel. All run forward, and each trails the one before by a chunk.
//!
//! ```text
//! wavefront       0     1     2     3          chunks of the steps by layer
//! layer 0    a     b     c
//! layer 1          a     b     c
//! ```
//!
//! A stack of L layers then takes T + (L − 1)·chunk sequential steps instead of L·T.

use super::{Layer, Plan, Reads, Weights, copy_words, fused};
use crate::device::Device;
use crate::error::Result;
use crate::kernels::fused::{BLOCK, FORWARD, MOST_LAYERS};
use crate::kernels::{Copy, MatMul};
use crate::ops::linalg::product;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Steps per chunk on a GPU. Long enough to amortize a chunk's product and dispatch, but short compared with the
/// sequence.
const CHUNK: usize = 32;
/// Multiplications per chunk on the CPU, for the same reason.
const WORK: usize = 8 << 20;
/// Minimum number of steps per chunk on the CPU.
const SHORT: usize = 16;
/// Minimum number of chunks in a sequence. With fewer, the layers overlap too briefly.
const CHUNKS: usize = 4;
/// Maximum number of sequences on a GPU. With more, one layer keeps the GPU busy. Not yet measured on hardware.
const BATCH: usize = 64;

/// Returns the number of steps per chunk if `layers` layers like this one should run as a wavefront.
pub fn chunk(device: &Device, layer: &Layer, layers: usize) -> Option<usize> {
    let fits = (2..=MOST_LAYERS).contains(&layers) && layer.directions == 1 && !layer.reverse;
    if !fits || layer.plan == Plan::Steps || !layer.stacks(layers) {
        return None;
    }
    let least = if device.is_gpu() {
        (layer.batch <= BATCH).then_some(CHUNK)?
    } else {
        // Only pays off if there are idle threads, which a larger batch would occupy.
        device.has_idle_threads(layer.batch).then_some((WORK / layer.step_work()).max(SHORT))?
    };
    let chunks = layer.steps / least;
    (chunks >= CHUNKS).then(|| {
        let mut chunk = layer.steps.div_ceil(chunks);
        // Products of few rows use a different summation order, so results would depend on the number of threads.
        while (1..=SHORT).contains(&(layer.steps % chunk * layer.batch)) {
            chunk += 1;
        }
        chunk
    })
}

impl Layer {
    /// Returns the number of multiplications of a recurrent step.
    fn step_work(&self) -> usize {
        [self.hidden, self.hidden, self.batch].into_iter().fold(self.cell.gates(), usize::saturating_mul).max(1)
    }

    /// Whether the packed weights of `layers` layers fit in one buffer, and so do their states and gates of all steps.
    fn stacks(&self, layers: usize) -> bool {
        let (h, gates) = (self.hidden, self.cell.gates());
        let packed = [layers, h.next_multiple_of(BLOCK), h + 2, gates];
        let states = [layers, self.steps + 1, self.batch, 5 * h];
        [packed, states].iter().all(|dims| Shape::new("recurrent", dims).is_ok())
    }

    /// Returns this layer with `layers` layers as its directions.
    pub fn stacked(&self, layers: usize) -> Self {
        Self { directions: layers, ..*self }
    }

    /// Runs a stack of layers with the same cell as a wavefront, for inference only. `self` is the first layer.
    ///
    /// Starts from `first` `[L, B, width]`; `packed` holds the recurrent matrices of all layers. Returns `y`
    /// `[T, B, H]` and the last states `[L, B, width]`.
    pub fn forward_wavefront(
        &self,
        reads: &Reads,
        first: &Tensor,
        weights: &[Weights],
        packed: &Tensor,
        chunk: usize,
    ) -> Result<[Tensor; 2]> {
        let (device, layers, h) = (reads.x.device(), weights.len(), self.hidden);
        let (rows, gates, one) = (self.rows(), self.cell.gates() * h, self.batch * self.width());
        let all = self.stacked(layers);
        let projected = Tensor::empty("recurrent", device, &[layers, rows, gates])?;
        let state = Tensor::empty("recurrent", device, &[layers, self.steps + 1, one])?;
        let y = Tensor::empty("recurrent", device, &[rows, layers * h])?;
        let saved = fused::saved(&all, false, device)?;
        for l in 0..layers {
            copy_words(first, l * one, &state, self.slot_at(l, 0, self.width()), one)?;
        }
        let project =
            |p: &MatMul, x: &Tensor, w: &Weights| product(p, x, &w.w_ih, w.bias.as_ref().map(|(ih, _)| ih), &projected);
        project(&MatMul::new(rows, gates, self.input).b_transposed(), &reads.x, &weights[0])?;
        let end = self.steps + (layers - 1) * chunk;
        for from in (0..end).step_by(chunk) {
            for (l, w) in weights.iter().enumerate().skip(1) {
                let of_layer = |step: usize| step.saturating_sub(l * chunk).min(self.steps);
                let (begin, end) = (of_layer(from), of_layer(from + chunk));
                if begin == end {
                    continue;
                }
                let p = MatMul {
                    a_row: (layers * h) as u32,
                    a_offset: (begin * self.batch * layers * h + (l - 1) * h) as u32,
                    c_offset: ((l * rows + begin * self.batch) * gates) as u32,
                    ..MatMul::new((end - begin) * self.batch, gates, h).b_transposed()
                };
                project(&p, &y, w)?;
            }
            let span = fused::Span { steps: from..end.min(from + chunk), reverse: FORWARD, lag: chunk };
            fused::forward(&all, [&projected, packed, &reads.marks], [&state, &y, &saved], false, span)?;
        }
        let last = Tensor::empty("recurrent", device, &[layers, self.batch, self.width()])?;
        for l in 0..layers {
            copy_words(&state, self.slot_at(l, self.steps, self.width()), &last, l * one, one)?;
        }
        Ok([self.last_columns(&y, layers)?, last])
    }

    /// Copies the outputs of the last layer `[T, B, H]` from those of all layers `[T·B, L·H]`.
    fn last_columns(&self, y: &Tensor, layers: usize) -> Result<Tensor> {
        let out = Tensor::empty("recurrent", y.device(), &[self.steps, self.batch, self.hidden])?;
        let [rows, h, all] = [self.rows(), self.hidden, layers * self.hidden].map(|n| n as u32);
        let kernel = Copy {
            dims: [1, 1, rows, h],
            src_strides: [0, 0, all, 1],
            dst_strides: [0, 0, h, 1],
            src_offset: all - h,
            dst_offset: 0,
        };
        y.device().run(&kernel, [y], [&out])?;
        Ok(out)
    }
}
