//! Backward pass of [`GruSequence`](super::GruSequence) in one dispatch

use super::plain::plain_kernel;
use super::{GruResetBackward, GruStepBackward, Plain};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernel::{Kernel, wgsl};

plain_kernel! {
    /// Runs backward steps of all directions in one dispatch. On a GPU, `hidden` is at most
    /// [`GruSequence::MAX_HIDDEN`](super::GruSequence::MAX_HIDDEN).
    ///
    /// Reads the transposed `packed`, `marks`, `state`, `saved` and `dy`; writes `d_gates`, and turns `carry` from
    /// `dh_n` into `dh0`. Equations: [`GruStepBackward`]; shapes: [`kernels::plain`](super::plain).
    GruSequenceBackward
}

impl Kernel<5, 2> for GruSequenceBackward {
    const NAME: &'static str = "gru_sequence_backward";
    const WGSL: &'static [&'static str] = wgsl!("common/marks", "common/time", "common/plain", "gru_sequence_backward");
    const READS: [&'static str; 5] = ["packed", "marks", "state", "saved", "dy"];
    const WRITES: [&'static str; 2] = ["d_gates", "carry"];
    const INDICES: &'static [&'static str] = &["marks"];
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        self.0.check_backward(Self::NAME, &Cell::GRUS, u32::MAX)
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
        GruStepBackward(self.0).lens()
    }

    fn work(&self) -> u64 {
        self.0.step_work().saturating_mul(self.0.count.into())
    }

    fn run(&self, [packed, marks, state, saved, dy]: [&[f32]; 5], [d_gates, carry]: [&mut [f32]; 2]) {
        let p: &Plain = &self.0;
        let mut done = None;
        for step in p.range(0, p.count as usize).rev() {
            GruStepBackward(*p).go(done, Some(step), [packed, marks, state, saved, dy], [d_gates, carry]);
            if p.is_reset_before() {
                let reset = Plain { step: p.steps - 1 - step as u32, ..*p };
                GruResetBackward(reset).run([packed, marks, state, saved], [d_gates, carry]);
            }
            done = Some(step);
        }
        GruStepBackward(*p).go(done, None, [packed, marks, state, saved, dy], [d_gates, carry]);
    }
}
