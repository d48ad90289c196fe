//! Backward pass of [`RecurrentSequence`](super::RecurrentSequence) in one dispatch

use super::fused::Fused;
use super::recurrent::{self, recurrent_kernel};
use super::recurrent_step_backward::{first_half, second_half};
use crate::error::Result;
use crate::kernel::{Kernel, Text};

recurrent_kernel! {
    /// Runs backward steps of all directions in one dispatch. On a GPU, `hidden` is at most [`Fused::ROOM`].
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved` and `dy`; writes `d_gates`, and turns `carry` from the
    /// gradient of the last state into that of the first. Equations:
    /// [`RecurrentStepBackward`](super::RecurrentStepBackward); shapes: [`kernels::fused`](super::fused).
    RecurrentSequenceBackward<C>
}

impl<const C: usize> Kernel<5, 2> for RecurrentSequenceBackward<C> {
    const NAME: &'static str = recurrent::sequence_backward(C).0;
    const WGSL: &'static [&'static str] = recurrent::sequence_backward(C).1;
    const VARIANTS: &'static [Text] = &[recurrent::sequence_backward_split(C)];
    const READS: [&'static str; 5] = ["packed", "marks", "state", "saved", "dy"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, C, u32::MAX)
    }

    fn variant(&self) -> usize {
        self.0.shader as usize
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
        self.0.backward_lens()
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, reads: [&[f32]; 5], [d_gates, carry]: [&mut [f32]; 2]) {
        let p: &Fused = &self.0;
        let mut done = None;
        for step in p.range(0, p.count as usize).rev() {
            first_half(p, done, Some(step), reads, [d_gates, carry]);
            if p.is_reset_before() {
                second_half(p, step, reads, [d_gates, carry]);
            }
            done = Some(step);
        }
        first_half(p, done, None, reads, [d_gates, carry]);
    }
}
