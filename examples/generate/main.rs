//! Learns to write from a text, character by character or in byte pairs: by default, Shakespeare.
//!
//! ```text
//! cargo run --release --example generate
//! cargo run --release --example generate -- --text FILE --tokens bpe
//! cargo run --release --example generate -- --load out/generate.safetensors --prompt 'ROMEO:' --top-p 0.9
//! cargo run --release --example generate -- --chat pairs.tsv
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod author;
#[path = "../common/mod.rs"]
mod common;
mod model;
mod ngrams;
mod plot;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::io::{TensorFile, load_checkpoint_with};
use wgru::nn::Mode;
use wgru::train::{Batch, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Device, Rng, Tensor};

use args::{Args, TokenChoice};
use author::{Author, emit};
use common::Result;
use common::bpe::Bpe;
use common::checkpoint::Checkpoint;
use common::curve::Curve;
use common::files::{fingerprint, make_folder, read_text};
use common::training::{End, INTERRUPTED, Interrupt, Run, SNAPSHOT, bar};
use model::{Carried, LanguageModel, Sizes, Spec};
use ngrams::Ngrams;
use report::Report;
use text::{Rows, Text};
use tokens::Tokens;

const SHAKESPEARE: &str = include_str!("../data/shakespeare.txt");
const CHECKPOINT: &str = "out/generate.checkpoint";
/// The state of the GRU in a checkpoint.
const STATE: &str = "carried.h";
/// Characters, epochs and hidden units of a quick run.
const QUICK: (usize, usize, usize) = (60_000, 16, 128);

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
    let (model, report) = match &args.load {
        Some(path) => (LanguageModel::from_file(&Device::cpu(), &TensorFile::open(path)?)?, None),
        None => {
            let interrupt = Interrupt::listen()?;
            let Some((model, report)) = train(args, &|| interrupt.is_set())? else {
                return Ok(ExitCode::from(INTERRUPTED));
            };
            // From here on, Ctrl-C ends the program at once.
            interrupt.end_at_once();
            (model, Some(report))
        }
    };
    if model.spec.is_chat {
        chat(args, &model)?;
    } else {
        write(args, &model)?;
    }
    if let Some(report) = report.filter(|_| args.json) {
        println!("{}", report.json());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a text that begins with the prompt.
fn write(args: &Args, model: &LanguageModel) -> Result<()> {
    let prompt = args.prompt.as_deref().unwrap_or_default();
    if let Some(c) = model.spec.tokens.unknown(prompt) {
        return Err(format!("--prompt: the text that the model has learned does not have the character {c:?}").into());
    }
    let (mut author, mut output) = (Author::new(model)?, std::io::stdout().lock());
    author.read(if prompt.is_empty() { "\n" } else { prompt })?;
    let sampling = args.sampling(false);
    let is_read = emit(&mut output, prompt)?
        && author.write(args.length, None, &sampling, &mut Rng::new(args.seed), &mut output)?;
    if is_read {
        emit(&mut output, "\n")?;
    }
    Ok(())
}

/// Answers the lines of the standard input.
fn chat(args: &Args, model: &LanguageModel) -> Result<()> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let prompt = if std::io::stdin().is_terminal() { "> " } else { "" };
    let sampling = args.sampling(true);
    Author::new(model)?.converse(args.length, &sampling, &mut Rng::new(args.seed), input, &mut output, prompt)
}

/// Trains a model, measures it, and writes model and plot; `None` if `interrupted`.
fn train(args: &Args, interrupted: &dyn Fn() -> bool) -> Result<Option<(LanguageModel, Report)>> {
    let start = Instant::now();
    let text = read(args)?;
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    let whole = format!("{}{}", text.train, text.held_out);
    let tokens = match args.tokens {
        TokenChoice::Chars => Tokens::characters(&whole),
        TokenChoice::Bpe => Tokens::Pairs(Bpe::learn(&text.train, args.vocabulary)),
    };
    let encoded = Encoded {
        train: tokens.encode(&text.train),
        held_out: tokens.encode(&text.held_out),
        characters: [&text.train, &text.held_out].map(|part| part.chars().count()),
    };
    let unit = if args.tokens == TokenChoice::Chars { "characters" } else { "byte pairs" };
    let [train, held_out] = encoded.characters;
    println!("{train} characters to train on, {held_out} held out; {} {unit}", tokens.len());

    let Some((model, curve)) = learn(args, &device, tokens, &encoded, interrupted)? else { return Ok(None) };
    let nats = encoded.measure(&model)?;
    let report = Report {
        nats,
        ngrams: Ngrams::count(&text.train, &whole, ngrams::LONGEST).nats(&text.train, &text.held_out),
        loss: curve.0.last().map(|point| point.loss),
        characters: held_out,
        weights: model.parameters().iter().map(|(_, tensor)| tensor.len()).sum(),
        seconds: start.elapsed().as_secs_f64(),
        device: device.info().name.clone(),
    };
    println!("\n{}", report.table());
    let title = format!("{train} characters: {nats:.3} nats per character on the {held_out} held out");
    plot::draw(&args.plot, &title, &curve, &report.ngrams)?;
    make_folder(&args.save)?;
    model.to_file()?.save(&args.save)?;
    println!("{:.1} s; wrote {}, {}\n", start.elapsed().as_secs_f64(), args.plot.display(), args.save.display());
    Ok(Some((model, report)))
}

fn read(args: &Args) -> Result<Text> {
    let mut text = match (&args.chat, &args.text) {
        (Some(path), _) => Text::of_pairs(path)?,
        (None, Some(path)) => Text::new(&path.display().to_string(), &read_text(path)?)?,
        (None, None) => Text::new("shakespeare.txt", SHAKESPEARE)?,
    };
    if args.quick {
        text.shorten(QUICK.0);
    }
    Ok(text)
}

/// A text as tokens, and its numbers of characters.
struct Encoded {
    train: Vec<u32>,
    held_out: Vec<u32>,
    characters: [usize; 2],
}

impl Encoded {
    /// Returns `−ln P` of the held-out part in nats per character.
    fn measure(&self, model: &LanguageModel) -> wgru::Result<f64> {
        let all = [&self.train[..], &self.held_out].concat();
        Ok(model.nats(&all, self.train.len())? / self.characters[1] as f64)
    }
}

fn sizes(args: &Args) -> Sizes {
    let is_built_in = args.text.is_none() && args.chat.is_none();
    let hidden = args.hidden.unwrap_or(if is_built_in { 192 } else { 512 });
    let hidden = if args.quick { hidden.min(QUICK.2) } else { hidden };
    Sizes { embedding: args.embedding, hidden, layers: args.layers }
}

fn epochs(args: &Args) -> usize {
    let is_built_in = args.text.is_none() && args.chat.is_none();
    let epochs = args.epochs.unwrap_or(if is_built_in { 16 } else { 20 });
    if args.quick { epochs.min(QUICK.1) } else { epochs }
}

/// Everything that a run depends on, for its checkpoint.
fn options(args: &Args, encoded: &Encoded) -> Vec<(&'static str, String)> {
    let Sizes { embedding, hidden, layers } = sizes(args);
    let bytes: Vec<u8> =
        [&encoded.train[..], &encoded.held_out].concat().iter().flat_map(|t| t.to_le_bytes()).collect();
    vec![
        ("the text", format!("{:016x}", fingerprint(&bytes))),
        ("--epochs", epochs(args).to_string()),
        ("--rows", args.rows.to_string()),
        ("--steps", args.steps.to_string()),
        ("--rate", args.rate.to_string()),
        ("--embedding", embedding.to_string()),
        ("--hidden", hidden.to_string()),
        ("--layers", layers.to_string()),
        ("--dropout", args.dropout.to_string()),
        ("--seed", args.seed.to_string()),
    ]
}

/// Trains; returns the model and its learning curve, or `None` if `interrupted`.
fn learn(
    args: &Args,
    device: &Device,
    tokens: Tokens,
    encoded: &Encoded,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(LanguageModel, Curve)>> {
    if encoded.train.len() < 2 {
        return Err("the text is too short to train on".into());
    }
    let (checkpoint, continued) = Checkpoint::open(args.checkpoint.as_deref(), CHECKPOINT, options(args, encoded))?;
    let mut rng = Rng::new(args.seed);
    let spec = Spec { tokens, sizes: sizes(args), is_chat: args.chat.is_some() };
    let model = LanguageModel::new(device, spec, args.dropout, &mut rng)?;
    let rows = Rows::new(device, &encoded.train, args.rows, args.steps);
    let (epochs, batch) = (epochs(args), rows.rows());
    let updates = epochs.saturating_mul(rows.windows()) as u64;
    let optimizer = Optimizer::adamw(model.parameters(), args.rate)?;
    let options = TrainOptions {
        epochs,
        batch,
        shuffle: false,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: updates, min: 0.0 },
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(optimizer, options, rng);
    trainer.keep_every(Some(SNAPSHOT));
    let (mut curve, mut state) = (Curve::default(), None);
    if let Some(continued) = continued {
        let Sizes { hidden, layers, .. } = sizes(args);
        let dims = [layers, batch, hidden];
        state = Some(Tensor::from_slice(device, continued.file.expect(STATE, &dims)?, &dims)?);
        load_checkpoint_with(&mut trainer, &continued.file)?;
        curve = continued.curve;
        println!("continues {} in epoch {}", checkpoint.path().display(), trainer.epoch() + 1);
    }

    let carried = Carried::from_state(state);
    let bar = bar(updates, args.json)?;
    let step = |batch: &Batch, mode: &mut Mode| model.loss(batch, &carried, mode);
    let scale = encoded.train.len() as f32 / encoded.characters[0] as f32;
    let end = Run {
        bar: &bar,
        curve: &mut curve,
        checkpoint: &checkpoint,
        interrupted,
        measure: &|| Ok(Some(encoded.measure(&model)? as f32)),
        scale,
        state: &|| carried.state().into_iter().map(|state| (STATE.to_string(), state)).collect(),
        message: &|curve| match carried.loss() {
            Some(loss) => format!("{:.3} nats per character now; {}", scale * loss, curve.message()),
            None => curve.message(),
        },
    }
    .drive(trainer.start_with(&rows, None, step)?)?;
    bar.finish_and_clear();
    if end == End::Interrupted {
        println!("{}", checkpoint.farewell());
        return Ok(None);
    }
    checkpoint.remove()?;
    Ok(Some((model, curve)))
}
