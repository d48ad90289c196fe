//! The forecaster: a GRU over the days, and a linear layer on each of its states.

use wgru::nn::{Gates, Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::HostData;
use wgru::{Device, Error, Result, Rng, Stream, StreamOptions, Tensor};

use std::ops::{Range, RangeInclusive};

use crate::weather::{INPUTS, Weather};

/// Length of a training sequence in days.
const STEPS: usize = 64;
/// Days between the starts of two sequences.
const STRIDE: usize = 4;
/// Longest memory of a unit before training, in days.
const LONGEST: f32 = 60.0;
/// Sizes of the hidden state that the application offers.
pub const SIZES: RangeInclusive<usize> = 4..=256;

/// `y_t = W·h_t + b` with `h = GRU(x)`: `x` `[B, T, 6]`, `y` `[B, T, 1]`.
pub struct Forecaster {
    gru: Gru,
    head: Linear,
}

/// One pass over a series.
pub struct Pass {
    /// `[T]`: for each day, the standardized change of temperature until the next day.
    pub output: Tensor,
    /// `[T, 1, H]` each.
    pub gates: Gates,
}

impl Forecaster {
    /// Creates a forecaster with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(INPUTS, hidden) };
        let gru = config.build(device, rng)?;
        // The update gates start with memories of 1 to LONGEST days: Tallec and Ollivier, *Can recurrent neural
        // networks warp time?* (2018). This also orders the units in the plot by memory.
        for (_, bias) in gru.parameters().iter().filter(|(name, _)| name == "bias_ih_l0") {
            let mut values = bias.read_blocking()?;
            for (unit, value) in values[hidden..2 * hidden].iter_mut().enumerate() {
                *value = LONGEST.ln() * unit as f32 / (hidden - 1) as f32;
            }
            bias.assign(&values)?;
        }
        Ok(Self { gru, head: Linear::new(device, hidden, 1, true, rng)? })
    }

    /// Returns the number of hidden units.
    pub fn hidden(&self) -> usize {
        self.gru.config().hidden
    }

    /// Returns the forecasts for the days after each of `days`, with the gates that led to them.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn pass(&self, device: &Device, weather: &Weather, days: Range<usize>) -> Result<Pass> {
        let steps = days.len();
        let x: Vec<f32> = days.flat_map(|day| weather.input(day)).collect();
        let x = Tensor::from_slice(device, &x, &[1, steps, INPUTS])?;
        let options = RunOptions { gates: true, ..RunOptions::default() };
        let run = self.gru.run(&x, options, &mut Mode::Eval)?;
        let output = self.head.forward(&run.output)?;
        let gates = run.gates.into_iter().next().ok_or_else(|| Error::Stopped("the run returned no gates".into()))?;
        Ok(Pass { output, gates })
    }

    /// Returns the forecaster as a stream. It must be on the CPU.
    ///
    /// # Errors
    /// Errors from [`Stream::new`].
    pub fn stream(&self) -> Result<Stream> {
        Stream::new(&self.gru, StreamOptions::default())?.then(&self.head)
    }
}

impl Module for Forecaster {
    wgru::parts!(gru, head);

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.forward_with(&self.gru.run(x, RunOptions::default(), mode)?.output, mode)
    }
}

/// Returns sequences of `days` with the targets of every day.
///
/// # Errors
/// Errors from [`HostData::new`].
pub fn sequences(device: &Device, weather: &Weather, days: Range<usize>) -> Result<HostData> {
    let starts = || (days.start..=days.end - STEPS).step_by(STRIDE);
    let x = starts().flat_map(|start| (start..start + STEPS).flat_map(|day| weather.input(day))).collect();
    let y = starts().flat_map(|start| (start..start + STEPS).map(|day| weather.target(day))).collect();
    HostData::new(device, x, &[STEPS, INPUTS])?.with_targets(y, &[STEPS, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::train::Data;

    #[test]
    fn sequences_stay_within_their_days() {
        let weather = Weather::read().unwrap();
        let data = sequences(&Device::cpu(), &weather, weather.validation()).unwrap();
        assert_eq!(data.len(), (365 - STEPS) / STRIDE + 1);
        let batch = data.batch(&[0, data.len() - 1]).unwrap();
        let (x, y) = (batch.x(), batch.targets());
        assert_eq!((x.dims(), y.dims()), (&[2, STEPS, INPUTS][..], &[2, STEPS, 1][..]));
        assert_eq!(x.read_blocking().unwrap()[..INPUTS], weather.input(weather.validation().start));
    }

    #[test]
    fn streams_match_a_single_pass() {
        let (device, weather) = (Device::cpu(), Weather::read().unwrap());
        let model = Forecaster::new(&device, 12, &mut Rng::new(3)).unwrap();
        let pass = model.pass(&device, &weather, 10..30).unwrap();
        assert_eq!(pass.gates.get("update").unwrap().len(), 20 * 12);
        let want = pass.output.read_blocking().unwrap();
        let mut stream = model.stream().unwrap();
        for (day, want) in (10..30).zip(want) {
            let got = stream.step(&weather.input(day)).unwrap()[0];
            assert!((got - want).abs() < 1e-5, "day {day}: {got} and {want}");
        }
    }
}
