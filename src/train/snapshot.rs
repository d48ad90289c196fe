//! A training run in host memory

use super::trainer::{Best, Trainer};
use crate::error::Result;
use crate::keeper::{HostCopy, Keeper};
use crate::nn::Module;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// All that a training run needs to go on bit for bit: weights, optimizer, generator, epoch, place in the epoch, and the best
/// weights. It outlives the device. [`Trainer::resume`] goes on from it; [`Snapshot::to_file`] writes it down.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(crate) HostCopy<Place>);

/// Where a run stands.
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
    /// Within an epoch.
    pub within: Option<Within>,
}

/// A place within an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    /// Updates done.
    pub done: usize,
    /// The generator before it drew the order of the examples.
    pub begun: Rng,
}

/// Prefixes of the names in a snapshot.
pub(crate) const MODEL: &str = "model.";
pub(crate) const OPTIMIZER: &str = "optimizer.";
/// The running loss of the epoch.
pub(crate) const STATUS: &str = "status";

impl Snapshot {
    /// Updates of the whole run that it holds.
    pub fn updates(&self) -> u64 {
        self.0.tag.updates
    }

    /// Epochs done.
    pub fn epoch(&self) -> usize {
        self.0.tag.epoch
    }

    /// The run as it stands between two epochs.
    pub(crate) async fn take(trainer: &Trainer, model: &dyn Module) -> Result<Self> {
        let mut keeper = Keeper::every(1);
        begin(&mut keeper, trainer, model, None)?;
        keeper.finish().await?;
        Ok(Self(keeper.kept().expect("finished").clone()))
    }
}

/// Begins the copies of a snapshot: within an epoch with its running loss.
fn begin(
    keeper: &mut Keeper<Place>,
    trainer: &Trainer,
    model: &dyn Module,
    within: Option<(Within, &Tensor)>,
) -> Result<()> {
    let (state, steps) = trainer.optimizer.state();
    let named = |prefix: &'static str, list: Vec<(String, Tensor)>| {
        list.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
    };
    let mut tensors: Vec<_> = named(MODEL, model.parameters()).chain(named(OPTIMIZER, state)).collect();
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
    /// Takes a snapshot of the run after every `updates` updates: copies that the device makes beside its work, so nothing
    /// waits for them. If one is still under way when the next is due, that is left out. `None` takes none.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use wgru::{Device, Result, Rng, nn::{Linear, Module}, train::*};
    /// fn build(device: &Device) -> Result<(Linear, HostData, Trainer)> {
    ///     let model = Linear::new(device, 1, 1, true, &mut Rng::new(1))?;
    ///     let data = HostData::new(device, vec![0.5; 64], &[1], vec![1.0; 64], &[1])?;
    ///     let optimizer = Optimizer::new(model.parameters(), Method::Adam(AdamConfig::default()), 0.1)?;
    ///     let trainer = Trainer::new(optimizer, TrainOptions { epochs: 5, batch: 8, ..Default::default() }, Rng::new(2));
    ///     Ok((model, data, trainer))
    /// }
    /// # let mse = |x: &_, y: &_| loss::mse(x, y, Reduction::Mean);
    /// let (model, data, mut trainer) = build(&Device::cpu())?;
    /// trainer.keep_every(Some(10));
    /// let trained = trainer.fit_blocking(&model, &data, None, &mse, &mut |_, _| ControlFlow::Continue(()));
    /// // After `Err(Error::DeviceLost(_))`: open another device, build everything there, and go on.
    /// let kept = trainer.snapshot().expect("taken every 10 updates").clone();
    /// let (model, data, mut trainer) = build(&Device::cpu())?;
    /// trainer.resume(&model, &kept)?;
    /// let history = trainer.fit_blocking(&model, &data, None, &mse, &mut |_, _| ControlFlow::Continue(()))?;
    /// assert_eq!(trainer.epoch(), 5);
    /// # trained?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn keep_every(&mut self, updates: Option<usize>) {
        self.keeping = updates.map(Keeping::every);
    }

    /// The last snapshot that is whole; see [`keep_every`](Self::keep_every).
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.keeping.as_ref().and_then(Keeping::last)
    }

    /// Takes a snapshot if it is time, and looks whether an earlier one has arrived.
    pub(super) fn keep(&mut self, model: &dyn Module, within: Option<(Within, &Tensor)>, is_due: bool) -> Result<()> {
        let Some(mut keeping) = self.keeping.take() else { return Ok(()) };
        let result = keeping.keep(self, model, within, is_due);
        self.keeping = Some(keeping);
        result
    }

    /// Waits for a snapshot that is under way.
    pub(super) async fn finish_keeping(&mut self) -> Result<()> {
        if let Some(keeping) = &mut self.keeping {
            keeping.keeper.finish().await?;
            keeping.arrive();
        }
        Ok(())
    }
}

impl Keeping {
    fn keep(
        &mut self,
        trainer: &Trainer,
        model: &dyn Module,
        within: Option<(Within, &Tensor)>,
        is_due: bool,
    ) -> Result<()> {
        self.keeper.look()?;
        self.arrive();
        if (is_due || trainer.updates.is_multiple_of(self.every)) && !self.keeper.is_busy() {
            begin(&mut self.keeper, trainer, model, within)?;
            self.arrive();
        }
        Ok(())
    }

    fn arrive(&mut self) {
        if let Some(copy) = self.keeper.take() {
            self.last = Some(Snapshot(copy));
        }
    }
}
