//! One step of the chain plan, reset after the product

use super::marks::leave;
use super::plain::Plain;
use super::stored::{Stored, stored_kernel, stored_texts, word_bindings};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, words};
use crate::math::{sigmoid, tanh_stable};

stored_kernel! {
    /// Step `step` of all directions, reset after: recurrent product and gate update in one dispatch.
    ///
    /// Reads `x`, `packed` and `marks`; reads slot `before` of `state` and writes slot `after`, writes its step of
    /// `y`, and of `saved` when `save` is 1. Shapes and equations: [`kernels::plain`](super::plain).
    GruStep
}

impl<W: Stored> Kernel<3, 3> for GruStep<W> {
    const NAME: &'static str = stored_texts!("gru_step")[W::FORMAT].0;
    const WGSL: &'static [&'static str] = stored_texts!("gru_step")[W::FORMAT].1;
    const READS: [&'static str; 3] = ["x", "packed", "marks"];
    const WRITES: [&'static str; 3] = ["state", "y", "saved"];
    const INDICES: &'static [&'static str] = word_bindings::<W>();
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, &Cell::GRUS, self.0.steps.saturating_sub(1))
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 3], [usize; 3]) {
        let p = &self.0;
        let saved = if p.save == 1 { p.saved_len() } else { 0 };
        let packed = p.packed_len([W::depth(p.hidden as usize), 3]);
        ([p.x_len(), packed, p.marks_len()], [p.state_len(), p.output_len(), saved])
    }

    fn work(&self) -> u64 {
        self.0.step_work()
    }

    fn run(&self, [x, packed, marks]: [&[f32]; 3], [state, y, saved]: [&mut [f32]; 3]) {
        let p: &Plain = &self.0;
        let (h, batch) = (p.hidden as usize, p.batch as usize);
        for d in 0..p.directions as usize {
            let Some(step) = p.range(d, 1).next() else { continue };
            let t = p.time_of(d, step);
            for (row, &mark) in words(marks)[t * batch..][..batch].iter().enumerate() {
                let from = p.state_at(d, p.before(d, t), row);
                let to = p.state_at(d, p.after(d, t), row);
                let start = p.state_at(d, p.before(d, p.time_of(d, 0)), row);
                let (at_x, at_y) = (p.gates_at(d, t, row, 3), p.output_at(d, t, row));
                for unit in 0..h {
                    let u = &packed[p.packed_at(d, unit, [W::depth(h), 3])..];
                    let [ar, az, c] = [0, 1, 2].map(|gate| W::product(u, gate, &state[from..from + h]));
                    let r = sigmoid(x[at_x + unit] + ar);
                    let z = sigmoid(x[at_x + h + unit] + az);
                    let n = tanh_stable(x[at_x + 2 * h + unit] + r * c);
                    let old = state[from + unit];
                    let first = state[start + unit];
                    (y[at_y + unit], state[to + unit]) = leave(mark, p.is_reverse(d), old, n + z * (old - n), first);
                    if p.save == 1 {
                        let at = p.gates_at(d, t, row, 4) + unit;
                        for (gate, v) in [r, z, n, c].into_iter().enumerate() {
                            saved[at + gate * h] = v;
                        }
                    }
                }
            }
        }
    }
}
