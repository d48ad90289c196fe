//! GRU layer over the whole sequence in one dispatch

use super::stored::{Stored, stored_kernel, stored_texts, word_bindings};
use super::{GruCandidate, GruGates, GruStep};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::Kernel;

stored_kernel! {
    /// Runs steps of all directions in one dispatch: a workgroup owns four rows of a direction and loops over the
    /// steps. On a GPU, `hidden` is at most [`GruSequence::MAX_HIDDEN`].
    ///
    /// Reads `x`, `packed` and `marks`; reads the initial state from `state` and writes the others, `y`, and `saved`
    /// when `save` is 1 (with reset before, the twin always uses `saved`). Shapes and equations:
    /// [`kernels::plain`](super::plain).
    GruSequence
}

impl GruSequence {
    /// Largest hidden size whose states fit WebGPU's default 16 KiB of workgroup memory.
    pub const MAX_HIDDEN: usize = 256;
}

impl<W: Stored> Kernel<3, 3> for GruSequence<W> {
    const NAME: &'static str = stored_texts!("gru_sequence")[W::FORMAT].0;
    const WGSL: &'static [&'static str] = stored_texts!("gru_sequence")[W::FORMAT].1;
    const READS: [&'static str; 3] = ["x", "packed", "marks"];
    const WRITES: [&'static str; 3] = ["state", "y", "saved"];
    const INDICES: &'static [&'static str] = word_bindings::<W>();
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, &Cell::GRUS, u32::MAX)
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
        GruStep::<W>::from(self.0).lens()
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, [x, packed, marks]: [&[f32]; 3], [state, y, saved]: [&mut [f32]; 3]) {
        let mut scratch = Vec::new();
        let saved = match (self.0.is_reset_before(), self.0.save) {
            (true, 0) => {
                scratch.resize(self.0.saved_len(), f32::NAN);
                &mut scratch[..]
            }
            _ => saved,
        };
        for step in self.0.step..self.0.step + self.0.count {
            let p = super::Plain { step, ..self.0 };
            if p.is_reset_before() {
                GruGates::<W>::from(p).run([x, packed, state], [saved]);
                GruCandidate::<W>::from(p).run([x, packed, marks], [state, y, saved]);
            } else {
                GruStep::<W>::from(p).run([x, packed, marks], [state, y, saved]);
            }
        }
    }
}
