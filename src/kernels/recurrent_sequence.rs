//! Recurrent layer over the whole sequence in one dispatch

use super::fused::Fused;
use super::recurrent::{self, recurrent_kernel};
use super::recurrent_step::{Weights, step};
use super::weight_dtype::{WeightDtype, word_bindings};
use crate::error::Result;
use crate::kernel::{Kernel, Text};

recurrent_kernel! {
    /// Runs steps of all directions in one dispatch: a workgroup owns four rows of a direction and loops over the
    /// steps. On a GPU, `hidden` is at most [`Fused::ROOM`].
    ///
    /// Reads `x`, `packed` and `marks`; reads the first state from `state` and writes the others, `y`, and `saved` when
    /// `save` is 1. Shapes and equations: [`kernels::fused`](super::fused).
    RecurrentSequence<C, W>
}

impl<const C: usize, W: WeightDtype> Kernel<3, 3> for RecurrentSequence<C, W> {
    const NAME: &'static str = recurrent::sequence::<W>(C).0;
    const WGSL: &'static [&'static str] = recurrent::sequence::<W>(C).1;
    const VARIANTS: &'static [Text] = &[recurrent::sequence_split::<W>(C), recurrent::sequence_held::<W>(C)];
    const READS: [&'static str; 3] = ["x", "packed", "marks"];
    const WRITES: [&'static str; 3] = ["state", "y", "saved"];
    const INDICES: &'static [&'static str] = word_bindings::<W>();
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check(Self::NAME, C, u32::MAX)
    }

    fn variant(&self) -> usize {
        let is_held = self.0.shader == Fused::SPLIT && self.0.hidden <= recurrent::held_hidden::<W>(C);
        self.0.shader as usize + is_held as usize
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
        self.0.forward_lens(W::depth(self.0.hidden as usize))
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, reads: [&[f32]; 3], [state, y, saved]: [&mut [f32]; 3]) {
        let weights = Weights { depth: W::depth(self.0.hidden as usize), part: self.0.part(true), product: W::product };
        let (mut p, mut scratch) = (self.0, Vec::new());
        let saved = if p.is_reset_before() && p.save == 0 {
            // The halves of a step pass their gates in `saved`.
            scratch.resize(p.saved_len(), f32::NAN);
            p.save = 1;
            &mut scratch[..]
        } else {
            saved
        };
        for at in p.step..p.step + p.count {
            for half in 0..p.halves() {
                step(&Fused { step: at, half, ..p }, weights, reads, [state, y, saved]);
            }
        }
    }
}
