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
    let mut ahead: Vec<usize> = (if std::env::var("FAR").is_ok() { vec![0.003, 0.025, 0.1, 0.2, 0.4] } else { AHEAD.to_vec() }).iter().map(|&seconds| samples(args, seconds)).collect();
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

pub fn explore(args: &Args, predictor: &Predictor, signal: &[f32]) -> Result<()> {
    let part = Parts::of(signal.len()).test;
    let run = |signal: &[f32], from: usize| -> Result<Vec<f32>> {
        let mut s = Scorer::new(predictor, Rules { short: 1, long: 0, rolling: 10, least: 0, alpha: 0.1 })?;
        for &v in &signal[from - 1000..from] { s.push(v)?; }
        Ok(signal[from..].iter().map(|&v| s.push(v).map(|r| r.score)).collect::<wgru::Result<Vec<f32>>>()?)
    };
    let means = |x: &[f32], w: usize| -> Vec<f32> {
        (0..x.len()).map(|i| { let a = (i + 1).saturating_sub(w); x[a..=i].iter().sum::<f32>() / (i + 1 - a) as f32 }).collect()
    };
    let mut rounds = Vec::new();
    for r in 0..6 {
        let mut changed = signal.to_vec();
        let injected = inject(&mut changed, args.hertz, part.clone(), samples(args, EVERY), &mut Rng::new(1000 + r));
        rounds.push((changed, injected));
    }
    for mode in 1..2 {
        crate::scorer::MODE.store(mode, std::sync::atomic::Ordering::Relaxed);
        let clean = run(signal, part.start)?;
        println!("mode {mode} mean {}", clean.iter().sum::<f32>() / clean.len() as f32);
        let raw: Vec<Vec<f32>> = rounds.iter().map(|(c, _)| run(c, part.start)).collect::<Result<_>>()?;
        for (w, sign) in [(0.2, 1.0f32), (0.3, 1.0), (0.4, 1.0), (0.6, 1.0), (0.5, -1.0), (0.7, -1.0), (0.8, -1.0), (1.0, -1.0)] {
            let w2 = samples(args, w);
            let sm = |x: &[f32]| -> Vec<f32> { means(x, w2).iter().map(|v| sign * v).collect() };
            let c = sm(&clean)[360..].to_vec();
            let mut sorted = c.clone(); sorted.sort_by(f32::total_cmp);
            print!("  win {w} sign {sign}: ");
            for budget in [1usize, 3] {
                // lowest threshold with at most budget events
                let (mut lo, mut hi) = (0usize, sorted.len() - 1);
                while lo < hi { let mid = (lo + hi) / 2; let th = sorted[mid]; let f: Vec<bool> = c.iter().map(|v| *v > th).collect(); if join(&f, samples(args, GAP)).len() <= budget && mid > sorted.len() / 2 { hi = mid } else { lo = mid + 1 } }
                let th = sorted[lo];
                let mut per = [[0usize; 2]; 6];
                for (r, (_, injected)) in raw.iter().zip(&rounds) {
                    let f: Vec<bool> = sm(r).iter().map(|v| *v > th).collect();
                    let an: Vec<Range<usize>> = injected.iter().map(|a| a.at.start - part.start..a.at.end - part.start).collect();
                    let m = Match::new(&join(&f, samples(args, GAP)), &an, samples(args, LATE));
                    for (a, d) in injected.iter().zip(&m.delays) { let k = a.kind as usize; per[k][1] += 1; per[k][0] += d.is_some() as usize; }
                }
                let all: usize = per.iter().map(|p| p[0]).sum(); let n: usize = per.iter().map(|p| p[1]).sum();
                print!("| {budget}: {:.2} {:?} ", all as f64 / n as f64, per.map(|p| p[0]));
                if budget == 3 { println!("of {:?}", per.map(|p| p[1])); }
            }
        }
    }
    Ok(())
}
