//! Windows of a convolution over time, laid out contiguously

use crate::error::{Error, Result};
use crate::kernel::{Kernel, addressable, at_least_one, countable, params, shader};

params! {
    /// ```text
    /// windows[g, o, b, c, j] = x[o·stride + j·dilation − padding, b, g·(channels / groups) + c],  0 outside of x
    /// ```
    ///
    /// Reads `x` `[steps, batch, channels]`; writes `windows` `[groups, outputs, batch, channels / groups, taps]`.
    pub struct Unfold {
        /// T, steps of `x`.
        pub steps: u32,
        /// Number of windows.
        pub outputs: u32,
        /// B, sequences.
        pub batch: u32,
        /// Channels of `x`.
        pub channels: u32,
        /// Number of groups into which the channels are divided.
        pub groups: u32,
        /// Number of steps in a window.
        pub taps: u32,
        /// Steps of `x` from one window to the next.
        pub stride: u32,
        /// Zeros before the first step.
        pub padding: u32,
        /// Steps of `x` from one tap to the next.
        pub dilation: u32,
    }
}

impl Unfold {
    /// Checks the parameters, for [`Unfold`] and [`Fold`](super::Fold).
    pub(crate) fn check_extents(&self, op: &'static str) -> Result<()> {
        let Self { steps, outputs, batch, channels, groups, taps, stride, padding, dilation } = *self;
        at_least_one(op, [("steps", steps), ("outputs", outputs), ("batch", batch), ("channels", channels)])?;
        at_least_one(op, [("groups", groups), ("taps", taps), ("stride", stride), ("dilation", dilation)])?;
        if !channels.is_multiple_of(groups) {
            return Err(Error::value(op, "groups", format!("a divisor of {channels} channels"), groups));
        }
        addressable(op, "stride", padding, &[(outputs, stride), (taps, dilation)])?;
        addressable(op, "padding", padding, &[(steps, 1)])?;
        countable(op, "steps", &[steps, batch, channels])?;
        countable(op, "outputs", &[outputs, batch, channels, taps])
    }

    /// Words of `x`.
    pub fn x_len(&self) -> usize {
        self.steps as usize * self.batch as usize * self.channels as usize
    }

    /// Words of `windows`.
    pub fn windows_len(&self) -> usize {
        self.outputs as usize * self.batch as usize * self.channels as usize * self.taps as usize
    }

    /// Channels of a group.
    pub fn width(&self) -> usize {
        self.channels as usize / self.groups as usize
    }

    /// First element of a window of a group.
    pub fn window_at(&self, g: usize, o: usize, b: usize) -> usize {
        ((g * self.outputs as usize + o) * self.batch as usize + b) * self.width() * self.taps as usize
    }
}

impl Kernel<1, 1> for Unfold {
    shader!("unfold", ["common/linear", "common/unfold"], [x] -> [windows]);

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME)
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([self.x_len()], [self.windows_len()])
    }

    fn run(&self, [x]: [&[f32]; 1], [windows]: [&mut [f32]; 1]) {
        let Self { batch, channels, taps, stride, padding, dilation, .. } = *self;
        let [outputs, batch, channels, taps] = [self.outputs, batch, channels, taps].map(|n| n as usize);
        let (width, sequences) = (self.width(), outputs * batch);
        for (row, window) in windows[..self.windows_len()].chunks_exact_mut(width * taps).enumerate() {
            let (g, o, b) = (row / sequences, row / batch % outputs, row % batch);
            for j in 0..taps {
                let at = o * stride as usize + j * dilation as usize;
                let t = at.checked_sub(padding as usize).filter(|&t| t < self.steps as usize);
                let source = t.map(|t| &x[(t * batch + b) * channels + g * width..][..width]);
                for c in 0..width {
                    window[c * taps + j] = source.map_or(0.0, |x| x[c]);
                }
            }
        }
    }
}
