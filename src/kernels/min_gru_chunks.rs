//! First pass of a [`MinGruSequence`] with several chunks

use super::MinGruSequence;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader, words};

params! {
    /// Computes the affine map `h ↦ A·h + B` that each chunk of a minimal GRU applies to the state before it. `A = Π
    /// a`, and `B` is the state that the chunk reaches from 0. With `log`, both are logarithms.
    ///
    /// Reads `kv` and `lengths` of [`MinGruSequence`]; writes `a_all` and `b_all` `[chunks, directions, batch,
    /// hidden]`, the factors and summands of a [`Scan`](super::Scan) over the chunks.
    pub struct MinGruChunks(pub MinGruSequence);
}

impl Kernel<2, 2> for MinGruChunks {
    shader!(
        "min_gru_chunks",
        [
            "common/linear", "common/activation", "common/low", "common/nan", "common/time", "common/min_gru",
            "common/min_gru_terms", "common/recurrence"
        ],
        [kv, lengths: u32] -> [a_all, b_all]
    );

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.loops()
    }

    fn lens(&self) -> ([usize; 2], [usize; 2]) {
        let [all, chunks] = self.0.words();
        ([2 * all, self.0.batch as usize], [chunks, chunks])
    }

    fn run(&self, [kv, lengths]: [&[f32]; 2], [a_all, b_all]: [&mut [f32]; 2]) {
        let (q, lengths, order, of) = (&self.0, words(lengths), self.0.order(), self.0.arithmetic());
        for i in 0..q.words()[1] {
            let p = q.place_of(i);
            let (mut slope, mut offset) = (of.one(), of.zero());
            for step in p.steps.clone() {
                let t = order.time_of(p.d, step);
                if t < lengths[p.row] as usize {
                    let [f, b] = q.terms(kv[q.kv_at(&p, 0, t)], kv[q.kv_at(&p, 1, t)]);
                    slope = of.times(f, slope);
                    offset = of.plus(of.times(f, offset), b);
                }
            }
            (a_all[i], b_all[i]) = (slope, offset);
        }
    }
}
