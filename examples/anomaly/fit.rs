//! Training with a progress bar, checkpoints and interruption.

use wgru::io::load_checkpoint_with;
use wgru::nn::Mode;
use wgru::train::{Batch, Data, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Rng, Tensor};

use crate::args::Args;
use crate::common::Result;
use crate::common::checkpoint::Checkpoint;
use crate::common::curve::Curve;
use crate::common::files::fingerprint;
use crate::common::training::{End, Run, SNAPSHOT, bar};

const CHECKPOINT: &str = "out/anomaly.checkpoint";

/// Trains `parameters` by a step function; returns the learning curve, or `None` if `interrupted`. `content` is what
/// the run was trained on.
pub fn fit(
    args: &Args,
    parameters: Vec<(String, Tensor)>,
    data: &dyn Data,
    content: &[f32],
    rng: Rng,
    interrupted: &dyn Fn() -> bool,
    step: impl FnMut(&Batch, &mut Mode) -> wgru::Result<Tensor> + Send,
) -> Result<Option<Curve>> {
    let bytes: Vec<u8> = content.iter().flat_map(|v| v.to_le_bytes()).collect();
    let options = vec![
        ("the task", args.task().name().to_string()),
        ("the data", format!("{:016x}", fingerprint(&bytes))),
        ("--epochs", args.epochs().to_string()),
        ("--batch", args.batch.to_string()),
        ("--rate", args.rate.to_string()),
        ("--hidden", args.hidden().to_string()),
        ("--members", args.members().to_string()),
        ("--seed", args.seed.to_string()),
    ];
    let (checkpoint, continued) = Checkpoint::open(args.checkpoint.as_deref(), CHECKPOINT, options)?;
    let updates = args.epochs().saturating_mul(data.len().div_ceil(args.batch)) as u64;
    let optimizer = Optimizer::adamw(parameters, args.rate)?;
    let options = TrainOptions {
        epochs: args.epochs(),
        batch: args.batch,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: updates, min: 0.0 },
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(optimizer, options, rng);
    trainer.keep_every(Some(SNAPSHOT));
    let mut curve = Curve::default();
    if let Some(continued) = continued {
        load_checkpoint_with(&mut trainer, &continued.file)?;
        curve = continued.curve;
        println!("continues {} in epoch {}", checkpoint.path().display(), trainer.epoch() + 1);
    }
    let bar = bar(updates, args.json)?;
    let end = Run {
        bar: &bar,
        curve: &mut curve,
        checkpoint: &checkpoint,
        interrupted,
        measure: &|| Ok(None),
        scale: 1.0,
        state: &Vec::new,
        message: &|curve| curve.message(),
    }
    .drive(trainer.start_with(data, None, step)?)?;
    bar.finish_and_clear();
    if end == End::Interrupted {
        println!("{}", checkpoint.farewell());
        return Ok(None);
    }
    checkpoint.remove()?;
    Ok(Some(curve))
}
