//! Forward variables and loss of connectionist temporal classification

use super::Ctc;
use super::ctc::{Sequence, log_add3};
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};
use crate::math::{LOW, at_least_low};

params! {
    /// Runs all steps of all sequences in one dispatch, with a workgroup per sequence:
    ///
    /// ```text
    /// α_t(s) = log p_t(l_s) + log(e^α_{t−1}(s) + e^α_{t−1}(s−1) + [may skip] e^α_{t−1}(s−2)), minus its maximum over s
    /// loss = −(sum of the maxima) − log(e^α_T(last) + e^α_T(last − 1))
    /// ```
    ///
    /// Reads `targets`, `lengths` and `log_probs`; writes `alpha` within each sequence's steps and positions, `loss`
    /// and `feasible` `[B]`. If no path fits, the loss is infinite, or 0 with `zero_infinity`. A label `≥ classes`
    /// gives NaN. Shapes: [`kernels::ctc`](super::ctc).
    pub struct CtcAlpha(pub Ctc);
}

impl Kernel<3, 3> for CtcAlpha {
    shader!(
        "ctc_alpha", ["common/ctc", "common/low", "common/nan", "common/ctc_path"],
        [targets: u32, lengths: u32, log_probs] -> [alpha, loss, feasible]
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

    fn lens(&self) -> ([usize; 3], [usize; 3]) {
        let ([targets, lengths], batch) = (self.0.index_lens(), self.0.batch as usize);
        ([targets, lengths, self.0.probs_len()], [self.0.rows_len(), batch, batch])
    }

    fn run(&self, [targets, lengths, log_probs]: [&[f32]; 3], [alpha, loss, feasible]: [&mut [f32]; 3]) {
        for b in 0..self.0.batch as usize {
            let q = Sequence::of(&self.0, targets, lengths, b);
            let mut level = 0.0;
            for t in 0..q.steps {
                let row = self.0.row_at(t, b);
                let mut top = LOW;
                for s in 0..q.positions {
                    let v = at_least_low(arrive(&q, alpha, t, s) + q.log_prob(log_probs, t, q.class_at(s)));
                    alpha[row + s] = v;
                    top = if v > top { v } else { top };
                }
                alpha[row..row + q.positions].iter_mut().for_each(|v| *v -= top);
                level += top;
            }
            let mut total = if q.positions == 1 { 0.0 } else { LOW };
            if q.steps > 0 {
                let last = self.0.row_at(q.steps - 1, b) + q.positions - 1;
                let before = if q.positions > 1 { alpha[last - 1] } else { LOW };
                total = level + log_add3(alpha[last], before, LOW);
            }
            let impossible = total < 0.5 * LOW;
            let infinity = if self.0.zero_infinity == 1 { 0.0 } else { f32::INFINITY };
            loss[b] = if impossible { infinity } else { -total };
            feasible[b] = if impossible { 0.0 } else { 1.0 };
        }
    }
}

/// `log Σ e^α` over the predecessors of position `s` at step `t − 1`.
fn arrive(q: &Sequence, alpha: &[f32], t: usize, s: usize) -> f32 {
    if t == 0 {
        return if s < 2 { 0.0 } else { LOW };
    }
    let at = q.p.row_at(t - 1, q.b) + s;
    let one = if s >= 1 { alpha[at - 1] } else { LOW };
    let two = if q.may_skip(s) { alpha[at - 2] } else { LOW };
    log_add3(alpha[at], one, two)
}
