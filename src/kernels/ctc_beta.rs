//! Backward variables of connectionist temporal classification

use super::Ctc;
use super::ctc::{Sequence, log_add3};
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};
use crate::math::{LOW, at_least_low};

params! {
    /// Runs all steps of all sequences in one dispatch, with a workgroup per sequence:
    ///
    /// ```text
    /// γ(s) = β_{t+1}(s) + log p_{t+1}(l_s)
    /// β_t(s) = log(e^γ(s) + e^γ(s+1) + [may skip] e^γ(s+2)), minus max (α_t + β_t)
    /// occupancy_t(s) = e^(α_t(s) + β_t(s))
    /// ```
    ///
    /// Reads `targets`, `lengths`, `log_probs` and `alpha`; writes `beta` and `occupancy` within each sequence's steps
    /// and positions. Shapes: [`kernels::ctc`](super::ctc).
    pub struct CtcBeta(pub Ctc);
}

impl Kernel<4, 2> for CtcBeta {
    shader!(
        "ctc_beta", ["common/ctc", "common/low", "common/nan", "common/ctc_path"],
        [targets: u32, lengths: u32, log_probs, alpha] -> [beta, occupancy]
    );

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.step_loops().saturating_mul(self.0.steps.into())
    }

    fn groups(&self) -> [u32; 3] {
        [self.0.batch, 1, 1]
    }

    fn lens(&self) -> ([usize; 4], [usize; 2]) {
        let ([targets, lengths], rows) = (self.0.index_lens(), self.0.rows_len());
        ([targets, lengths, self.0.probs_len(), rows], [self.0.beta_len(), rows])
    }

    fn run(&self, [targets, lengths, log_probs, alpha]: [&[f32]; 4], [beta, occupancy]: [&mut [f32]; 2]) {
        for b in 0..self.0.batch as usize {
            let q = Sequence::of(&self.0, targets, lengths, b);
            for t in (0..q.steps).rev() {
                let (row, row_beta) = (self.0.row_at(t, b), self.0.row_at(t % 2, b));
                let mut top = LOW + LOW;
                for s in 0..q.positions {
                    let v = at_least_low(leave(&q, beta, log_probs, t, s));
                    beta[row_beta + s] = v;
                    let both = alpha[row + s] + v;
                    top = if both > top { both } else { top };
                }
                for s in 0..q.positions {
                    let v = beta[row_beta + s];
                    occupancy[row + s] = ((alpha[row + s] + v) - top).exp();
                    beta[row_beta + s] = v - top;
                }
            }
        }
    }
}

/// `log Σ e^γ` over the successors of position `s` at step `t + 1`.
fn leave(q: &Sequence, beta: &[f32], log_probs: &[f32], t: usize, s: usize) -> f32 {
    if t + 1 == q.steps {
        return if s + 2 >= q.positions { 0.0 } else { LOW };
    }
    let go_on = |s: usize| beta[q.p.row_at((t + 1) % 2, q.b) + s] + q.log_prob(log_probs, t + 1, q.class_at(s));
    let one = if s + 1 < q.positions { go_on(s + 1) } else { LOW };
    let two = if s + 2 < q.positions && q.may_skip(s + 2) { go_on(s + 2) } else { LOW };
    log_add3(go_on(s), one, two)
}
