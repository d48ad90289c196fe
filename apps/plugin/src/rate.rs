//! Resampling of the signal before and after a model, for hosts with another sample rate.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

use crate::failure::{Failure, Result};

/// Number of filter taps. More taps raise the cutoff frequency and the latency.
const TAPS: usize = 128;
/// Number of samples that are resampled at once.
const FRAME: usize = 16;
/// Number of frames for which the fill level of the queues is measured. All common pairs of rates have a shorter
/// period.
const PERIOD: usize = 1280;
/// Length of the impulse response, at most, in samples.
const RESPONSE: usize = 4096;

/// Resamples a signal for a model. Allocates only when it is created.
///
/// Samples are collected into frames, so the output does not depend on the block sizes.
pub struct Resampled {
    before: Async<f32>,
    after: Async<f32>,
    /// The input frame that is being collected, and the output frame that is returned meanwhile.
    frame: [f32; FRAME],
    ready: [f32; FRAME],
    filled: usize,
    /// Output of the model at its own rate that `after` has not read yet.
    own: Queue,
    /// Output at the host's rate that waits for its frame.
    back: Queue,
    /// Number of samples of silence in `back` at the start, so that it never runs empty.
    margin: usize,
    latency: usize,
    /// Whether the fill level of the queues repeats within [`PERIOD`] frames.
    is_periodic: bool,
}

/// A queue of samples with a fixed capacity.
struct Queue {
    samples: Vec<f32>,
    len: usize,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Self { samples: vec![0.0; capacity], len: 0 }
    }

    /// Removes the first `count` samples.
    fn drop_first(&mut self, count: usize) {
        self.samples.copy_within(count..self.len, 0);
        self.len -= count;
    }
}

/// Resamples one frame of `resampler` from `input` to `output`. Returns the number of samples written.
fn resample(resampler: &mut Async<f32>, input: &[f32], output: &mut [f32]) -> usize {
    let len = output.len();
    let from = SequentialSlice::new(input, 1, input.len());
    let to = SequentialSlice::new_mut(output, 1, len);
    let (Ok(from), Ok(mut to)) = (from, to) else { return 0 };
    let result = resampler.process_into_buffer(&from, &mut to, None);
    debug_assert!(result.is_ok(), "buffers that fit: {result:?}");
    result.map_or(0, |(_, written)| written)
}

/// Whether the two rates have a common period of at most [`PERIOD`] frames.
fn is_periodic(rate: f64, own_rate: f64) -> bool {
    // With whole numbers, the period is the rate divided by the greatest common divisor.
    let (mut divisor, mut rest) = (rate as u64, own_rate as u64);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let whole = rate.fract() == 0.0 && own_rate.fract() == 0.0;
    whole && rate as u64 / divisor.max(1) <= PERIOD as u64
}

impl Resampled {
    /// Creates resamplers for a signal at `rate` and a model at `own_rate`, in hertz.
    ///
    /// # Errors
    /// For rates that differ by more than a factor of 10, and errors of the resamplers.
    pub fn new(rate: f64, own_rate: f64) -> Result<Self> {
        let refused = |why: String| Failure::new(format!("cannot run a model of {own_rate} Hz at {rate} Hz: {why}"));
        let ratio = own_rate / rate;
        if !(0.1..=10.0).contains(&ratio) {
            return Err(refused("the rates differ by more than a factor of 10".into()));
        }
        let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
        let make = |ratio, fixed| {
            Async::new_sinc(ratio, 1.0, &parameters, FRAME, 1, fixed).map_err(|error| refused(error.to_string()))
        };
        let (before, after) = (make(ratio, FixedAsync::Input)?, make(1.0 / ratio, FixedAsync::Output)?);
        let most = before.output_frames_max();
        let own = Queue::new(2 * (after.input_frames_max() + most));
        let back = Queue::new(own.samples.len().div_ceil(most.max(1)) * 4 * FRAME + 4 * TAPS);
        let (quiet, is_periodic) = ([0.0; FRAME], is_periodic(rate, own_rate));
        let mut new = Self {
            before,
            after,
            frame: quiet,
            ready: quiet,
            filled: 0,
            own,
            back,
            margin: 0,
            latency: 0,
            is_periodic,
        };
        new.margin = new.missing();
        new.latency = new.measure();
        new.reset();
        Ok(new)
    }

    /// Returns the largest number of samples that `back` lacks.
    fn missing(&mut self) -> usize {
        let (mut written, mut missing) = (0, 0);
        for frame in 1..=PERIOD {
            self.resample(&mut |_| {});
            written += std::mem::take(&mut self.back.len);
            missing = missing.max((frame * FRAME).saturating_sub(written));
        }
        // Without a period, more samples may be missing later.
        if self.is_periodic { missing } else { missing + FRAME }
    }

    /// Measures the latency: the centroid of the squared impulse response.
    fn measure(&mut self) -> usize {
        self.reset();
        let mut output = vec![0.0; RESPONSE];
        output[0] = 1.0;
        self.process(&mut output, |_| {});
        let moment =
            |power| -> f64 { output.iter().enumerate().map(|(k, v)| (k as f64).powi(power) * f64::from(v * v)).sum() };
        (moment(1) / moment(0)).round() as usize
    }

    /// Samples by which the output is behind the input.
    pub fn latency(&self) -> usize {
        self.latency
    }

    /// Resamples the collected frame, runs `model` on it at its own rate, and resamples the result back.
    fn resample(&mut self, model: &mut impl FnMut(&mut [f32])) {
        let free = &mut self.own.samples[self.own.len..];
        let count = resample(&mut self.before, &self.frame, free);
        model(&mut free[..count]);
        self.own.len += count;
        loop {
            let needed = self.after.input_frames_next();
            if self.own.len < needed || self.back.len + FRAME > self.back.samples.len() {
                break;
            }
            let back = &mut self.back.samples[self.back.len..];
            self.back.len += resample(&mut self.after, &self.own.samples[..needed], back);
            self.own.drop_first(needed);
        }
    }

    /// Replaces samples by the output of `model`, which runs at its own rate.
    pub fn process(&mut self, samples: &mut [f32], mut model: impl FnMut(&mut [f32])) {
        let mut rest = samples;
        while !rest.is_empty() {
            let count = rest.len().min(FRAME - self.filled);
            let (now, later) = rest.split_at_mut(count);
            let part = self.filled..self.filled + count;
            self.frame[part.clone()].copy_from_slice(now);
            now.copy_from_slice(&self.ready[part]);
            self.filled += count;
            if self.filled == FRAME {
                self.resample(&mut model);
                let count = self.back.len.min(FRAME);
                self.ready[..count].copy_from_slice(&self.back.samples[..count]);
                self.ready[count..].fill(0.0);
                self.back.drop_first(count);
                self.filled = 0;
            }
            rest = later;
        }
    }

    /// Clears all filters and queues.
    pub fn reset(&mut self) {
        self.before.reset();
        self.after.reset();
        (self.frame, self.ready, self.filled) = ([0.0; FRAME], [0.0; FRAME], 0);
        self.own.len = 0;
        self.back.samples.fill(0.0);
        self.back.len = self.margin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [f64; 6] = [22_050.0, 44_100.0, 48_000.0, 88_200.0, 96_000.0, 192_000.0];

    fn pairs() -> impl Iterator<Item = (f64, f64)> {
        RATES.into_iter().flat_map(|rate| RATES.map(|own| (rate, own))).filter(|(rate, own)| rate != own)
    }

    #[test]
    fn resampled_signals_are_the_input_later() {
        for (rate, own) in pairs() {
            let mut resampled = Resampled::new(rate, own).expect("usual rates");
            // A tone below the highest frequencies of both rates.
            let step = std::f64::consts::TAU * 0.2 * rate.min(own) / rate;
            let x: Vec<f32> = (0..6000).map(|k| (step * k as f64).sin() as f32).collect();
            let mut y = x.clone();
            resampled.process(&mut y, |_| {});
            let late = resampled.latency();
            // The latency is rounded to whole samples, but the delay of the filters is not.
            let bound = 0.55 * step + 1e-3;
            for k in 3000..6000 {
                let error = f64::from((y[k] - x[k - late]).abs());
                assert!(error <= bound, "{rate} and {own} Hz, sample {k}: {error} of at most {bound}");
            }
        }
    }

    #[test]
    fn resampled_signals_do_not_depend_on_blocks_and_start_again_after_reset() {
        for (rate, own) in pairs() {
            let mut resampled = Resampled::new(rate, own).expect("usual rates");
            let x: Vec<f32> = (0..2000).map(|k| (k as f32 * 0.3).sin()).collect();
            let mut want = x.clone();
            resampled.process(&mut want, |own| own.iter_mut().for_each(|v| *v *= 0.5));
            for block in [1, 7, 64, 1999] {
                resampled.reset();
                let mut y = x.clone();
                for block in y.chunks_mut(block) {
                    resampled.process(block, |own| own.iter_mut().for_each(|v| *v *= 0.5));
                }
                assert!(y == want, "{rate} and {own} Hz, blocks of {block}");
            }
        }
    }

    #[test]
    fn resamplers_have_their_samples_in_time() {
        for (rate, own) in pairs().chain([(47_999.0, 48_000.0)]) {
            let mut resampled = Resampled::new(rate, own).expect("usual rates");
            assert_eq!(resampled.is_periodic, rate != 47_999.0);
            for frame in 0..4000 {
                resampled.resample(&mut |_| {});
                assert!(resampled.back.len >= FRAME, "{rate} and {own} Hz, frame {frame}: {}", resampled.back.len);
                resampled.back.drop_first(FRAME);
            }
        }
        assert!(Resampled::new(48_000.0, 1000.0).is_err());
    }
}
