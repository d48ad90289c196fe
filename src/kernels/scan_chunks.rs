//! The first pass of a [`Scan`]

use super::Scan;
use crate::error::Result;
use crate::kernel::{Kernel, Params, linear_groups, wgsl};

/// What each chunk of a first-order recurrence makes of any state before it, `h ↦ A·h + B`: `A = Π a_i`, and `B` is the
/// state that the chunk reaches from 0.
///
/// Reads `a` and `b` `[steps, width]`; writes `a_all` and `b_all` `[chunks, width]`, which are the factors and summands
/// of a recurrence over the chunks. Its states are the `carry` of [`Scan`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ScanChunks(pub Scan);

impl Params for ScanChunks {
    const FIELDS: &'static [(&'static str, &'static str)] = Scan::FIELDS;
}

impl Kernel<2, 2> for ScanChunks {
    const NAME: &'static str = "scan_chunks";
    const WGSL: &'static [&'static str] = wgsl!("common/linear", "common/low", "common/nan", "common/scan", "scan_chunks");
    const READS: [&'static str; 2] = ["a", "b"];
    const WRITES: [&'static str; 2] = ["a_all", "b_all"];

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.chunk.min(self.0.steps).into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.0.words()[1])
    }

    fn lens(&self) -> ([usize; 2], [usize; 2]) {
        let [all, chunks] = self.0.words();
        ([all, all], [chunks, chunks])
    }

    fn run(&self, [a, b]: [&[f32]; 2], [a_all, b_all]: [&mut [f32]; 2]) {
        let (p, width) = (&self.0, self.0.width as usize);
        for i in 0..p.words()[1] {
            let column = i % width;
            let (mut slope, mut offset) = (p.one(), p.zero());
            for step in p.steps_of(i / width) {
                let factor = p.factors(a, step).map_or(p.one(), |a| a[column]);
                slope = p.times(factor, slope);
                offset = p.plus(p.times(factor, offset), b[p.row_of(step) + column]);
            }
            (a_all[i], b_all[i]) = (slope, offset);
        }
    }
}
