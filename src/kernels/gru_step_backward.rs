//! One backward step of the chain plan

use super::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use super::plain::{Plain, dot, plain_kernel};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, wgsl, words};

plain_kernel! {
    /// Backward step `step`, counted from the last step processed. With `p` the step after `t` in forward order:
    ///
    /// ```text
    /// dh = v + Σ_g U_gᵀ·∂c_g[p] + dy[t]         g over r, z, n (reset after) or r, z (reset before)
    /// δn = dh⊙(1 − z)⊙(1 − n²)    δz = dh⊙(h − n)⊙z⊙(1 − z)    δr = δn⊙c⊙r⊙(1 − r)    v = dh⊙z
    /// ```
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved` and `dy`; writes its step of `d_gates`; updates `carry`
    /// (`[2, D, B, H]`: v, initially `dh_n`; then the gradients that resets pass to the initial state). `step = steps`
    /// only adds the remaining product to v, which is then `dh0`. With reset before, `δr` comes from
    /// [`GruResetBackward`](super::GruResetBackward). Shapes: [`kernels::plain`](super::plain).
    GruStepBackward
}

impl Kernel<5, 2> for GruStepBackward {
    const NAME: &'static str = "gru_step_backward";
    const WGSL: &'static [&'static str] = wgsl!("common/marks", "common/time", "common/plain", "gru_step_backward");
    const READS: [&'static str; 5] = ["packed", "marks", "state", "saved", "dy"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, &Cell::GRUS, self.0.steps)
    }

    fn groups(&self) -> [u32; 3] {
        self.0.step_groups()
    }

    fn lens(&self) -> ([usize; 5], [usize; 2]) {
        let p = &self.0;
        let packed = p.packed_len(p.extent(true));
        let reads = [packed, p.marks_len(), p.state_len(), p.saved_len(), p.output_len()];
        (reads, [p.saved_len(), p.carry_len()])
    }

    fn work(&self) -> u64 {
        self.0.step_work()
    }

    fn run(&self, reads: [&[f32]; 5], writes: [&mut [f32]; 2]) {
        let (steps, step) = (self.0.steps as usize, self.0.step as usize);
        self.go((step > 0).then(|| steps - step), steps.checked_sub(step + 1), reads, writes);
    }
}

impl GruStepBackward {
    /// Adds the product with the gradients of step `done` to v, then computes the gate gradients of step `next`. Both
    /// are indices in processing order.
    pub(crate) fn go(
        &self,
        done: Option<usize>,
        next: Option<usize>,
        [packed, marks, state, saved, dy]: [&[f32]; 5],
        [d_gates, carry]: [&mut [f32]; 2],
    ) {
        let p: &Plain = &self.0;
        let h = p.hidden as usize;
        let (carry, passed) = carry.split_at_mut(p.carry_len() / 2);
        for d in 0..p.directions as usize {
            for row in 0..p.batch as usize {
                for unit in 0..h {
                    let mut dh = 0.0;
                    if let Some(done) = done {
                        let at = p.gates_at(d, p.time_of(d, done), row, 4);
                        let u = &packed[p.packed_at(d, unit, p.extent(true))..];
                        dh += dot(u, 3, 0, &d_gates[at..at + h]) + dot(u, 3, 1, &d_gates[at + h..at + 2 * h]);
                        if !p.is_reset_before() {
                            dh += dot(u, 3, 2, &d_gates[at + 3 * h..at + 4 * h]);
                        }
                    }
                    let at_carry = (d * p.batch as usize + row) * h + unit;
                    let (v, passed) = (&mut carry[at_carry], &mut passed[at_carry]);
                    dh += *v;
                    let Some(next) = next else {
                        *v = dh;
                        continue;
                    };
                    let t = p.time_of(d, next);
                    let at = p.gates_at(d, t, row, 4) + unit;
                    let mark = words(marks)[t * p.batch as usize + row];
                    if has(mark, RESET, p.is_reverse(d)) {
                        *passed += if mark & TO_FIRST != 0 { dh } else { 0.0 };
                        dh = 0.0;
                    }
                    let dy = dy[p.output_at(d, t, row) + unit];
                    if mark & VALID == 0 {
                        *v = dh + if has(mark, REPEAT, p.is_reverse(d)) { dy } else { 0.0 };
                        (0..4).for_each(|gate| d_gates[at + gate * h] = 0.0);
                        continue;
                    }
                    dh += dy;
                    let [r, z, n, c] = [0, 1, 2, 3].map(|gate| saved[at + gate * h]);
                    let old = state[p.state_at(d, p.before(d, t), row) + unit];
                    let dn = dh * (1.0 - z) * (1.0 - n * n);
                    d_gates[at] = dn * c * r * (1.0 - r);
                    d_gates[at + h] = dh * (old - n) * z * (1.0 - z);
                    d_gates[at + 2 * h] = dn;
                    d_gates[at + 3 * h] = dn * r;
                    *v = dh * z;
                }
            }
        }
    }
}
