//! Recognizes strings of spoken digits with a convolution, a bidirectional GRU and CTC.
//!
//! ```text
//! cargo run --release --example speech
//! cargo run --release --example speech -- --data FOLDER --device gpu
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod audio;
#[path = "../common/mod.rs"]
mod common;
mod mel;
mod model;
mod plot;
mod strings;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgru::nn::Mode;
use wgru::train::{Batch, Data, Optimizer, Schedule, TrainOptions, Trainer};
use wgru::{Device, Rng};

use args::Args;
use audio::Recording;
use common::Result;
use common::files::make_folder;
use common::training::bar;
use mel::Mel;
use model::{Heard, Model};
use plot::Picture;
use strings::{Utterance, Utterances, distance};

/// Number of updates until the network recognizes digits. For the first few hundred, it outputs only blanks.
const UPDATES: usize = 1200;
/// Number of utterances that are recognized together.
const BATCH: usize = 32;

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
    let recordings = match &args.data {
        Some(folder) => audio::read(folder)?,
        None => audio::synthetic(args.seed),
    };
    let [train, test] = audio::split(recordings, args.speaker.as_deref())?;
    let device = args.device.open()?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    let held_out = args.speaker.as_ref().map_or("takes 5 to 9".into(), |name| format!("speaker {name}"));
    println!("{} recordings to train on, {} to test: {held_out}", train.len(), test.len());

    let (mel, mut rng) = (Mel::new(), Rng::new(args.seed));
    let model = Model::new(&device, args.hidden, &mut rng)?;
    let last_loss = fit(args, &device, &model, &train, &mel, rng)?;

    let mut rng = Rng::new(args.seed ^ 0x7e57);
    let (singles, strings) = (strings::singles(&test, &mel, &mut rng), strings::strings(&test, &mel, &mut rng));
    let (heard_singles, heard) = (listen(&device, &model, &singles)?, listen(&device, &model, &strings)?);
    let right = share(&singles, |u, i| heard_singles[i].greedy == u.digits);
    let whole = share(&strings, |u, i| heard[i].beam == u.digits);
    let wrong = |path: &dyn Fn(&Heard) -> Vec<u8>| {
        let edits: usize = strings.iter().zip(&heard).map(|(u, heard)| distance(&path(heard), &u.digits)).sum();
        edits as f64 / test.len() as f64
    };
    let (greedy, beam) = (wrong(&|h| h.greedy.clone()), wrong(&|h| h.beam.clone()));
    println!("single digits   {:6.2} % correct of {}", 100.0 * right, singles.len());
    println!("whole strings   {:6.2} % correct of {}, of one to five digits", 100.0 * whole, strings.len());
    println!("digit errors    {:6.2} % with the best path, {:.2} % with the beam search", 100.0 * greedy, 100.0 * beam);

    let seconds = start.elapsed().as_secs_f64();
    let title = format!("Spoken digits, test on {held_out}: {:.1} % of single digits correct", 100.0 * right);
    let picture = Picture { title, strings: &strings, heard: &heard, singles: &singles, heard_singles: &heard_singles };
    make_folder(&args.plot)?;
    picture.draw(&args.plot)?;
    println!("{seconds:.1} s; wrote {}", args.plot.display());
    if args.json {
        println!(
            "{{\"single_accuracy\":{right:.6},\"string_accuracy\":{whole:.6},\"digit_error_greedy\":{greedy:.6},\
             \"digit_error_beam\":{beam:.6},\"train_loss\":{last_loss:.6},\"seconds\":{seconds:.1}}}"
        );
    }
    Ok(())
}

/// Trains on new strings of the same recordings in every epoch; returns the loss of the last.
fn fit(args: &Args, device: &Device, model: &Model, train: &[Recording], mel: &Mel, mut rng: Rng) -> Result<f32> {
    // A string has three recordings on average.
    let expected = (train.len() / 3).div_ceil(args.batch).max(1);
    let epochs = args.epochs.unwrap_or(UPDATES.div_ceil(expected));
    let steps = epochs.saturating_mul(expected) as u64;
    let optimizer = Optimizer::adamw(model.parameters(), args.rate)?;
    let options = TrainOptions {
        batch: args.batch,
        clip_norm: Some(5.0),
        schedule: Schedule::OneCycle { steps },
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(optimizer, options, Rng::new(args.seed ^ 0x7261_696e));
    let bar = bar(steps, args.json)?;
    let shown = bar.clone();
    trainer.on_progress(move |progress, _| {
        shown.inc(1);
        if let Some(loss) = progress.loss {
            shown.set_message(format!("epoch {}: loss {loss:.4} per digit", progress.epoch + 1));
        }
        ControlFlow::Continue(())
    });
    let mut last = f32::NAN;
    for epoch in 1..=epochs {
        let utterances = Utterances { device, list: &strings::strings(train, mel, &mut rng) };
        trainer.options_mut().epochs = epoch;
        let step = |batch: &Batch, mode: &mut Mode| model.loss(&utterances, batch, mode);
        last = trainer.fit_with_blocking(&utterances, None, step)?.loss.last().copied().unwrap_or(last);
    }
    bar.finish_and_clear();
    println!("loss of the last epoch {last:.4} per digit");
    Ok(last)
}

fn listen(device: &Device, model: &Model, list: &[Utterance]) -> Result<Vec<Heard>> {
    let utterances = Utterances { device, list };
    let mut all = Vec::new();
    for examples in (0..list.len()).collect::<Vec<_>>().chunks(BATCH) {
        all.extend(model.listen(&utterances.batch(examples)?)?);
    }
    Ok(all)
}

/// Returns the fraction of utterances for which `holds` is true.
fn share(utterances: &[Utterance], holds: impl Fn(&Utterance, usize) -> bool) -> f64 {
    let count = utterances.iter().enumerate().filter(|(i, u)| holds(u, *i)).count();
    count as f64 / utterances.len() as f64
}
