//! Translates with attention: an encoder and a decoder GRU learn pairs of sequences, by default dates.
//!
//! ```text
//! cargo run --release --example translate
//! cargo run --release --example translate -- --show "the 1st of April, 2001" --context input --score additive
//! cargo run --release --example translate -- --pairs FILE --words
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod dates;
mod plot;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::models::decode::{Beam, Hypothesis};
use wgru::models::{ContextUse, Forcing, Seq2Seq, Seq2SeqConfig};
use wgru::nn::{Mode, Module, Score, parameter_count};
use wgru::train::{HostData, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Device, Rng};

use args::{Args, Context, ScoreChoice};
use common::Result;
use common::files::make_folder;
use common::training::bar;
use common::words::Unit;
use data::{Data, Pair};
use plot::Picture;

/// Number of sources that are decoded together.
const TOGETHER: usize = 100;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let mut rng = Rng::new(args.seed);
    let texts = match &args.pairs {
        Some(path) => data::read(path)?,
        None => dates::pairs(args.most.min(dates::MOST), &mut rng),
    };
    let unit = if args.words { Unit::Word } else { Unit::Letter };
    let data = Data::new(&texts, unit, [args.most, args.longest, args.test], &mut rng)?;
    let longest = || data.test.iter().map(|pair| &pair.source).max_by_key(|source| source.len());
    let source = match &args.show {
        Some(text) => data.sources.encode(&unit.split(text)),
        None => longest().cloned().unwrap_or_default(),
    };
    if source.is_empty() {
        return Err("--show needs some text".into());
    }
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    let (train, test) = (data.train.len(), data.test.len());
    println!("{train} training pairs, {test} test pairs; {} and {} tokens", data.sources.len(), data.targets.len());

    let model = config(args, &data).build(&device, &mut rng)?;
    let weights = parameter_count(&model);
    let loss = learn(args, &device, &model, &data.train, rng)?;
    println!("{weights} weights, loss {loss:.4} after {:.1} s", start.elapsed().as_secs_f64());
    measure(args, &model, &data)?;
    draw(args, &model, &data, &source)?;
    println!("{:.1} s; wrote {}", start.elapsed().as_secs_f64(), args.plot.display());
    Ok(())
}

fn config(args: &Args, data: &Data) -> Seq2SeqConfig {
    Seq2SeqConfig {
        source: data.sources.len(),
        target: data.targets.len(),
        embedding: args.hidden,
        hidden: args.hidden,
        score: match args.score {
            ScoreChoice::General => Score::General,
            ScoreChoice::Additive => Score::Additive { units: args.hidden },
        },
        context: match args.context {
            Context::Input => ContextUse::Input,
            Context::Output => ContextUse::Output,
        },
        dropout: args.dropout,
        start: data::START,
        end: data::END,
        ..Seq2SeqConfig::default()
    }
}

/// Trains; returns the mean loss of the last epoch.
fn learn(args: &Args, device: &Device, model: &Seq2Seq, pairs: &[Pair], rng: Rng) -> Result<f32> {
    let updates = pairs.len().div_ceil(args.batch);
    let steps = args.epochs.saturating_mul(updates) as u64;
    let optimizer = Optimizer::adam(model.parameters(), args.rate)?;
    let options = TrainOptions {
        epochs: args.epochs,
        batch: args.batch,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps, min: args.rate / 50.0 },
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(optimizer, options, rng);
    let bar = bar(steps, false)?;
    let shown = bar.clone();
    trainer.on_progress(move |progress, _| {
        shown.inc(1);
        if let Some(loss) = progress.loss {
            shown.set_message(format!("epoch {}: loss {loss:.4}", progress.epoch + 1));
        }
        ControlFlow::Continue(())
    });
    let forcing = Forcing { ratio: args.forcing, drawn: true };
    // The model takes tokens instead of tensors, so the step looks the pairs up by index.
    let numbers = HostData::from_indices(device, (0..pairs.len() as u32).collect(), &[])?;
    let history = trainer.fit_with_blocking(&numbers, None, |batch, mode| {
        let side = |of: fn(&Pair) -> &[u32]| batch.examples().iter().map(|&i| of(&pairs[i])).collect::<Vec<_>>();
        model.loss(&side(|pair| &pair.source), &side(|pair| &pair.target), &forcing, mode)
    })?;
    bar.finish_and_clear();
    history.loss.last().copied().ok_or_else(|| "--epochs must be at least 1".into())
}

/// Returns the maximum number of tokens in a translation, including the end.
fn limit(args: &Args) -> usize {
    args.longest.saturating_mul(2).saturating_add(1)
}

/// Decodes the test set greedily and with a beam, and prints the accuracy of both.
fn measure(args: &Args, model: &Seq2Seq, data: &Data) -> Result<()> {
    let beam = Beam { width: args.beam, length_penalty: args.penalty };
    let (mut greedy, mut best) = (Vec::new(), Vec::new());
    for part in data.test.chunks(TOGETHER) {
        let sources: Vec<&[u32]> = part.iter().map(|pair| &pair.source[..]).collect();
        greedy.extend(model.greedy(&sources, limit(args))?);
        best.extend(model.beam(&sources, limit(args), &beam)?.into_iter().filter_map(|found| found.into_iter().next()));
    }
    println!("\n              correct    tokens wrong    mean log-probability");
    for (name, found) in [("greedy".to_string(), &greedy), (format!("beam of {}", args.beam), &best)] {
        println!("{name:10}  {}", figures(found, &data.test));
    }
    println!();
    for (pair, found) in data.test.iter().zip(&best).take(6) {
        let source = data.unit.join(&data.sources.decode(&pair.source));
        let wanted = data.text(&pair.target);
        let mark = if found.tokens == pair.target { String::new() } else { format!("   (expected: {wanted})") };
        println!("{source}  →  {}{mark}", data.text(&found.tokens));
    }
    println!();
    Ok(())
}

fn figures(found: &[Hypothesis], test: &[Pair]) -> String {
    let both = || found.iter().zip(test);
    let count = test.len() as f64;
    let right = both().filter(|(found, pair)| found.tokens == pair.target).count() as f64 / count;
    let wrong: usize = both().map(|(found, pair)| distance(&found.tokens, &pair.target)).sum();
    let tokens: usize = test.iter().map(|pair| pair.target.len()).sum();
    let log_prob = found.iter().map(|found| found.log_prob).sum::<f64>() / count;
    format!("{:>7.1} %    {:>10.2} %    {log_prob:>20.4}", 100.0 * right, 100.0 * wrong as f64 / tokens as f64)
}

/// Returns the minimum number of insertions, deletions and changes that turn `a` into `b`.
fn distance(a: &[u32], b: &[u32]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Translates one source, and draws the attention for each of its tokens.
fn draw(args: &Args, model: &Seq2Seq, data: &Data, source: &[u32]) -> Result<()> {
    let found = model.greedy(&[source], limit(args))?;
    let output = &found[0].tokens;
    // Feeding the model its own output gives the same weights as decoding.
    let seen = model.run(&[source], &[output], &Forcing::default(), &mut Mode::Eval)?;
    let weights = seen.weights.read_blocking()?;
    let names = data.sources.decode(source);
    let title = format!("{} → {}", data.unit.join(&names), data.text(output));
    println!("{title}");
    make_folder(&args.plot)?;
    let mut rows = data.targets.decode(output);
    rows.push("end".into());
    let words = data.unit == Unit::Word;
    Picture { title: &title, source: &names, output: &rows, weights: &weights, words }.draw(&args.plot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        for (a, b, want) in
            [(&[][..], &[][..], 0), (&[1, 2], &[], 2), (&[1, 2, 3], &[1, 3], 1), (&[1, 2, 3], &[4, 2, 3, 5], 2)]
        {
            assert_eq!(distance(a, b), want);
            assert_eq!(distance(b, a), want);
        }
    }
}
