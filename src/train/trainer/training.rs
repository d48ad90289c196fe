//! A training run, advanced update by update.

use std::collections::VecDeque;

use super::evaluate::mean_loss;
use super::{History, Progress, Resumed, Trainer, Within};
use crate::error::{Error, Result};
use crate::nn::Mode;
use crate::rng::Rng;
use crate::tensor::Tensor;
use crate::train::step::Step;
use crate::train::watch::Watch;
use crate::train::{Data, Ema, clip_grad_norm, diverged};

/// A run that the caller advances update by update, from [`Trainer::start`] or [`Trainer::start_with`]. Between two
/// updates, the caller may await or borrow local variables, which the callback of [`Trainer::on_progress`] cannot do.
/// [`Trainer::fit`] is a loop over it.
///
/// ```
/// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let model = Linear::new(&device, 1, 1, true, &mut rng)?;
/// let data = HostData::new(&device, vec![0.5; 64], &[1])?.with_targets(vec![1.0; 64], &[1])?;
/// let optimizer = Optimizer::adam(model.parameters(), 0.1)?;
/// let mut trainer = Trainer::new(optimizer, TrainOptions::default(), rng);
/// let mut training = trainer.start(&model, &data, None, loss::mse)?;
/// while let Some(progress) = training.next_blocking()? {
///     if progress.loss.is_some_and(|loss| loss < 0.1) {
///         break;
///     }
/// }
/// let history = training.finish_blocking()?;
/// assert!(history.stopped_early);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// Dropping it abandons the run: the weights do not change, and the best epoch is not restored.
#[must_use = "a run makes updates only when it is advanced"]
pub struct Training<'a> {
    trainer: &'a mut Trainer,
    data: &'a dyn Data,
    validation: Option<&'a dyn Data>,
    step: Step<'a>,
    /// The unfinished epoch.
    epoch: Option<Epoch>,
    /// Whether the last report was the last one of the run.
    is_last: bool,
    is_over: bool,
}

/// An epoch between its first update and its end.
struct Epoch {
    /// The order of the examples.
    order: Vec<usize>,
    /// The random generator before the examples were shuffled.
    begun: Rng,
    /// Number of updates of the run before this epoch.
    first: u64,
    /// The next update of the epoch.
    next: usize,
    /// Number of updates of the epoch.
    of: usize,
    /// Number of examples of an update.
    size: usize,
    /// Created by the first update.
    watch: Option<Watch>,
    /// The initial training status of a resumed epoch.
    status: Option<Vec<f32>>,
    marks: VecDeque<Mark>,
}

/// The state of a run before an update.
struct Mark {
    /// The update, counted within the epoch.
    update: usize,
    rng: Rng,
    /// Number of steps of the optimizer, by parameter.
    steps: Vec<u64>,
}

impl<'a> Training<'a> {
    pub(super) fn new(
        trainer: &'a mut Trainer,
        data: &'a dyn Data,
        validation: Option<&'a dyn Data>,
        step: Step<'a>,
    ) -> Self {
        Self { trainer, data, validation, step, epoch: None, is_last: false, is_over: false }
    }

    /// Returns the trainer. After the last update of an epoch, when [`Progress::loss`] is set, it can be saved by
    /// [`checkpoint_to_file`](crate::io::checkpoint_to_file).
    pub fn trainer(&self) -> &Trainer {
        self.trainer
    }

    /// Makes an update, and after the last one of an epoch computes the validation loss. Returns `None` when the run is
    /// over: after the last epoch, or when patience runs out. With patience, the model then has the weights of the best
    /// epoch.
    ///
    /// # Errors
    /// Same as [`Trainer::fit`]. An error ends the run.
    pub async fn next(&mut self) -> Result<Option<Progress>> {
        if self.is_over {
            return Ok(None);
        }
        match self.advance().await {
            Ok(Some(progress)) => Ok(Some(progress)),
            Ok(None) => self.settle(Ok(())).await.map(|()| None),
            Err(error) => self.settle(Err(error)).await.map(|()| None),
        }
    }

    /// Ends the run and returns its losses. With patience, the model then has the weights of the best epoch. To
    /// continue a run that was ended within an epoch, resume from a checkpoint or a snapshot.
    ///
    /// # Errors
    /// Same as [`Trainer::fit`].
    pub async fn finish(mut self) -> Result<History> {
        if !self.is_over {
            let ended = self.break_off().await;
            self.settle(ended).await?;
        }
        Ok(self.trainer.history.clone())
    }

    /// [`next`](Self::next), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`next`](Self::next).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn next_blocking(&mut self) -> Result<Option<Progress>> {
        crate::wait::block_on(self.next())
    }

    /// [`finish`](Self::finish), but blocks until it is done.
    ///
    /// # Errors
    /// Same as [`finish`](Self::finish).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn finish_blocking(self) -> Result<History> {
        crate::wait::block_on(self.finish())
    }

    /// Runs to the end, and calls the trainer's callback after every update.
    pub(super) async fn run(mut self) -> Result<History> {
        while let Some(progress) = self.next().await? {
            if self.trainer.report(&progress).is_break() {
                break;
            }
        }
        self.finish().await
    }

    /// [`run`](Self::run), but blocks until it is done.
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub(super) fn run_blocking(self) -> Result<History> {
        crate::wait::block_on(self.run())
    }

    async fn advance(&mut self) -> Result<Option<Progress>> {
        let trainer = &mut *self.trainer;
        if self.is_last || (self.epoch.is_none() && trainer.epoch >= trainer.options.epochs) {
            return Ok(None);
        }
        let epoch = self.epoch.get_or_insert_with(|| Epoch::begin(trainer, self.data));
        let goes_on = epoch.update(trainer, self.data, &mut self.step).await?;
        let (updates, of) = (epoch.next, epoch.of);
        if goes_on && updates < of {
            let (running, rate) = (epoch.running(), trainer.optimizer.rate());
            let (epoch, loss, validation) = (trainer.epoch, None, None);
            return Ok(Some(Progress { epoch, updates, of, running, rate, loss, validation, is_best: false }));
        }
        let mean = self.close().await?;
        // Validates the averages instead of the parameters, and keeps them if they are the best.
        self.trainer.swap_averages()?;
        let validated = self.validate(mean, of).await;
        self.trainer.swap_averages()?;
        let (validation, is_best) = validated?;
        let trainer = &mut *self.trainer;
        let rate = trainer.optimizer.rate();
        if let Some(plateau) = &trainer.options.plateau {
            trainer.plateau.observe(plateau, validation.unwrap_or(mean));
        }
        // No snapshot at the end: a run resumed from it would continue to train.
        if !self.is_last {
            trainer.keep(self.step.model(), None)?;
        }
        let (epoch, loss) = (trainer.epoch - 1, Some(mean));
        Ok(Some(Progress { epoch, updates: of, of, running: loss, rate, loss, validation, is_best }))
    }

    /// Computes the validation loss after an epoch, and keeps the weights if they are the best. Returns the loss, and
    /// whether it is the best.
    async fn validate(&mut self, mean: f32, updates: usize) -> Result<(Option<f32>, bool)> {
        let validation = match self.validation {
            Some(data) => Some(mean_loss(data, self.trainer.options.batch, &mut self.step).await?),
            None => None,
        };
        let trainer = &mut *self.trainer;
        trainer.history.loss.push(mean);
        trainer.history.validation.extend(validation);
        trainer.epoch += 1;
        let Some(loss) = validation else { return Ok((None, false)) };
        let (is_best, goes_on) = trainer.keep_best(loss, updates).await?;
        if !goes_on {
            self.is_last = true;
            trainer.history.stopped_early = trainer.epoch < trainer.options.epochs;
        }
        Ok((validation, is_best))
    }

    /// Ends an epoch: waits for its updates, checks them and returns their mean loss.
    async fn close(&mut self) -> Result<f32> {
        let Some(Epoch { order, first, watch: Some(watch), marks, .. }) = self.epoch.take() else {
            return Ok(f32::NAN);
        };
        let report = watch.report().await?;
        if !report.has_failed() {
            return Ok(report.total);
        }
        let trainer = &mut *self.trainer;
        trainer.updates = first + report.updates as u64;
        // Rolls back the step counts of updates attempted after the failure, which changed no weights.
        if let Some(mark) = marks.into_iter().find(|mark| mark.update == report.updates) {
            trainer.rng = mark.rng;
            trainer.optimizer.set_steps(&mark.steps);
        }
        // The status counts updates with a finite loss, so it includes an update that only set a flag.
        let update = report.updates - usize::from(!report.flagged.is_empty());
        let names: Vec<&str> = trainer.optimizer.names().collect();
        let flagged: Vec<&str> = report.flagged.iter().map(|&i| names[i]).collect();
        let batch = order
            .chunks(trainer.update_size())
            .nth(update)
            .and_then(|examples| Some(self.data.batch(examples).ok()?.of(examples)));
        // Frozen parameters may also be NaN.
        let of_model = self.step.model().map(|model| model.parameters()).unwrap_or_default();
        let parameters = [trainer.optimizer.parameters(), of_model].concat();
        let cause = diverged::cause(&mut self.step, &parameters, &flagged, batch).await;
        let cause = cause.unwrap_or_else(|error| format!("the loss is not finite ({error})"));
        Err(Error::Diverged { epoch: trainer.epoch, update, cause })
    }

    /// Ends a run before its last epoch.
    async fn break_off(&mut self) -> Result<()> {
        let is_within = self.epoch.is_some();
        if is_within {
            self.close().await?;
        }
        let trainer = &mut *self.trainer;
        trainer.history.stopped_early = is_within || trainer.epoch < trainer.options.epochs;
        Ok(())
    }

    /// Collects the last snapshot, and restores the best weights, however the run ended. Without best weights, the
    /// model gets the averages if the run succeeded.
    async fn settle(&mut self, ended: Result<()>) -> Result<()> {
        self.is_over = true;
        let trainer = &mut *self.trainer;
        let ended = match ended {
            Ok(()) => trainer.finish_keeping().await,
            failed => failed,
        };
        let averaged = match ended.is_ok() && trainer.best().is_none() {
            true => trainer.swap_averages(),
            false => Ok(()),
        };
        if ended.is_ok() {
            trainer.ema = None;
        }
        let restored = averaged.and_then(|()| trainer.restore_best());
        trainer.history.best_epoch = trainer.best().map(|best| best.epoch - 1);
        ended.and(restored)
    }
}

impl Epoch {
    /// Begins the next epoch, or continues a resumed one.
    fn begin(trainer: &mut Trainer, data: &dyn Data) -> Self {
        let len = data.len();
        let mut order: Vec<usize> = (0..len).collect();
        // `resumed` is kept until the first update is done, so that nothing is lost on an earlier error.
        let (next, begun, status) = match &trainer.resumed {
            Some(Resumed { within, status }) => (within.done, within.begun.clone(), Some(status.clone())),
            None => (0, trainer.rng.clone(), None),
        };
        if trainer.options.shuffle {
            let mut drawn = begun.clone();
            drawn.shuffle(&mut order);
            if trainer.options.bucket_by_length {
                bucket(&mut order, trainer.options.batch, trainer.update_size(), data, &mut drawn);
            }
            if next == 0 {
                trainer.rng = drawn;
            }
        }
        let (first, of) = (trainer.updates - next as u64, len.div_ceil(trainer.update_size()));
        Self { order, begun, first, next, of, size: trainer.update_size(), watch: None, status, marks: VecDeque::new() }
    }

    /// Makes the next update. Returns `false` when an update of this epoch is known to have failed.
    async fn update(&mut self, trainer: &mut Trainer, data: &dyn Data, step: &mut Step<'_>) -> Result<bool> {
        let (done, size) = (self.next, trainer.update_size());
        let Some(examples) = self.order.chunks(size).nth(done) else { return Ok(true) };
        trainer.optimizer.set_rate(trainer.next_rate())?;
        self.marks.push_back(Mark { update: done, rng: trainer.rng.clone(), steps: trainer.optimizer.steps() });
        trainer.optimizer.zero_grad();
        let value = gradient(trainer, data, examples, step)?;
        if let Some(max) = trainer.options.clip_norm {
            clip_grad_norm(&trainer.optimizer.parameters(), max)?;
        }
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => {
                let parameters = trainer.optimizer.names().len();
                none.insert(Watch::new(value.device(), parameters, self.status.as_deref())?)
            }
        };
        watch.add(&value, examples.len() as f32 / self.order.len() as f32)?;
        trainer.optimizer.step_guarded(watch.status())?;
        if let Some(decay) = trainer.options.ema {
            let ema = match &mut trainer.ema {
                Some(ema) => ema,
                none => none.insert(Ema::new(&trainer.optimizer.parameters(), decay)?),
            };
            ema.update()?;
        }
        trainer.updates += 1;
        trainer.resumed = None;
        self.next += 1;
        value.device().catch_up().await?;
        if watch.has_failed()? {
            return Ok(false);
        }
        if self.next < self.of {
            let (begun, examples) = (self.begun.clone(), self.order.len());
            let within = Within { done: self.next, begun, examples, batch: size };
            trainer.keep(step.model(), Some((within, watch.status())))?;
        }
        while self.marks.front().is_some_and(|mark| mark.update < watch.confirmed()) {
            self.marks.pop_front();
        }
        Ok(true)
    }

    /// Returns the mean loss of the updates whose loss has been read.
    fn running(&self) -> Option<f32> {
        let (total, updates) = self.watch.as_ref()?.known()?;
        let examples = (updates * self.size).min(self.order.len());
        Some(total * (self.order.len() as f32 / examples as f32))
    }
}

/// Accumulates the gradient of an update batch by batch, and returns its loss.
fn gradient(trainer: &mut Trainer, data: &dyn Data, examples: &[usize], step: &mut Step<'_>) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for part in examples.chunks(trainer.options.batch) {
        let value = step.loss(&data.batch(part)?.of(part), &mut Mode::Train(&mut trainer.rng))?;
        let value = match part.len() == examples.len() {
            true => value,
            false => value.scale(part.len() as f32 / examples.len() as f32)?,
        };
        value.backward()?;
        sum = Some(match sum {
            Some(sum) => sum.add(&value.detach())?,
            None => value.detach(),
        });
    }
    sum.ok_or_else(|| Error::value("Trainer::fit", "data", "at least one example per update", 0))
}

/// Groups shuffled examples of similar length: sorts groups of 100 batches by length, and shuffles the updates of full
/// size. A smaller update stays at the end.
fn bucket(order: &mut [usize], batch: usize, update: usize, data: &dyn Data, rng: &mut Rng) {
    const BATCHES: usize = 100;
    for group in order.chunks_mut(batch.saturating_mul(BATCHES).max(update)) {
        group.sort_by_key(|&example| data.length(example).unwrap_or(0));
    }
    let mut updates: Vec<Vec<usize>> = order.chunks_exact(update).map(<[usize]>::to_vec).collect();
    rng.shuffle(&mut updates);
    order.iter_mut().zip(updates.into_iter().flatten()).for_each(|(place, example)| *place = example);
}
