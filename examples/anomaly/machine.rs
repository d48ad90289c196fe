//! The temperature of a machine: learns from its first rows, scores row by row, and compares with NAB's labels.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Value, json};
use wgru::io::TensorFile;
use wgru::nn::Mode;
use wgru::train::Batch;
use wgru::{Device, Rng};

use crate::args::{Args, Task};
use crate::calibration::Calibration;
use crate::common::Result;
use crate::common::curve::Curve;
use crate::common::files::read_text;
use crate::detectors::{random, windowed_gaussian};
use crate::events::join;
use crate::fit::fit;
use crate::nab::{NabScore, at_threshold, best, highest_of, probation};
use crate::predictor::{Predictor, Spec, windows};
use crate::scorer::{Reading, Rules, Scorer};

/// Rows ahead that are predicted.
const AHEAD: [usize; 2] = [6, 12];
/// Rows of a window, and from one to the next.
const WINDOW: [usize; 2] = [96, 6];
/// Scores that p-values compare with: four weeks of rows every five minutes.
pub const ROLLING: usize = 8000;
/// Runs of the random detector, whose scores are averaged.
const RANDOM_RUNS: u64 = 20;

/// Reads the windows of a table from NAB's combined_windows.json, as rows.
///
/// # Errors
/// Names the file, and the window at fault.
pub fn read_windows(path: &Path, table: &Path, times: &[String]) -> Result<Vec<RangeInclusive<usize>>> {
    let name = path.display();
    let all: Value = serde_json::from_str(&read_text(path)?).map_err(|error| format!("{name}: not JSON: {error}"))?;
    let file = table.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let entry = all.as_object().and_then(|map| map.iter().find(|(key, _)| key.rsplit('/').next() == Some(&file)));
    let Some((key, windows)) = entry else { return Err(format!("{name}: no windows for {file:?}").into()) };
    let row = |time: &Value| -> Result<usize> {
        let text = time.as_str().unwrap_or_default();
        let text = text.split('.').next().unwrap_or_default();
        let found = times.iter().position(|other| other == text);
        found.ok_or_else(|| format!("{name}: {key}: the table has no row with the time {time}").into())
    };
    let window = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
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

/// Trains on the probation period; returns the file of the model and the learning curve. `None` if `interrupted`.
///
/// # Errors
/// Errors from training and from the checkpoint.
pub fn train(
    args: &Args,
    device: &Device,
    values: &[f32],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(TensorFile, Curve)>> {
    let part = 0..probation(values.len());
    let spec = Spec::of(Task::Machine, &AHEAD, [args.hidden(), args.members()], &values[part.clone()]);
    let data = windows(device, &spec, values, part.clone(), WINDOW)?;
    let least = WINDOW[0] + AHEAD[1];
    let data = data.ok_or_else(|| {
        format!("the probation period, 15 % of {} rows, has {} rows; expected at least {least}", values.len(), part.end)
    })?;
    let mut rng = Rng::new(args.seed);
    let predictor = Predictor::new(device, spec, &mut rng)?;
    let step = |batch: &Batch, mode: &mut Mode| predictor.loss(batch.x(), batch.targets(), mode);
    let Some(curve) = fit(args, predictor.parameters(), &data, &values[part.clone()], rng, interrupted, step)? else {
        return Ok(None);
    };
    let mut file = predictor.to_file()?;
    let rules = Rules { short: 1, long: 0, rolling: ROLLING, least: part.end, rest: args.rest, alpha: args.alpha() };
    Scorer::new(&Predictor::from_file(&file)?, rules)?.write(&mut file);
    Ok(Some((file, curve)))
}

/// NAB's scores of a detector.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: &'static str,
    /// At the best threshold for the series, with an alarm at each row above it.
    pub best: f64,
    /// At the best threshold, with one alarm per episode.
    pub best_rested: NabScore,
    /// At the threshold that was set beforehand, with one alarm per episode.
    pub online: Option<NabScore>,
}

pub const NETWORK: &str = "GRU";
pub const LAST: &str = "last value";
pub const GAUSSIAN: &str = "windowed Gaussian";
pub const RANDOM: &str = "random";

/// Scores of a table.
pub struct Outcome {
    pub readings: Vec<Reading>,
    /// Empty without labels.
    pub entries: Vec<Entry>,
}

/// Scores all rows as they come.
///
/// # Errors
/// Errors from the library.
pub fn measure(args: &Args, scorer: &Scorer, values: &[f32], windows: &[RangeInclusive<usize>]) -> Result<Outcome> {
    let mut scorer = scorer.clone();
    let readings = values.iter().map(|&value| scorer.push(value)).collect::<wgru::Result<Vec<Reading>>>()?;
    let mut entries = Vec::new();
    if !windows.is_empty() {
        let entry = |name, scores: &[f64], rested: &[f64], threshold: Option<f64>| Entry {
            name,
            best: best(scores, windows).score,
            best_rested: best(rested, windows),
            online: threshold.map(|threshold| at_threshold(rested, windows, threshold)),
        };
        let threshold = -scorer.rules().alpha.ln();
        let scores: Vec<f64> = readings.iter().map(|reading| -reading.p.ln()).collect();
        let peak = |reading: &Reading| if reading.is_peak { -reading.p.ln() } else { f64::NEG_INFINITY };
        let peaks: Vec<f64> = readings.iter().map(peak).collect();
        entries.push(entry(NETWORK, &scores, &peaks, Some(threshold)));
        let (scores, peaks) = last_value(values, args.rest);
        entries.push(entry(LAST, &scores, &peaks, Some(threshold)));
        let scores = windowed_gaussian(values);
        entries.push(entry(GAUSSIAN, &scores, &highest_of(&scores, args.rest), Some(1.0 - scorer.rules().alpha)));
        let runs: Vec<Entry> = (0..RANDOM_RUNS)
            .map(|seed| {
                let scores = random(values.len(), &mut Rng::new(seed));
                entry(RANDOM, &scores, &highest_of(&scores, args.rest), None)
            })
            .collect();
        let mean = |of: fn(&Entry) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let mut random = runs[0].clone();
        random.best = mean(|entry| entry.best);
        random.best_rested.score = mean(|entry| entry.best_rested.score);
        entries.push(random);
    }
    Ok(Outcome { readings, entries })
}

/// Scores the values as the network does, but predicts that each stays as it is.
fn last_value(values: &[f32], rest: usize) -> (Vec<f64>, Vec<f64>) {
    let spec = Spec::of(Task::Machine, &AHEAD, [1, 1], &values[..probation(values.len())]);
    let mut calibration = Calibration::Rolling(ROLLING, VecDeque::new());
    let mut score = |i: usize| {
        let change = |(steps, spread): (&usize, &f32)| ((values[i] - values[i - steps]) / spread).abs();
        let error = AHEAD.iter().zip(&spec.spreads).map(change).sum::<f32>() / AHEAD.len() as f32;
        let is_peak = calibration.last(rest).all(|other| other < error);
        let score = -calibration.p(error).ln();
        (score, if is_peak { score } else { f64::NEG_INFINITY })
    };
    let start = AHEAD[1].min(values.len());
    let (mut scores, mut peaks) = (vec![0.0; start], vec![f64::NEG_INFINITY; start]);
    for (score, peak) in (start..values.len()).map(&mut score) {
        scores.push(score);
        peaks.push(peak);
    }
    (scores, peaks)
}

impl Outcome {
    /// Returns the rows with an alarm.
    pub fn alarms(&self) -> Vec<usize> {
        (0..self.readings.len()).filter(|&row| self.readings[row].alarm).collect()
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Returns the results as lines of text.
    pub fn table(&self, times: &[String], windows: &[RangeInclusive<usize>], rest: usize) -> String {
        const SHOWN: usize = 30;
        let mut out = String::new();
        if !self.entries.is_empty() {
            let [network, gaussian] = [NETWORK, GAUSSIAN].map(|name| self.entry(name).map_or(f64::NAN, |e| e.best));
            let word = if network > gaussian { "above" } else { "not above" };
            out += &format!("NAB score, standard profile: the network is {word} the windowed Gaussian.\n");
            out += &format!(
                "{:<20}{:>16}{:>24}{:>26}\n",
                "", "best threshold", "one alarm per episode", "threshold set before"
            );
            for Entry { name, best, best_rested, online } in &self.entries {
                let detail = |score: &NabScore| {
                    let found = score.found.iter().filter(|found| **found).count();
                    format!("{:.1} ({found}/{}, {} false)", score.score, score.found.len(), score.false_positives)
                };
                let rested = if *name == RANDOM { format!("{:.1}", best_rested.score) } else { detail(best_rested) };
                let online = online.as_ref().map_or("–".into(), detail);
                out += &format!("{name:<20}{best:>16.1}{rested:>24}{online:>26}\n");
            }
            out += &format!(
                "In brackets: windows found, false alarms. The random detector is a mean of {RANDOM_RUNS} runs.\n\n"
            );
        }
        let flags: Vec<bool> = self.readings.iter().map(|reading| reading.alarm).collect();
        let episodes = join(&flags, rest);
        out += &format!("{} alarms in {} episodes\n", self.alarms().len(), episodes.len());
        for episode in episodes.iter().take(SHOWN) {
            let row = episode.start;
            let inside = windows.iter().any(|window| window.contains(&row));
            let note = if inside { "  in a window" } else { "" };
            out += &format!("  {}  p {:.5}{note}\n", times.get(row).map_or("", String::as_str), self.readings[row].p);
        }
        if episodes.len() > SHOWN {
            out += &format!("  and {} more\n", episodes.len() - SHOWN);
        }
        out
    }

    pub fn json(&self) -> Value {
        let entry = |entry: &Entry| {
            let online = entry.online.as_ref().map(|online| online.score);
            let value = json!({"best": entry.best, "best_rested": entry.best_rested.score, "online": online});
            (entry.name, value)
        };
        let entries: std::collections::BTreeMap<_, _> = self.entries.iter().map(entry).collect();
        json!({"nab": entries, "alarms": self.alarms().len()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_rows_of_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("the windows.json");
        let times = ["2014-01-01 00:00:00", "2014-01-01 00:05:00", "2014-01-01 00:10:00"].map(String::from);
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_windows(&path, Path::new("some folder/t.csv"), &times)
        };
        let good = r#"{"a/t.csv": [["2014-01-01 00:05:00.000000", "2014-01-01 00:10:00.000000"]], "a/u.csv": []}"#;
        assert_eq!(read(good).unwrap(), [1..=2]);
        for (text, why) in [
            ("", "empty"),
            ("{", "the windows.json: not JSON: EOF"),
            (r#"{"a/u.csv": []}"#, "no windows for \"t.csv\""),
            (r#"{"a/t.csv": []}"#, "no windows"),
            (r#"{"t.csv": [["2014-01-01 00:05:00", "2015"]]}"#, "no row with the time \"2015\""),
            (r#"{"t.csv": [["2014-01-01 00:05:00"]]}"#, "expected pairs"),
            (r#"{"t.csv": [["2014-01-01 00:05:00", "2014-01-01 00:00:00"]]}"#, "ends before it begins"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
