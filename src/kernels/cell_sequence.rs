//! LSTM or simple RNN layer over the whole sequence in one dispatch

use super::marks::leave;
use super::plain::{Plain, dot, plain_kernel};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, wgsl, words};
use crate::math::{sigmoid, tanh_stable};

plain_kernel! {
    /// Runs steps of all directions in one dispatch: a workgroup owns four rows of a direction and loops over the
    /// steps. On a GPU, `hidden` is at most [`GruSequence::MAX_HIDDEN`](super::GruSequence::MAX_HIDDEN).
    ///
    /// ```text
    /// v_g = x_g + U_g·h + d_g
    /// LSTM:    i = σ(v_i)    f = σ(v_f)    g = tanh(v_g)    o = σ(v_o)    c' = f⊙c + i⊙g    h' = o⊙tanh(c')
    /// simple:  h' = tanh(v), or max(v, 0)
    /// ```
    ///
    /// Reads `x`, `packed` and `marks`; reads the initial state from `state` and writes the others, `y`, and
    /// `saved` (`i, f, g, o, tanh(c')`, or `h'`) when `save` is 1. Shapes: [`kernels::plain`](super::plain).
    CellSequence
}

impl CellSequence {
    fn step(&self, step: u32, [x, packed, marks]: [&[f32]; 3], [state, y, saved]: [&mut [f32]; 3]) {
        let p = &Plain { step, ..self.0 };
        let (h, batch, gates) = (p.hidden as usize, p.batch as usize, p.cell().gates());
        for d in 0..p.directions as usize {
            let Some(step) = p.range(d, 1).next() else { continue };
            let t = p.time_of(d, step);
            for (row, &mark) in words(marks)[t * batch..][..batch].iter().enumerate() {
                let [from, to] = [p.before(d, t), p.after(d, t)].map(|slot| p.state_at(d, slot, row));
                let first = p.state_at(d, p.before(d, p.time_of(d, 0)), row);
                for unit in 0..h {
                    let u = &packed[p.packed_at(d, unit, p.extent(false))..];
                    let sum = |g: usize| {
                        let bias = u[(h * gates + g) * 16];
                        x[p.gates_at(d, t, row, gates) + g * h + unit] + bias + dot(u, gates, g, &state[from..from + h])
                    };
                    let mut kept = [0.0; 5];
                    let mut fresh = [0.0; 2];
                    match p.cell() {
                        Cell::Lstm => {
                            let [i, f, g, o] = [sigmoid(sum(0)), sigmoid(sum(1)), tanh_stable(sum(2)), sigmoid(sum(3))];
                            let c = f * state[from + h + unit] + i * g;
                            let s = tanh_stable(c);
                            (kept, fresh) = ([i, f, g, o, s], [o * s, c]);
                        }
                        cell => {
                            let v = sum(0);
                            let relu = if v < 0.0 { 0.0 } else { v };
                            fresh[0] = if cell == Cell::RnnRelu { relu } else { tanh_stable(v) };
                            kept[0] = fresh[0];
                        }
                    }
                    for (part, &fresh) in fresh.iter().enumerate().take(p.cell().states()) {
                        let at = part * h + unit;
                        let (shown, next) = leave(mark, p.is_reverse(d), state[from + at], fresh, state[first + at]);
                        state[to + at] = next;
                        if part == 0 {
                            y[p.output_at(d, t, row) + unit] = shown;
                        }
                    }
                    if p.save == 1 {
                        let parts = p.cell().saved();
                        for (part, &v) in kept.iter().enumerate().take(parts) {
                            saved[p.gates_at(d, t, row, parts) + part * h + unit] = v;
                        }
                    }
                }
            }
        }
    }
}

impl Kernel<3, 3> for CellSequence {
    const NAME: &'static str = "cell_sequence";
    const WGSL: &'static [&'static str] =
        wgsl!("common/marks", "common/time", "common/plain", "common/activation", "cell_sequence");
    const READS: [&'static str; 3] = ["x", "packed", "marks"];
    const WRITES: [&'static str; 3] = ["state", "y", "saved"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, &Cell::OTHERS, u32::MAX)
    }

    fn check_shader(&self) -> Result<()> {
        self.0.check_room(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.loops()
    }

    fn groups(&self) -> [u32; 3] {
        [self.0.batch.div_ceil(4), self.0.directions, 1]
    }

    fn lens(&self) -> ([usize; 3], [usize; 3]) {
        let p = &self.0;
        let saved = if p.save == 1 { p.saved_len() } else { 0 };
        ([p.x_len(), p.packed_len(p.extent(false)), p.marks_len()], [p.state_len(), p.output_len(), saved])
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, reads: [&[f32]; 3], [state, y, saved]: [&mut [f32]; 3]) {
        (self.0.step..self.0.step + self.0.count).for_each(|step| self.step(step, reads, [state, y, saved]));
    }
}
