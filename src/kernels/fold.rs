//! Gradient of [`Unfold`]

use super::Unfold;
use crate::error::Result;
use crate::kernel::{Kernel, params, shader};

params! {
    /// Sums, for each element of `x`, the gradients of the windows that contain it, in the order of the taps.
    ///
    /// Reads `dwindows` `[groups, outputs, batch, channels / groups, taps]`; writes `dx` `[steps, batch, channels]`.
    pub struct Fold(pub Unfold);
}

impl Kernel<1, 1> for Fold {
    shader!("fold", ["common/linear", "common/unfold"], [dwindows] -> [dx]);

    fn check(&self) -> Result<()> {
        self.0.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.0.taps.into()
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.0.windows_len()], [self.0.x_len()])
    }

    fn run(&self, [dwindows]: [&[f32]; 1], [dx]: [&mut [f32]; 1]) {
        let p = &self.0;
        let (batch, channels, width) = (p.batch as usize, p.channels as usize, p.width());
        let [taps, stride, dilation] = [p.taps, p.stride, p.dilation].map(|n| n as usize);
        for (row, dx) in dx[..p.x_len()].chunks_exact_mut(channels).enumerate() {
            let (b, at) = (row % batch, row / batch + p.padding as usize);
            dx.fill(0.0);
            for j in (0..taps).take_while(|j| j * dilation <= at) {
                let o = (at - j * dilation) / stride;
                if o * stride == at - j * dilation && o < p.outputs as usize {
                    for (channel, sum) in dx.iter_mut().enumerate() {
                        *sum += dwindows[p.window_at(channel / width, o, b) + channel % width * taps + j];
                    }
                }
            }
        }
    }
}
