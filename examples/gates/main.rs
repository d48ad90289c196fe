//! Draws what a GRU keeps and forgets: its gates over a year of weather.
//!
//! ```text
//! cargo run --release --example gates
//! ```
//!
//! A GRU learns to forecast the next day's highest temperature in Seattle from three years of data. The plot,
//! `out/gates.svg`, shows the fourth year.

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod color;
mod picture;
mod weather;

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::{AdamWConfig, HostData, Method, Optimizer, Schedule, TrainOptions, Trainer, loss};
use wgru::{Device, Rng, Tensor, parts};

use picture::{Heat, Picture};
use weather::{FEATURES, Weather};

/// Draws the gates of a GRU over a year of weather.
#[derive(Parser, Debug)]
#[command(name = "gates")]
struct Args {
    /// Hidden units of the GRU
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=64))]
    hidden: u16,
    /// Passes over the training data, of 50 updates each
    #[arg(long, value_name = "N", default_value_t = 8)]
    epochs: usize,
    /// Random seed for weights and batches
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// File for the plot
    #[arg(long, value_name = "FILE", default_value = "out/gates.svg")]
    plot: PathBuf,
}

/// Days of a training sequence, sequences of a batch, updates of an epoch.
const STEPS: usize = 120;
const BATCH: usize = 16;
const UPDATES: usize = 50;
const RATE: f64 = 5e-3;
/// Longest memory before training, in days.
const LONGEST: f32 = 60.0;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Forecaster {
    gru: Gru,
    head: Linear,
}

impl Forecaster {
    fn new(device: &Device, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(FEATURES, hidden) }.build(device, rng)?;
        // The update gates start with memories of 1 to LONGEST days: Tallec and Ollivier, *Can recurrent neural
        // networks warp time?* (2018).
        for (_, bias) in gru.parameters().iter().filter(|(name, _)| name == "bias_ih_l0") {
            let mut values = bias.read_blocking()?;
            for (unit, value) in values[hidden..2 * hidden].iter_mut().enumerate() {
                *value = LONGEST.ln() * unit as f32 / (hidden - 1) as f32;
            }
            bias.assign(&values)?;
        }
        Ok(Self { gru, head: Linear::new(device, hidden, 1, true, rng)? })
    }
}

impl Module for Forecaster {
    parts!(gru, head);

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> wgru::Result<Tensor> {
        self.head.forward_with(&self.gru.forward_with(x, mode)?, mode)
    }
}

/// Random segments of the first `days` days, for `updates` updates.
fn stretches(device: &Device, weather: &Weather, days: usize, updates: usize, rng: &mut Rng) -> Result<HostData> {
    let starts: Vec<usize> = (0..BATCH * updates).map(|_| rng.below(days - STEPS)).collect();
    let days = || starts.iter().flat_map(|&start| start..start + STEPS);
    let x = days().flat_map(|day| weather.input(day)).collect();
    let y = days().map(|day| weather.target(day)).collect();
    Ok(HostData::new(device, x, &[STEPS, FEATURES])?.with_targets(y, &[STEPS, 1])?)
}

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
    let (device, mut rng) = (Device::auto_blocking()?, Rng::new(args.seed));
    println!("device: {} ({})", device.info().name, device.info().reason);
    let weather = Weather::read()?;
    let year = weather.last_year();
    let hidden = args.hidden as usize;
    let model = Forecaster::new(&device, hidden, &mut rng)?;
    let adam = AdamWConfig { weight_decay: 0.05, ..Default::default() };
    let optimizer = Optimizer::new(model.parameters(), Method::AdamW(adam), RATE)?;
    let updates = args.epochs.saturating_mul(UPDATES) as u64;
    let options = TrainOptions {
        epochs: args.epochs,
        batch: BATCH,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: updates, min: 0.0 },
        ..Default::default()
    };
    let data = stretches(&device, &weather, year.start, UPDATES, &mut rng)?;
    let mut trainer = Trainer::new(optimizer, options, rng);
    trainer.on_progress(|progress, _| {
        if let Some(loss) = progress.loss {
            println!("epoch {}: loss {loss:.4}", progress.epoch + 1);
        }
        ControlFlow::Continue(())
    });
    trainer.fit_blocking(&model, &data, None, loss::mse)?;

    // Run over all four years, so that the last one starts from the state after the others.
    let days = year.end - 1;
    let x: Vec<f32> = (0..days).flat_map(|day| weather.input(day)).collect();
    let x = Tensor::from_slice(&device, &x, &[1, days, FEATURES])?;
    let options = RunOptions { gates: true, ..Default::default() };
    let run = model.gru.run(&x, options, &mut Mode::Eval)?;
    let forecast = model.head.forward(&run.output)?.read_blocking()?;
    let shown = year.start..days;
    let forecast: Vec<f32> = shown.clone().map(|day| weather.degrees(forecast[day - 1])).collect();
    let gates = run.gates.first().ok_or("the run returned no gates")?;
    let heat = |name: &str| -> Result<Heat> {
        let gate = gates.get(name).ok_or("no such gate")?.read_blocking()?;
        Ok(Heat::new(gate[shown.start * hidden..shown.end * hidden].to_vec(), hidden))
    };
    let picture = Picture {
        dates: &weather.dates[shown.clone()],
        actual: &weather.highest[shown.clone()],
        forecast: &forecast,
        reset: heat("reset")?,
        update: heat("update")?,
        candidate: heat("candidate")?,
    };
    if let Some(folder) = args.plot.parent() {
        std::fs::create_dir_all(folder)?;
    }
    picture.draw(&args.plot)?;
    let rmse = |forecast: &[f32]| {
        let squares = forecast.iter().zip(picture.actual).map(|(f, a)| (f - a) * (f - a));
        (squares.sum::<f32>() / forecast.len() as f32).sqrt()
    };
    let yesterday = &weather.highest[year.start - 1..days - 1];
    println!(
        "RMSE over the year shown: {:.2} °C; with yesterday's value as the forecast: {:.2} °C",
        rmse(&forecast),
        rmse(yesterday)
    );
    println!("wrote {}", args.plot.display());
    Ok(())
}
