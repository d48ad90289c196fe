//! Second half of a backward step of the chain plan, reset before the product

use super::marks::VALID;
use super::plain::{Plain, dot, plain_kernel};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, wgsl, words};

plain_kernel! {
    /// Completes backward step `step`, reset before, after [`GruStepBackward`](super::GruStepBackward):
    /// `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r`.
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved`, and `δn` in `d_gates`; writes `δr` there and updates
    /// `carry`. Shapes: [`kernels::plain`](super::plain).
    GruResetBackward
}

impl Kernel<4, 2> for GruResetBackward {
    const NAME: &'static str = "gru_reset_backward";
    const WGSL: &'static [&'static str] = wgsl!("common/marks", "common/time", "common/plain", "gru_reset_backward");
    const READS: [&'static str; 4] = ["packed", "marks", "state", "saved"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, &Cell::GRUS, self.0.steps.saturating_sub(1))
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 4], [usize; 2]) {
        let p = &self.0;
        let packed = p.packed_len(p.extent(true));
        ([packed, p.marks_len(), p.state_len(), p.saved_len()], [p.saved_len(), p.carry_len()])
    }

    fn work(&self) -> u64 {
        self.0.step_work()
    }

    fn run(&self, [packed, marks, state, saved]: [&[f32]; 4], [d_gates, carry]: [&mut [f32]; 2]) {
        let p: &Plain = &self.0;
        let (h, batch) = (p.hidden as usize, p.batch as usize);
        for d in 0..p.directions as usize {
            let t = p.time_of(d, (p.steps - 1 - p.step) as usize);
            for (row, &mark) in words(marks)[t * batch..][..batch].iter().enumerate() {
                if mark & VALID == 0 {
                    continue;
                }
                let at = p.gates_at(d, t, row, 4);
                for unit in 0..h {
                    let u = &packed[p.packed_at(d, unit, p.extent(true))..];
                    let q = dot(u, 3, 2, &d_gates[at + 2 * h..at + 3 * h]);
                    let r = saved[at + unit];
                    let old = state[p.state_at(d, p.before(d, t), row) + unit];
                    d_gates[at + unit] = q * old * r * (1.0 - r);
                    carry[(d * p.batch as usize + row) * h + unit] += q * r;
                }
            }
        }
    }
}
