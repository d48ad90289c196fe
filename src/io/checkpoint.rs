//! Checkpoints, from which training resumes bit for bit.

use super::TensorFile;
use super::model::{assign_all, matched};
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::rng::Rng;
use crate::tensor::Tensor;
use crate::train::{AVERAGE, Best, Ema, MODEL, OPTIMIZER, PlateauState, Resumed, STATUS, Snapshot, Trainer, Within};

const MARK: &str = "wgru.checkpoint";

/// Writes a checkpoint: weights, optimizer state, random generator, epoch, and the best weights so far.
///
/// # Errors
/// [`Error::Io`], and errors from reading tensors back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_checkpoint_blocking(
    trainer: &Trainer,
    model: &dyn Module,
    path: impl AsRef<std::path::Path>,
) -> Result<()> {
    crate::wait::block_on(checkpoint_to_file(trainer, model))?.save(path)
}

/// Writes a checkpoint of a run by [`Trainer::fit_with`]: like [`save_checkpoint_blocking`], but with the optimizer's
/// parameters as the weights.
///
/// # Errors
/// Same as [`save_checkpoint_blocking`].
#[cfg(not(target_arch = "wasm32"))]
pub fn save_checkpoint_with_blocking(trainer: &Trainer, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(checkpoint_to_file_with(trainer))?.save(path)
}

/// Returns the file that `save_checkpoint_blocking` writes.
///
/// # Errors
/// Errors from reading tensors back.
pub async fn checkpoint_to_file(trainer: &Trainer, model: &dyn Module) -> Result<TensorFile> {
    Ok(Snapshot::take(trainer, Some(model)).await?.to_file())
}

/// Returns the file that `save_checkpoint_with_blocking` writes.
///
/// # Errors
/// Errors from reading tensors back.
pub async fn checkpoint_to_file_with(trainer: &Trainer) -> Result<TensorFile> {
    Ok(Snapshot::take(trainer, None).await?.to_file())
}

impl Snapshot {
    /// Converts the snapshot to a checkpoint, for [`TensorFile::save`] and [`load_checkpoint`].
    pub fn to_file(&self) -> TensorFile {
        let (mut file, place) = (TensorFile::default(), &self.0.tag);
        for (name, dims, values) in self.0.tensors() {
            file.add(name, dims, values.to_vec());
        }
        let steps: Vec<String> = place.steps.iter().map(u64::to_string).collect();
        let mut put = |key: &str, value: String| file.metadata.insert(key.into(), value);
        put(MARK, "1".into());
        put("epoch", place.epoch.to_string());
        put("updates", place.updates.to_string());
        put("optimizer", place.optimizer.into());
        put("steps", steps.join(" "));
        if place.plateau != PlateauState::default() {
            put("plateau.best", place.plateau.best.to_bits().to_string());
            put("plateau.scale", place.plateau.scale.to_bits().to_string());
            put("plateau.bad", place.plateau.bad.to_string());
            put("plateau.cooldown", place.plateau.cooldown.to_string());
        }
        if let Some(averaged) = place.averaged {
            put("ema.updates", averaged.to_string());
        }
        let mut put_rng = |prefix: &str, rng: &Rng| {
            let (seed, position) = rng.state();
            put(&format!("{prefix}seed"), seed.to_string());
            put(&format!("{prefix}position"), position.to_string());
        };
        put_rng("", &place.rng);
        if let Some(within) = &place.within {
            put_rng("within.", &within.begun);
            put("within.done", within.done.to_string());
            put("within.examples", within.examples.to_string());
            put("within.batch", within.batch.to_string());
        }
        if let Some(best) = &place.best {
            put("best.epoch", best.epoch.to_string());
            put("best.loss", best.loss.to_bits().to_string());
            for ((name, dims), values) in place.best_names.iter().zip(&best.weights) {
                file.add(&format!("best.{name}"), dims, values.clone());
            }
        }
        file
    }
}

impl Trainer {
    /// Continues from a snapshot. This trainer, its optimizer and `model` must be built in the same way as for the
    /// original run, on any device. The next [`fit`](Self::fit) then gives the same results, bit for bit, as an
    /// uninterrupted run on such a device.
    ///
    /// # Errors
    /// [`Error::Format`] naming the first mismatch; in that case, nothing is changed.
    pub fn resume(&mut self, model: &dyn Module, snapshot: &Snapshot) -> Result<()> {
        load_checkpoint(self, model, &snapshot.to_file())
    }

    /// Returns a file with the best weights so far, by validation loss, under the names of the optimizer's parameters.
    /// Returns `None` without [patience](crate::train::TrainOptions::patience), or before the first epoch ends. Save
    /// the file whenever [`is_best`](crate::train::Progress::is_best) is set, so that the weights survive a crash.
    /// [`load_parameters`](crate::io::load_parameters) reads it into a model with the parameters of the optimizer.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use wgru::{Device, Rng, io, nn::{Linear, Module}, train::*};
    /// let (device, mut rng) = (Device::cpu(), Rng::new(1));
    /// let model = Linear::new(&device, 1, 1, true, &mut rng)?;
    /// let data = HostData::new(&device, vec![0.5; 64], &[1])?.with_targets(vec![1.0; 64], &[1])?;
    /// let options = TrainOptions { epochs: 3, patience: Some(3), ..Default::default() };
    /// let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.1)?, options, rng);
    /// let path = std::env::temp_dir().join("wgru-doc-best.safetensors");
    /// let best = path.clone();
    /// trainer.on_progress(move |progress, trainer| match trainer.best_parameters() {
    ///     Some(file) if progress.is_best && file.save(&best).is_err() => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// });
    /// trainer.fit_blocking(&model, &data, Some(&data), loss::mse)?;
    /// io::load_parameters(&model, &io::TensorFile::open(&path)?)?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn best_parameters(&self) -> Option<TensorFile> {
        let best = self.best.as_ref().filter(|_| self.options.patience.is_some())?;
        let mut file = TensorFile::default();
        for ((names, tensor), values) in self.optimizer.tied().zip(&best.weights) {
            names.iter().for_each(|name| file.add(name, tensor.dims(), values.clone()));
        }
        Some(file)
    }

    /// Continues from a snapshot of [`fit_with`](Self::fit_with): like [`resume`](Self::resume), but for the
    /// optimizer's parameters.
    ///
    /// # Errors
    /// Same as [`resume`](Self::resume).
    pub fn resume_with(&mut self, snapshot: &Snapshot) -> Result<()> {
        load_checkpoint_with(self, &snapshot.to_file())
    }
}

/// Restores the state of a run that `save_checkpoint_blocking` wrote. `trainer` and `model` must be built in the same
/// way as for that run: the file does not contain the options of the trainer and its optimizer.
///
/// # Errors
/// [`Error::Format`] naming the entry that is missing or does not match; in that case, nothing is changed.
pub fn load_checkpoint(trainer: &mut Trainer, model: &dyn Module, file: &TensorFile) -> Result<()> {
    load(trainer, &model.parameters(), file)
}

/// Restores the state of a run by [`Trainer::fit_with`] that `save_checkpoint_with_blocking` wrote: like
/// [`load_checkpoint`], but for the optimizer's parameters.
///
/// # Errors
/// Same as [`load_checkpoint`].
pub fn load_checkpoint_with(trainer: &mut Trainer, file: &TensorFile) -> Result<()> {
    let parameters = trainer.optimizer.parameters();
    load(trainer, &parameters, file)
}

fn load(trainer: &mut Trainer, parameters: &[(String, Tensor)], file: &TensorFile) -> Result<()> {
    if file.field::<u32>(MARK)? != 1 {
        return Err(Error::format(MARK, "is a version that this library does not support"));
    }
    let kind: String = file.field("optimizer")?;
    if kind != trainer.optimizer.kind() {
        return Err(Error::format(
            "optimizer",
            format!("{kind} in the file, {} in the trainer", trainer.optimizer.kind()),
        ));
    }
    let steps: String = file.field("steps")?;
    let steps: Vec<u64> = steps
        .split_whitespace()
        .map(|s| s.parse().map_err(|_| Error::format("steps", format!("{s:?} is not a number"))))
        .collect::<Result<_>>()?;
    let (epoch, updates) = (count_usize(file, "epoch")?, count(file, "updates")?);
    let rng = Rng::from_state(file.field("seed")?, count(file, "position")?);
    let best = match file.metadata.contains_key("best.epoch") {
        false => None,
        true => Some(Best {
            epoch: match count_usize(file, "best.epoch")? {
                best if (1..=epoch).contains(&best) => best,
                best => return Err(Error::format("best.epoch", format!("{best} is not among {epoch} epochs"))),
            },
            loss: match f32::from_bits(file.field("best.loss")?) {
                loss if loss.is_finite() => loss,
                loss => return Err(Error::format("best.loss", format!("must be finite, got {loss}"))),
            },
            weights: trainer
                .optimizer
                .distinct()
                .map(|(name, t)| Ok(file.expect(&format!("best.{name}"), t.dims())?.to_vec()))
                .collect::<Result<_>>()?,
        }),
    };
    let plateau = match file.metadata.contains_key("plateau.scale") {
        false => PlateauState::default(),
        true => PlateauState {
            best: f64::from_bits(file.field("plateau.best")?),
            scale: match f64::from_bits(file.field("plateau.scale")?) {
                scale if (0.0..=1.0).contains(&scale) => scale,
                scale => return Err(Error::format("plateau.scale", format!("must be in 0 to 1, got {scale}"))),
            },
            bad: count_usize(file, "plateau.bad")?,
            cooldown: count_usize(file, "plateau.cooldown")?,
        },
    };
    let ema = ema(trainer, file)?;
    let resumed = match file.metadata.contains_key("within.done") {
        false => None,
        true => Some(resumed(trainer, file, updates)?),
    };
    let weights = matched(parameters, file, MODEL)?;
    trainer.optimizer.restore(&steps, |name, dims| Ok(file.expect(&format!("{OPTIMIZER}{name}"), dims)?.to_vec()))?;
    assign_all(&weights)?;
    (trainer.epoch, trainer.updates, trainer.rng, trainer.best) = (epoch, updates, rng, best);
    (trainer.plateau, trainer.ema, trainer.resumed) = (plateau, ema, resumed);
    Ok(())
}

/// Reads moving averages from a file, if the file contains them and the trainer uses them.
fn ema(trainer: &Trainer, file: &TensorFile) -> Result<Option<Ema>> {
    let Some(decay) = trainer.options.ema.filter(|_| file.metadata.contains_key("ema.updates")) else {
        return Ok(None);
    };
    let mut ema = Ema::new(&trainer.optimizer.parameters(), decay)?;
    let values = |(name, t): &(String, Tensor)| Ok(file.expect(&format!("{AVERAGE}{name}"), t.dims())?.to_vec());
    let values = ema.averages().iter().map(values).collect::<Result<Vec<_>>>()?;
    ema.restore(count(file, "ema.updates")?, &values)?;
    Ok(Some(ema))
}

/// Reads the position within an epoch from a file.
fn resumed(trainer: &Trainer, file: &TensorFile, updates: u64) -> Result<Resumed> {
    let done = count_usize(file, "within.done")?;
    if done == 0 || done as u64 > updates {
        return Err(Error::format("within.done", format!("{done} is not between 1 and {updates}, the updates done")));
    }
    let begun = Rng::from_state(file.field("within.seed")?, count(file, "within.position")?);
    let status = file.expect(STATUS, &[trainer.status_len()])?.to_vec();
    let (examples, batch) = (count_usize(file, "within.examples")?, count_usize(file, "within.batch")?);
    if batch == 0 || done >= examples.div_ceil(batch) {
        return Err(Error::format("within.done", format!("{done} is past the batches of an epoch")));
    }
    Ok(Resumed { within: Within { done, begun, examples, batch }, status })
}

/// Reads a count, and rejects one so large that incrementing it could overflow.
fn count(file: &TensorFile, key: &str) -> Result<u64> {
    match file.field(key)? {
        n if n <= u64::MAX / 2 => Ok(n),
        n => Err(Error::format(format!("metadata {key:?}"), format!("{n} is not a count"))),
    }
}

/// [`count`], as a `usize`.
fn count_usize(file: &TensorFile, key: &str) -> Result<usize> {
    let n = count(file, key)?;
    usize::try_from(n).map_err(|_| Error::format(format!("metadata {key:?}"), format!("{n} is not a count")))
}
