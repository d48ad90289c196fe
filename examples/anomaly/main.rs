//! Anomalies.
mod args;
mod beats;
mod calibration;
#[path = "../common/mod.rs"]
mod common;
mod detectors;
mod engines;
mod ecg;
mod events;
mod fit;
mod life;
mod machine;
mod nab;
mod predictor;
mod regression;
mod scorer;
mod signal;

use clap::Parser;
use args::{Args, Task};
use common::Result;
use predictor::Predictor;
use scorer::Scorer;

fn main() -> Result<()> {
    let args = Args::parse();
    let device = args.device.open()?;
    let start = std::time::Instant::now();
    match args.task() {
        Task::Ecg => {
            let signal = ecg::read(&args)?;
            let (predictor, curve) = ecg::train(&args, &device, &signal, &|| false)?.unwrap();
            println!("{:?} {:?} {:.1?}", curve.0.first(), curve.0.last(), start.elapsed());
            let predictor = Predictor::from_file(&predictor.to_file()?)?;
            ecg::explore(&args, &predictor, &signal)?;
            if false { for alpha in [0.005, 0.002, 0.001, 0.0005, 0.0002] { for long in [0, 180] {
            let mut scorer = ecg::calibrate(&args, &predictor, &signal)?;
            scorer.rules.alpha = alpha; scorer.rules.long = long;
            let s2 = scorer.clone();
            let outcome = ecg::measure(&args, &s2, &signal)?;
            println!("alpha {alpha} long {long}\n{}", ecg::table(&args, &outcome));
            }}}
        }
        Task::Machine => {
            let data = signal::Measurements::read(args.file.as_ref().unwrap())?;
            let windows = machine::read_windows(args.labels.as_ref().unwrap(), args.file.as_ref().unwrap(), &data.times)?;
            let (predictor, curve) = machine::train(&args, &device, &data.values, &|| false)?.unwrap();
            println!("{:?} {:?} {:.1?}", curve.0.first(), curve.0.last(), start.elapsed());
            let predictor = Predictor::from_file(&predictor.to_file()?)?;
            let mut scorer = Scorer::new(&predictor, machine::rules(&args, data.values.len()))?;
            let readings = machine::score(&mut scorer, &data.values)?;
            println!("{}", machine::table(&args, &data, &readings, &windows));
        }
        Task::Engines => {
            let engines = engines::read(args.file.as_ref().unwrap())?;
            let (train, test) = engines.split_at(engines.len() - args.held_out);
            let units = life::Units::of(train);
            println!("{:?}", units.columns);
            let regression = regression::Regression::fit(&units, train).unwrap();
            let mut rng = wgru::Rng::new(args.seed);
            let life = life::Life::new(&device, units.clone(), args.hidden(), &mut rng)?;
            let data = wgru::train::HostData::from_indices(&device, (0..train.len() as u32).collect(), &[])?;
            let step = |batch: &wgru::train::Batch, mode: &mut wgru::nn::Mode| life.loss(&batch.examples().iter().map(|&i| &train[i]).collect::<Vec<_>>(), mode);
            let curve = fit::fit(&args, life.parameters(), &data, &[1.0], rng, &|| false, step)?.unwrap();
            println!("{:?} {:?} {:.1?}", curve.0.first(), curve.0.last(), start.elapsed());
            let life = life::Life::from_file(&life.to_file()?)?;
            for seed in 1..4 {
            let cuts = engines::cuts(test, args.cuts, &mut wgru::Rng::new(seed));
            let mut p = Vec::new(); let mut q = Vec::new(); let mut r = Vec::new();
            let all: Vec<Vec<f32>> = test.iter().map(|e| life.predict(e)).collect::<wgru::Result<_>>()?;
            for c in &cuts { p.push(all[c.engine][c.cycles - 1]); q.push(regression.predict(&units, &test[c.engine], c.cycles)); r.push(test[c.engine].remaining(c.cycles)); }
            let capped: Vec<f32> = r.iter().map(|v| v.min(125.0)).collect();
            for (n, p) in [("gru", &p), ("linear", &q)] {
                println!("{n} rmse {:.2} capped {:.2} score {:.2} capped {:.2} of {}", wgru::train::metrics::rmse(p, &r)?, wgru::train::metrics::rmse(p, &capped)?, engines::mean_score(p, &r), engines::mean_score(p, &capped), p.len());
            } }
        }
    }
    println!("{:.1?}", start.elapsed());
    Ok(())
}
