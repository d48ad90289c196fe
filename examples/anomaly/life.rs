//! The network that predicts the remaining life of an engine, and linear regression beside it.

use wgru::io::TensorFile;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions, named_parameters};
use wgru::{Device, Result, Rng, Stream, Tensor};

use crate::common::files::{load, refuse, size};
use crate::engines::{Engine, MEASURED, MOST};
use crate::predictor::{check_version, mark_version};

/// Dropout probability of the states during training.
const DROPOUT: f32 = 0.2;

/// Units of the measurements: those that vary, with their mean and deviation over the training engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    pub columns: Vec<usize>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Units {
    pub fn of(engines: &[Engine]) -> Self {
        let rows = || engines.iter().flat_map(|engine| &engine.cycles);
        let count = rows().count().max(1) as f64;
        let mut units = Self { columns: Vec::new(), mean: Vec::new(), deviation: Vec::new() };
        for column in 0..MEASURED {
            let mean = rows().map(|row| f64::from(row[column])).sum::<f64>() / count;
            let variance = rows().map(|row| (f64::from(row[column]) - mean).powi(2)).sum::<f64>() / count;
            // Rounding makes constant columns vary a little.
            if variance.sqrt() > 1e-6 * mean.abs().max(1e-6) {
                units.columns.push(column);
                units.mean.push(mean as f32);
                units.deviation.push(variance.sqrt() as f32);
            }
        }
        units
    }

    /// Returns the features of a row.
    pub fn frame(&self, row: &[f32; MEASURED]) -> Vec<f32> {
        let scaled = |(i, column): (usize, &usize)| (row[*column] - self.mean[i]) / self.deviation[i];
        self.columns.iter().enumerate().map(scaled).collect()
    }
}

/// Predicts the remaining cycles after each cycle, from the states of a GRU over all cycles so far:
///
/// ```text
/// h_t = GRU(x_t)      y_t = W·h_t + b      target = min(remaining, 125) / 125
/// ```
pub struct Life {
    pub units: Units,
    hidden: usize,
    device: Device,
    gru: Gru,
    head: Linear,
}

impl Life {
    /// Creates a network with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, units: Units, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(units.columns.len(), hidden) };
        let gru = config.build(device, rng)?;
        let head = Linear::new(device, hidden, 1, true, rng)?;
        Ok(Self { units, hidden, device: device.clone(), gru, head })
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&[("gru", &self.gru), ("head", &self.head)])
    }

    /// Returns the mean squared error over all cycles of some engines. Above 125 remaining cycles the target is censored:
    /// only predictions below 125 count as errors.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, engines: &[&Engine], mode: &mut Mode) -> Result<Tensor> {
        let lengths: Vec<usize> = engines.iter().map(|engine| engine.cycles.len()).collect();
        let (batch, steps) = (engines.len(), lengths.iter().copied().max().unwrap_or(0));
        let width = self.units.columns.len();
        let mut x = vec![0.0; batch * steps * width];
        // Padding has the weight 0.
        let [mut target, mut exact, mut censored] = [0, 1, 2].map(|_| vec![0.0; batch * steps]);
        let share = 1.0 / lengths.iter().sum::<usize>() as f32;
        for (row, engine) in engines.iter().enumerate() {
            for (step, measured) in engine.cycles.iter().enumerate() {
                let at = row * steps + step;
                x[at * width..(at + 1) * width].copy_from_slice(&self.units.frame(measured));
                let remaining = engine.remaining(step + 1);
                target[at] = remaining.min(MOST) / MOST;
                let weights = if remaining < MOST { &mut exact } else { &mut censored };
                weights[at] = share;
            }
        }
        let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(&self.device, values, dims);
        let x = tensor(&x, &[batch, steps, width])?;
        let [target, exact, censored] = [target, exact, censored].map(|values| tensor(&values, &[batch, steps, 1]));
        let target = target?;
        let states = self.gru.run(&x, RunOptions { lengths: Some(&lengths), ..Default::default() }, mode)?.output;
        let y = self.head.forward_with(&mode.dropout(&states, DROPOUT)?, mode)?;
        let squares = |y: &Tensor| y.sub(&target)?.square();
        squares(&y)?.mask(&exact?)?.add(&squares(&y.clamp_max(1.0)?)?.mask(&censored?)?)?.sum()
    }

    /// Returns a stream of features to outputs. The network must be on the CPU.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn stream(&self) -> Result<Stream> {
        self.gru.stream(1)?.then(&self.head)
    }

    /// Returns the remaining cycles for an output of the stream.
    pub fn remaining(output: f32) -> f32 {
        (MOST * output).clamp(0.0, MOST)
    }

    /// Returns the predicted remaining cycles after each cycle.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn predict(&self, engine: &Engine) -> Result<Vec<f32>> {
        let mut stream = self.stream()?;
        let cycle = |row| stream.step(&self.units.frame(row)).map(|output| Self::remaining(output[0]));
        engine.cycles.iter().map(cycle).collect()
    }

    /// Returns a file with the weights and units.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        mark_version(&mut file);
        file.metadata.insert("anomaly.task".into(), "engines".into());
        file.metadata.insert("anomaly.hidden".into(), self.hidden.to_string());
        file.metadata.insert("anomaly.inputs".into(), self.units.columns.len().to_string());
        let columns: Vec<f32> = self.units.columns.iter().map(|&column| column as f32).collect();
        for (name, values) in
            [("columns", columns), ("mean", self.units.mean.clone()), ("deviation", self.units.deviation.clone())]
        {
            file.insert(name, &[values.len()], values);
        }
        for (name, tensor) in self.parameters() {
            file.insert(&name, tensor.dims(), tensor.read_blocking()?);
        }
        Ok(file)
    }

    /// Reads a file of [`Life::to_file`], onto the CPU.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(file: &TensorFile) -> Result<Self> {
        check_version(file)?;
        let (hidden, inputs) = (size(file, "anomaly.hidden")?, size(file, "anomaly.inputs")?);
        let columns: Vec<usize> = file.expect("columns", &[inputs])?.iter().map(|&column| column as usize).collect();
        if columns.iter().any(|&column| column >= MEASURED) {
            return Err(refuse("tensor \"columns\"", format!("expected numbers below {MEASURED}")));
        }
        let [mean, deviation] = ["mean", "deviation"].map(|name| file.expect(name, &[inputs]).map(<[f32]>::to_vec));
        let units = Units { columns, mean: mean?, deviation: deviation? };
        if units.mean.iter().any(|v| !v.is_finite()) || units.deviation.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return Err(refuse("tensors \"mean\" and \"deviation\"", "expected numbers, and positive deviations"));
        }
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        file.expect("gru.weight_hh_l0", &[hidden.saturating_mul(3), hidden])?;
        let life = Self::new(&Device::cpu(), units, hidden, &mut Rng::new(0))?;
        load(&life.parameters(), file)?;
        Ok(life)
    }
}
