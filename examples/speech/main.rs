//! Recognises strings of spoken digits with a convolution, a bidirectional GRU and CTC.
//!
//! ```text
//! cargo run --release --example speech
//! cargo run --release --example speech -- --data FOLDER --device gpu
//! ```

mod args;
mod audio;
mod mel;
mod model;
mod plot;
mod strings;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wgru::train::{AdamConfig, Method, Optimizer, Schedule, clip_grad_norm};
use wgru::{Device, Rng};

use args::{Args, DeviceChoice};
use audio::Recording;
use mel::Mel;
use model::{Heard, Model};
use plot::Picture;
use strings::{Utterance, distance};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Updates after which the network knows its digits: some hundred pass before it says anything but the blank.
const UPDATES: usize = 1200;
/// Utterances heard at a time.
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
    let device = device(args.device)?;
    println!("device: {} ({})", device.info().name, device.info().reason);
    let held_out = args.speaker.as_ref().map_or("takes 5 to 9".into(), |name| format!("speaker {name}"));
    println!("{} recordings to train on, {} to test: {held_out}", train.len(), test.len());

    let (mel, mut rng) = (Mel::new(), Rng::new(args.seed));
    let model = Model::new(&device, args.hidden, &mut rng)?;
    let last_loss = fit(args, &model, &train, &mel, &mut rng)?;

    let mut rng = Rng::new(args.seed ^ 0x7e57);
    let (singles, strings) = (strings::singles(&test, &mel, &mut rng), strings::strings(&test, &mel, &mut rng));
    let (heard_singles, heard) = (listen(&model, &singles)?, listen(&model, &strings)?);
    let right = share(&singles, |u, i| heard_singles[i].greedy == u.digits);
    let whole = share(&strings, |u, i| heard[i].beam == u.digits);
    let wrong = |path: &dyn Fn(&Heard) -> Vec<u8>| {
        let edits: usize = strings.iter().zip(&heard).map(|(u, heard)| distance(&path(heard), &u.digits)).sum();
        edits as f64 / test.len() as f64
    };
    let (greedy, beam) = (wrong(&|h| h.greedy.clone()), wrong(&|h| h.beam.clone()));
    println!("single digits   {:6.2} % right of {}", 100.0 * right, singles.len());
    println!("whole strings   {:6.2} % right of {}, of one to five digits", 100.0 * whole, strings.len());
    println!("digit errors    {:6.2} % with the best path, {:.2} % with the beam search", 100.0 * greedy, 100.0 * beam);

    let seconds = start.elapsed().as_secs_f64();
    let title = format!("Spoken digits, test on {held_out}: {:.1} % of single digits right", 100.0 * right);
    let picture = Picture { title, strings: &strings, heard: &heard, singles: &singles, heard_singles: &heard_singles };
    if let Some(folder) = args.plot.parent() {
        std::fs::create_dir_all(folder)?;
    }
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

/// Trains on new strings of the same recordings in every epoch; gives the loss of the last.
fn fit(args: &Args, model: &Model, train: &[Recording], mel: &Mel, rng: &mut Rng) -> Result<f32> {
    // Strings of three recordings on average.
    let expected = (train.len() / 3).div_ceil(args.batch).max(1);
    let epochs = args.epochs.unwrap_or(UPDATES.div_ceil(expected));
    let steps = epochs.saturating_mul(expected) as u64;
    let adam = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
    let mut optimizer = Optimizer::new(model.parameters(), Method::AdamW(adam), args.rate)?;
    let (schedule, mut done, mut loss) = (Schedule::OneCycle { steps }, 0, f32::NAN);
    let bar = ProgressBar::new(steps);
    if args.json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {bar:40.cyan/blue} {percent:>3} % {msg}")?);
    for epoch in 0..epochs {
        let strings = strings::strings(train, mel, rng);
        let (mut total, mut count) = (0.0, 0);
        for batch in strings.chunks(args.batch) {
            let batch: Vec<&Utterance> = batch.iter().collect();
            optimizer.zero_grad();
            let value = model.loss(&batch, rng)?;
            value.backward()?;
            clip_grad_norm(&optimizer.parameters(), 5.0)?;
            optimizer.set_rate(schedule.rate(args.rate, done))?;
            optimizer.step()?;
            total += value.item()? * batch.len() as f32;
            count += batch.len();
            done += 1;
            bar.set_position(done.min(steps));
        }
        loss = total / count as f32;
        if !loss.is_finite() {
            return Err(format!("the loss is {loss}; try a lower --rate").into());
        }
        bar.set_message(format!("epoch {}: loss {loss:.4} per digit", epoch + 1));
    }
    bar.finish_and_clear();
    println!("loss of the last epoch {loss:.4} per digit");
    Ok(loss)
}

fn listen(model: &Model, utterances: &[Utterance]) -> Result<Vec<Heard>> {
    let mut all = Vec::new();
    for batch in utterances.chunks(BATCH) {
        all.extend(model.listen(&batch.iter().collect::<Vec<_>>())?);
    }
    Ok(all)
}

/// The share of utterances for which this holds.
fn share(utterances: &[Utterance], holds: impl Fn(&Utterance, usize) -> bool) -> f64 {
    let count = utterances.iter().enumerate().filter(|(i, u)| holds(u, *i)).count();
    count as f64 / utterances.len() as f64
}

#[cfg(feature = "gpu")]
fn device(choice: DeviceChoice) -> wgru::Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::cpu()),
        DeviceChoice::Gpu => Device::gpu_blocking(),
        DeviceChoice::Auto => Device::auto_blocking(),
    }
}

#[cfg(not(feature = "gpu"))]
fn device(choice: DeviceChoice) -> wgru::Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::cpu()),
        DeviceChoice::Gpu => Err(wgru::Error::NoAdapter("this was built without the feature `gpu`".into())),
        DeviceChoice::Auto => Device::auto_blocking(),
    }
}
