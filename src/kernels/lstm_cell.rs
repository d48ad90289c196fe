//! LSTM cell after its recurrent product

use super::cell::CellStep;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl};
use crate::math::{activate, slope};

params! {
    /// An LSTM cell, gates in PyTorch's order i, f, g, o. `p` are the peephole weights; coupled means `f = 1 − i`:
    ///
    /// ```text
    /// i = f_i(x_i + a_i + p_i⊙c)    f = f_f(x_f + a_f + p_f⊙c)    g = f_g(x_g + a_g)    c̃ = f⊙c + i⊙g
    /// o = f_o(x_o + a_o + p_o⊙c̃)    s = f_h(c̃)    m = o⊙s
    /// ```
    ///
    /// Without a projection (`out = hidden`), `h̃ = m`. With one, `m` is the last part of `saved`, and a separate
    /// product computes the first part of `fresh` from it.
    ///
    /// Reads `x`, `rec` (a), `state` and `peephole` `[D, 3, H]` (of i, f, o; empty without peepholes); writes `fresh`,
    /// and stores `m` in `saved`, and `i, f, g, o, s` and their slopes if `save` is 1. Shapes: [`kernels::cell`](super::cell).
    pub struct LstmCell(pub CellStep);
}

impl Kernel<4, 2> for LstmCell {
    const NAME: &'static str = "lstm_cell";
    const WGSL: &'static [&'static str] =
        wgsl!("common/linear", "common/activation", "common/nan", "common/activate", "common/time", "common/cell", "lstm_cell");
    const READS: [&'static str; 4] = ["x", "rec", "state", "peephole"];
    const WRITES: [&'static str; 2] = ["fresh", "saved"];

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 11, 4)?;
        self.0.check_width(Self::NAME)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 4], [usize; 2]) {
        let p = &self.0;
        let one = p.rows() * p.hidden as usize;
        let peephole = if p.peephole == 1 { p.directions as usize * 3 * p.hidden as usize } else { 0 };
        let reads = [4 * one * p.steps as usize, 4 * one, p.state_len(), peephole];
        (reads, [p.rows() * p.width as usize, p.saved_len()])
    }

    fn run(&self, [x, rec, state, peephole]: [&[f32]; 4], [fresh, saved]: [&mut [f32]; 2]) {
        let p: &CellStep = &self.0;
        let (h, out) = (p.hidden as usize, p.out as usize);
        for (d, row, unit) in p.units() {
            let t = p.order().time_of(d, p.step as usize);
            let at = p.saved_at(d, t, row) + unit;
            let at_x = ((d * p.steps as usize + t) * p.batch as usize + row) * 4 * h + unit;
            let at_a = (d * p.batch as usize + row) * 4 * h + unit;
            let old = state[p.state_at(d, p.order().before(d, t), row) + out + unit];
            let [mut vi, mut vf, vg, mut vo] = [0, 1, 2, 3].map(|gate| x[at_x + gate * h] + rec[at_a + gate * h]);
            let peep =
                |gate: usize, c: f32| if p.peephole == 1 { peephole[(d * 3 + gate) * h + unit] * c } else { 0.0 };
            vi += peep(0, old);
            vf += peep(1, old);
            let i = p.gate(0, p.clipped(vi));
            let f = if p.coupled == 1 { 1.0 - i } else { p.gate(1, p.clipped(vf)) };
            let g = p.gate(2, p.clipped(vg));
            let c = f * old + i * g;
            vo += peep(2, c);
            let o = p.gate(3, p.clipped(vo));
            let s = activate(p.out_kind, p.out_alpha, p.out_beta, c);
            if p.save == 1 {
                for (part, (v, y)) in [(vi, i), (vf, f), (vg, g), (vo, o)].into_iter().enumerate() {
                    saved[at + part * h] = y;
                    saved[at + (part + 5) * h] = p.gate_slope(part, v, y);
                }
                saved[at + 4 * h] = s;
                saved[at + 9 * h] = slope(p.out_kind, p.out_alpha, p.out_beta, c, s);
            }
            saved[at + 10 * h] = o * s;

            let to = (d * p.batch as usize + row) * p.width as usize;
            fresh[to + out + unit] = c;
            if out == h {
                fresh[to + unit] = o * s;
            }
        }
    }
}
