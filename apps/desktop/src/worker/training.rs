//! A model that is trained on one device.

use std::sync::mpsc::{Receiver, TryRecvError};

use wgru::nn::Module;
use wgru::train::{AdamWConfig, HostData, Method, Optimizer, TrainOptions, Trainer, loss};
use wgru::{Error, Result, Rng};

use super::board::{Losses, Shared, Status};
use super::command::{Command, Start};
use super::snapshot::Snapshot;
use crate::gpu::Compute;
use crate::model::{Forecaster, sequences};
use crate::weather::Weather;

/// Number of sequences per update.
const BATCH: usize = 16;
const SEED: u64 = 1;
/// Strong, because two years of daily data are little: with less, the validation error soon rises again.
const WEIGHT_DECAY: f32 = 4.0;
/// Number of updates between two snapshots.
const KEPT: usize = 4;

/// Model, optimizer and data on a device.
pub struct Training {
    pub compute: Compute,
    pub model: Forecaster,
    pub trainer: Trainer,
    data: HostData,
    validation: HostData,
}

/// How an epoch ended.
pub enum Ended {
    /// After its last update.
    Whole(Losses),
    /// Early, because of a command. The epoch is then incomplete: resume from a snapshot.
    By(Command),
    /// Early, because the command channel is closed.
    Abandoned,
}

impl Training {
    /// Creates a new training run, or restores the one of a snapshot.
    ///
    /// # Errors
    /// Errors from the device; [`Error::Format`] for a snapshot of another model.
    pub fn new(compute: Compute, start: &Start, hidden: usize, rate: f64, from: Option<&Snapshot>) -> Result<Self> {
        let (device, mut rng) = (compute.device.clone(), Rng::new(SEED));
        let model = Forecaster::new(&device, hidden, &mut rng)?;
        let method = Method::AdamW(AdamWConfig { weight_decay: WEIGHT_DECAY, ..AdamWConfig::default() });
        let optimizer = Optimizer::new(model.parameters(), method, rate)?;
        let options = TrainOptions { batch: BATCH, clip_norm: Some(1.0), ..TrainOptions::default() };
        let mut trainer = Trainer::new(optimizer, options, rng);
        trainer.keep_every(Some(KEPT));
        if let Some(snapshot) = from {
            snapshot.restore(&mut trainer, &model)?;
        }
        let weather: &Weather = &start.weather;
        let data = sequences(&device, weather, weather.training())?;
        let validation = sequences(&device, weather, weather.validation())?;
        Ok(Self { compute, model, trainer, data, validation })
    }

    /// Trains one epoch. Handles commands between the updates: a pause blocks here, and a new rate takes effect after
    /// the epoch. `rate` and `wanted` hold the user's choices: the rate, and whether to train.
    ///
    /// # Errors
    /// Errors from [`Trainer::fit`].
    pub fn epoch(
        &mut self,
        inbox: &Receiver<Command>,
        shared: &Shared,
        (rate, wanted): (&mut f64, &mut bool),
        scale: f32,
    ) -> Result<Ended> {
        self.trainer.options_mut().epochs = self.trainer.epoch() + 1;
        self.trainer.set_rate(*rate)?;
        let mut ended = None;
        let mut training = self.trainer.start(&self.model, &self.data, Some(&self.validation), loss::mse)?;
        while let Some(progress) = training.next_blocking()? {
            let kept = training.trainer().snapshot().map_or(0, |kept| kept.updates());
            let mut board = shared.lock();
            board.made += 1;
            board.updates += 1;
            board.snapshot = board.snapshot.max(kept);
            drop(board);
            // After the last update, record the epoch before handling commands.
            if progress.loss.is_none() {
                ended = listen(inbox, shared, rate, wanted);
            }
            if ended.is_some() {
                break;
            }
        }
        let history = training.finish_blocking()?;
        match (ended, history.loss.last(), history.validation.last()) {
            (Some(end), ..) => Ok(end),
            (None, Some(training), Some(validation)) => {
                let celsius = |mse: f32| mse.sqrt() * scale;
                Ok(Ended::Whole(Losses { training: celsius(*training), validation: celsius(*validation) }))
            }
            _ => Err(Error::Stopped("the epoch has no loss".into())),
        }
    }
}

/// Handles the commands in the inbox. Returns how the epoch ends if a command cannot be handled between two updates.
fn listen(inbox: &Receiver<Command>, shared: &Shared, rate: &mut f64, wanted: &mut bool) -> Option<Ended> {
    loop {
        let received = match *wanted {
            true => inbox.try_recv(),
            false => inbox.recv().map_err(|_| TryRecvError::Disconnected),
        };
        match received {
            Ok(Command::Pause) => {
                *wanted = false;
                shared.lock().status = Status::Paused;
            }
            Ok(Command::Train) => {
                *wanted = true;
                shared.lock().status = Status::Training;
            }
            Ok(Command::Rate(new)) => {
                *rate = new;
                shared.lock().rate = new;
            }
            Ok(command) => return Some(Ended::By(command)),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => return Some(Ended::Abandoned),
        }
    }
}
