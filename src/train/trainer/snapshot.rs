//! Snapshots of training runs in host memory

use super::{Best, Trainer};
use crate::error::Result;
use crate::keeper::{HostCopy, Keeper};
use crate::nn::Module;
use crate::rng::Rng;
use crate::tensor::Tensor;
use crate::train::PlateauState;
use crate::train::watch::Report;

/// The complete state of a training run in host memory, from which it continues bit for bit: weights, optimizer state,
/// random generator, epoch, position within the epoch, and best weights. It outlives the device. [`Trainer::resume`]
/// continues from it; [`Snapshot::to_file`] converts it to a checkpoint.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(crate) HostCopy<Place>);

/// Position of a run, and its state other than tensors.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub rng: Rng,
    pub epoch: usize,
    pub updates: u64,
    /// Method of the optimizer.
    pub optimizer: &'static str,
    /// Steps of the optimizer, by parameter.
    pub steps: Vec<u64>,
    pub best: Option<Best>,
    /// Names and extents of the best weights.
    pub best_names: Vec<(String, Vec<usize>)>,
    pub plateau: PlateauState,
    /// Number of updates of the moving averages, if there are any.
    pub averaged: Option<u64>,
    /// Position within an unfinished epoch.
    pub within: Option<Within>,
}

/// A position within an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    /// Updates done in the epoch.
    pub done: usize,
    /// The random generator before the examples were shuffled.
    pub begun: Rng,
    /// Number of examples in the data, and of one update.
    pub examples: usize,
    pub batch: usize,
}

/// Prefixes of the names in a snapshot.
pub(crate) const MODEL: &str = "model.";
pub(crate) const OPTIMIZER: &str = "optimizer.";
/// Moving averages of the parameters.
pub(crate) const AVERAGE: &str = "ema.";
/// The running loss of the epoch.
pub(crate) const STATUS: &str = "status";

impl Snapshot {
    /// Number of updates since the start of the run.
    pub fn updates(&self) -> u64 {
        self.0.tag.updates
    }

    /// Number of epochs done.
    pub fn epoch(&self) -> usize {
        self.0.tag.epoch
    }

    /// Takes a snapshot between two epochs, and waits for it. Without a model it holds the parameters of the optimizer.
    pub(crate) async fn take(trainer: &Trainer, model: Option<&dyn Module>) -> Result<Self> {
        let mut keeper = Keeper::every(1);
        begin(&mut keeper, trainer, model, None)?;
        keeper.finish().await?;
        let mut copy = keeper.take().expect("finished");
        if let Some(resumed) = &trainer.resumed {
            copy.tag.within = Some(resumed.within.clone());
            copy.push(STATUS, resumed.status.clone());
        }
        Ok(Self(copy))
    }
}

/// Starts the copies of a snapshot. Without a model they hold the parameters of the optimizer; within an epoch they
/// include the running loss.
fn begin(
    keeper: &mut Keeper<Place>,
    trainer: &Trainer,
    model: Option<&dyn Module>,
    within: Option<(Within, &Tensor)>,
) -> Result<()> {
    let (state, steps) = trainer.optimizer.state();
    let named = |prefix: &'static str, list: Vec<(String, Tensor)>| {
        list.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
    };
    let weights = model.map_or_else(|| trainer.optimizer.parameters(), |model| model.parameters());
    let mut tensors: Vec<_> = named(MODEL, weights).chain(named(OPTIMIZER, state)).collect();
    let ema = trainer.ema.as_ref().filter(|_| trainer.options.ema.is_some());
    tensors.extend(ema.map(|ema| named(AVERAGE, ema.averages())).into_iter().flatten());
    tensors.extend(within.as_ref().map(|(_, status)| (STATUS.to_string(), (*status).clone())));
    let names = |best: &Best| {
        let named = trainer.optimizer.distinct().zip(&best.weights);
        named.map(|((name, tensor), _)| (name.to_string(), tensor.dims().to_vec())).collect()
    };
    let place = Place {
        rng: trainer.rng.clone(),
        epoch: trainer.epoch,
        updates: trainer.updates,
        optimizer: trainer.optimizer.kind(),
        steps,
        best_names: trainer.best.as_ref().map(names).unwrap_or_default(),
        best: trainer.best.clone(),
        plateau: trainer.plateau,
        averaged: ema.map(|ema| ema.updates()),
        within: within.map(|(within, _)| within),
    };
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (&**name, tensor)).collect();
    keeper.begin(place, &tensors)
}

/// Takes snapshots at an interval.
pub(super) struct Keeping {
    every: u64,
    keeper: Keeper<Place>,
    last: Option<Snapshot>,
}

impl Keeping {
    pub fn every(updates: usize) -> Self {
        Self { every: updates.max(1) as u64, keeper: Keeper::every(1), last: None }
    }

    pub fn last(&self) -> Option<&Snapshot> {
        self.last.as_ref()
    }
}

impl Trainer {
    /// Takes a snapshot of the run after every `updates` updates. The device copies the state between updates, and
    /// training does not wait for the copies. If a snapshot is still pending when the next one is due, the next one is
    /// skipped. `None` turns snapshots off.
    ///
    /// ```
    /// # use wgru::{Device, Result, Rng, nn::{Linear, Module}, train::*};
    /// fn build(device: &Device) -> Result<(Linear, HostData, Trainer)> {
    ///     let model = Linear::new(device, 1, 1, true, &mut Rng::new(1))?;
    ///     let data = HostData::new(device, vec![0.5; 64], &[1])?.with_targets(vec![1.0; 64], &[1])?;
    ///     let optimizer = Optimizer::adam(model.parameters(), 0.1)?;
    ///     let options = TrainOptions { epochs: 5, batch: 8, ..Default::default() };
    ///     Ok((model, data, Trainer::new(optimizer, options, Rng::new(2))))
    /// }
    /// let (model, data, mut trainer) = build(&Device::cpu())?;
    /// trainer.keep_every(Some(10));
    /// let trained = trainer.fit_blocking(&model, &data, None, loss::mse);
    /// // After `Err(Error::DeviceLost(_))`: open another device, rebuild everything there, and continue.
    /// let kept = trainer.snapshot().expect("taken every 10 updates").clone();
    /// let (model, data, mut trainer) = build(&Device::cpu())?;
    /// trainer.resume(&model, &kept)?;
    /// let history = trainer.fit_blocking(&model, &data, None, loss::mse)?;
    /// assert_eq!(trainer.epoch(), 5);
    /// # trained?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn keep_every(&mut self, updates: Option<usize>) {
        self.keeping = updates.map(Keeping::every);
    }

    /// Returns the last complete snapshot; see [`keep_every`](Self::keep_every).
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.keeping.as_ref().and_then(Keeping::last)
    }

    /// Collects a pending snapshot if it has arrived, and starts a new one if it is due.
    pub(super) fn keep(&mut self, model: Option<&dyn Module>, within: Option<(Within, &Tensor)>) -> Result<()> {
        let Some(mut keeping) = self.keeping.take() else { return Ok(()) };
        let result = keeping.keep(self, model, within);
        self.keeping = Some(keeping);
        result
    }

    /// Waits for a pending snapshot.
    pub(super) async fn finish_keeping(&mut self) -> Result<()> {
        if let Some(keeping) = &mut self.keeping {
            keeping.keeper.finish().await?;
            keeping.arrive();
        }
        Ok(())
    }
}

impl Keeping {
    fn keep(&mut self, trainer: &Trainer, model: Option<&dyn Module>, within: Option<(Within, &Tensor)>) -> Result<()> {
        self.keeper.look()?;
        self.arrive();
        if trainer.updates.is_multiple_of(self.every) && !self.keeper.is_busy() {
            begin(&mut self.keeper, trainer, model, within)?;
            self.arrive();
        }
        Ok(())
    }

    fn arrive(&mut self) {
        let Some(copy) = self.keeper.take() else { return };
        // A GPU reports a failure a few updates late, and a run cannot continue from copies made in between.
        let has_failed = copy.get(STATUS).is_ok_and(|(_, words)| Report::of(words).has_failed());
        if !has_failed {
            self.last = Some(Snapshot(copy));
        }
    }
}
