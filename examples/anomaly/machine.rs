//! The temperature of a machine: learns from its first rows, scores row by row, and compares with NAB's labels.

use std::ops::RangeInclusive;
use std::path::Path;

use wgru::{Device, Rng};

use crate::args::{Args, Task};
use crate::common::Result;
use crate::common::curve::Curve;
use crate::common::files::read_text;
use crate::detectors::{random, windowed_gaussian};
use crate::fit::fit;
use crate::nab;
use crate::predictor::{Predictor, Spec, windows};
use crate::scorer::{Reading, Rules, Scorer};
use crate::signal::Measurements;

/// Rows of a window, and from one to the next.
const WINDOW: [usize; 2] = [96, 6];
/// Scores that p-values compare with: four weeks of rows every five minutes.
const ROLLING: usize = 8000;

pub fn rules(args: &Args, rows: usize) -> Rules {
    let (alpha, least) = (args.alpha(), nab::probation(rows));
    Rules { short: 1, long: 0, rolling: ROLLING, least, alpha }
}

/// Reads the windows of a table from NAB's combined_windows.json, as rows.
pub fn read_windows(path: &Path, table: &Path, times: &[String]) -> Result<Vec<RangeInclusive<usize>>> {
    let name = path.display();
    let all: serde_json::Value = serde_json::from_str(&read_text(path)?).map_err(|error| format!("{name}: {error}"))?;
    let file = table.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let entry = all.as_object().and_then(|map| map.iter().find(|(key, _)| key.rsplit('/').next() == Some(&file)));
    let Some((key, windows)) = entry else { return Err(format!("{name}: no windows for {file:?}").into()) };
    let row = |time: &serde_json::Value| -> Result<usize> {
        let text = time.as_str().unwrap_or_default();
        let text = text.split('.').next().unwrap_or_default();
        let found = times.iter().position(|other| other == text);
        found.ok_or_else(|| format!("{name}: {key}: the table has no row with the time {time}").into())
    };
    let window = |pair: &serde_json::Value| match pair.as_array().map(Vec::as_slice) {
        Some([first, last]) => {
            let (first, last) = (row(first)?, row(last)?);
            if first > last {
                return Err(format!("{name}: {key}: the window {pair} ends before it begins").into());
            }
            Ok(first..=last)
        }
        _ => Err(format!("{name}: {key}: expected pairs of times, got {pair}").into()),
    };
    let windows: Vec<_> = windows.as_array().into_iter().flatten().map(window).collect::<Result<_>>()?;
    if windows.is_empty() { Err(format!("{name}: {key}: no windows").into()) } else { Ok(windows) }
}

/// Trains a predictor on the probation period; `None` if `interrupted`.
pub fn train(
    args: &Args,
    device: &Device,
    values: &[f32],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(Predictor, Curve)>> {
    let part = 0..nab::probation(values.len());
    let spec = Spec::of(Task::Machine, &std::env::var("AHEAD").unwrap_or("1".into()).split(',').map(|v| v.parse().unwrap()).collect::<Vec<usize>>(), [args.hidden(), std::env::var("MEM").unwrap_or("5".into()).parse().unwrap()], &values[part.clone()]);
    let data = windows(device, &spec, values, part.clone(), WINDOW)?;
    let data = data.ok_or_else(|| format!("the table has {} rows; 15 % of them must be at least 100", values.len()))?;
    let mut rng = Rng::new(args.seed);
    let predictor = Predictor::new(device, spec, &mut rng)?;
    let step = |batch: &wgru::train::Batch, mode: &mut wgru::nn::Mode| predictor.loss(batch.x(), batch.targets(), mode);
    let curve = fit(args, predictor.parameters(), &data, &values[part], rng, interrupted, step)?;
    Ok(curve.map(|curve| (predictor, curve)))
}

/// Scores all rows.
pub fn score(scorer: &mut Scorer, values: &[f32]) -> Result<Vec<Reading>> {
    Ok(values.iter().map(|&value| scorer.push(value)).collect::<wgru::Result<_>>()?)
}

pub fn table(args: &Args, data: &Measurements, readings: &[Reading], windows: &[RangeInclusive<usize>]) -> String {
    let mut out = String::new();
    let score: Vec<f64> = readings.iter().map(|r| f64::from(r.score)).collect();
    let p: Vec<f64> = readings.iter().map(|r| -r.p.ln()).collect();
    // rolling z
    let mut z = vec![0.0; score.len()];
    let (mut s1, mut s2) = (0.0, 0.0);
    for i in 0..score.len() {
        s1 += score[i]; s2 += score[i] * score[i];
        if i >= 8000 { s1 -= score[i - 8000]; s2 -= score[i - 8000] * score[i - 8000]; }
        let n = (i + 1).min(8000) as f64;
        let m = s1 / n;
        z[i] = (score[i] - m) / (s2 / n - m * m).max(1e-9).sqrt();
    }
    let ah: Vec<usize> = std::env::var("AHEAD").unwrap_or("1".into()).split(',').map(|v| v.parse().unwrap()).collect();
    let sp = Spec::of(Task::Machine, &ah, [1, 1], &data.values[..750]);
    let mut cal = crate::calibration::Calibration::Rolling(8000, Default::default());
    let pers: Vec<f64> = (0..score.len()).map(|i| { let e: f32 = ah.iter().zip(&sp.spreads).map(|(&d, s)| ((data.values[i] - data.values[i.saturating_sub(d)]) / s).abs()).sum(); -cal.p(e).ln() }).collect();
    let gaussian = windowed_gaussian(&data.values);
    let rnd = random(score.len(), &mut Rng::new(args.seed));
    for (name, s) in [("nll", &score), ("-log p", &p), ("z", &z), ("persist", &pers), ("gaussian", &gaussian), ("random", &rnd)] {
        out += &format!("{name:<10}");
        for rest in [0, 50, 144, 288, 567] {
            let best = nab::best(&nab::highest_of(s, rest), windows);
            out += &format!(" {:6.1}/{}w/{}fp", best.score, best.found.iter().filter(|f| **f).count(), best.false_positives);
        }
        out += "\n";
    }
    for alpha in [0.00013, 0.0005, 0.001, 0.002] {
        let s: Vec<f64> = nab::highest_of(&z, args.rest).iter().zip(readings).map(|(z, r)| if r.p <= alpha {*z} else {f64::NEG_INFINITY}).collect();
        let b = nab::at_threshold(&s, windows, -1e30);
        out += &format!("alpha {alpha}: {:.1} {:?} {}\n", b.score, b.found, b.false_positives);
    }
    out
}
