//! First pass of a [`MinGruSequenceBackward`](super::MinGruSequenceBackward) with several chunks

use super::MinGruSequence;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader, words};
use crate::math::sigmoid;

params! {
    /// Computes the affine map `c ↦ A·c + B` that each chunk of a minimal GRU, from its last step to its first, applies
    /// to the gradient from later steps:
    ///
    /// ```text
    /// c' = a·(c + dy)    a = 1 − σ(k)
    /// ```
    ///
    /// Past a sequence's length, `c` is unchanged. Reads `kv` and `lengths` of [`MinGruSequence`], and
    /// `dy` `[steps, batch, directions, hidden]`; writes `a_all` and `b_all` `[chunks, directions, batch, hidden]`, the
    /// factors and summands of a [`Scan`](super::Scan) over the chunks. They are never logarithms.
    pub struct MinGruChunksBackward(pub MinGruSequence);
}

impl Kernel<3, 2> for MinGruChunksBackward {
    shader!(
        "min_gru_chunks_backward", ["common/linear", "common/activation", "common/time", "common/min_gru"],
        [kv, lengths: u32, dy] -> [a_all, b_all]
    );

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.loops()
    }

    fn lens(&self) -> ([usize; 3], [usize; 2]) {
        let [all, chunks] = self.0.words();
        ([2 * all, self.0.batch as usize, all], [chunks, chunks])
    }

    fn run(&self, [kv, lengths, dy]: [&[f32]; 3], [a_all, b_all]: [&mut [f32]; 2]) {
        let (q, lengths, order) = (&self.0, words(lengths), self.0.order());
        for i in 0..q.words()[1] {
            let p = q.place_of(i);
            let (mut slope, mut offset) = (1.0, 0.0);
            for step in p.steps.clone() {
                let t = order.time_of(p.d, q.steps as usize - 1 - step);
                if t < lengths[p.row] as usize {
                    let a = sigmoid(-kv[q.kv_at(&p, 0, t)]);
                    slope *= a;
                    offset = a * (offset + dy[q.output_at(&p, t)]);
                }
            }
            (a_all[i], b_all[i]) = (slope, offset);
        }
    }
}
