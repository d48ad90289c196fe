//! One backward step of the chain plan

use super::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use super::fused::{Fused, dot};
use super::recurrent::{self, recurrent_kernel};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, Text, words};

recurrent_kernel! {
    /// Backward step `step`, counted from the last step processed. With `p` the step after `t` in forward order, and
    /// `s = tanh(c')`:
    ///
    /// ```text
    /// dh = v + Σ_g U_gᵀ·δ_g[p] + dy[t]         g over r, z, c (GRU, reset after), r, z (reset before), all (others)
    /// GRU:     δn = dh⊙(1 − z)⊙(1 − n²)    δz = dh⊙(h − n)⊙z⊙(1 − z)    δr = δn⊙c⊙r⊙(1 − r)    v = dh⊙z
    /// LSTM:    δo = dh⊙s⊙o⊙(1 − o)    dc = v_c + dh⊙o⊙(1 − s²)    δi = dc⊙g⊙i⊙(1 − i)    δf = dc⊙c⊙f⊙(1 − f)
    ///          δg = dc⊙i⊙(1 − g²)     v_c = dc⊙f
    /// simple:  δ = dh⊙(1 − h'²), or dh where h' > 0
    /// ```
    ///
    /// With reset before, a second dispatch with `half` 1 computes `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r`.
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved` and `dy`; writes its step of `d_gates`; updates `carry`
    /// (`[2, D, B, width]`: v, initially the gradient of the last state; then the gradients that resets pass to the
    /// first state). `step = steps` leaves the rest of `dh0` in v. Shapes: [`kernels::fused`](super::fused).
    RecurrentStepBackward<C>
}

impl<const C: usize> Kernel<5, 2> for RecurrentStepBackward<C> {
    const NAME: &'static str = recurrent::step_backward(C).0;
    const WGSL: &'static [&'static str] = recurrent::step_backward(C).1;
    const VARIANTS: &'static [Text] = &[recurrent::step_backward_split(C)];
    const READS: [&'static str; 5] = ["packed", "marks", "state", "saved", "dy"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, C, self.0.steps.saturating_sub(self.0.half))
    }

    fn variant(&self) -> usize {
        self.0.shader as usize
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 5], [usize; 2]) {
        self.0.backward_lens()
    }

    fn loops(&self) -> u64 {
        self.0.product_loops()
    }

    fn work(&self) -> u64 {
        self.0.half_work()
    }

    fn run(&self, reads: [&[f32]; 5], writes: [&mut [f32]; 2]) {
        let (steps, step) = (self.0.steps as usize, self.0.step as usize);
        match self.0.half {
            0 => first_half(&self.0, (step > 0).then(|| steps - step), steps.checked_sub(step + 1), reads, writes),
            _ => second_half(&self.0, steps - 1 - step, reads, writes),
        }
    }
}

/// Returns `Σ_g U_gᵀ·δ_g` of a unit. `row` has the gate gradients.
fn product(p: &Fused, u: &[f32], row: &[f32]) -> f32 {
    let h = p.hidden as usize;
    let gate = |gate: usize, part: usize| dot(u, 3, gate, &row[part * h..][..h]);
    match p.cell() {
        Cell::Gru => gate(0, 0) + gate(1, 1) + gate(2, 3),
        Cell::GruResetBefore => gate(0, 0) + gate(1, 1),
        cell => dot(u, 1, 0, &row[..cell.gates() * h]),
    }
}

/// Adds the product with the gradients of step `done` to v, then computes the gate gradients of step `next`. Both are
/// indices in processing order.
pub(super) fn first_half(
    p: &Fused,
    done: Option<usize>,
    next: Option<usize>,
    [packed, marks, state, saved, dy]: [&[f32]; 5],
    [d_gates, carry]: [&mut [f32]; 2],
) {
    let (h, width, cell) = (p.hidden as usize, p.width(), p.cell());
    let (carry, passed) = carry.split_at_mut(p.carry_len() / 2);
    for (d, row) in (0..p.directions as usize).flat_map(|d| (0..p.batch as usize).map(move |row| (d, row))) {
        let at_v = (d * p.batch as usize + row) * width;
        for unit in 0..h {
            if let Some(done) = done {
                let u = &packed[p.packed_at(d, unit, p.extent(true))..];
                let at = p.gates_at(d, p.time_of(d, done), row, cell.gradients());
                carry[at_v + unit] += product(p, u, &d_gates[at..]);
            }
            let Some(next) = next else { continue };
            let (t, reverse) = (p.time_of(d, next), p.is_reverse(d));
            let mark = words(marks)[t * p.batch as usize + row];
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
                let old = |part: usize| state[p.state_at(d, p.before(d, t), row) + part * h + unit];
                (delta, dv) = gradients(cell, dv, kept, old);
            }
            for (gate, delta) in delta.into_iter().enumerate().take(cell.gradients()) {
                d_gates[p.gates_at(d, t, row, cell.gradients()) + gate * h + unit] = delta;
            }
            for (part, dv) in dv.into_iter().enumerate().take(cell.states()) {
                carry[at_v + part * h + unit] = dv;
            }
        }
    }
}

/// Returns the gate gradients of a unit and what it passes on, from the gradients of `h` and `c`.
fn gradients(
    cell: Cell,
    [dh, dc]: [f32; 2],
    kept: impl Fn(usize) -> f32,
    old: impl Fn(usize) -> f32,
) -> ([f32; 4], [f32; 2]) {
    match cell {
        Cell::Gru | Cell::GruResetBefore => {
            let [r, z, n, c] = [0, 1, 2, 3].map(kept);
            let dn = dh * (1.0 - z) * (1.0 - n * n);
            let dz = dh * (old(0) - n) * z * (1.0 - z);
            ([dn * c * r * (1.0 - r), dz, dn, dn * r], [dh * z, 0.0])
        }
        Cell::Lstm => {
            let [i, f, g, o, s] = [0, 1, 2, 3, 4].map(kept);
            let dc = dc + dh * o * (1.0 - s * s);
            let df = dc * old(1) * f * (1.0 - f);
            let delta = [dc * g * i * (1.0 - i), df, dc * i * (1.0 - g * g), dh * s * o * (1.0 - o)];
            (delta, [0.0, dc * f])
        }
        Cell::Rnn | Cell::RnnRelu => {
            let y = kept(0);
            let slope = if y > 0.0 { 1.0 } else { y * 0.0 };
            let slope = if cell == Cell::RnnRelu { slope } else { 1.0 - y * y };
            ([dh * slope, 0.0, 0.0, 0.0], [0.0; 2])
        }
    }
}

/// With reset before: `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r` of step `next`.
pub(super) fn second_half(
    p: &Fused,
    next: usize,
    [packed, marks, state, saved, _]: [&[f32]; 5],
    [d_gates, carry]: [&mut [f32]; 2],
) {
    let (h, batch) = (p.hidden as usize, p.batch as usize);
    for d in 0..p.directions as usize {
        let t = p.time_of(d, next);
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
                carry[(d * batch + row) * h + unit] += q * r;
            }
        }
    }
}
