//! Training of the networks of a forecaster.

use indicatif::ProgressBar;
use wgru::io::load_checkpoint_with;
use wgru::nn::Mode;
use wgru::train::{Batch, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Device, Rng, Tensor};

use crate::common::Result;
use crate::common::checkpoint::{Checkpoint, Continued};
use crate::common::curve::Curve;
use crate::common::files::load;
use crate::common::training::{End, Run, SNAPSHOT};
use crate::data::{Example, Inputs, Parts, Windows};
use crate::network::Network;
use crate::spec::Spec;

/// How a forecaster is trained.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    pub epochs: usize,
    pub batch: usize,
    pub rate: f64,
    /// Decay of the moving average of the weights.
    pub ema: Option<f32>,
    pub seed: u64,
}

/// Number of epochs without a better validation loss after which a member stops.
const PATIENCE: usize = 8;

/// Result of training a member: the epoch whose weights were kept, counted from 1, and its losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    pub epoch: usize,
    pub loss: f32,
    pub validation: f32,
}

impl Kept {
    /// Returns the first of the best epochs.
    fn of(curve: &Curve) -> Option<Self> {
        let epochs = curve.0.iter().enumerate().filter_map(|(epoch, point)| Some((epoch, point.loss, point.held_out?)));
        let best = epochs.min_by(|a, b| a.2.total_cmp(&b.2))?;
        Some(Kept { epoch: best.0 + 1, loss: best.1, validation: best.2 })
    }
}

/// Services of a run.
pub struct Session<'a> {
    pub bar: &'a ProgressBar,
    pub checkpoint: &'a Checkpoint,
    pub continued: Option<Continued>,
    pub interrupted: &'a dyn Fn() -> bool,
}

/// Trained networks.
pub struct Learned {
    /// Trained on the training part alone.
    pub selected: Vec<Network>,
    /// Trained on training and validation part, with [`Spec::refit`].
    pub refitted: Vec<Network>,
    pub kept: Vec<Kept>,
}

/// Trains the members one after another; `None` if interrupted.
///
/// # Errors
/// Errors from the device and the checkpoint; [`wgru::Error::Diverged`] if a loss is not finite.
pub fn learn(
    device: &Device,
    spec: &Spec,
    inputs: &Inputs,
    [train, validation]: [&[Example]; 2],
    how: Training,
    mut session: Session,
) -> Result<Option<Learned>> {
    let mut learned = Learned { selected: Vec::new(), refitted: Vec::new(), kept: Vec::new() };
    let both = [train, validation].concat();
    // Weights and losses of the stages that are over, which a checkpoint needs.
    let mut done: Vec<(String, Tensor)> = Vec::new();
    let mut stage = 0;
    for member in 0..spec.members {
        for is_refit in [false, true].into_iter().take(1 + usize::from(spec.refit)) {
            let mut rng = Rng::new(how.seed ^ ((member as u64) << 32));
            let network = Network::new(device, spec, &mut rng)?;
            let prefix = format!("done.{stage}.");
            let named = |(name, tensor): (String, Tensor)| (prefix.clone() + &name, tensor);
            let kept_name = format!("{prefix}kept");
            let over = session.continued.as_ref().filter(|continued| continued.file.get(&kept_name).is_ok());
            let kept = if let Some(continued) = over {
                load(&network.parameters().into_iter().map(named).collect::<Vec<_>>(), &continued.file)?;
                let [epoch, loss, validation] = continued.file.expect(&kept_name, &[3])?[..] else { unreachable!() };
                Kept { epoch: epoch as usize, loss, validation }
            } else {
                let name = format!("network {} of {}", member + 1, spec.members);
                let (examples, held_out) = if is_refit { (&both[..], None) } else { (train, Some(validation)) };
                let epochs = if is_refit { learned.kept[member].epoch } else { how.epochs };
                let stage = Stage { device, spec, inputs, examples, held_out, how, epochs, name, done: &done };
                let Some(curve) = stage.run(&network, rng, &mut session)? else { return Ok(None) };
                match is_refit {
                    true => learned.kept[member],
                    false => Kept::of(&curve).ok_or("no epoch was measured")?,
                }
            };
            let values = [kept.epoch as f32, kept.loss, kept.validation];
            done.push((kept_name, Tensor::from_slice(device, &values, &[3])?));
            done.extend(network.parameters().into_iter().map(named));
            match is_refit {
                true => learned.refitted.push(network),
                false => {
                    learned.selected.push(network);
                    learned.kept.push(kept);
                }
            }
            stage += 1;
        }
    }
    session.checkpoint.remove()?;
    Ok(Some(learned))
}

/// The training of one network.
struct Stage<'a> {
    device: &'a Device,
    spec: &'a Spec,
    inputs: &'a Inputs,
    examples: &'a [Example],
    held_out: Option<&'a [Example]>,
    how: Training,
    epochs: usize,
    name: String,
    done: &'a [(String, Tensor)],
}

impl Stage<'_> {
    /// Trains a network; `None` if interrupted.
    fn run(self, network: &Network, rng: Rng, session: &mut Session) -> Result<Option<Curve>> {
        let Self { device, spec, inputs, examples, held_out, how, epochs, name, done } = self;
        let (window, horizon) = (spec.window, spec.horizon);
        let windows = |examples| Windows { device, inputs, examples, window, horizon };
        let (data, validation) = (windows(examples), held_out.map(windows));
        let per_epoch = examples.len().div_ceil(how.batch);
        let options = TrainOptions {
            epochs,
            batch: how.batch,
            clip_norm: Some(1.0),
            schedule: Schedule::Cosine { steps: how.epochs.saturating_mul(per_epoch) as u64, min: 0.0 },
            patience: held_out.map(|_| PATIENCE),
            ema: how.ema,
            ..TrainOptions::default()
        };
        let optimizer = Optimizer::adamw(network.parameters(), how.rate)?;
        let mut trainer = Trainer::new(optimizer, options, rng);
        trainer.keep_every(Some(SNAPSHOT));
        let mut curve = Curve::default();
        if let Some(continued) = session.continued.take() {
            load_checkpoint_with(&mut trainer, &continued.file)?;
            curve = continued.curve;
            println!("continues {} with {name}, epoch {}", session.checkpoint.path().display(), trainer.epoch() + 1);
        }
        let (levels, unit) = (spec.levels(), crate::model::unit(spec, 0));
        let step = |batch: &Batch, mode: &mut Mode| {
            let parts = Parts::of(batch, spec);
            let outputs = network.forward(&parts, mode)?;
            spec.loss.of(&outputs, batch.targets(), &levels, unit, parts.weights)
        };
        session.bar.set_length(epochs.saturating_mul(per_epoch) as u64);
        let validation = validation.as_ref().map(|data| data as &dyn wgru::train::Data);
        let end = Run {
            bar: session.bar,
            curve: &mut curve,
            checkpoint: session.checkpoint,
            interrupted: session.interrupted,
            measure: &|| Ok(None),
            scale: 1.0,
            state: &|| done.to_vec(),
            message: &|curve| format!("{name}, {}", curve.message()),
        }
        .drive(trainer.start_with(&data, validation, step)?)?;
        Ok((end == End::Finished).then_some(curve))
    }
}
