//! Backward pass of [`CellSequence`](super::CellSequence) in one dispatch

use super::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use super::plain::{Plain, dot, plain_kernel};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, wgsl, words};

plain_kernel! {
    /// Runs backward steps of all directions of [`CellSequence`](super::CellSequence) in one dispatch. With `p` the
    /// step after `t` in forward order:
    ///
    /// ```text
    /// dh = v + Σ_g U_gᵀ·δ_g[p] + dy[t]
    /// LSTM:    δo = dh⊙s⊙o⊙(1 − o)    dc = v_c + dh⊙o⊙(1 − s²)    δi = dc⊙g⊙i⊙(1 − i)    δf = dc⊙c⊙f⊙(1 − f)
    ///          δg = dc⊙i⊙(1 − g²)     v_c = dc⊙f
    /// simple:  δ = dh⊙(1 − h'²), or dh where h' > 0
    /// ```
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved` and `dy`; writes `d_gates`. Turns `carry` into the
    /// gradient of the initial state: `[2, D, B, width]` holds v, initially the gradient of the last state, and the
    /// gradients that resets pass to the initial state. Shapes: [`kernels::plain`](super::plain).
    CellSequenceBackward
}

impl CellSequenceBackward {
    fn step(&self, step: usize, [packed, marks, state, saved, dy]: [&[f32]; 5], [d_gates, carry]: [&mut [f32]; 2]) {
        let p: &Plain = &self.0;
        let (h, width, cell) = (p.hidden as usize, p.width(), p.cell());
        let (carry, passed) = carry.split_at_mut(p.carry_len() / 2);
        for (d, row) in (0..p.directions as usize).flat_map(|d| (0..p.batch as usize).map(move |row| (d, row))) {
            let (t, reverse) = (p.time_of(d, step), p.is_reverse(d));
            let mark = words(marks)[t * p.batch as usize + row];
            let at_v = (d * p.batch as usize + row) * width;
            let at = p.gates_at(d, t, row, cell.gradients());
            let before = p.state_at(d, p.before(d, t), row);
            for unit in 0..h {
                let mut dv = [0.0; 2];
                for (part, dv) in dv.iter_mut().enumerate().take(cell.states()) {
                    let i = at_v + part * h + unit;
                    *dv = carry[i];
                    if has(mark, RESET, reverse) {
                        passed[i] += if mark & TO_FIRST != 0 { *dv } else { 0.0 };
                        *dv = 0.0;
                    }
                }
                if mark & VALID != 0 || has(mark, REPEAT, reverse) {
                    dv[0] += dy[p.output_at(d, t, row) + unit];
                }
                let mut delta = [0.0; 4];
                if mark & VALID != 0 {
                    let kept = |part: usize| saved[p.gates_at(d, t, row, cell.saved()) + part * h + unit];
                    if cell == Cell::Lstm {
                        let [i, f, g, o, s] = [0, 1, 2, 3, 4].map(kept);
                        let dc = dv[1] + dv[0] * o * (1.0 - s * s);
                        let d_f = dc * state[before + h + unit] * f * (1.0 - f);
                        delta = [dc * g * i * (1.0 - i), d_f, dc * i * (1.0 - g * g), dv[0] * s * o * (1.0 - o)];
                        dv[1] = dc * f;
                    } else {
                        let y = kept(0);
                        let slope = if y > 0.0 { 1.0 } else { y * 0.0 };
                        delta[0] = dv[0] * if cell == Cell::RnnRelu { slope } else { 1.0 - y * y };
                    }
                    dv[0] = 0.0;
                }
                for (gate, delta) in delta.into_iter().enumerate().take(cell.gates()) {
                    d_gates[at + gate * h + unit] = delta;
                }
                for (part, dv) in dv.into_iter().enumerate().take(cell.states()) {
                    carry[at_v + part * h + unit] = dv;
                }
            }
            for unit in 0..h {
                let u = &packed[p.packed_at(d, unit, p.extent(true))..];
                carry[at_v + unit] += dot(u, 1, 0, &d_gates[at..at + cell.gates() * h]);
            }
        }
    }
}

impl Kernel<5, 2> for CellSequenceBackward {
    const NAME: &'static str = "cell_sequence_backward";
    const WGSL: &'static [&'static str] =
        wgsl!("common/marks", "common/time", "common/plain", "cell_sequence_backward");
    const READS: [&'static str; 5] = ["packed", "marks", "state", "saved", "dy"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, &Cell::OTHERS, u32::MAX)
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

    fn lens(&self) -> ([usize; 5], [usize; 2]) {
        let p = &self.0;
        let reads = [p.packed_len(p.extent(true)), p.marks_len(), p.state_len(), p.saved_len(), p.output_len()];
        (reads, [p.d_gates_len(), p.carry_len()])
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, reads: [&[f32]; 5], [d_gates, carry]: [&mut [f32]; 2]) {
        let steps = self.0.range(0, self.0.count as usize);
        steps.rev().for_each(|step| self.step(step, reads, [d_gates, carry]));
    }
}
