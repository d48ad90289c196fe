//! Simple recurrent cell after its two products

use super::cell::CellStep;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl};

params! {
    /// `h̃ = f(x + a)`, `a = U·h + b_hh`, with the pre-activation clipped.
    ///
    /// Reads `x` and `rec` (a); writes `fresh`, and stores `h̃` and its slope in `saved` if `save` is 1. Shapes:
    /// [`kernels::cell`](super::cell).
    pub struct RnnCell(pub CellStep);
}

impl Kernel<2, 2> for RnnCell {
    const NAME: &'static str = "rnn_cell";
    const WGSL: &'static [&'static str] =
        wgsl!("common/linear", "common/activation", "common/nan", "common/activate", "common/time", "common/cell", "rnn_cell");
    const READS: [&'static str; 2] = ["x", "rec"];
    const WRITES: [&'static str; 2] = ["fresh", "saved"];

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 2, 1)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 2], [usize; 2]) {
        let one = self.0.rows() * self.0.hidden as usize;
        ([one * self.0.steps as usize, one], [one, self.0.saved_len()])
    }

    fn run(&self, [x, rec]: [&[f32]; 2], [fresh, saved]: [&mut [f32]; 2]) {
        let p: &CellStep = &self.0;
        let h = p.hidden as usize;
        for (i, (d, row, unit)) in p.units().enumerate() {
            let t = p.order().time_of(d, p.step as usize);
            let at = p.saved_at(d, t, row) + unit;
            let v = x[((d * p.steps as usize + t) * p.batch as usize + row) * h + unit] + rec[i];
            let y = p.gate(0, p.clipped(v));
            fresh[i] = y;
            if p.save == 1 {
                saved[at] = y;
                saved[at + h] = p.gate_slope(0, v, y);
            }
        }
    }
}
