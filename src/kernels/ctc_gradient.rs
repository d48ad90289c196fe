//! Gradient of the loss of connectionist temporal classification

use super::Ctc;
use super::ctc::Sequence;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};

params! {
    /// Gradient of the loss with respect to `log_probs`, from each class's share of the paths at each step:
    ///
    /// ```text
    /// dlog_probs[t, b, c] = −dloss[b]·Σ_{s: l_s = c} occupancy[t, b, s] / Σ_s occupancy[t, b, s]
    /// ```
    ///
    /// Reads `targets`, `lengths`, `occupancy`, `feasible` and `dloss` `[B]`; writes `dlog_probs` `[T, B, C]`: 0 past a
    /// sequence's steps. If no path fits: NaN, or 0 with `zero_infinity`. Shapes: [`kernels::ctc`](super::ctc).
    pub struct CtcGradient(pub Ctc);
}

impl Kernel<5, 1> for CtcGradient {
    shader!(
        "ctc_gradient", ["common/linear", "common/ctc"],
        [targets: u32, lengths: u32, occupancy, feasible, dloss] -> [dlog_probs]
    );

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME)
    }

    fn loops(&self) -> u64 {
        2 * u64::from(self.0.labels) + 1
    }

    fn lens(&self) -> ([usize; 5], [usize; 1]) {
        let ([targets, lengths], batch) = (self.0.index_lens(), self.0.batch as usize);
        ([targets, lengths, self.0.rows_len(), batch, batch], [self.0.probs_len()])
    }

    fn run(&self, [targets, lengths, occupancy, feasible, dloss]: [&[f32]; 5], [dlog_probs]: [&mut [f32]; 1]) {
        let (batch, classes) = (self.0.batch as usize, self.0.classes as usize);
        let rows = dlog_probs.chunks_exact_mut(classes).take(self.0.steps as usize * batch);
        for (i, dx) in rows.enumerate() {
            let (t, b) = (i / batch, i % batch);
            let q = Sequence::of(&self.0, targets, lengths, b);
            dx.fill(0.0);
            if t >= q.steps || (feasible[b] == 0.0 && self.0.zero_infinity == 1) {
                continue;
            }
            let row = self.0.row_at(t, b);
            let mut total = 0.0;
            for (s, &share) in occupancy[row..row + q.positions].iter().enumerate() {
                total += share;
                if let Some(hit) = dx.get_mut(q.class_at(s) as usize) {
                    *hit += share;
                }
            }
            for v in dx {
                *v = if feasible[b] == 0.0 { f32::NAN } else { -dloss[b] * (*v / total) };
            }
        }
    }
}
