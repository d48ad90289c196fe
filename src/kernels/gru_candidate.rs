//! Second half of a step of the chain plan, reset before the product

use super::marks::leave;
use super::plain::Plain;
use super::stored::{Stored, stored_kernel, stored_texts, word_bindings};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, words};
use crate::math::tanh_stable;

stored_kernel! {
    /// Second half of step `step` of all directions, reset before: `n = tanh(x_n + U_n·c + d_n)` and the new state.
    ///
    /// Reads `x`, `packed`, `marks`, and `z` and `c` of its step in `saved`; writes `n` there, slot `after` of
    /// `state`, and its step of `y`. Shapes and equations: [`kernels::plain`](super::plain).
    GruCandidate
}

impl<W: Stored> Kernel<3, 3> for GruCandidate<W> {
    const NAME: &'static str = stored_texts!("gru_candidate")[W::FORMAT].0;
    const WGSL: &'static [&'static str] = stored_texts!("gru_candidate")[W::FORMAT].1;
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
        let packed = p.packed_len([W::depth(p.hidden as usize), 3]);
        ([p.x_len(), packed, p.marks_len()], [p.state_len(), p.output_len(), p.saved_len()])
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
                let (at_x, at) = (p.gates_at(d, t, row, 3), p.gates_at(d, t, row, 4));
                let at_y = p.output_at(d, t, row);
                for unit in 0..h {
                    let u = &packed[p.packed_at(d, unit, [W::depth(h), 3])..];
                    let c = W::product(u, 2, &saved[at + 3 * h..at + 4 * h]);
                    let n = tanh_stable(x[at_x + 2 * h + unit] + c);
                    let (z, old) = (saved[at + h + unit], state[from + unit]);
                    let first = state[start + unit];
                    (y[at_y + unit], state[to + unit]) = leave(mark, p.is_reverse(d), old, n + z * (old - n), first);
                    saved[at + 2 * h + unit] = n;
                }
            }
        }
    }
}
