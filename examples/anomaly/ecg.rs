//! An ECG: learns its beats, calibrates, and finds anomalies that are put in.

use std::ops::Range;

use wgru::{Device, Rng};

use crate::args::{Args, Task};
use crate::beats::{Injected, Kind, inject, synthetic};
use crate::common::Result;
use crate::common::curve::Curve;
use crate::events::{Match, join};
use crate::fit::fit;
use crate::predictor::{Predictor, Spec, windows};
use crate::scorer::{Reading, Rules, Scorer};
use crate::signal::read_signal;

/// Seconds ahead that are predicted.
const AHEAD: [f64; 5] = [0.003, 0.011, 0.025, 0.05, 0.1];
/// Seconds of a window, from one window to the next, and of the synthetic recording.
const WINDOW: f64 = 2.0;
const STRIDE: f64 = 1.0;
const SYNTHETIC: f64 = 120.0;
/// Seconds from one injected anomaly to the next, between alarms that are one event, and that an alarm may be late.
const EVERY: f64 = 4.5;
const GAP: f64 = 0.5;
const LATE: f64 = 1.0;

/// Parts of a recording.
pub struct Parts {
    pub train: Range<usize>,
    pub calibrate: Range<usize>,
    pub test: Range<usize>,
}

impl Parts {
    pub fn of(samples: usize) -> Self {
        let (half, rest) = (samples / 2, samples * 7 / 10);
        Self { train: 0..half, calibrate: half..rest, test: rest..samples }
    }
}

/// Reads the recording, or makes a synthetic one.
pub fn read(args: &Args) -> Result<Vec<f32>> {
    match &args.file {
        Some(path) => read_signal(path),
        None => Ok(synthetic(SYNTHETIC, args.hertz, &mut Rng::new(0))),
    }
}

fn samples(args: &Args, seconds: f64) -> usize {
    ((seconds * args.hertz).round() as usize).max(1)
}

pub fn rules(args: &Args) -> Rules {
    Rules { short: samples(args, 0.1), long: samples(args, 0.5), rolling: 0, least: 0, alpha: args.alpha() }
}

/// Trains a predictor on the first half; `None` if `interrupted`.
pub fn train(
    args: &Args,
    device: &Device,
    signal: &[f32],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Predictor, Curve)>> {
    let parts = Parts::of(signal.len());
    let mut ahead: Vec<usize> = AHEAD.iter().map(|&seconds| samples(args, seconds)).collect();
    ahead.dedup();
    let spec = Spec::of(Task::Ecg, &ahead, [args.hidden(), 1], &signal[parts.train.clone()]);
    let sizes = [WINDOW, STRIDE].map(|seconds| samples(args, seconds));
    let data = windows(device, &spec, signal, parts.train.clone(), sizes)?;
    let data = data.ok_or_else(|| format!("the recording has {} samples; it must have at least {} s", signal.len(), 20))?;
    let mut rng = Rng::new(args.seed);
    let predictor = Predictor::new(device, spec, &mut rng)?;
    let step = |batch: &wgru::train::Batch, mode: &mut wgru::nn::Mode| predictor.loss(batch.x(), batch.targets(), mode);
    let curve = fit(args, predictor.parameters(), &data, &signal[parts.train], rng, interrupted, step)?;
    Ok(curve.map(|curve| (predictor, curve)))
}

/// Results on the test part.
pub struct Outcome {
    pub injected: Vec<Injected>,
    pub signal: Vec<f32>,
    pub readings: Vec<Reading>,
    pub clean: Vec<Reading>,
    pub matched: Match,
    /// Alarms in the recording as it is, and its minutes.
    pub alarms: usize,
    pub minutes: f64,
}

/// Calibrates a scorer on the part for it, after the end of the training part as lead-in.
pub fn calibrate(args: &Args, predictor: &Predictor, signal: &[f32]) -> Result<Scorer> {
    let parts = Parts::of(signal.len());
    let mut scorer = Scorer::new(predictor, rules(args))?;
    let lead = parts.calibrate.start.saturating_sub(samples(args, 3.0));
    for &value in &signal[lead..parts.calibrate.start] {
        scorer.push(value)?;
    }
    scorer.calibrate(&signal[parts.calibrate])?;
    Ok(scorer)
}

/// Scores the test part twice: as it is, and with anomalies.
pub fn measure(args: &Args, scorer: &Scorer, signal: &[f32]) -> Result<Outcome> {
    let part = Parts::of(signal.len()).test;
    let score = |signal: &[f32]| -> wgru::Result<Vec<Reading>> {
        let mut scorer = scorer.clone();
        signal[part.clone()].iter().map(|&value| scorer.push(value)).collect()
    };
    let events = |readings: &[Reading]| {
        let flags: Vec<bool> = readings.iter().map(|reading| reading.alarm).collect();
        join(&flags, samples(args, GAP))
    };
    let clean = score(signal)?;
    let mut changed = signal.to_vec();
    let mut rng = Rng::new(args.seed.wrapping_add(1000));
    let injected = inject(&mut changed, args.hertz, part.clone(), samples(args, EVERY), &mut rng);
    let readings = score(&changed)?;
    let anomalies: Vec<Range<usize>> =
        injected.iter().map(|a| a.at.start - part.start..a.at.end - part.start).collect();
    Ok(Outcome {
        matched: Match::new(&events(&readings), &anomalies, samples(args, LATE)),
        alarms: events(&clean).len(),
        minutes: part.len() as f64 / args.hertz / 60.0,
        signal: changed,
        injected,
        readings,
        clean,
    })
}

pub fn table(args: &Args, outcome: &Outcome) -> String {
    let mut out = String::new();
    for kind in Kind::ALL {
        let of = || outcome.injected.iter().zip(&outcome.matched.delays).filter(|(a, _)| a.kind == kind);
        let delays: Vec<f64> = of().filter_map(|(_, delay)| delay.map(|d| d as f64 / args.hertz)).collect();
        let mean = delays.iter().sum::<f64>() / delays.len() as f64;
        out += &format!("{:<16}{:>3} of {:<3}{:>8.2} s\n", kind.name(), delays.len(), of().count(), mean);
    }
    out += &format!("recall {:.2} precision {:.2} alarms/min clean {:.2}\n", outcome.matched.recall(), outcome.matched.precision(), outcome.alarms as f64 / outcome.minutes);
    out
}
