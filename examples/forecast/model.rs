//! The forecaster: a few small networks whose forecasts are averaged.

use std::ops::Range;

use wgru::io::TensorFile;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::{AdamConfig, Data, History, Method, Optimizer, Progress, Schedule, TrainOptions, Trainer, loss};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::data::{Table, Windows};
use crate::spec::Spec;

/// Number of windows that are forecast together.
const BATCH: usize = 256;

/// Predicts how the target continues from its last value, from the last state of a GRU and from the window itself, each
/// through a linear layer. The direct path carries the linear part, as in ridge regression, and the GRU the rest.
pub struct Network {
    gru: Gru,
    head: Linear,
    skip: Linear,
}

impl Network {
    fn new(device: &Device, spec: &Spec, rng: &mut Rng) -> Result<Self> {
        let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(spec.inputs(), spec.hidden) };
        let gru = config.build(device, rng)?;
        let head = Linear::new(device, spec.hidden, spec.horizon, true, rng)?;
        let skip = Linear::new(device, spec.window, spec.horizon, false, rng)?;
        for (_, weight) in skip.parameters() {
            weight.assign(&vec![0.0; weight.len()])?;
        }
        Ok(Self { gru, head, skip })
    }
}

impl Module for Network {
    wgru::parts!(gru, head, skip);

    /// Maps `[B, window, inputs]` to `[B, horizon]`.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (batch, window) = (x.dims()[0], x.dims()[1]);
        let state = self.gru.run(x, RunOptions::default(), mode)?.last_state()?;
        let target = x.slice(2, 0..1)?.reshape(&[batch, window])?;
        self.head.forward_with(&state, mode)?.add(&self.skip.forward_with(&target, mode)?)
    }
}

/// How a forecaster is trained.
pub struct Training {
    pub epochs: usize,
    pub batch: usize,
    pub rate: f64,
    pub seed: u64,
}

/// Number of epochs without a better validation loss after which a member stops.
const PATIENCE: usize = 8;

/// Result of training a member: the epoch whose weights were kept, counted from 1, and its losses.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub epoch: usize,
    pub loss: f32,
    pub validation: f32,
}

impl Kept {
    fn of(history: &History) -> Option<Self> {
        let epoch = history.best_epoch?;
        Some(Kept { epoch: epoch + 1, loss: *history.loss.get(epoch)?, validation: *history.validation.get(epoch)? })
    }
}

/// A model, trained or loaded.
pub struct Forecaster {
    pub spec: Spec,
    device: Device,
    members: Vec<Network>,
}

impl Forecaster {
    /// Trains the members one after another. Calls `progress` after every update.
    ///
    /// # Errors
    /// Errors from the device; [`Error::Diverged`] if a loss is not finite.
    pub fn train(
        device: &Device,
        spec: Spec,
        table: &Table,
        [train, validation]: [Range<usize>; 2],
        how: &Training,
        progress: &mut dyn FnMut(usize, &Progress),
    ) -> Result<(Self, Vec<Kept>)> {
        let (window, horizon) = (spec.window, spec.horizon);
        let windows = |origins| Windows { device, table, origins, window, horizon };
        let (data, validation) = (windows(train), windows(validation));
        let updates = how.epochs.saturating_mul(data.len().div_ceil(how.batch)) as u64;
        let mut forecaster = Self { members: Vec::new(), device: device.clone(), spec };
        let mut kept = Vec::new();
        for member in 0..forecaster.spec.members {
            let mut rng = Rng::new(how.seed ^ ((member as u64) << 32));
            let network = Network::new(device, &forecaster.spec, &mut rng)?;
            let options = TrainOptions {
                epochs: how.epochs,
                batch: how.batch,
                clip_norm: Some(1.0),
                schedule: Schedule::Cosine { steps: updates, min: 0.0 },
                patience: Some(PATIENCE),
                ..TrainOptions::default()
            };
            let adam = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
            let optimizer = Optimizer::new(network.parameters(), Method::AdamW(adam), how.rate)?;
            let mut trainer = Trainer::new(optimizer, options, rng);
            let mut training = trainer.start(&network, &data, Some(&validation), loss::mse)?;
            while let Some(report) = training.next_blocking()? {
                progress(member, &report);
            }
            kept.extend(Kept::of(&training.finish_blocking()?));
            forecaster.members.push(network);
        }
        Ok((forecaster, kept))
    }

    /// Returns forecasts in the series' own units, `horizon` values for each origin.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn forecast(&self, table: &Table, origins: Range<usize>) -> Result<Vec<f64>> {
        let Spec { window, horizon, .. } = self.spec;
        let windows = Windows { device: &self.device, table, origins: origins.clone(), window, horizon };
        let examples: Vec<usize> = (0..windows.len()).collect();
        let mut sums = vec![0.0; windows.len() * horizon];
        for (examples, sums) in examples.chunks(BATCH).zip(sums.chunks_mut(BATCH * horizon)) {
            let batch = windows.batch(examples)?;
            for network in &self.members {
                let changes = network.forward(batch.x())?.read_blocking()?;
                sums.iter_mut().zip(changes).for_each(|(sum, change)| *sum += f64::from(change));
            }
        }
        let scale = self.spec.scales[0];
        let value = |(i, sum): (usize, f64)| {
            let last = table.target[origins.start + i / horizon - 1];
            scale.mean + scale.deviation * (last + sum / self.members.len() as f64)
        };
        Ok(sums.into_iter().enumerate().map(value).collect())
    }

    /// Returns a file with the weights of each member, and the specification that they need.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        self.spec.write(&mut file);
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
    /// [`Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(device: &Device, file: &TensorFile) -> Result<Self> {
        let spec = Spec::read(file)?;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        let sizes = [("skip", spec.window), ("head", spec.hidden)];
        for (part, size) in sizes {
            file.expect(&format!("0.{part}.weight"), &[spec.horizon, size])?;
        }
        file.expect("0.gru.weight_hh_l0", &[spec.hidden.saturating_mul(3), spec.hidden])?;
        let mut members = Vec::new();
        for member in 0..spec.members {
            file.get(&format!("{member}.head.weight"))?;
            let network = Network::new(device, &spec, &mut Rng::new(0))?;
            for (name, tensor) in network.parameters() {
                let values = file.expect(&format!("{member}.{name}"), tensor.dims())?;
                if values.iter().any(|v| !v.is_finite()) {
                    let what = format!("tensor \"{member}.{name}\"");
                    return Err(Error::Format { what, why: "holds a number that is not finite".into() });
                }
                tensor.assign(values)?;
            }
            members.push(network);
        }
        Ok(Self { spec, device: device.clone(), members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Series;
    use crate::spec::Scale;

    fn trained() -> (Forecaster, Table) {
        let y: Vec<f64> = (0..60).map(|t| 10.0 + (0.5 * t as f64).sin()).collect();
        let spec = Spec {
            columns: vec!["y".into()],
            scales: vec![Scale::of(&y)],
            window: 4,
            horizon: 2,
            cycles: Vec::new(),
            hidden: 3,
            members: 2,
        };
        let table = Table::new(&Series { source: "t.csv".into(), columns: vec![y], times: None }, &spec);
        let how = Training { epochs: 3, batch: 8, rate: 0.01, seed: 1 };
        let parts = [4..40, 40..50];
        let (forecaster, kept) = Forecaster::train(&Device::cpu(), spec, &table, parts, &how, &mut |_, _| {}).unwrap();
        assert_eq!(kept.len(), 2);
        (forecaster, table)
    }

    #[test]
    fn saved_forecaster_gives_the_same_forecasts() {
        let (forecaster, table) = trained();
        let bytes = forecaster.to_file().unwrap().to_bytes().unwrap();
        let file = TensorFile::from_bytes("memory", &bytes).unwrap();
        let copy = Forecaster::from_file(&Device::cpu(), &file).unwrap();
        let forecast = forecaster.forecast(&table, 50..58).unwrap();
        assert_eq!(forecast.len(), 16);
        assert!(forecast.iter().all(|v| (8.0..12.0).contains(v)), "{forecast:?}");
        assert_eq!(copy.forecast(&table, 50..58).unwrap(), forecast);
    }

    #[test]
    fn mismatched_files_are_refused() {
        let (forecaster, _) = trained();
        for (key, value) in [
            ("forecast.hidden", "4000000000"),
            ("forecast.window", "5"),
            ("forecast.horizon", "1"),
            ("forecast.members", "3"),
            ("forecast.cycles", "day"),
        ] {
            let mut file = forecaster.to_file().unwrap();
            file.metadata.insert(key.into(), value.into());
            assert!(matches!(Forecaster::from_file(&Device::cpu(), &file), Err(Error::Format { .. })), "{key}");
        }
    }
}
