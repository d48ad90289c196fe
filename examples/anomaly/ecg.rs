//! An ECG: learns its beats, calibrates, and finds anomalies that are put in.

use std::ops::Range;

use serde_json::{Value, json};
use wgru::io::TensorFile;
use wgru::nn::Mode;
use wgru::train::Batch;
use wgru::{Device, Rng};

use crate::args::{Args, Task};
use crate::beats::{find, synthetic};
use crate::common::Result;
use crate::common::curve::Curve;
use crate::events::{Match, join};
use crate::fit::fit;
use crate::inject::{Injected, Kind, inject};
use crate::predictor::{Predictor, Spec, windows};
use crate::scorer::{Reading, Rules, Scorer};
use crate::signal::read_signal;

/// Seconds ahead that are predicted.
const AHEAD: [f64; 5] = [0.003, 0.011, 0.025, 0.05, 0.1];
/// Seconds over which errors are averaged to find surprises.
const SHORT: f64 = 0.4;
/// Time over which the log-loss is averaged to find a signal that is too calm, in median beats. It nearly always has a
/// beat.
const LONG: f64 = 1.4;
/// Seconds of a window, and from one window to the next.
const WINDOW: f64 = 2.0;
const STRIDE: f64 = 1.0;
/// Seconds of the synthetic recording, and of the shortest one that is accepted.
const SYNTHETIC: f64 = 240.0;
const LEAST: f64 = 30.0;
/// Seconds before a part that bring the states of the network into line.
const LEAD_IN: f64 = 3.0;
/// Seconds from one injected anomaly to the next, between alarms that are one event, and that an alarm may be late.
const EVERY: f64 = 4.5;
const GAP: f64 = 0.5;
const LATE: f64 = 1.0;
/// Number of times that anomalies are put in, each time at other places.
const ROUNDS: usize = 5;

/// Parts of a recording.
struct Parts {
    train: Range<usize>,
    calibrate: Range<usize>,
    test: Range<usize>,
}

impl Parts {
    fn of(samples: usize) -> Self {
        let (half, rest) = (samples / 2, samples * 7 / 10);
        Self { train: 0..half, calibrate: half..rest, test: rest..samples }
    }
}

fn samples(args: &Args, seconds: f64) -> usize {
    ((seconds * args.hertz).round() as usize).max(1)
}

/// Reads the recording, or makes a synthetic one.
///
/// # Errors
/// Names the file at fault.
pub fn read(args: &Args) -> Result<Vec<f32>> {
    let signal = match &args.file {
        Some(path) => read_signal(path)?,
        None => synthetic(SYNTHETIC, args.hertz, &mut Rng::new(0)),
    };
    let least = samples(args, LEAST);
    if signal.len() < least {
        let got = signal.len();
        return Err(
            format!("the recording has {got} samples; expected at least {least}, {LEAST} s (see --hertz)").into()
        );
    }
    if find(&signal[Parts::of(signal.len()).test], args.hertz).len() < 3 {
        return Err("no heartbeats are found in the last 30 % of the recording; is --hertz right?".into());
    }
    Ok(signal)
}

/// Trains on the first half and calibrates on the next fifth; returns the file of the model and the learning curve.
/// `None` if `interrupted`.
///
/// # Errors
/// Errors from training and from the checkpoint.
pub fn train(
    args: &Args,
    device: &Device,
    signal: &[f32],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(TensorFile, Curve)>> {
    let parts = Parts::of(signal.len());
    let mut ahead: Vec<usize> = AHEAD.iter().map(|&seconds| samples(args, seconds)).collect();
    ahead.dedup();
    let spec = Spec::of(Task::Ecg, &ahead, [args.hidden(), args.members()], &signal[parts.train.clone()]);
    let sizes = [WINDOW, STRIDE].map(|seconds| samples(args, seconds));
    let data = windows(device, &spec, signal, parts.train.clone(), sizes)?.ok_or("the recording is too short")?;
    let mut rng = Rng::new(args.seed);
    let predictor = Predictor::new(device, spec, &mut rng)?;
    let step = |batch: &Batch, mode: &mut Mode| predictor.loss(batch.x(), batch.targets(), mode);
    let Some(curve) = fit(args, predictor.parameters(), &data, &signal[parts.train.clone()], rng, interrupted, step)?
    else {
        return Ok(None);
    };

    let mut file = predictor.to_file()?;
    let rules = Rules {
        short: samples(args, SHORT),
        long: (LONG * rhythm(args, &signal[parts.train.clone()])).round() as usize,
        rolling: 0,
        least: 0,
        rest: 0,
        alpha: args.alpha(),
    };
    let mut scorer = Scorer::new(&Predictor::from_file(&file)?, rules)?;
    lead_in(args, &mut scorer, signal, parts.calibrate.start)?;
    scorer.calibrate(&signal[parts.calibrate])?;
    scorer.write(&mut file);
    Ok(Some((file, curve)))
}

/// Returns the median number of samples from beat to beat, or that of 0.6 s if there are no beats.
fn rhythm(args: &Args, signal: &[f32]) -> f64 {
    let mut intervals: Vec<usize> = find(signal, args.hertz).windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    intervals.get(intervals.len() / 2).map_or(0.6 * args.hertz, |&samples| samples as f64)
}

/// Scores the seconds before `start`.
fn lead_in(args: &Args, scorer: &mut Scorer, signal: &[f32], start: usize) -> wgru::Result<()> {
    let first = start.saturating_sub(samples(args, LEAD_IN));
    signal[first..start].iter().try_for_each(|&value| scorer.push(value).map(|_| ()))
}

/// A recording with anomalies, from the beginning of the test part, and its scores.
pub struct Round {
    pub signal: Vec<f32>,
    pub readings: Vec<Reading>,
    pub injected: Vec<Injected>,
    pub alarms: Vec<Range<usize>>,
    pub matched: Match,
}

/// Results on the test part.
pub struct Outcome {
    pub rounds: Vec<Round>,
    /// Alarms in the recording as it is.
    pub own: Vec<Range<usize>>,
    pub minutes: f64,
    hertz: f64,
}

/// Scores the test part as it is, and with anomalies.
///
/// # Errors
/// Errors from the library.
pub fn measure(args: &Args, scorer: &Scorer, signal: &[f32]) -> Result<Outcome> {
    let part = Parts::of(signal.len()).test;
    let mut scorer = scorer.clone();
    lead_in(args, &mut scorer, signal, part.start)?;
    let score = |signal: &[f32]| -> wgru::Result<Vec<Reading>> {
        let mut scorer = scorer.clone();
        signal[part.clone()].iter().map(|&value| scorer.push(value)).collect()
    };
    let events = |readings: &[Reading]| {
        let flags: Vec<bool> = readings.iter().map(|reading| reading.alarm).collect();
        join(&flags, samples(args, GAP))
    };
    let own = events(&score(signal)?);
    let mut rng = Rng::new(args.seed);
    let mut round = || {
        let mut changed = signal.to_vec();
        let mut injected = inject(&mut changed, args.hertz, part.clone(), samples(args, EVERY), &mut rng);
        for anomaly in &mut injected {
            anomaly.at = anomaly.at.start - part.start..anomaly.at.end - part.start;
        }
        let readings = score(&changed)?;
        let alarms = events(&readings);
        let places: Vec<Range<usize>> = injected.iter().map(|anomaly| anomaly.at.clone()).collect();
        let matched = Match::new(&alarms, &places, samples(args, LATE));
        Ok(Round { signal: changed[part.clone()].to_vec(), readings, injected, alarms, matched })
    };
    let rounds = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>>>()?;
    Ok(Outcome { rounds, own, minutes: part.len() as f64 / args.hertz / 60.0, hertz: args.hertz })
}

/// Anomalies of a kind: how many there are, and the delays of those that were found, in seconds and ascending order.
struct Found {
    of: usize,
    delays: Vec<f64>,
}

impl Outcome {
    fn found(&self, kind: Option<Kind>) -> Found {
        let all = self.rounds.iter().flat_map(|round| round.injected.iter().zip(&round.matched.delays));
        let delays: Vec<_> = all.filter(|(a, _)| kind.is_none_or(|kind| a.kind == kind)).map(|(_, d)| *d).collect();
        let mut found: Vec<f64> = delays.iter().flatten().map(|&steps| steps as f64 / self.hertz).collect();
        found.sort_by(f64::total_cmp);
        Found { of: delays.len(), delays: found }
    }

    pub fn recall(&self) -> f64 {
        let Found { of, delays } = self.found(None);
        delays.len() as f64 / of as f64
    }

    pub fn precision(&self) -> f64 {
        let hits: Vec<bool> = self.rounds.iter().flat_map(|round| round.matched.hits.clone()).collect();
        hits.iter().filter(|hit| **hit).count() as f64 / hits.len() as f64
    }

    pub fn own_per_minute(&self) -> f64 {
        self.own.len() as f64 / self.minutes
    }

    /// Returns the results as lines of text.
    pub fn table(&self) -> String {
        let mut out = format!("{:<18}{:>8}{:>14}\n", "injected", "found", "median delay");
        for kind in Kind::ALL {
            let Found { of, delays } = self.found(Some(kind));
            let delay = delays.get(delays.len() / 2).map_or("–".into(), |delay| format!("{delay:.2} s"));
            out += &format!("{:<18}{:>8}{delay:>14}\n", kind.name(), format!("{}/{of}", delays.len()));
        }
        let (alarms, hits) = (self.rounds.iter().map(|round| round.alarms.len()).sum::<usize>(), self.precision());
        out += &format!("\nrecall {:.1} %, precision {:.1} % of {alarms} alarms", 100.0 * self.recall(), 100.0 * hits);
        out += &format!(
            "\n{} alarms in {:.2} minutes without injected anomalies: {:.2} per minute\n",
            self.own.len(),
            self.minutes,
            self.own_per_minute()
        );
        out
    }

    pub fn json(&self) -> Value {
        let kinds = Kind::ALL.map(|kind| {
            let Found { of, delays } = self.found(Some(kind));
            (kind.name(), json!({"injected": of, "found": delays.len(), "delay": delays.get(delays.len() / 2)}))
        });
        json!({
            "recall": self.recall(),
            "precision": self.precision(),
            "alarms_per_minute": self.own_per_minute(),
            "kinds": kinds.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}
