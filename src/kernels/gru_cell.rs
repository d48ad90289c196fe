//! GRU cell after its recurrent product

use super::cell::CellStep;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl};

params! {
    /// A whole GRU cell (`half = 0`, reset after), or one of its two halves (reset before):
    ///
    /// ```text
    /// r = f_r(x_r + a_r)    z = f_z(x_z + a_z)    h̃ = n + z⊙(h − n)
    /// reset after:   c = a_n    n = f_n(x_n + r⊙c)
    /// reset before:  c = r⊙h    n = f_n(x_n + a_n),  a_n = U_n·c + d_n computed between the halves
    /// ```
    ///
    /// Reads `x`, `rec` (a) and `state` (in the first half, as it enters the recurrent product); writes `fresh`, and
    /// stores `r, z, c` in `saved`, and `n` and the slopes of `r, z, n` if `save` is 1. Shapes:
    /// [`kernels::cell`](super::cell).
    pub struct GruCell(pub CellStep);
}

impl Kernel<3, 2> for GruCell {
    const NAME: &'static str = "gru_cell";
    const WGSL: &'static [&'static str] =
        wgsl!("common/linear", "common/activation", "common/nan", "common/activate", "common/time", "common/cell", "gru_cell");
    const READS: [&'static str; 3] = ["x", "rec", "state"];
    const WRITES: [&'static str; 2] = ["fresh", "saved"];

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 7, 4)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let p = &self.0;
        let one = p.rows() * p.hidden as usize;
        ([3 * one * p.steps as usize, 3 * one, p.state_len()], [one, p.saved_len()])
    }

    fn run(&self, [x, rec, state]: [&[f32]; 3], [fresh, saved]: [&mut [f32]; 2]) {
        let p: &CellStep = &self.0;
        let h = p.hidden as usize;
        for (i, (d, row, unit)) in p.units().enumerate() {
            let t = p.order().time_of(d, p.step as usize);
            let at = p.saved_at(d, t, row) + unit;
            let at_x = ((d * p.steps as usize + t) * p.batch as usize + row) * 3 * h + unit;
            let at_a = (d * p.batch as usize + row) * 3 * h + unit;
            let old = state[p.state_at(d, p.order().before(d, t), row) + unit];
            if p.half < 2 {
                let [vr, vz] = [0, h].map(|gate| x[at_x + gate] + rec[at_a + gate]);
                let (r, z) = (p.gate(0, p.clipped(vr)), p.gate(1, p.clipped(vz)));
                saved[at] = r;
                saved[at + h] = z;
                saved[at + 3 * h] = if p.half == 0 { rec[at_a + 2 * h] } else { r * old };
                if p.save == 1 {
                    saved[at + 4 * h] = p.gate_slope(0, vr, r);
                    saved[at + 5 * h] = p.gate_slope(1, vz, z);
                }
            }
            if p.half == 1 {
                continue;
            }
            let scale = if p.half == 0 { saved[at] } else { 1.0 };
            let vn = x[at_x + 2 * h] + scale * rec[at_a + 2 * h];
            let n = p.gate(2, p.clipped(vn));
            if p.save == 1 {
                saved[at + 2 * h] = n;
                saved[at + 6 * h] = p.gate_slope(2, vn, n);
            }
            fresh[i] = n + saved[at + h] * (old - n);
        }
    }
}
