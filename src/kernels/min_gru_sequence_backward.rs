//! Gradients of a minimal GRU's pre-activations and initial states

use super::MinGruSequence;
use super::min_gru_sequence::Place;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader, words};
use crate::math::sigmoid;

params! {
    /// Gradients of a minimal GRU, computed from the last step to the first. `c` is the gradient from later steps:
    ///
    /// ```text
    /// dh = dy + c    dv = dh·z·g'(v)    dk = dh·(g(v) − h_before)·z·a    c' = a·dh    z = σ(k)    a = 1 − z
    /// ```
    ///
    /// `g(v) = v`. With `log`, `g(v) = v + ½` for `v ≥ 0`, else `σ(v)`. Past a sequence's length, `dk` and `dv` are 0
    /// and `c` is unchanged.
    ///
    /// Reads `kv` and `lengths` of [`MinGruSequence`], its `h0` `[directions, batch, hidden]` and its `y`, `dy` shaped
    /// like `y`, and `carry` `[chunks, directions, batch, hidden]`: first the gradient of `h_n`, then `c` after all
    /// chunks but the last. Writes `d_kv`, shaped like `kv`, and `d_h0`.
    pub struct MinGruSequenceBackward(pub MinGruSequence);
}

impl MinGruSequenceBackward {
    /// Index in `y` of the state before time `t`; `None` if it is the initial state. `t` must lie within the sequence.
    fn before(&self, p: &Place, length: usize, t: usize) -> Option<usize> {
        let q = &self.0;
        match q.order().is_reverse(p.d) {
            true => (t + 1 < length).then(|| q.output_at(p, t + 1)),
            false => (t > 0).then(|| q.output_at(p, t - 1)),
        }
    }

    /// Returns the candidate and its derivative.
    fn candidate(&self, v: f32) -> (f32, f32) {
        match (self.0.log, v >= 0.0) {
            (1, true) => (v + 0.5, 1.0),
            (1, false) => (sigmoid(v), sigmoid(v) * sigmoid(-v)),
            _ => (v, 1.0),
        }
    }
}

impl Kernel<6, 2> for MinGruSequenceBackward {
    shader!(
        "min_gru_sequence_backward", ["common/linear", "common/activation", "common/nan", "common/time", "common/min_gru"],
        [kv, lengths: u32, h0, y, dy, carry] -> [d_kv, d_h0]
    );

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.loops()
    }

    fn groups(&self) -> [u32; 3] {
        self.0.groups()
    }

    fn lens(&self) -> ([usize; 6], [usize; 2]) {
        let ([all, carry], width) = (self.0.words(), self.0.width());
        ([2 * all, self.0.batch as usize, width, all, all, carry], [2 * all, width])
    }

    fn run(&self, [kv, lengths, h0, y, dy, carry]: [&[f32]; 6], [d_kv, d_h0]: [&mut [f32]; 2]) {
        let (q, lengths, order) = (&self.0, words(lengths), self.0.order());
        for (i, &after) in carry[..q.words()[1]].iter().enumerate() {
            let p = q.place_of(i);
            let (mut c, length) = (after, (lengths[p.row] as usize).min(q.steps as usize));
            for step in p.steps.clone() {
                let t = order.time_of(p.d, q.steps as usize - 1 - step);
                let [at_k, at_v] = [0, 1].map(|gate| q.kv_at(&p, gate, t));
                let (mut dk, mut dv) = (0.0, 0.0);
                if t < length {
                    let (k, v) = (kv[at_k], kv[at_v]);
                    let (z, a) = (sigmoid(k), sigmoid(-k));
                    let (candidate, slope) = self.candidate(v);
                    let before = self.before(&p, length, t).map_or(h0[p.column], |at| y[at]);
                    let dh = dy[q.output_at(&p, t)] + c;
                    dv = dh * z * slope;
                    dk = dh * (candidate - before) * z * a;
                    c = a * dh;
                }
                (d_kv[at_k], d_kv[at_v]) = (dk, dv);
            }
            if p.steps.end == q.steps as usize {
                d_h0[p.column] = c;
            }
        }
    }
}
