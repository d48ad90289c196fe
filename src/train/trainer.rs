//! The trainer: options, state, and functions that train.

mod evaluate;
mod rate_test;
mod snapshot;
mod training;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Mutex;

pub use rate_test::{RateTest, RateTestOptions};
use snapshot::Keeping;
pub use snapshot::Snapshot;
pub(crate) use snapshot::{AVERAGE, MODEL, OPTIMIZER, STATUS, Within};
pub use training::Training;

use super::ema::{Ema, check_decay};
use super::plateau::PlateauState;
use super::step::Step;
use super::{Batch, Data, Optimizer, ReduceLrOnPlateau, Schedule};
use crate::error::{Error, Result};
use crate::kernels::TrainingStatus;
use crate::nn::{Mode, Module};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Options of a [`Trainer`].
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Passes over the data, counted over all calls, so that a resumed run ends at the same epoch.
    pub epochs: usize,
    /// Examples per batch.
    pub batch: usize,
    /// Batches per update. The gradient is that of one larger batch with all of their examples, computed in less
    /// memory. The last update of an epoch may have fewer batches. Batches are weighted by their numbers of examples. A
    /// loss that divides by another number, as with ignored targets or class weights, is averaged over the batches.
    pub accumulate: usize,
    /// Whether every epoch shuffles the examples.
    pub shuffle: bool,
    /// Whether batches group examples of similar [length](super::Data::length), to reduce padding. The shuffled
    /// examples are sorted by length in groups of 100 batches, and then the batches are shuffled again. This helps with
    /// data whose batches are cut to their longest sequence, as by [`HostData::trimmed`](super::HostData::trimmed).
    pub bucket_by_length: bool,
    /// Maximum norm of all gradients together.
    pub clip_norm: Option<f32>,
    /// Schedule of the learning rate, starting from the optimizer's rate.
    pub schedule: Schedule,
    /// Number of updates of linear warm-up. Update `i`, counted from 0, has the rate `base·(i + 1) / warmup`. The
    /// schedule begins after the warm-up.
    pub warmup: u64,
    /// Lowers the learning rate when the loss no longer improves.
    pub plateau: Option<ReduceLrOnPlateau>,
    /// Decay of an [exponential moving average](super::Ema) of the parameters, such as 0.999. The validation loss, the
    /// best weights, and the weights after training are then those of the averages. During training, the parameters
    /// keep their own values. A later [`fit`](Trainer::fit) starts from the averages, with a new moving average.
    pub ema: Option<f32>,
    /// Stops after this many epochs without a better validation loss, and restores the best weights. Needs validation
    /// data: the training loss cannot rank epochs, since the weights change while it is averaged. A patience of at
    /// least `epochs` never stops early, and only restores the best weights.
    pub patience: Option<usize>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 32,
            accumulate: 1,
            shuffle: true,
            bucket_by_length: false,
            clip_norm: None,
            schedule: Schedule::Constant,
            warmup: 0,
            plateau: None,
            ema: None,
            patience: None,
        }
    }
}

/// Progress of a training run, reported after every update; after the last update of an epoch, with its losses.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Updates done in the epoch.
    pub updates: usize,
    /// Updates per epoch.
    pub of: usize,
    /// Mean loss of the epoch so far, for a progress bar; `None` while it is not known. On a GPU it lags by some
    /// updates, because training does not wait for it.
    pub running: Option<f32>,
    /// Learning rate of the update.
    pub rate: f64,
    /// Mean loss of the epoch, after its last update.
    pub loss: Option<f32>,
    /// Loss on the validation data, after the last update of the epoch.
    pub validation: Option<f32>,
    /// Whether the validation loss is the lowest so far; only with [patience](TrainOptions::patience).
    pub is_best: bool,
}

/// The losses of each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Mean training loss.
    pub loss: Vec<f32>,
    /// Loss on the validation data; empty if there is none.
    pub validation: Vec<f32>,
    /// Whether the run ended before the last epoch.
    pub stopped_early: bool,
    /// The epoch, from 0 over all calls, whose weights the model has now; `None` without patience: the weights are then
    /// those of the last epoch.
    pub best_epoch: Option<usize>,
}

/// The best epoch so far.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub loss: f32,
    pub epoch: usize,
    /// By parameter; tied parameters appear once.
    pub weights: Vec<Vec<f32>>,
}

/// Trains a model: shuffling, updates, validation and early stopping.
///
/// [`fit`](Self::fit) trains a [`Module`] with a loss of its output. [`fit_with`](Self::fit_with) takes a step function
/// instead, for models with several inputs, or any other computation. The blocking variants are
/// `fit_blocking` and `fit_with_blocking`.
///
/// All random numbers come from one generator, and all state is in the trainer and the parameters, so a run saved by
/// [`io::save_checkpoint_blocking`](crate::io::save_checkpoint_blocking) continues bit for bit.
///
/// ```
/// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let model = Linear::new(&device, 1, 1, true, &mut rng)?;                    // learns y = 2x
/// let x: Vec<f32> = (0..64).map(|i| i as f32 / 64.0).collect();
/// let y = x.iter().map(|v| 2.0 * v).collect();
/// let data = HostData::new(&device, x, &[1])?.with_targets(y, &[1])?;
/// let optimizer = Optimizer::adam(model.parameters(), 0.1)?;
/// let mut trainer = Trainer::new(optimizer, TrainOptions { epochs: 60, ..Default::default() }, rng);
/// let history = trainer.fit_blocking(&model, &data, None, loss::mse)?;
/// assert!(history.loss[59] < 1e-4);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Trainer {
    pub(crate) optimizer: Optimizer,
    pub(crate) options: TrainOptions,
    pub(crate) rng: Rng,
    pub(crate) epoch: usize,
    pub(crate) updates: u64,
    /// The rate from which the schedule starts.
    rate: f64,
    pub(crate) best: Option<Best>,
    pub(crate) plateau: PlateauState,
    /// Created by the first update of a run with averages.
    pub(crate) ema: Option<Ema>,
    history: History,
    keeping: Option<Keeping>,
    /// Position within an epoch to resume from.
    pub(crate) resumed: Option<Resumed>,
    /// In a mutex so that the trainer can be shared between threads.
    listener: Option<Mutex<Box<Listener>>>,
}

/// The callback of [`Trainer::on_progress`].
type Listener = dyn FnMut(&Progress, &Trainer) -> ControlFlow<()> + Send;

/// A position within an epoch, with the words of the training status.
pub(crate) struct Resumed {
    pub within: Within,
    pub status: Vec<f32>,
}

impl Trainer {
    /// Creates a trainer for a new run.
    pub fn new(optimizer: Optimizer, options: TrainOptions, rng: Rng) -> Self {
        let rate = optimizer.rate();
        Self {
            optimizer,
            options,
            rng,
            epoch: 0,
            updates: 0,
            rate,
            best: None,
            plateau: PlateauState::default(),
            ema: None,
            history: History::default(),
            keeping: None,
            resumed: None,
            listener: None,
        }
    }

    /// Returns the number of epochs done.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// Returns the losses of the last call of [`fit`](Self::fit) or [`fit_with`](Self::fit_with), even if it failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns the number of examples of an update.
    pub(crate) fn update_size(&self) -> usize {
        self.options.batch.saturating_mul(self.options.accumulate)
    }

    /// Returns the learning rate of the next update.
    fn next_rate(&self) -> f64 {
        let TrainOptions { warmup, ref schedule, plateau, .. } = self.options;
        if self.updates < warmup {
            return self.rate * ((self.updates + 1) as f64 / warmup as f64);
        }
        let rate = schedule.rate(self.rate, self.updates - warmup);
        plateau.map_or(rate, |plateau| plateau.rate(&self.plateau, rate))
    }

    /// Exchanges the parameters with their averages, if there are averages.
    fn swap_averages(&mut self) -> Result<()> {
        self.ema.as_mut().filter(|_| self.options.ema.is_some()).map_or(Ok(()), Ema::swap)
    }

    /// Returns the number of words of the training status: the running loss of an epoch and the flags.
    pub(crate) fn status_len(&self) -> usize {
        TrainingStatus::FLAGS as usize + self.optimizer.names().len()
    }

    /// Sets the learning rate from which the schedule starts, without the reductions of a
    /// [plateau](TrainOptions::plateau) so far.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate that is negative or not finite.
    pub fn set_rate(&mut self, rate: f64) -> Result<()> {
        self.optimizer.set_rate(rate)?;
        self.rate = rate;
        self.plateau = PlateauState::default();
        Ok(())
    }

    /// Returns the options, to change them between calls of [`fit`](Self::fit).
    pub fn options_mut(&mut self) -> &mut TrainOptions {
        &mut self.options
    }

    /// Calls `listener` after every update of the following runs, with the current trainer. After the last update of an
    /// epoch, [`Progress`] has the losses of the epoch, and the trainer can be
    /// [saved](crate::io::checkpoint_to_file). A break ends the run. Replaces an earlier listener.
    ///
    /// The listener may block, which pauses the training. To await between updates, or to borrow local variables,
    /// use [`start`](Self::start).
    pub fn on_progress(&mut self, listener: impl FnMut(&Progress, &Trainer) -> ControlFlow<()> + Send + 'static) {
        self.listener = Some(Mutex::new(Box::new(listener)));
    }

    /// Calls the listener.
    fn report(&mut self, progress: &Progress) -> ControlFlow<()> {
        let Some(listener) = self.listener.take() else { return ControlFlow::Continue(()) };
        let mut listener = listener.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let flow = listener(progress, self);
        self.listener = Some(Mutex::new(listener));
        flow
    }

    /// Trains `model` by `loss(prediction, target)` until the last epoch, until the callback of
    /// [`on_progress`](Self::on_progress) breaks, or until patience runs out. With patience, the model then gets the
    /// weights of the best epoch. To continue after a break within an epoch, resume from a checkpoint of an earlier
    /// epoch, or from a [snapshot](Self::keep_every).
    ///
    /// `loss` is a function of the module [`loss`](super::loss), or a closure `|prediction, target|` that returns a
    /// scalar. Losses are added up on the device, and read back once per epoch.
    ///
    /// If the data has lengths, the model gets them by [`Module::forward_padded`]. If its output still has a time axis,
    /// the loss gets only the valid steps of prediction and target, one sequence after another, as from
    /// [`valid_steps`](super::loss::valid_steps). Its mean is then that over the valid steps of the batch.
    ///
    /// ```
    /// use wgru::{Device, Rng, nn::*, train::*};
    /// let (device, mut rng) = (Device::cpu(), Rng::new(1));
    /// // Sequences of 1 to 9 numbers. The target is their sum.
    /// let sequences: Vec<Vec<f32>> = (0..90).map(|i| (0..=i % 9).map(|_| rng.uniform(-0.3, 0.3)).collect()).collect();
    /// let sums = sequences.iter().map(|sequence| sequence.iter().sum()).collect();
    /// let data = HostData::from_sequences(&device, &sequences, 1)?.with_targets(sums, &[1])?.trimmed()?;
    /// let model = Sequential::new()
    ///     .push("gru", RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 8) }.build(&device, &mut rng)?)
    ///     .push("last", LastState { batch_first: true, ..Default::default() })
    ///     .push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
    /// let options = TrainOptions { epochs: 30, bucket_by_length: true, ..Default::default() };
    /// let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.02)?, options, rng);
    /// let history = trainer.fit_blocking(&model, &data, None, loss::mse)?;
    /// assert!(history.loss[29] < 0.2 * history.loss[0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// If the loss of an update is NaN or infinite, the update is skipped. If only the update of an element is not
    /// finite, that element keeps its value. Training then ends with [`Error::Diverged`], which names the first
    /// parameter, input or layer that is not finite. The weights are finite; with patience, they are the weights of the
    /// best epoch. [`history`](Self::history) has the losses of the earlier epochs. A later call repeats the failed
    /// epoch.
    ///
    /// # Errors
    /// Errors from the model, the loss and the device; [`Error::Value`] for empty data, data with several inputs or
    /// without targets, data with lengths for a model that does not take them, options outside their range, and
    /// patience without validation data; [`Error::Shape`] unless padded data has a target for every step of such an
    /// output; [`Error::Diverged`] if a loss, a gradient or a weight is not finite; with patience, also for the
    /// validation loss.
    pub async fn fit(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<History> {
        self.start(model, data, validation, loss)?.run().await
    }

    /// Trains the parameters of the optimizer by a step function, which computes the loss of a batch as a scalar. Its
    /// mode is [`Mode::Train`] for training data, and [`Mode::Eval`] for validation data.
    ///
    /// Otherwise like [`fit`](Self::fit), but [`Error::Diverged`] names the batch instead of a layer, and
    /// [snapshots](Self::keep_every) hold the parameters of the optimizer;
    /// [`save_checkpoint_with_blocking`](crate::io::save_checkpoint_with_blocking) writes them to a file.
    ///
    /// ```
    /// use wgru::nn::{Linear, Module, RecurrentConfig, RunOptions, named_parameters};
    /// use wgru::{Device, Rng, train::*};
    /// let (device, mut rng) = (Device::cpu(), Rng::new(1));
    /// let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 8) }.build(&device, &mut rng)?;
    /// let head = Linear::new(&device, 8, 1, true, &mut rng)?;
    /// // Forecasts a sine from an initial state: two inputs.
    /// let sine: Vec<f32> = (0..128).map(|i| (0.4 * i as f32).sin()).collect();
    /// let data = HostData::new(&device, sine[..120].to_vec(), &[12, 1])?
    ///     .with_input(vec![0.0; 80], &[8])?
    ///     .with_targets((1..=10).map(|i| sine[12 * i]).collect(), &[1])?;
    /// let parameters = named_parameters(&[("gru", &gru), ("head", &head)]);
    /// let optimizer = Optimizer::adam(parameters, 0.02)?;
    /// let mut trainer = Trainer::new(optimizer, TrainOptions { epochs: 40, ..Default::default() }, rng);
    /// let history = trainer.fit_with_blocking(&data, None, |batch, mode| {
    ///     let h0 = batch.inputs()[1].reshape(&[1, batch.len(), 8])?;
    ///     let run = gru.run(batch.x(), RunOptions { h0: Some(&h0), ..Default::default() }, mode)?;
    ///     loss::mse(&head.forward_with(&run.last_state()?, mode)?, batch.targets())
    /// })?;
    /// assert!(history.loss[39] < 0.1 * history.loss[0]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// Errors from the step and the device; otherwise like [`fit`](Self::fit).
    pub async fn fit_with(
        &mut self,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<History> {
        self.start_with(data, validation, step)?.run().await
    }

    /// [`fit`](Self::fit), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`fit`](Self::fit).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn fit_blocking(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send,
    ) -> Result<History> {
        self.start(model, data, validation, loss)?.run_blocking()
    }

    /// [`fit_with`](Self::fit_with), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`fit_with`](Self::fit_with).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn fit_with_blocking(
        &mut self,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send,
    ) -> Result<History> {
        self.start_with(data, validation, step)?.run_blocking()
    }

    /// Begins [`fit`](Self::fit) as a run that the caller advances. The callback of
    /// [`on_progress`](Self::on_progress) is not called.
    ///
    /// # Errors
    /// [`Error::Value`] as [`fit`](Self::fit).
    pub fn start<'a>(
        &'a mut self,
        model: &'a dyn Module,
        data: &'a dyn Data,
        validation: Option<&'a dyn Data>,
        loss: impl FnMut(&Tensor, &Tensor) -> Result<Tensor> + Send + 'a,
    ) -> Result<Training<'a>> {
        let step = Step::of_module(model, Box::new(loss))?;
        self.begin(data, validation, step)
    }

    /// Begins [`fit_with`](Self::fit_with) as a run that the caller advances. The callback of
    /// [`on_progress`](Self::on_progress) is not called.
    ///
    /// # Errors
    /// [`Error::Value`] as [`fit`](Self::fit).
    pub fn start_with<'a>(
        &'a mut self,
        data: &'a dyn Data,
        validation: Option<&'a dyn Data>,
        step: impl FnMut(&Batch, &mut Mode) -> Result<Tensor> + Send + 'a,
    ) -> Result<Training<'a>> {
        self.begin(data, validation, Step::Function(Box::new(step)))
    }

    fn begin<'a>(
        &'a mut self,
        data: &'a dyn Data,
        validation: Option<&'a dyn Data>,
        step: Step<'a>,
    ) -> Result<Training<'a>> {
        self.history = History::default();
        self.check(data, validation)?;
        // A run that was dropped during validation.
        if self.ema.as_ref().is_some_and(Ema::is_swapped) {
            self.swap_averages()?;
        }
        Ok(Training::new(self, data, validation, step))
    }

    /// Rejects options that are invalid or contradict each other.
    fn check(&self, data: &dyn Data, validation: Option<&dyn Data>) -> Result<()> {
        const FIT: &str = "Trainer::fit";
        let TrainOptions { clip_norm, patience, ref schedule, plateau, ema, .. } = self.options;
        self.check_data(data)?;
        ema.map_or(Ok(()), check_decay)?;
        plateau.map_or(Ok(()), |plateau| plateau.check())?;
        if self.options.accumulate == 0 {
            return Err(Error::value(FIT, "accumulate", "at least 1 batch", 0));
        }
        self.check_order(data, validation)?;
        if let Some(norm) = clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(Error::value(FIT, "clip_norm", "more than 0", norm));
        }
        match (patience, validation) {
            (Some(0), _) => return Err(Error::value(FIT, "patience", "at least 1 epoch, or None", 0)),
            (Some(epochs), None) => {
                let expected = "validation data to measure improvement on, or no patience";
                return Err(Error::value(
                    FIT,
                    "patience",
                    expected,
                    format!("a patience of {epochs} without validation data"),
                ));
            }
            _ => {}
        }
        if let Some(Resumed { within, .. }) = &self.resumed
            && (within.examples, within.batch) != (data.len(), self.update_size())
        {
            let expected = format!("{} examples in updates of {}, as in the snapshot", within.examples, within.batch);
            let got = format!("{} in updates of {}", data.len(), self.update_size());
            return Err(Error::value(FIT, "data and batch", expected, got));
        }
        if validation.is_some_and(|data| data.is_empty()) {
            return Err(Error::value(FIT, "validation", "at least one example", 0));
        }
        schedule.check()
    }

    /// Rejects options that contradict the lengths or the order of the data.
    fn check_order(&self, data: &dyn Data, validation: Option<&dyn Data>) -> Result<()> {
        const FIT: &str = "Trainer::fit";
        let TrainOptions { batch, accumulate, shuffle, bucket_by_length, .. } = self.options;
        if bucket_by_length && !shuffle {
            return Err(Error::value(FIT, "bucket_by_length", "shuffled examples", "shuffle: false"));
        }
        if bucket_by_length && data.length(0).is_none() {
            return Err(Error::value(FIT, "bucket_by_length", "data with lengths", "data without"));
        }
        if let Some(lanes) = validation.and_then(Data::lanes).filter(|lanes| *lanes != batch) {
            return Err(Error::value(FIT, "batch", format!("{lanes}, the lanes of the validation data"), batch));
        }
        match data.lanes() {
            Some(lanes) if batch != lanes || accumulate != 1 || shuffle => {
                let expected = format!("batch: {lanes}, accumulate: 1, shuffle: false, for data that continues");
                let got = format!("batch: {batch}, accumulate: {accumulate}, shuffle: {shuffle}");
                Err(Error::value(FIT, "options", expected, got))
            }
            _ => Ok(()),
        }
    }

    fn check_data(&self, data: &dyn Data) -> Result<()> {
        if self.options.batch == 0 || data.is_empty() {
            return Err(Error::value("Trainer::fit", "batch and data", "at least one example", 0));
        }
        Ok(())
    }

    /// Copies the weights if `loss` is the best so far. Returns whether it is, and whether any patience is left.
    /// `updates` is the number of updates per epoch.
    async fn keep_best(&mut self, loss: f32, updates: usize) -> Result<(bool, bool)> {
        let Some(patience) = self.options.patience else { return Ok((false, true)) };
        if !loss.is_finite() {
            let cause = format!("the validation loss is {loss}");
            return Err(Error::Diverged { epoch: self.epoch - 1, update: updates - 1, cause });
        }
        let is_best = self.best.as_ref().is_none_or(|best| loss < best.loss);
        if is_best {
            let mut weights = Vec::new();
            for (_, p) in self.optimizer.distinct() {
                weights.push(p.read().await?);
            }
            self.best = Some(Best { loss, epoch: self.epoch, weights });
        }
        Ok((is_best, self.best.as_ref().is_none_or(|best| self.epoch - best.epoch < patience)))
    }

    /// Returns the best epoch so far, if patience is set.
    fn best(&self) -> Option<&Best> {
        self.best.as_ref().filter(|_| self.options.patience.is_some())
    }

    fn restore_best(&self) -> Result<()> {
        let Some(best) = self.best() else { return Ok(()) };
        self.optimizer.distinct().zip(&best.weights).try_for_each(|((_, p), w)| p.assign(w))
    }
}

/// Prints the options and the position of the run, not the weights.
impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("optimizer", &self.optimizer)
            .field("options", &self.options)
            .field("rate", &self.rate)
            .field("epoch", &self.epoch)
            .field("updates", &self.updates)
            .field("best_epoch", &self.best.as_ref().map(|best| best.epoch - 1))
            .finish_non_exhaustive()
    }
}
