//! A model at its own rate, between two resamplers.

use std::error::Error;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};
use wgru::Interpolation;

use crate::amp::Amp;

/// Number of filter taps. More taps raise the cutoff frequency and the latency.
const TAPS: usize = 128;
/// Number of samples per call of a resampler.
const CHUNK: usize = 32;

/// Returns the output for `x`, both at `rate`, and the latency in samples, which is already removed from the output.
///
/// # Errors
/// Errors of the resamplers and of the library.
pub fn run(amp: &Amp, x: &[f32], rate: u32) -> Result<(Vec<f32>, usize), Box<dyn Error>> {
    let ratio = f64::from(amp.rate) / f64::from(rate);
    let [mut before, mut after] = [resampler(ratio)?, resampler(1.0 / ratio)?];
    let own = amp.run(&all(&mut before, x)?, 1.0, Interpolation::Linear)?;
    let y = all(&mut after, &own)?;
    // A call has to wait for its samples, which arrive one after another.
    let latency =
        before.output_delay() as f64 / ratio + after.output_delay() as f64 + CHUNK as f64 * (1.0 + 1.0 / ratio);
    Ok((y, latency.ceil() as usize))
}

fn resampler(ratio: f64) -> Result<Async<f32>, Box<dyn Error>> {
    let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
    Ok(Async::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)?)
}

/// Resamples a whole signal, and removes the latency.
fn all(resampler: &mut Async<f32>, x: &[f32]) -> Result<Vec<f32>, Box<dyn Error>> {
    let input = SequentialSlice::new(x, 1, x.len())?;
    Ok(resampler.process_all(&input, x.len(), None)?.take_data())
}
