//! Backward pass of the state update

use super::StateUpdate;
use super::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use crate::error::Result;
use crate::kernel::{Kernel, linear_groups, params, wgsl, words};
use crate::math::masked;

params! {
    /// Backward pass of [`StateUpdate`]. With `v` the carry (initially `dh_n`), `q` the recurrent product's part of `dh`
    /// from the step after `t` in forward order, `m` its dropout mask and `k` the weight of the fresh value under zoneout:
    ///
    /// ```text
    /// dh = v + m⊙q + dy    dh̃ = k⊙dh    v = (1 − k)⊙dh
    /// ```
    ///
    /// Reads `marks`, `dy` `[T, B, D·out]` and `q` `[D, B, out]` (unread at step 0); writes `d_fresh` `[D, B, width]`;
    /// updates `carry` `[2, D, B, width]` (v; then the gradients that resets pass to the initial state). `step = steps`
    /// only computes `v + m⊙q`.
    pub struct StateUpdateBackward(pub StateUpdate);
}

impl Kernel<3, 2> for StateUpdateBackward {
    const NAME: &'static str = "state_update_backward";
    const WGSL: &'static [&'static str] = wgsl!(
        "common/linear",
        "common/threefry",
        "common/marks",
        "common/time",
        "common/mask",
        "common/update",
        "state_update_backward"
    );
    const READS: [&'static str; 3] = ["marks", "dy", "q"];
    const WRITES: [&'static str; 2] = ["d_fresh", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME, self.0.steps)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.one())
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let p = &self.0;
        let q = if p.step > 0 { p.directions as usize * p.batch as usize * p.out as usize } else { 0 };
        ([p.steps as usize * p.batch as usize, p.output_len(), q], [p.one(), 2 * p.one()])
    }

    fn run(&self, [marks, dy, q]: [&[f32]; 3], [d_fresh, carry]: [&mut [f32]; 2]) {
        let p = &self.0;
        let (steps, batch, step) = (p.steps as usize, p.batch as usize, p.step as usize);
        let (out, width, order) = (p.out as usize, p.width as usize, p.order());
        let (carry, passed) = carry.split_at_mut(p.one());
        for (i, (d, row, j)) in p.elements().enumerate() {
            let mut g = carry[i];
            if step > 0 && j < out {
                let at = (d * batch + row) * out + j;
                g += masked(q[at], p.through(at));
            }
            if step == steps {
                carry[i] = g;
                continue;
            }
            let t = order.time_of(d, steps - 1 - step);
            let (mark, reverse) = (words(marks)[t * batch + row], order.is_reverse(d));
            let is_valid = mark & VALID != 0;
            if has(mark, RESET, reverse) {
                if mark & TO_FIRST != 0 {
                    passed[i] += g;
                }
                g = 0.0;
            }
            if j < out && (is_valid || has(mark, REPEAT, reverse)) {
                g += dy[p.output_at(d, t, row) + j];
            }
            if !is_valid {
                carry[i] = g;
                d_fresh[i] = 0.0;
                continue;
            }
            let k = p.keep(((d * steps + t) * batch + row) * width + j, j);
            carry[i] = if k == 1.0 { 0.0 } else { (1.0 - k) * g };
            d_fresh[i] = masked(g, k);
        }
    }
}
