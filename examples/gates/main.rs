//! Draws what a GRU keeps and forgets: its gates over a year of weather.
//!
//! ```text
//! cargo run --release --example gates
//! ```
//!
//! A GRU learns to forecast the next day's highest temperature in Seattle from three years; the picture,
//! `out/gates.svg`, shows the fourth.

mod colour;
mod picture;
mod weather;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::{AdamConfig, Method, Optimizer, Reduction, clip_grad_norm, loss};
use wgru::{Device, Rng, Tensor};

use picture::{Heat, Picture};
use weather::{FEATURES, Weather};

/// Draws the gates of a GRU over a year of weather.
#[derive(Parser, Debug)]
#[command(name = "gates")]
struct Args {
    /// Units of the GRU
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=64))]
    hidden: u16,
    /// Updates of the training
    #[arg(long, value_name = "N", default_value_t = 400)]
    updates: usize,
    /// Seed of weights and batches
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where to draw
    #[arg(long, value_name = "FILE", default_value = "out/gates.svg")]
    plot: PathBuf,
}

/// Days of a training sequence, sequences of a batch.
const STEPS: usize = 120;
const BATCH: usize = 16;
const RATE: f64 = 5e-3;
/// Days of the longest memory before training.
const LONGEST: f32 = 60.0;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Forecaster {
    gru: Gru,
    head: Linear,
}

impl Forecaster {
    fn new(device: &Device, hidden: usize, rng: &mut Rng) -> Result<Self> {
        let gru = RecurrentConfig::gru(FEATURES, hidden).build(device, rng)?;
        // The update gates start as memories of 1 to LONGEST days: Tallec and Ollivier, *Can recurrent neural networks
        // warp time?* (2018).
        for (_, bias) in gru.parameters().iter().filter(|(name, _)| name == "bias_ih_l0") {
            let mut values = bias.to_vec()?;
            for (unit, value) in values[hidden..2 * hidden].iter_mut().enumerate() {
                *value = LONGEST.ln() * unit as f32 / (hidden - 1) as f32;
            }
            bias.assign(&values)?;
        }
        Ok(Self { gru, head: Linear::new(device, hidden, 1, true, rng)? })
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        [self.gru.parameters(), self.head.parameters()].concat()
    }

    /// One update on random stretches of the first `days` days; gives the loss.
    fn update(&self, optimizer: &mut Optimizer, weather: &Weather, days: usize, rng: &mut Rng) -> Result<Tensor> {
        let starts: Vec<usize> = (0..BATCH).map(|_| rng.below(days - STEPS)).collect();
        let places = (0..STEPS).flat_map(|t| starts.iter().map(move |start| start + t));
        let (x, y): (Vec<_>, Vec<_>) = places.map(|day| (weather.input(day), weather.target(day))).unzip();
        let device = self.gru.parameters()[0].1.device().clone();
        let x = Tensor::from_slice(&device, &x.concat(), &[STEPS, BATCH, FEATURES])?;
        let y = Tensor::from_slice(&device, &y, &[STEPS, BATCH, 1])?;
        let mode = &mut Mode::Train(rng);
        let states = self.gru.run(&x, RunOptions::default(), mode)?.output;
        let loss = loss::mse(&self.head.forward_with(&states, mode)?, &y, Reduction::Mean)?;
        optimizer.zero_grad();
        loss.backward()?;
        clip_grad_norm(&optimizer.parameters(), 1.0)?;
        optimizer.step()?;
        Ok(loss)
    }
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
    let mut optimizer = Optimizer::new(
        model.parameters(),
        Method::AdamW(AdamConfig { weight_decay: 0.05, ..Default::default() }),
        RATE,
    )?;
    for update in 0..args.updates {
        optimizer.set_rate(RATE * (1.0 - update as f64 / args.updates as f64))?;
        let loss = model.update(&mut optimizer, &weather, year.start, &mut rng)?;
        if update % 100 == 0 {
            let loss = loss.item()?;
            println!("update {update}: loss {loss:.4}");
            if !loss.is_finite() {
                return Err(format!("the loss is {loss}").into());
            }
        }
    }

    // One run over all four years, so that the last one begins with the state that the others leave.
    let days = year.end - 1;
    let x: Vec<f32> = (0..days).flat_map(|day| weather.input(day)).collect();
    let x = Tensor::from_slice(&device, &x, &[days, 1, FEATURES])?;
    let options = RunOptions { gates: true, ..Default::default() };
    let run = model.gru.run(&x, options, &mut Mode::Eval)?;
    let forecast = model.head.forward(&run.output)?.to_vec()?;
    let shown = year.start..days;
    let forecast: Vec<f32> = shown.clone().map(|day| weather.degrees(forecast[day - 1])).collect();
    let gates = run.gates.first().ok_or("the run kept no gates")?;
    let heat = |name: &str| -> Result<Heat> {
        let gate = gates.get(name).ok_or("no such gate")?.to_vec()?;
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
    println!("RMSE of the year shown: {:.2} °C; of yesterday's value {:.2} °C", rmse(&forecast), rmse(yesterday));
    println!("wrote {}", args.plot.display());
    Ok(())
}
