//! The forecaster: a few small networks whose forecasts are averaged.

use wgru::io::TensorFile;
use wgru::nn::Mode;
use wgru::train::Data;
use wgru::{Device, Result, Rng};

use crate::adapt::Factors;
use crate::calibrate::{Calibration, Forecast};
use crate::common::files::load;
use crate::data::{Example, Inputs, Parts, Rows, Windows};
use crate::head::{Loss, Outlook};
use crate::network::Network;
use crate::spec::Spec;

/// Number of windows that are forecast together.
const BATCH: usize = 256;
/// Seed of the values drawn from predicted distributions.
const DRAWS: u64 = 0x6472_6177;

/// A model, trained or loaded.
pub struct Forecaster {
    pub spec: Spec,
    pub device: Device,
    pub members: Vec<Network>,
    pub calibration: Calibration,
    /// By series of the model, as of the end of the test part.
    pub factors: Factors,
}

/// Returns the forecasts of several networks in model units.
///
/// # Errors
/// Errors from the device.
pub fn forecast(
    (device, spec, members): (&Device, &Spec, &[Network]),
    inputs: &Inputs,
    examples: &[Example],
) -> Result<Forecast> {
    let (levels, horizon) = (spec.levels(), spec.horizon);
    let windows = Windows { device, inputs, examples, window: spec.window, horizon };
    let (outputs, mut rng) = (spec.loss.outputs(&levels), Rng::new(DRAWS));
    let (mut point, mut quantiles) = (Vec::new(), Vec::new());
    let numbers: Vec<usize> = (0..examples.len()).collect();
    for (numbers, examples) in numbers.chunks(BATCH).zip(examples.chunks(BATCH)) {
        let batch = windows.batch(numbers)?;
        let parts = Parts::of(&batch, spec);
        let mut of_members = Vec::new();
        for network in members {
            of_members.push(network.forward(&parts, &mut Mode::Eval)?.read_blocking()?);
        }
        for i in 0..examples.len() * horizon {
            let example = examples[i / horizon];
            let (base, unit) = (inputs.base(example), unit(spec, inputs.rows[example.series].series));
            let of = |values: &Vec<f32>| values[i * outputs..][..outputs].to_vec();
            let outlooks: Vec<Outlook> =
                of_members.iter().map(|values| spec.loss.outlook(&of(values), &levels, unit, &mut rng)).collect();
            let sum: f64 = outlooks.iter().map(|outlook| outlook.point).sum();
            point.push(base + sum / members.len() as f64);
            if spec.loss != Loss::Mse {
                quantiles.extend(spec.loss.quantiles(&outlooks, &levels).iter().map(|q| base + q));
            }
        }
    }
    Ok(Forecast { point, quantiles: (spec.loss != Loss::Mse).then_some(quantiles) })
}

/// Returns the deviation that values of a series were divided by.
pub fn unit(spec: &Spec, series: usize) -> f64 {
    spec.scales[series][0].deviation
}

impl Forecaster {
    /// Returns forecasts in model units.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn forecast(&self, inputs: &Inputs, examples: &[Example]) -> Result<Forecast> {
        forecast((&self.device, &self.spec, &self.members), inputs, examples)
    }

    /// Returns the forecast beyond the table in its units, with calibrated quantiles.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn beyond(&self, inputs: &Inputs, ends: &[Example]) -> Result<Forecast> {
        let mut forecast = self.calibration.apply(self.forecast(inputs, ends)?);
        let of_rows = |rows: &Rows| self.factors.0[rows.series].clone();
        Factors(inputs.rows.iter().map(of_rows).collect()).apply(&mut forecast, ends);
        Ok(to_units(&self.spec, forecast, inputs, ends))
    }

    /// Returns a file with the weights of each member, and the specification that they need.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        self.spec.write(&mut file);
        self.calibration.write(&mut file);
        self.factors.write(&mut file);
        for (member, network) in self.members.iter().enumerate() {
            for (name, tensor) in network.parameters() {
                file.insert(&format!("{member}.{name}"), tensor.dims(), tensor.read_blocking()?);
            }
        }
        Ok(file)
    }

    /// Reads a file of [`Forecaster::to_file`].
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(device: &Device, file: &TensorFile) -> Result<Self> {
        let spec = Spec::read(file)?;
        let calibration = Calibration::read(file, &spec)?;
        let factors = Factors::read(file, &spec)?;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        file.expect("0.skip.weight", &[spec.horizon, spec.window])?;
        let outputs = spec.loss.outputs(&spec.levels());
        let by_head = if spec.ahead() > 0 { outputs } else { spec.horizon.saturating_mul(outputs) };
        file.expect("0.head.weight", &[by_head, spec.hidden])?;
        file.expect("0.gru.weight_hh_l0", &[spec.hidden.saturating_mul(3), spec.hidden])?;
        let mut members = Vec::new();
        for member in 0..spec.members {
            file.get(&format!("{member}.head.weight"))?;
            let network = Network::new(device, &spec, &mut Rng::new(0))?;
            let named = |(name, tensor)| (format!("{member}.{name}"), tensor);
            load(&network.parameters().into_iter().map(named).collect::<Vec<_>>(), file)?;
            members.push(network);
        }
        Ok(Self { spec, device: device.clone(), members, calibration, factors })
    }
}

/// Converts a forecast in model units to the units of the table.
pub fn to_units(spec: &Spec, forecast: Forecast, inputs: &Inputs, examples: &[Example]) -> Forecast {
    let per_example = spec.horizon * spec.levels().len();
    let convert = |values: Vec<f64>, each: usize| {
        let series = |i: usize| inputs.rows[examples[i / each].series].series;
        values.into_iter().enumerate().map(|(i, z)| spec.to_units(series(i), z)).collect::<Vec<f64>>()
    };
    let quantiles = forecast.quantiles.map(|quantiles| convert(quantiles, per_example));
    Forecast { point: convert(forecast.point, spec.horizon), quantiles }
}
