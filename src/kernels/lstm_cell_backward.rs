//! Backward pass of an LSTM cell

use super::cell::CellStep;
use super::marks::VALID;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl, words};

params! {
    /// Gradients of [`LstmCell`](super::LstmCell), with `dm` the gradient of `m = o⊙s`:
    ///
    /// ```text
    /// δo = dm⊙s⊙f_o'    dc = dc̃ + dm⊙o⊙f_h' + δo⊙p_o
    /// δi = dc⊙g⊙f_i'    δf = dc⊙c⊙f_f'    δg = dc⊙i⊙f_g'    carry_c += dc⊙f + δi⊙p_i + δf⊙p_f
    /// coupled:  δi = dc⊙(g − c)⊙f_i'    δf = 0
    /// ```
    ///
    /// Reads `marks`, `state`, `saved`, `peephole`, `d_fresh` and `d_out` (dm, with row stride `d_out_row`). Writes its
    /// step of `d_gates` (0 where the step is masked); with peepholes also `δi⊙c, δf⊙c, δo⊙c̃`, whose sums are the
    /// gradients of `p`. Updates the first part of `carry`. Shapes: [`kernels::cell`](super::cell).
    pub struct LstmCellBackward(pub CellStep);
}

impl Kernel<6, 2> for LstmCellBackward {
    const NAME: &'static str = "lstm_cell_backward";
    const WGSL: &'static [&'static str] = wgsl!(
        "common/linear",
        "common/activation",
        "common/nan",
        "common/activate",
        "common/marks",
        "common/time",
        "common/cell",
        "lstm_cell_backward"
    );
    const READS: [&'static str; 6] = ["marks", "state", "saved", "peephole", "d_fresh", "d_out"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 11, if self.0.peephole == 1 { 7 } else { 4 })?;
        self.0.check_width(Self::NAME)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 6], [usize; 2]) {
        let p = &self.0;
        let peephole = if p.peephole == 1 { p.directions as usize * 3 * p.hidden as usize } else { 0 };
        let (one, d_out) = (p.rows() * p.width as usize, (p.rows() - 1) * p.d_out_row as usize + p.hidden as usize);
        ([p.marks_len(), p.state_len(), p.saved_len(), peephole, one, d_out], [p.d_gates_len(), one])
    }

    fn run(&self, [marks, state, saved, peephole, d_fresh, d_out]: [&[f32]; 6], [d_gates, carry]: [&mut [f32]; 2]) {
        let p: &CellStep = &self.0;
        let (h, out) = (p.hidden as usize, p.out as usize);
        for (d, row, unit) in p.units() {
            let t = p.order().time_of(d, (p.steps - 1 - p.step) as usize);
            let at = p.d_gates_at(d, t, row) + unit;
            if words(marks)[t * p.batch as usize + row] & VALID == 0 {
                let parts = if p.peephole == 1 { 7 } else { 4 };
                (0..parts).for_each(|part| d_gates[at + part * h] = 0.0);
                continue;
            }
            let s = p.saved_at(d, t, row) + unit;
            let old = state[p.state_at(d, p.order().before(d, t), row) + out + unit];
            let [i, f, g, o, a] = [0, 1, 2, 3, 4].map(|part| saved[s + part * h]);
            let [si, sf, sg, so, sa] = [5, 6, 7, 8, 9].map(|part| saved[s + part * h]);
            let at_c = (d * p.batch as usize + row) * p.width as usize + out + unit;
            let peep = |gate: usize| if p.peephole == 1 { peephole[(d * 3 + gate) * h + unit] } else { 0.0 };

            let dm = d_out[(d * p.batch as usize + row) * p.d_out_row as usize + unit];
            let d_o = dm * a * so;
            let dc = d_fresh[at_c] + dm * o * sa + d_o * peep(2);
            let di = dc * if p.coupled == 1 { g - old } else { g } * si;
            let df = if p.coupled == 1 { 0.0 } else { dc * old * sf };
            for (part, v) in [di, df, dc * i * sg, d_o].into_iter().enumerate() {
                d_gates[at + part * h] = v;
            }
            if p.peephole == 1 {
                for (part, v) in [di * old, df * old, d_o * (f * old + i * g)].into_iter().enumerate() {
                    d_gates[at + (part + 4) * h] = v;
                }
            }
            carry[at_c] += dc * f + di * peep(0) + df * peep(1);
        }
    }
}
