//! Backward pass of a simple recurrent cell

use super::cell::CellStep;
use super::marks::VALID;
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl, words};

params! {
    /// `δ = dh̃·f'`; 0 on masked steps.
    ///
    /// Reads `marks`, `saved` and `d_fresh`; writes its step of `d_gates`. Shapes: [`kernels::cell`](super::cell).
    pub struct RnnCellBackward(pub CellStep);
}

impl Kernel<3, 1> for RnnCellBackward {
    const NAME: &'static str = "rnn_cell_backward";
    const WGSL: &'static [&'static str] = wgsl!(
        "common/linear",
        "common/activation",
        "common/nan",
        "common/activate",
        "common/marks",
        "common/time",
        "common/cell",
        "rnn_cell_backward"
    );
    const READS: [&'static str; 3] = ["marks", "saved", "d_fresh"];
    const WRITES: [&'static str; 1] = ["d_gates"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_rows(Self::NAME, 2, 1)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.rows() * self.0.hidden as usize)
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        let p = &self.0;
        ([p.marks_len(), p.saved_len(), p.rows() * p.hidden as usize], [p.d_gates_len()])
    }

    fn run(&self, [marks, saved, d_fresh]: [&[f32]; 3], [d_gates]: [&mut [f32]; 1]) {
        let p: &CellStep = &self.0;
        let h = p.hidden as usize;
        for (i, (d, row, unit)) in p.units().enumerate() {
            let t = p.order().time_of(d, (p.steps - 1 - p.step) as usize);
            let is_valid = words(marks)[t * p.batch as usize + row] & VALID != 0;
            let g = d_fresh[i] * saved[p.saved_at(d, t, row) + h + unit];
            d_gates[p.d_gates_at(d, t, row) + unit] = if is_valid { g } else { 0.0 };
        }
    }
}
