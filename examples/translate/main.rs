//! Translates with attention: an encoder and a decoder GRU learn pairs of texts, by default dates.
//!
//! ```text
//! cargo run --release --example translate
//! cargo run --release --example translate -- --pairs FILE
//! cargo run --release --example translate -- --load out/translate.safetensors < lines.txt
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod bleu;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod dates;
mod learn;
mod memory;
mod model;
mod plot;
mod report;
#[cfg(test)]
mod tests;
mod tokens;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::Rng;
use wgru::io::TensorFile;
use wgru::models::decode::Beam;

use args::Args;
use common::files::make_folder;
use common::training::{INTERRUPTED, Interrupt};
use common::{Result, lines, pairs};
use data::{Parts, Selection};
use learn::{Learned, learn};
use memory::Memory;
use model::Translator;
use plot::Picture;
use report::{Entry, NEIGHBOR, Report};

/// Number of translations of the test that are printed.
const PRINTED: usize = 10;

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
        let translator = Translator::from_file(&device, &TensorFile::open(path)?)?;
        match &args.show {
            Some(text) => println!("{}", show(args, &translator, text, None, "attention")?),
            None => {
                translate_lines(&translator, &beam(args), std::io::stdin().lock(), std::io::stdout().lock(), args.json)?
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = Interrupt::listen()?;
    match train(args, &|| interrupt.is_set(), &|| interrupt.end_at_once())? {
        Some(report) if args.json => println!("{}", report.json()),
        Some(_) => {}
        None => return Ok(ExitCode::from(INTERRUPTED)),
    }
    Ok(ExitCode::SUCCESS)
}

fn beam(args: &Args) -> Beam {
    Beam { width: args.beam, length_penalty: args.penalty }
}

/// Trains a translator, measures it, and writes model and plot; `None` if `interrupted`. Calls `saved` as soon as the
/// model is saved.
fn train(args: &Args, interrupted: &dyn Fn() -> bool, saved: &dyn Fn()) -> Result<Option<Report>> {
    let start = Instant::now();
    let settings = args.settings();
    let mut rng = Rng::new(args.seed);
    let all = match &args.pairs {
        Some(path) => pairs::read(path, ["source", "target"])?,
        None => dates::pairs(settings.most.min(dates::MOST), &mut rng),
    };
    if args.show.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err("--show needs some text".into());
    }
    let selection = Selection { max_words: args.max_words, most: settings.most, test: settings.test };
    let parts = Parts::new(&all, selection, &mut rng)?;
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    println!("{}", parts.describe());
    // Before the training, so that a path that cannot be written to does not end a long run.
    make_folder(&args.save)?;
    make_folder(&args.plot)?;

    let Some(learned) = learn(args, &device, &parts, rng, interrupted)? else { return Ok(None) };
    let Learned { translator, curve, updates, seconds, checkpoint } = learned;
    translator.to_file()?.save(&args.save)?;
    checkpoint.remove()?;
    saved();
    println!("wrote {}; translates the test", args.save.display());

    let (translations, [beam, greedy, neighbor]) = compare(args, &translator, &parts)?;
    let last = curve.0.last();
    let report = Report {
        beam,
        greedy,
        neighbor,
        pairs: parts.train.len(),
        tests: parts.test.len(),
        references: parts.test.iter().map(|held| held.references.len()).sum(),
        loss: last.map(|point| point.loss),
        held_out_loss: last.and_then(|point| point.held_out),
        updates,
        seconds_per_update: seconds / updates as f64,
        weights: translator.parameters().iter().map(|(_, tensor)| tensor.len()).sum(),
        seconds: start.elapsed().as_secs_f64(),
        device: device.info().name.clone(),
    };
    println!("\n{}", report.table());
    for (held, text) in parts.test.iter().zip(&translations).take(PRINTED) {
        let is_right = held.references.contains(text);
        let note = if is_right { String::new() } else { format!("   (reference: {})", held.references[0]) };
        println!("{}  →  {text}{note}", held.source);
    }
    let longest = parts.test.iter().map(|held| &held.source).max_by_key(|source| source.chars().count());
    let text = args.show.as_ref().or(longest).cloned().unwrap_or_default();
    let title =
        format!("{} pairs: BLEU {:.1} on {} held-out sources", report.pairs, report.beam.bleu.score, report.tests);
    println!("\n{}", show(args, &translator, &text, Some(&curve), &title)?);
    println!("{:.1} s, {:.4} s per update; wrote {}", report.seconds, report.seconds_per_update, args.plot.display());
    Ok(Some(report))
}

/// Translates the test. Returns the translations with the beam, and the figures of beam, greedy decoding, and the most
/// similar source.
fn compare(args: &Args, translator: &Translator, parts: &Parts) -> Result<(Vec<String>, [Entry; 3])> {
    let sources: Vec<Vec<u32>> = parts.test.iter().map(|held| translator.spec.source.encode(&held.source)).collect();
    let sources: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
    let texts = |beam: &Beam| -> Result<Vec<String>> {
        let found = translator.translate(&sources, beam)?;
        Ok(found.iter().map(|found| translator.spec.target.decode(&found.tokens)).collect())
    };
    let best = texts(&beam(args))?;
    let greedy = texts(&Beam { width: 1, length_penalty: 0.0 })?;
    let memory = Memory::new(&parts.train);
    let similar: Vec<String> = parts.test.iter().map(|held| memory.translate(&held.source).to_string()).collect();
    let entries = [
        Entry::new(format!("GRU, beam of {}", args.beam), &best, &parts.test),
        Entry::new("GRU, greedy", &greedy, &parts.test),
        Entry::new(NEIGHBOR, &similar, &parts.test),
    ];
    Ok((best, entries))
}

/// Translates a text and draws the attention. Returns text and translation as a line.
fn show(
    args: &Args,
    translator: &Translator,
    text: &str,
    curve: Option<&common::curve::Curve>,
    title: &str,
) -> Result<String> {
    let source = translator.spec.source.encode(text);
    if source.is_empty() {
        return Err("--show needs some text".into());
    }
    let found = translator.translate(&[&source], &beam(args))?.swap_remove(0);
    let output = translator.spec.target.decode(&found.tokens);
    let attention = translator.attention(&source, &found.tokens)?;
    Picture { title, attention: &attention, texts: [text, &output], curve }.draw(&args.plot)?;
    Ok(format!("{text}  →  {output}"))
}

/// Translates every line of the input as it arrives. An empty line stays empty.
fn translate_lines(
    translator: &Translator,
    beam: &Beam,
    input: impl BufRead,
    output: impl Write,
    as_json: bool,
) -> Result<()> {
    lines::answer(input, output, |text| {
        let source = translator.spec.source.encode(text);
        if source.is_empty() {
            return Ok(if as_json { "null".into() } else { String::new() });
        }
        let found = translator.translate(&[&source], beam)?.swap_remove(0);
        let translation = translator.spec.target.decode(&found.tokens);
        Ok(match as_json {
            true => serde_json::json!({"translation": translation, "log_probability": found.log_prob}).to_string(),
            false => translation,
        })
    })
}
