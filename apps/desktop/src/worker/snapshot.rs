//! Snapshots of training: in memory, to recover from a lost device, and in a file, to continue after a restart.

use std::path::{Path, PathBuf};

use wgru::io::{TensorFile, checkpoint_to_file, load_checkpoint};
use wgru::train::Trainer;
use wgru::{Device, Error, Result, Rng};

use super::board::Losses;
use crate::model::{Forecaster, SIZES};

/// Name of the model file in the state folder.
const FILE: &str = "model.safetensors";

/// Weights, optimizer state, random generator and epoch, and the losses so far.
#[derive(Clone)]
pub struct Snapshot {
    file: TensorFile,
    pub hidden: usize,
    pub rate: f64,
    pub updates: u64,
    pub history: Vec<Losses>,
}

impl Snapshot {
    /// Reads the state of training back from its device.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn take(trainer: &Trainer, model: &Forecaster, rate: f64, history: &[Losses]) -> Result<Self> {
        let file = pollster::block_on(checkpoint_to_file(trainer, model))?;
        let updates = file.field("updates")?;
        Ok(Self { file, hidden: model.hidden(), rate, updates, history: history.to_vec() })
    }

    /// Returns the last snapshot that `trainer` took on its own, if it is newer than `than`. It is in host memory, so
    /// it outlives the device.
    pub fn kept(trainer: &Trainer, hidden: usize, rate: f64, history: &[Losses], than: Option<&Self>) -> Option<Self> {
        let kept = trainer.snapshot()?;
        if than.is_some_and(|than| kept.updates() <= than.updates) {
            return None;
        }
        let history = history[..kept.epoch().min(history.len())].to_vec();
        Some(Self { file: kept.to_file(), hidden, rate, updates: kept.updates(), history })
    }

    /// Restores `trainer` and `model`, which may be on another device, to the state of the snapshot.
    ///
    /// # Errors
    /// [`Error::Format`] if they were built differently; errors from the device.
    pub fn restore(&self, trainer: &mut Trainer, model: &Forecaster) -> Result<()> {
        load_checkpoint(trainer, model, &self.file)
    }

    /// Returns the weights as a model on `device`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn model_on(&self, device: &Device) -> Result<Forecaster> {
        let model = Forecaster::new(device, self.hidden, &mut Rng::new(0))?;
        self.assign_to(&model)?;
        Ok(model)
    }

    /// Sets the weights of a model of the same size.
    ///
    /// # Errors
    /// [`Error::Format`] for a model of a different size; errors from the device.
    pub fn assign_to(&self, model: &Forecaster) -> Result<()> {
        wgru::io::load_parameters(model, &self.file.under("model"))
    }

    /// Writes the snapshot to the state folder, atomically.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut file = self.file.clone();
        file.metadata.insert("desktop.hidden".into(), self.hidden.to_string());
        file.metadata.insert("desktop.rate".into(), self.rate.to_string());
        if !self.history.is_empty() {
            let (training, validation) = self.history.iter().map(|l| (l.training, l.validation)).unzip();
            file.insert("desktop.training", &[self.history.len()], training);
            file.insert("desktop.validation", &[self.history.len()], validation);
        }
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
        file.save(folder.join(FILE))
    }

    /// Reads the snapshot in the state folder, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`].
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let file = TensorFile::open(&path)?;
        let hidden = file.field("desktop.hidden")?;
        let rate: f64 = file.field("desktop.rate")?;
        if !SIZES.contains(&hidden) || !rate.is_finite() || rate <= 0.0 {
            let what = format!("{}: metadata", path.display());
            return Err(Error::Format { what, why: format!("hidden size {hidden} or learning rate {rate}") });
        }
        let history = match file.get("desktop.training") {
            Ok((_, training)) => {
                let validation = file.expect("desktop.validation", &[training.len()])?;
                let pairs = training.iter().zip(validation);
                pairs.map(|(&training, &validation)| Losses { training, validation }).collect()
            }
            Err(_) => Vec::new(),
        };
        Ok(Some(Self { hidden, rate, updates: file.field("updates")?, history, file }))
    }

    /// Renames an unusable file, so that it is not overwritten.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_aside(folder: &Path) -> Result<PathBuf> {
        let (from, to) = (folder.join(FILE), folder.join(format!("{FILE}.unusable")));
        std::fs::rename(&from, &to).map_err(|source| Error::Io { path: from, source })?;
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::nn::Module;
    use wgru::train::{Optimizer, TrainOptions};

    fn new(hidden: usize, seed: u64) -> (Forecaster, Trainer) {
        let mut rng = Rng::new(seed);
        let model = Forecaster::new(&Device::cpu(), hidden, &mut rng).unwrap();
        let optimizer = Optimizer::adam(model.parameters(), 1e-3).unwrap();
        (model, Trainer::new(optimizer, TrainOptions::default(), rng))
    }

    fn values(model: &Forecaster) -> Vec<Vec<f32>> {
        model.parameters().iter().map(|(_, tensor)| tensor.read_blocking().unwrap()).collect()
    }

    #[test]
    fn a_snapshot_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Snapshot::open(folder.path()).unwrap().is_none());
        let history = [Losses { training: 3.0, validation: 3.5 }, Losses { training: 2.5, validation: 3.0 }];
        let (model, trainer) = new(8, 1);
        Snapshot::take(&trainer, &model, 2e-3, &history).unwrap().save(folder.path()).unwrap();

        let read = Snapshot::open(folder.path()).unwrap().expect("a snapshot");
        assert_eq!((read.hidden, read.rate, &read.history[..]), (8, 2e-3, &history[..]));
        let (other, mut other_trainer) = new(8, 2);
        assert_ne!(values(&other), values(&model));
        read.restore(&mut other_trainer, &other).unwrap();
        assert_eq!(values(&other), values(&model));
        assert_eq!(values(&read.model_on(&Device::cpu()).unwrap()), values(&model));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_can_be_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"not a model").unwrap();
        assert!(Snapshot::open(folder.path()).is_err());
        assert!(Snapshot::set_aside(folder.path()).unwrap().exists());
        assert!(Snapshot::open(folder.path()).unwrap().is_none());
    }
}
