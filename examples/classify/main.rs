//! Classifies texts with a bidirectional GRU and attention: by default, surnames by language.
//!
//! ```text
//! cargo run --release --example classify
//! cargo run --release --example classify -- --data FILE
//! cargo run --release --example classify -- --load out/classify.safetensors < lines.txt
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod bayes;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod model;
mod plot;
mod report;
#[cfg(test)]
mod tests;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::io::{TensorFile, load_checkpoint_with};
use wgru::nn::Mode;
use wgru::train::{AdamWConfig, Batch, HostData, Method, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Device, Rng};

use args::{Args, Tokens};
use bayes::NaiveBayes;
use common::Result;
use common::checkpoint::Checkpoint;
use common::curve::Curve;
use common::files::{fingerprint, make_folder};
use common::lines;
use common::table::{self, Labeled};
use common::training::{End, INTERRUPTED, Interrupt, Run, SNAPSHOT, bar};
use common::words::Unit;
use data::{Data, Split};
use model::{Classifier, Noise, Sizes, Spec, Verdict};
use plot::{Picture, Shown};
use report::{BAYES, Entry, MAJORITY, NETWORK, Report, most_read};

const SURNAMES: &str = include_str!("../data/surnames.tsv");
const CHECKPOINT: &str = "out/classify.checkpoint";
/// Texts and epochs of a quick run.
const QUICK: (usize, usize) = (2000, 3);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if let Some(path) = &args.load {
        let device = args.device.open()?;
        let classifier = Classifier::from_file(&device, &TensorFile::open(path)?)?;
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        classify_lines(&classifier, input, output, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = Interrupt::listen()?;
    match train(args, &|| interrupt.is_set())? {
        Some(report) if args.json => println!("{}", report.json()),
        Some(_) => {}
        None => return Ok(ExitCode::from(INTERRUPTED)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Trains a classifier, measures it, and writes model and plot; `None` if `interrupted`.
fn train(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<Report>> {
    let start = Instant::now();
    let rows = read(args)?;
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    let mut rng = Rng::new(args.seed);
    let data = Data::new(&rows, split(args), &mut rng)?;
    println!("{}", describe(args, &data));

    let Some((classifier, curve, epoch)) = learn(args, &device, &data, rng, interrupted)? else { return Ok(None) };
    let texts: Vec<&[u32]> = data.test.iter().map(|example| &example.tokens[..]).collect();
    let verdicts = classifier.classify(&texts)?;
    let report = Report {
        entries: compare(&data, &verdicts),
        tests: data.test.len(),
        loss: curve.0.last().map(|point| point.loss),
        epoch,
        weights: classifier.parameters().iter().map(|(_, tensor)| tensor.len()).sum(),
        seconds: start.elapsed().as_secs_f64(),
        device: device.info().name.clone(),
    };
    println!("\n{}", report.table());
    print_words(&data, &verdicts);
    let title = format!(
        "{} texts, {} labels: {:.1} % right in the test, naive Bayes {:.1} %",
        data.train.len() + data.validation.len() + data.test.len(),
        data.labels.len(),
        100.0 * report.accuracy(NETWORK),
        100.0 * report.accuracy(BAYES)
    );
    let texts = shown(&data, &verdicts);
    Picture { title, curve: &curve, texts: &texts, letters: data.unit == Unit::Letter }.draw(&args.plot)?;
    make_folder(&args.save)?;
    classifier.to_file()?.save(&args.save)?;
    println!("{:.1} s; wrote {}, {}", start.elapsed().as_secs_f64(), args.plot.display(), args.save.display());
    Ok(Some(report))
}

fn read(args: &Args) -> Result<Vec<Labeled>> {
    match &args.data {
        Some(path) => table::read(path, &args.columns),
        None => table::parse("surnames.tsv", SURNAMES, &[]),
    }
}

fn split(args: &Args) -> Split {
    let tokens = args.tokens.unwrap_or(if args.data.is_some() { Tokens::Words } else { Tokens::Letters });
    Split {
        unit: if tokens == Tokens::Words { Unit::Word } else { Unit::Letter },
        longest: args.longest,
        most: if args.quick { QUICK.0 } else { usize::MAX },
        validation: args.validation.unwrap_or(0),
    }
}

/// Returns the share of naive Bayes with which training begins. It reads letters by three, so it has no scores of single
/// ones.
fn bayes_share(args: &Args, unit: Unit) -> f32 {
    if unit == Unit::Word { args.bayes.unwrap_or(0.5) } else { 0.0 }
}

/// Returns the number of epochs. Words soon learn the training texts by heart; letters, of which there are few, do not.
fn epochs(args: &Args, unit: Unit) -> usize {
    let epochs = args.epochs.unwrap_or(if unit == Unit::Word { 4 } else { 30 });
    if args.quick { epochs.min(QUICK.1) } else { epochs }
}

fn noise(args: &Args, unit: Unit) -> Noise {
    let (dropout, tokens) = if unit == Unit::Word { (0.5, 0.2) } else { (0.2, 0.0) };
    Noise { dropout: args.dropout.unwrap_or(dropout), tokens: args.token_dropout.unwrap_or(tokens) }
}

fn describe(args: &Args, data: &Data) -> String {
    let (train, validation, test) = (data.train.len(), data.validation.len(), data.test.len());
    let unit = if data.unit == Unit::Word { "words" } else { "letters" };
    let mut text = format!("{train} texts to train on, {validation} for validation, {test} to test; ");
    text += &format!("{} labels, {} {unit}", data.labels.len(), data.vocabulary.len());
    if data.cut > 0 {
        text += &format!("\n{} texts are longer than {} {unit} and are cut; see --longest", data.cut, args.longest);
    }
    text
}

/// Everything that a run depends on, for its checkpoint.
fn options(args: &Args, data: &Data) -> Vec<(&'static str, String)> {
    let Noise { dropout, tokens } = noise(args, data.unit);
    let examples = data.train.iter().chain(&data.validation).chain(&data.test);
    let content: String =
        examples.map(|example| format!("{}\t{}\n", data.labels[example.class], example.words.join(" "))).collect();
    vec![
        ("the data", format!("{:016x}", fingerprint(content.as_bytes()))),
        ("--longest", args.longest.to_string()),
        ("--epochs", epochs(args, data.unit).to_string()),
        ("--batch", args.batch.to_string()),
        ("--rate", args.rate.to_string()),
        ("--embedding", args.embedding.to_string()),
        ("--hidden", args.hidden.to_string()),
        ("--dropout", dropout.to_string()),
        ("--token-dropout", tokens.to_string()),
        ("--bayes", bayes_share(args, data.unit).to_string()),
        ("--decay", args.decay.to_string()),
        ("--validation", args.validation.unwrap_or(0).to_string()),
        ("--seed", args.seed.to_string()),
    ]
}

/// Trains; returns the classifier, its learning curve, and the epoch that was kept, counted from 1. `None` if
/// `interrupted`.
fn learn(
    args: &Args,
    device: &Device,
    data: &Data,
    mut rng: Rng,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Classifier, Curve, usize)>> {
    let (checkpoint, continued) = Checkpoint::open(args.checkpoint.as_deref(), CHECKPOINT, options(args, data))?;
    let sizes = Sizes { embedding: args.embedding, hidden: args.hidden };
    let classifier = Classifier::new(device, Spec::of(data, args.longest, sizes), &mut rng)?;
    let bayes = NaiveBayes::fit(data.train.iter(), data.labels.len(), data.unit);
    classifier.begin_with(&bayes, bayes_share(args, data.unit))?;
    let epochs = epochs(args, data.unit);
    let updates = epochs.saturating_mul(data.train.len().div_ceil(args.batch)) as u64;
    let adam = AdamWConfig { weight_decay: args.decay, ..AdamWConfig::default() };
    let optimizer = Optimizer::new(classifier.parameters(), Method::AdamW(adam), args.rate)?;
    let options = TrainOptions {
        epochs,
        batch: args.batch,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: updates, min: 0.0 },
        // Never stops early: keeps the best epoch.
        patience: args.validation.map(|_| epochs),
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

    // The texts have different lengths, so the step looks them up by index.
    let numbers = |part: &[data::Example]| HostData::from_indices(device, (0..part.len() as u32).collect(), &[]);
    let train = numbers(&data.train)?;
    let validation = if data.validation.is_empty() { None } else { Some(numbers(&data.validation)?) };
    let noise = noise(args, data.unit);
    let step = |batch: &Batch, mode: &mut Mode| {
        let part = if matches!(mode, Mode::Eval) { &data.validation } else { &data.train };
        let examples: Vec<&data::Example> = batch.examples().iter().map(|&i| &part[i]).collect();
        classifier.loss(&examples, noise, mode)
    };
    let bar = bar(updates, args.json)?;
    let validation = validation.as_ref().map(|data| data as &dyn wgru::train::Data);
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
    .drive(trainer.start_with(&train, validation, step)?)?;
    bar.finish_and_clear();
    if end == End::Interrupted {
        println!("{}", checkpoint.farewell());
        return Ok(None);
    }
    let epoch = trainer.history().best_epoch.unwrap_or(epochs - 1) + 1;
    checkpoint.remove()?;
    Ok(Some((classifier, curve, epoch)))
}

/// Returns the accuracies of the network, of naive Bayes, and of the most frequent label.
fn compare(data: &Data, verdicts: &[Verdict]) -> Vec<Entry> {
    let classes = data.labels.len();
    let known = data.train.iter().chain(&data.validation);
    let bayes = NaiveBayes::fit(known, classes, data.unit);
    let network: Vec<usize> = verdicts.iter().map(Verdict::class).collect();
    let by_bayes: Vec<usize> = data.test.iter().map(|example| bayes.classify(&example.words)).collect();
    let majority = vec![bayes::majority(&data.train, classes); data.test.len()];
    vec![
        Entry::new(NETWORK, &network, &data.test),
        Entry::new(BAYES, &by_bayes, &data.test),
        Entry::new(MAJORITY, &majority, &data.test),
    ]
}

/// Prints which words the attention read in the test.
fn print_words(data: &Data, verdicts: &[Verdict]) {
    let unit = if data.unit == Unit::Word { "word" } else { "letter" };
    println!("{unit:<16}{:>10}{:>8}   most of them", "attention", "texts");
    for read in most_read(&data.test, verdicts, data.labels.len()) {
        let label = &data.labels[read.class];
        println!("{:<16}{:>9.1}×{:>8}   {:.0} % {label}", read.word, read.weight, read.texts, 100.0 * read.share);
    }
    println!();
}

/// Chooses texts of the test to draw: some that the network got right, and some that it got wrong.
fn shown(data: &Data, verdicts: &[Verdict]) -> Vec<Shown> {
    const RIGHT: usize = 5;
    const WRONG: usize = 3;
    let pairs = || data.test.iter().zip(verdicts);
    let right = pairs().filter(|(example, verdict)| verdict.class() == example.class).take(RIGHT);
    let wrong = pairs().filter(|(example, verdict)| verdict.class() != example.class).take(WRONG);
    let show = |(example, verdict): (&data::Example, &Verdict)| {
        let class = verdict.class();
        let share = 100.0 * verdict.probabilities[class];
        let note = match class == example.class {
            true => format!("{}, {share:.0} %: right", data.labels[class]),
            false => format!("{}, {share:.0} %: wrong, it is {}", data.labels[class], data.labels[example.class]),
        };
        let words = example.words[..verdict.weights.len()].to_vec();
        Shown { words, weights: verdict.weights.clone(), note }
    };
    right.chain(wrong).map(show).collect()
}

/// Classifies every line of the input as it arrives: label, probability and text. A line without words stays empty.
fn classify_lines(classifier: &Classifier, input: impl BufRead, output: impl Write, as_json: bool) -> Result<()> {
    lines::answer(input, output, |text| {
        let tokens = classifier.tokens(text);
        if tokens.is_empty() {
            return Ok(if as_json { "null".into() } else { String::new() });
        }
        let verdict = &classifier.classify(&[&tokens])?[0];
        let (label, p) = (&classifier.spec.labels[verdict.class()], verdict.probabilities[verdict.class()]);
        let words = classifier.spec.unit.split(text);
        let read: Vec<_> = words.iter().zip(&verdict.weights).collect();
        Ok(match as_json {
            true => serde_json::json!({"label": label, "probability": p, "attention": read}).to_string(),
            false => format!("{label}\t{p:.3}\t{text}"),
        })
    })
}
