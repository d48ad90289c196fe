//! First half of a step of the chain plan, reset before the product

use super::plain::Plain;
use super::stored::{Stored, stored_kernel, stored_texts};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::math::sigmoid;

stored_kernel! {
    /// First half of step `step` of all directions, reset before: `r`, `z` and `c = r⊙h`.
    ///
    /// Reads `x`, `packed` and slot `before` of `state`; writes `r`, `z` and `c` of its step in `saved`.
    /// Shapes and equations: [`kernels::plain`](super::plain).
    GruGates
}

impl<W: Stored> Kernel<3, 1> for GruGates<W> {
    const NAME: &'static str = stored_texts!("gru_gates")[W::FORMAT].0;
    const WGSL: &'static [&'static str] = stored_texts!("gru_gates")[W::FORMAT].1;
    const READS: [&'static str; 3] = ["x", "packed", "state"];
    const WRITES: [&'static str; 1] = ["saved"];
    const INDICES: &'static [&'static str] = if W::FORMAT == 0 { &[] } else { &["packed"] };
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, &Cell::GRUS, self.0.steps.saturating_sub(1))
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        let p = &self.0;
        ([p.x_len(), p.packed_len([W::depth(p.hidden as usize), 3]), p.state_len()], [p.saved_len()])
    }

    fn work(&self) -> u64 {
        self.0.step_work()
    }

    fn run(&self, [x, packed, state]: [&[f32]; 3], [saved]: [&mut [f32]; 1]) {
        let p: &Plain = &self.0;
        let h = p.hidden as usize;
        for d in 0..p.directions as usize {
            let Some(step) = p.range(d, 1).next() else { continue };
            let t = p.time_of(d, step);
            for row in 0..p.batch as usize {
                let from = p.state_at(d, p.before(d, t), row);
                let (at_x, at) = (p.gates_at(d, t, row, 3), p.gates_at(d, t, row, 4));
                for unit in 0..h {
                    let u = &packed[p.packed_at(d, unit, [W::depth(h), 3])..];
                    let [ar, az] = [0, 1].map(|gate| W::product(u, gate, &state[from..from + h]));
                    let r = sigmoid(x[at_x + unit] + ar);
                    saved[at + unit] = r;
                    saved[at + h + unit] = sigmoid(x[at_x + h + unit] + az);
                    saved[at + 3 * h + unit] = r * state[from + unit];
                }
            }
        }
    }
}
