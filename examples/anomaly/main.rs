//! Anomalies.
mod args;
mod beats;
mod calibration;
#[path = "../common/mod.rs"]
mod common;
mod detectors;
mod ecg;
mod events;
mod fit;
mod machine;
mod nab;
mod predictor;
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
            for alpha in [0.005, 0.002, 0.001, 0.0005, 0.0002] { for long in [0, 180] {
            let mut scorer = ecg::calibrate(&args, &predictor, &signal)?;
            scorer.rules.alpha = alpha; scorer.rules.long = long;
            let s2 = scorer.clone();
            let outcome = ecg::measure(&args, &s2, &signal)?;
            println!("alpha {alpha} long {long}\n{}", ecg::table(&args, &outcome));
            }}
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
        Task::Engines => {}
    }
    println!("{:.1?}", start.elapsed());
    Ok(())
}
