//! Backward pass of a GRU cell

use super::cell::CellStep;
use super::marks::VALID;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl, words};

params! {
    /// Gradients of [`GruCell`](super::GruCell): the whole cell (`half = 0`, reset after) or its halves (reset before):
    ///
    /// ```text
    /// δn = dh̃⊙(1 − z)⊙f_n'    δz = dh̃⊙(h − n)⊙f_z'    carry += dh̃⊙z
    /// reset after:   δr = δn⊙c⊙f_r'    δc = δn⊙r
    /// reset before:  q = U_nᵀ·δn computed between the halves    δr = q⊙h⊙f_r'    q = q⊙r
    /// ```
    ///
    /// Reads `marks`, `state` (in the second half, as it entered the recurrent product), `saved` and `d_fresh`; writes
    /// its step of `d_gates` (0 where the step is masked), updates the first part of `carry` and, in the second half,
    /// `q` `[D, B, H]`. Shapes: [`kernels::cell`](super::cell).
    pub struct GruCellBackward(pub CellStep);
}

impl Kernel<4, 3> for GruCellBackward {
    const NAME: &'static str = "gru_cell_backward";
    const WGSL: &'static [&'static str] = wgsl!(
        "common/linear",
        "common/activation",
        "common/nan",
        "common/activate",
        "common/marks",
        "common/time",
        "common/cell",
        "gru_cell_backward"
    );
    const READS: [&'static str; 4] = ["marks", "state", "saved", "d_fresh"];
    const WRITES: [&'static str; 3] = ["d_gates", "carry", "q"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 7, 4)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 4], [usize; 3]) {
        let p = &self.0;
        let one = p.rows() * p.hidden as usize;
        let q = if p.half == 2 { one } else { 0 };
        ([p.marks_len(), p.state_len(), p.saved_len(), one], [p.d_gates_len(), one, q])
    }

    fn run(&self, [marks, state, saved, d_fresh]: [&[f32]; 4], [d_gates, carry, q]: [&mut [f32]; 3]) {
        let p: &CellStep = &self.0;
        let h = p.hidden as usize;
        for (i, (d, row, unit)) in p.units().enumerate() {
            let t = p.order().time_of(d, (p.steps - 1 - p.step) as usize);
            let at = p.d_gates_at(d, t, row) + unit;
            if words(marks)[t * p.batch as usize + row] & VALID == 0 {
                (0..4).for_each(|gate| d_gates[at + gate * h] = 0.0);
                continue;
            }
            let s = p.saved_at(d, t, row) + unit;
            let old = state[p.state_at(d, p.order().before(d, t), row) + unit];
            let r = saved[s];
            if p.half == 2 {
                d_gates[at] = q[i] * old * saved[s + 4 * h];
                q[i] *= r;
                continue;
            }
            let (z, n) = (saved[s + h], saved[s + 2 * h]);
            let dn = d_fresh[i] * (1.0 - z) * saved[s + 6 * h];
            d_gates[at] = dn * saved[s + 3 * h] * saved[s + 4 * h];
            d_gates[at + h] = d_fresh[i] * (old - n) * saved[s + 5 * h];
            d_gates[at + 2 * h] = dn;
            d_gates[at + 3 * h] = dn * r;
            carry[i] += d_fresh[i] * z;
        }
    }
}
