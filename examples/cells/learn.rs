//! One run: a network learns a task.

use std::time::Instant;

use wgru::nn::Mode;
use wgru::train::{Optimizer, clip_grad_norm};
use wgru::{Device, Result, Rng};

use crate::batch::Batch;
use crate::cell::Kind;
use crate::model::Network;
use crate::tasks::Task;

/// Largest norm of a gradient.
const CLIP: f32 = 1.0;
/// Number of times that a run is measured on the validation data.
const CHECKS: usize = 25;

/// The settings of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    pub kind: Kind,
    pub units: usize,
    pub layers: usize,
    pub rate: f64,
    pub seed: u64,
    pub updates: usize,
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Quality in the test, with the weights of the best validation. NaN if no validation was finite.
    pub quality: f64,
    /// Updates until the best validation.
    pub best: usize,
    /// Whether the loss stayed finite. Otherwise, the run ended early.
    pub is_finite: bool,
    /// Quality on the validation data by updates.
    pub curve: Vec<(usize, f64)>,
    pub seconds: f64,
}

impl Learned {
    /// Returns the updates until the first validation that reached the threshold of `task`.
    pub fn reached(&self, task: &Task) -> Option<usize> {
        let learned = |(_, quality): &&(usize, f64)| task.measure.reaches(*quality, task.threshold);
        self.curve.iter().find(learned).map(|(updates, _)| *updates)
    }

    /// Returns the quality of the best validation; NaN without one.
    pub fn best_validation(&self) -> f64 {
        self.curve.iter().find(|(updates, _)| *updates == self.best).map_or(f64::NAN, |point| point.1)
    }
}

/// A network and its optimizer.
pub struct Learner {
    pub network: Network,
    optimizer: Optimizer,
    rng: Rng,
}

impl Learner {
    /// Creates a network with weights that depend on the course's seed.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, task: &Task, course: &Course) -> Result<Self> {
        let mut rng = Rng::new(2 * course.seed);
        let network = Network::new(device, course.kind, course.units, course.layers, task.shape, &mut rng)?;
        let optimizer = Optimizer::adam(network.parameters(), course.rate)?;
        Ok(Self { network, optimizer, rng })
    }

    /// Makes one update. Returns the loss before it.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn update(&mut self, batch: &Batch) -> Result<f32> {
        self.optimizer.zero_grad();
        let y = self.network.forward(batch, &mut Mode::Train(&mut self.rng))?;
        let loss = batch.loss(&y)?;
        loss.backward()?;
        clip_grad_norm(&self.optimizer.parameters(), CLIP)?;
        self.optimizer.step()?;
        loss.item_blocking()
    }

    /// Measures the quality on some batches.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn measure(&self, task: &Task, batches: &[Batch]) -> Result<f64> {
        let mut outputs = Vec::with_capacity(batches.len());
        for batch in batches {
            outputs.push(self.network.forward(batch, &mut Mode::Eval)?.read_blocking()?);
        }
        Ok(task.measure.of(batches.iter().zip(outputs)))
    }

    fn weights(&self) -> Result<Vec<Vec<f32>>> {
        self.optimizer.parameters().iter().map(|(_, tensor)| tensor.read_blocking()).collect()
    }

    fn restore(&self, weights: &[Vec<f32>]) -> Result<()> {
        self.optimizer.parameters().iter().zip(weights).try_for_each(|((_, tensor), values)| tensor.assign(values))
    }
}

/// Runs a course; `None` if `interrupted`. Calls `advance` after every update.
///
/// Two courses with the same seed train on the same batches.
///
/// # Errors
/// Errors from the device.
pub fn learn(
    device: &Device,
    task: &Task,
    course: &Course,
    interrupted: &dyn Fn() -> bool,
    advance: &dyn Fn(),
) -> Result<Option<Learned>> {
    let start = Instant::now();
    let mut learner = Learner::new(device, task, course)?;
    let mut data = Rng::new(2 * course.seed + 1);
    let every = (course.updates / CHECKS).max(1);
    let mut learned = Learned { quality: f64::NAN, best: 0, is_finite: true, curve: Vec::new(), seconds: 0.0 };
    let mut best = (f64::NAN, learner.weights()?);
    for update in 1..=course.updates {
        if interrupted() {
            return Ok(None);
        }
        learned.is_finite = learner.update(&(task.draw)(&mut data))?.is_finite();
        advance();
        if !learned.is_finite {
            break;
        }
        if update % every != 0 && update != course.updates {
            continue;
        }
        let quality = learner.measure(task, &task.validation)?;
        learned.curve.push((update, quality));
        if task.measure.is_better(quality, best.0) {
            best = (quality, learner.weights()?);
            learned.best = update;
        }
    }
    if learned.best > 0 {
        learner.restore(&best.1)?;
        learned.quality = learner.measure(task, &task.test)?;
    }
    learned.seconds = start.elapsed().as_secs_f64();
    Ok(Some(learned))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;
    use crate::tasks;

    #[test]
    fn the_scale_does_not_change_an_update() {
        let args = Args::try_parse_from(["cells", "--tasks", "seattle", "--rate", "0.01"]).unwrap();
        let (tasks, _) = tasks::make(&args).unwrap();
        let batch = (tasks[0].draw)(&mut Rng::new(1));
        for kind in Kind::ALL {
            let course = Course { kind, units: 5, layers: 1, rate: 0.01, seed: 1, updates: 1 };
            let [mut scaled, mut plain] = [(); 2].map(|()| Learner::new(&Device::cpu(), &tasks[0], &course).unwrap());
            let before = plain.weights().unwrap();
            scaled.update(&batch).unwrap();
            let y = plain.network.forward(&batch, &mut Mode::Train(&mut plain.rng)).unwrap();
            batch.loss(&y).unwrap().backward().unwrap();
            clip_grad_norm(&plain.optimizer.parameters(), CLIP).unwrap();
            plain.optimizer.step().unwrap();
            let (scaled, plain) = (scaled.weights().unwrap().concat(), plain.weights().unwrap().concat());
            assert!(scaled.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6), "{kind:?}");
            assert!(before.concat().iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3), "{kind:?}");
        }
    }
}
