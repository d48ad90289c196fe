//! The training loop

mod snapshot;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use snapshot::Keeping;
pub use snapshot::Snapshot;
pub(crate) use snapshot::{MODEL, OPTIMIZER, STATUS, Within};

use super::diverged::{self, Batch};
use super::watch::{Report, Watch};
use super::{Data, Optimizer, Schedule, clip_grad_norm};
use crate::error::{Error, Result};
use crate::kernels::TrainingStatus;
use crate::nn::{Mode, Module, check_last_steps};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// How [`Trainer::fit`] trains.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Passes over the data, counted over all calls: a resumed run ends where the whole one would.
    pub epochs: usize,
    /// Examples of one update.
    pub batch: usize,
    /// Whether every epoch takes the examples in a new order.
    pub shuffle: bool,
    /// Largest norm of all gradients together.
    pub clip_norm: Option<f32>,
    /// The learning rate over the updates, from that of the optimizer.
    pub schedule: Schedule,
    /// Stop after this many epochs without a better validation loss, and go back to the best weights. Needs validation
    /// data: the training loss cannot rank epochs, since the weights change while it is averaged.
    pub patience: Option<usize>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { epochs: 10, batch: 32, shuffle: true, clip_norm: None, schedule: Schedule::Constant, patience: None }
    }
}

/// Where a training run stands; given after every update and, with losses, after every epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Updates done in it.
    pub updates: usize,
    /// Updates of a whole epoch.
    pub of: usize,
    /// Mean loss of the epoch, once it is over.
    pub loss: Option<f32>,
    /// Loss on the validation data, once the epoch is over.
    pub validation: Option<f32>,
}

/// The losses of each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Mean training loss.
    pub loss: Vec<f32>,
    /// Loss on the validation data; empty without any.
    pub validation: Vec<f32>,
    /// Whether it ended before the last epoch.
    pub stopped_early: bool,
    /// The epoch, from 0 over all calls, whose weights the model has now; `None` without patience, where it is the
    /// last.
    pub best_epoch: Option<usize>,
}

/// The best epoch so far.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub loss: f32,
    pub epoch: usize,
    /// By parameter, tied ones once.
    pub weights: Vec<Vec<f32>>,
}

/// Trains a model: order of the examples, updates, validation, early stopping. All that is random comes from one
/// generator, and all state is in here and in the parameters, so a run saved by
/// [`io::save_checkpoint`](crate::io::save_checkpoint) goes on bit for bit.
///
/// ```
/// use std::ops::ControlFlow;
/// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let model = Linear::new(&device, 1, 1, true, &mut rng)?;                    // learns y = 2x
/// let x: Vec<f32> = (0..64).map(|i| i as f32 / 64.0).collect();
/// let data = HostData::new(&device, x.clone(), &[1], x.iter().map(|v| 2.0 * v).collect(), &[1])?;
/// let options = TrainOptions { epochs: 60, ..Default::default() };
/// let optimizer = Optimizer::new(model.parameters(), Method::Adam(AdamConfig::default()), 0.1)?;
/// let mut trainer = Trainer::new(optimizer, options, rng);
/// let loss = |x: &_, y: &_| loss::mse(x, y, Reduction::Mean);
/// let history = trainer.fit_blocking(&model, &data, None, &loss, &mut |_, _| ControlFlow::Continue(()))?;
/// assert!(history.loss[59] < 1e-4);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Trainer {
    pub(crate) optimizer: Optimizer,
    pub(crate) options: TrainOptions,
    pub(crate) rng: Rng,
    pub(crate) epoch: usize,
    pub(crate) updates: u64,
    rate: f64,
    pub(crate) best: Option<Best>,
    history: History,
    keeping: Option<Keeping>,
    /// Position within an epoch to resume from.
    pub(crate) resumed: Option<Resumed>,
}

/// A position within an epoch, with the words of the training status.
pub(crate) struct Resumed {
    pub within: Within,
    pub status: Vec<f32>,
}

/// Where a training stands before an update.
struct Mark {
    /// The update, from the beginning of the epoch.
    update: usize,
    rng: Rng,
    /// Steps of the optimizer, by parameter.
    steps: Vec<u64>,
}

/// A loss of a prediction and its target, as a scalar.
pub type LossFn<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + Sync + 'a;

/// Hears of every update and epoch, with the trainer as it stands: after an epoch, the place to
/// [`save_checkpoint`](crate::io::checkpoint_to_file). A break ends the run.
pub type ProgressFn<'a> = dyn FnMut(&Progress, &Trainer) -> ControlFlow<()> + 'a;

impl Trainer {
    /// A run that has not begun.
    pub fn new(optimizer: Optimizer, options: TrainOptions, rng: Rng) -> Self {
        let rate = optimizer.rate();
        let history = History::default();
        Self { optimizer, options, rng, epoch: 0, updates: 0, rate, best: None, history, keeping: None, resumed: None }
    }

    /// Epochs done.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// The losses of the last call of [`fit`](Self::fit), also of one that failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Number of words of the training status: the running loss of an epoch and the flags.
    pub(crate) fn status_len(&self) -> usize {
        TrainingStatus::FLAGS as usize + self.optimizer.names().len()
    }

    /// Sets the learning rate from which the schedule starts.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate that is negative or not finite.
    pub fn set_rate(&mut self, rate: f64) -> Result<()> {
        self.optimizer.set_rate(rate)?;
        self.rate = rate;
        Ok(())
    }

    /// How it trains; may be changed between calls of [`fit`](Self::fit).
    pub fn options_mut(&mut self) -> &mut TrainOptions {
        &mut self.options
    }

    /// Trains `model` until the last epoch, until `progress` breaks, or until patience runs out; then, with patience,
    /// the model gets the weights of the best epoch. After a break within an epoch, go on from a checkpoint, which is
    /// saved after an epoch.
    ///
    /// Losses are added up on the device and read once an epoch. `progress` may wait: in a browser, where others must
    /// have their turn between two updates.
    ///
    /// If the loss of an update is NaN or infinite, the update is skipped. Elements whose own update would be so keep
    /// their values. Training then ends with [`Error::Diverged`]: the weights are finite, those of the best epoch where
    /// there is one, and [`history`](Self::history) has the losses of the epochs before. A later call repeats the epoch
    /// that failed.
    ///
    /// # Errors
    /// Those of the model, the loss and the device; [`Error::Value`] for empty data, options outside their range, and
    /// patience without validation data; [`Error::Diverged`] when a loss, a gradient or a weight is not finite, also
    /// the validation loss where there is patience.
    pub async fn fit(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        loss: &LossFn<'_>,
        mut progress: impl AsyncFnMut(&Progress, &Trainer) -> ControlFlow<()>,
    ) -> Result<History> {
        self.history = History::default();
        self.check(data, validation)?;
        check_last_steps(&model.kind())?;
        let trained = self.run_epochs(model, data, validation, loss, &mut progress).await;
        let trained = match trained {
            Ok(()) => self.finish_keeping().await,
            failed => failed,
        };
        let restored = self.restore_best();
        self.history.best_epoch = self.best().map(|best| best.epoch - 1);
        trained.and(restored).map(|()| self.history.clone())
    }

    /// Rejects options that contradict each other or cannot be kept.
    fn check(&self, data: &dyn Data, validation: Option<&dyn Data>) -> Result<()> {
        const FIT: &str = "Trainer::fit";
        let TrainOptions { clip_norm, patience, ref schedule, .. } = self.options;
        self.check_data(data)?;
        if let Some(norm) = clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(Error::value(FIT, "clip_norm", "more than 0", norm));
        }
        match (patience, validation) {
            (Some(0), _) => return Err(Error::value(FIT, "patience", "at least 1 epoch, or None", 0)),
            (Some(epochs), None) => {
                let expected = "validation data to measure improvement on, or no patience";
                return Err(Error::value(FIT, "patience", expected, format!("{epochs} epochs without any")));
            }
            _ => {}
        }
        if let Some(Resumed { within, .. }) = &self.resumed
            && (within.examples, within.batch) != (data.len(), self.options.batch)
        {
            let expected = format!("{} examples in batches of {}, as in the snapshot", within.examples, within.batch);
            let got = format!("{} in batches of {}", data.len(), self.options.batch);
            return Err(Error::value(FIT, "data and batch", expected, got));
        }
        if validation.is_some_and(|data| data.is_empty()) {
            return Err(Error::value(FIT, "validation", "at least one example", 0));
        }
        schedule.check()
    }

    /// Compiles the shaders that training `model` needs. On a GPU this takes hundreds of milliseconds, which the first
    /// update would take otherwise. Nothing is trained: the random generator, weights and gradients do not change. On
    /// the CPU it computes one update and discards it.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn prepare(&self, model: &dyn Module, data: &dyn Data, loss: &LossFn<'_>) -> Result<()> {
        self.check_data(data)?;
        let examples: Vec<usize> = (0..self.options.batch.min(data.len())).collect();
        let (x, y) = data.batch(&examples)?;
        let parameters = self.optimizer.parameters();
        let gradients: Vec<_> = parameters.iter().map(|(_, p)| p.grad()).collect();
        let update = || {
            let value = loss(&model.forward_with(&x, &mut Mode::Train(&mut self.rng.clone()))?, &y)?;
            value.backward()?;
            if let Some(max) = self.options.clip_norm {
                clip_grad_norm(&parameters, max)?;
            }
            let mut watch = Watch::new(value.device(), 1, None)?;
            watch.add(&value, 1.0)?;
            self.optimizer.rehearse(value.device(), watch.status())
        };
        // Dead-code elimination: the results are dropped, so the recorded work is never submitted.
        let result = update();
        parameters.iter().zip(gradients).for_each(|((_, p), gradient)| p.set_grad(gradient));
        result
    }

    fn check_data(&self, data: &dyn Data) -> Result<()> {
        if self.options.batch == 0 || data.is_empty() {
            return Err(Error::value("Trainer::fit", "batch and data", "at least one example", 0));
        }
        Ok(())
    }

    async fn run_epochs(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        loss: &LossFn<'_>,
        progress: &mut impl AsyncFnMut(&Progress, &Trainer) -> ControlFlow<()>,
    ) -> Result<()> {
        let of = data.len().div_ceil(self.options.batch);
        while self.epoch < self.options.epochs {
            let Some(mean) = self.run_epoch(model, data, loss, progress).await? else {
                self.history.stopped_early = true;
                break;
            };
            let checked = match validation {
                Some(data) => Some(self.evaluate(model, data, loss).await?),
                None => None,
            };
            self.history.loss.push(mean);
            self.history.validation.extend(checked);
            self.epoch += 1;
            let patient = match checked {
                Some(loss) => self.keep_best(loss, of).await?,
                None => true,
            };
            self.keep(model, None)?;
            let report = Progress { epoch: self.epoch - 1, updates: of, of, loss: Some(mean), validation: checked };
            let goes_on = progress(&report, self).await.is_continue();
            if !goes_on || !patient {
                self.history.stopped_early = self.epoch < self.options.epochs;
                break;
            }
        }
        Ok(())
    }

    /// [`Trainer::fit`], waiting for it.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn fit_blocking(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        validation: Option<&dyn Data>,
        loss: &LossFn<'_>,
        progress: &mut ProgressFn<'_>,
    ) -> Result<History> {
        crate::wait::block_on(
            self.fit(model, data, validation, loss, async |report, trainer| progress(report, trainer)),
        )
    }

    /// One epoch; gives the mean loss, or `None` when `progress` broke.
    async fn run_epoch(
        &mut self,
        model: &dyn Module,
        data: &dyn Data,
        loss: &LossFn<'_>,
        progress: &mut impl AsyncFnMut(&Progress, &Trainer) -> ControlFlow<()>,
    ) -> Result<Option<f32>> {
        let mut order: Vec<usize> = (0..data.len()).collect();
        // Kept until the first update is made, so that an error before it loses nothing.
        let (skipped, begun, status) = match &self.resumed {
            Some(Resumed { within, status }) => (within.done, within.begun.clone(), Some(status.clone())),
            None => (0, self.rng.clone(), None),
        };
        if self.options.shuffle {
            let mut drawn = begun.clone();
            drawn.shuffle(&mut order);
            if skipped == 0 {
                self.rng = drawn;
            }
        }
        let of = order.len().div_ceil(self.options.batch);
        let first = self.updates - skipped as u64;
        let (mut watch, mut stopped): (Option<Watch>, bool) = (None, false);
        let mut marks = VecDeque::new();
        for (done, examples) in order.chunks(self.options.batch).enumerate().skip(skipped) {
            let (x, y) = data.batch(examples)?;
            self.optimizer.set_rate(self.options.schedule.rate(self.rate, self.updates))?;
            marks.push_back(Mark { update: done, rng: self.rng.clone(), steps: self.optimizer.steps() });
            self.optimizer.zero_grad();
            let value = loss(&model.forward_with(&x, &mut Mode::Train(&mut self.rng))?, &y)?;
            value.backward()?;
            if let Some(max) = self.options.clip_norm {
                clip_grad_norm(&self.optimizer.parameters(), max)?;
            }
            let watch = match &mut watch {
                Some(watch) => watch,
                none => none.insert(Watch::new(value.device(), self.optimizer.names().len(), status.as_deref())?),
            };
            watch.add(&value, examples.len() as f32 / order.len() as f32)?;
            self.optimizer.step_guarded(watch.status())?;
            self.updates += 1;
            self.resumed = None;
            value.device().catch_up().await?;
            if watch.has_failed()? {
                break;
            }
            if done + 1 < of {
                let within =
                    Within { done: done + 1, begun: begun.clone(), examples: order.len(), batch: self.options.batch };
                self.keep(model, Some((within, watch.status())))?;
            }
            while marks.front().is_some_and(|mark| mark.update < watch.confirmed()) {
                marks.pop_front();
            }
            let report = Progress { epoch: self.epoch, updates: done + 1, of, loss: None, validation: None };
            if done + 1 < of && progress(&report, self).await.is_break() {
                stopped = true;
                break;
            }
        }
        let Some(watch) = watch else { return Ok(None) };
        let report = watch.report().await?;
        if report.has_failed() {
            self.updates = first + report.updates as u64;
            // Updates that were attempted after the failure, but not made.
            if let Some(mark) = marks.into_iter().find(|mark| mark.update == report.updates) {
                self.rng = mark.rng;
                self.optimizer.set_steps(&mark.steps);
            }
            return Err(self.diverged(report, model, data, &order, loss).await);
        }
        Ok((!stopped).then_some(report.total))
    }

    /// The error of an epoch that failed. `order` is that of its examples.
    async fn diverged(
        &self,
        report: Report,
        model: &dyn Module,
        data: &dyn Data,
        order: &[usize],
        loss: &LossFn<'_>,
    ) -> Error {
        // A loss that is not finite is not counted; that of an update with a flag was.
        let update = report.updates - usize::from(!report.flagged.is_empty());
        let names: Vec<&str> = self.optimizer.names().collect();
        let flagged: Vec<&str> = report.flagged.iter().map(|&i| names[i]).collect();
        let batch = order.chunks(self.options.batch).nth(update).and_then(|examples| {
            let (x, y) = data.batch(examples).ok()?;
            Some(Batch { x, y, examples })
        });
        // Frozen parameters, too, may hold NaN.
        let parameters = [self.optimizer.parameters(), model.parameters()].concat();
        let cause = diverged::cause(model, &parameters, &flagged, batch, loss).await;
        let cause = cause.unwrap_or_else(|error| format!("the loss is not finite ({error})"));
        Error::Diverged { epoch: self.epoch, update, cause }
    }

    /// Mean loss over `data`, in evaluation.
    ///
    /// # Errors
    /// Those of the model, the loss and the device.
    pub async fn evaluate(&self, model: &dyn Module, data: &dyn Data, loss: &LossFn<'_>) -> Result<f32> {
        let order: Vec<usize> = (0..data.len()).collect();
        let mut total = None;
        if self.options.batch == 0 {
            return Err(Error::value("Trainer::evaluate", "batch", "at least 1", 0));
        }
        for examples in order.chunks(self.options.batch) {
            let (x, y) = data.batch(examples)?;
            let value = loss(&model.forward(&x)?, &y)?.detach();
            let share = value.scale(examples.len() as f32 / order.len() as f32)?;
            total = Some(match total {
                Some(sum) => share.add(&sum)?,
                None => share,
            });
        }
        match total {
            Some(total) => Ok(total.read().await?[0]),
            None => Err(Error::value("Trainer::evaluate", "data", "at least one example", 0)),
        }
    }

    /// Remembers the weights if `loss` is the best so far; says whether patience is left. `updates` are those of an
    /// epoch.
    async fn keep_best(&mut self, loss: f32, updates: usize) -> Result<bool> {
        let Some(patience) = self.options.patience else { return Ok(true) };
        if !loss.is_finite() {
            let cause = format!("the validation loss is {loss}");
            return Err(Error::Diverged { epoch: self.epoch - 1, update: updates - 1, cause });
        }
        if self.best.as_ref().is_none_or(|best| loss < best.loss) {
            let mut weights = Vec::new();
            for (_, p) in self.optimizer.distinct() {
                weights.push(p.read().await?);
            }
            self.best = Some(Best { loss, epoch: self.epoch, weights });
        }
        Ok(self.best.as_ref().is_none_or(|best| self.epoch - best.epoch < patience))
    }

    /// The best epoch so far, for a training with patience.
    fn best(&self) -> Option<&Best> {
        self.best.as_ref().filter(|_| self.options.patience.is_some())
    }

    fn restore_best(&self) -> Result<()> {
        let Some(best) = self.best() else { return Ok(()) };
        self.optimizer.distinct().zip(&best.weights).try_for_each(|((_, p), w)| p.assign(w))
    }
}
