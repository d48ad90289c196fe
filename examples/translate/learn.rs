//! The training run.

use wgru::io::load_checkpoint_with;
use wgru::models::Forcing;
use wgru::nn::Mode;
use wgru::train::{Batch, Optimizer, TrainOptions, Trainer};
use wgru::{Device, Rng, Tensor};

use crate::args::{Args, Settings};
use crate::clock::Clock;
use crate::common::Result;
use crate::common::checkpoint::Checkpoint;
use crate::common::curve::Curve;
use crate::common::files::fingerprint;
use crate::common::training::{End, Run, SNAPSHOT, bar};
use crate::data::{Examples, Pair, Parts};
use crate::model::{Spec, Translator};
use crate::tokens::Tokens;

const CHECKPOINT: &str = "out/translate.checkpoint";
/// The time of a run in its checkpoint.
const SECONDS: &str = "run.seconds";

/// A run that is over.
pub struct Learned {
    pub translator: Translator,
    pub curve: Curve,
    pub updates: u64,
    pub seconds: f64,
    /// To be removed once the model is saved.
    pub checkpoint: Checkpoint,
}

/// Everything that a run depends on, for its checkpoint.
fn options(args: &Args, parts: &Parts) -> Vec<(&'static str, String)> {
    let settings = args.settings();
    let held = parts.test.iter().flat_map(|held| held.references.iter().map(|target| (&held.source, target)));
    let pairs = parts.train.iter().map(|(source, target)| (source, target)).chain(held);
    let content: String = pairs.map(|(source, target)| format!("{source}\t{target}\n")).collect();
    let budget = match args.minutes {
        Some(minutes) => ("--minutes", minutes.to_string()),
        None => ("--epochs", settings.epochs.to_string()),
    };
    vec![
        ("the pairs", format!("{:016x}", fingerprint(content.as_bytes()))),
        budget,
        ("--test", settings.test.to_string()),
        ("--vocabulary", settings.vocabulary.to_string()),
        ("--context", format!("{:?}", args.context).to_lowercase()),
        ("--score", format!("{:?}", args.score).to_lowercase()),
        ("--embedding", settings.embedding.to_string()),
        ("--hidden", settings.hidden.to_string()),
        ("--batch", settings.batch.to_string()),
        ("--rate", settings.rate.to_string()),
        ("--dropout", settings.dropout.to_string()),
        ("--smoothing", settings.smoothing.to_string()),
        ("--forcing", args.forcing.to_string()),
        ("--seed", args.seed.to_string()),
    ]
}

/// Trains; returns `None` if `interrupted`.
pub fn learn(
    args: &Args,
    device: &Device,
    parts: &Parts,
    mut rng: Rng,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<Learned>> {
    let Settings { vocabulary, embedding, hidden, batch, rate, dropout, smoothing, .. } = args.settings();
    let (checkpoint, continued) = Checkpoint::open(args.checkpoint.as_deref(), CHECKPOINT, options(args, parts))?;
    let spec = Spec {
        source: Tokens::learn(parts.train.iter().map(|(source, _)| &source[..]), vocabulary),
        target: Tokens::learn(parts.train.iter().map(|(_, target)| &target[..]), vocabulary),
        embedding,
        hidden,
        context: args.context,
        score: args.score,
    };
    let encode =
        |source: &str, target: &str| Pair { source: spec.source.encode(source), target: spec.target.encode(target) };
    let train: Vec<Pair> = parts.train.iter().map(|(source, target)| encode(source, target)).collect();
    let test: Vec<Pair> = parts.test.iter().map(|held| encode(&held.source, &held.references[0])).collect();
    let translator = Translator::new(device, spec, dropout, &mut rng)?;
    println!("{}", describe(&translator, &train));

    // Time ends a run with a limit, before the last of its passes.
    let epochs = if args.minutes.is_some() { usize::MAX } else { args.settings().epochs };
    let updates = epochs.saturating_mul(train.len().div_ceil(batch)) as u64;
    let before = continued.as_ref().map(|continued| Ok::<_, wgru::Error>(continued.file.expect(SECONDS, &[1])?[0]));
    let clock = Clock::start(before.transpose()?.map_or(0.0, f64::from), args.minutes.map(|minutes| 60.0 * minutes));
    let options = TrainOptions {
        epochs,
        batch,
        bucket_by_length: true,
        clip_norm: Some(1.0),
        schedule: clock.schedule(updates),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(Optimizer::adam(translator.parameters(), rate)?, options, rng);
    trainer.keep_every(Some(SNAPSHOT));
    let mut curve = Curve::default();
    if let Some(continued) = continued {
        load_checkpoint_with(&mut trainer, &continued.file)?;
        curve = continued.curve;
        println!("continues {} in epoch {}", checkpoint.path().display(), trainer.epoch() + 1);
    }

    let forcing = Forcing { ratio: args.forcing, drawn: true };
    let step = |batch: &Batch, mode: &mut Mode| {
        let part = if matches!(mode, Mode::Eval) { &test } else { &train };
        let pairs: Vec<&Pair> = batch.examples().iter().map(|&i| &part[i]).collect();
        translator.loss(&pairs, &forcing, smoothing, mode)
    };
    let bar = bar(updates, args.json)?;
    let seconds = || Tensor::full(device, clock.seconds() as f32, &[1]).map(|tensor| (SECONDS.to_string(), tensor));
    let message = |curve: &Curve| {
        if let Some(share) = clock.share().filter(|share| *share > 0.0) {
            bar.set_length((bar.position() as f64 / share) as u64);
        }
        curve.message()
    };
    let (examples, held_out) = (Examples { device, pairs: &train }, Examples { device, pairs: &test });
    let end = Run {
        bar: &bar,
        curve: &mut curve,
        checkpoint: &checkpoint,
        interrupted: &|| interrupted() || clock.is_over(),
        measure: &|| Ok(None),
        scale: 1.0,
        state: &|| seconds().into_iter().collect(),
        message: &message,
    }
    .drive(trainer.start_with(&examples, Some(&held_out), step)?)?;
    bar.finish_and_clear();
    if end == End::Interrupted && !clock.is_over() {
        println!("{}", checkpoint.farewell());
        return Ok(None);
    }
    Ok(Some(Learned { translator, curve, updates: bar.position(), seconds: clock.seconds(), checkpoint }))
}

fn describe(translator: &Translator, pairs: &[Pair]) -> String {
    let weights: usize = translator.parameters().iter().map(|(_, tensor)| tensor.len()).sum();
    let mean = |length: fn(&Pair) -> usize| pairs.iter().map(length).sum::<usize>() as f64 / pairs.len() as f64;
    let [source, target] = [mean(|pair| pair.source.len()), mean(|pair| pair.target.len())];
    let (all, of) = (translator.spec.source.len(), translator.spec.target.len());
    format!("{weights} weights; {all} and {of} tokens, on average {source:.1} and {target:.1} in a text")
}
