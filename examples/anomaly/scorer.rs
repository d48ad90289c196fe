//! Scores a series value by value, as it arrives.

use std::collections::VecDeque;

use serde_json::{Value, json};
use wgru::io::TensorFile;
use wgru::{Result, Stream};

use crate::calibration::Calibration;
use crate::common::files::{json, refuse};
use crate::predictor::{Predictor, Spec};

const RULES: &str = "anomaly.rules";

/// How errors become p-values and alarms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Steps over which the error is averaged.
    pub short: usize,
    /// Steps over which it is averaged to find a series that is too calm; 0 for none.
    pub long: usize,
    /// Number of earlier scores that p-values compare with; 0 for the scores of held-out data.
    pub rolling: usize,
    /// Number of these scores before there is an alarm.
    pub least: usize,
    /// With rolling scores: an alarm must be the highest score of this many scores.
    pub rest: usize,
    /// Largest p-value of an alarm.
    pub alpha: f64,
}

impl Rules {
    fn write(self, file: &mut TensorFile) {
        let Self { short, long, rolling, least, rest, alpha } = self;
        let value = json!([short, long, rolling, least, rest, alpha]);
        file.metadata.insert(RULES.into(), value.to_string());
    }

    fn read(file: &TensorFile) -> Result<Self> {
        /// Values are kept for as many steps, so that a file cannot ask for any amount of memory.
        const MOST: u64 = 1_000_000;
        let list = json(file, RULES)?;
        let step = |i: usize| list[i].as_u64().filter(|&n| n <= MOST).map(|n| n as usize);
        let rules = || {
            let alpha = list[5].as_f64().filter(|alpha| *alpha > 0.0 && *alpha < 1.0)?;
            Some(Self { short: step(0)?, long: step(1)?, rolling: step(2)?, least: step(3)?, rest: step(4)?, alpha })
        };
        rules().ok_or_else(|| refuse(RULES, "expected five numbers of steps and a share"))
    }
}

/// Score of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Mean absolute error of the last predictions, in units of the differences of the series.
    pub score: f32,
    pub p: f64,
    /// Whether no score of the last ones is as high.
    pub is_peak: bool,
    pub alarm: bool,
}

/// A predictor in use, with its calibration.
#[derive(Clone)]
pub struct Scorer {
    spec: Spec,
    rules: Rules,
    streams: Vec<Stream>,
    /// The last values and the predictions made at them, the newest first.
    past: VecDeque<Step>,
    /// The last errors, the newest first.
    errors: VecDeque<f32>,
    high: Calibration,
    /// Of negated means, so that a higher score is a calmer series.
    low: Calibration,
    steps: u64,
}

#[derive(Clone, Debug)]
struct Step {
    value: f32,
    /// Predicted differences, in units of the spreads.
    means: Vec<f32>,
}

/// Steps after which a [`Stream`] sets tiny states to 0, counted from its creation.
const FLUSH: u64 = 64;

impl Scorer {
    /// Creates a scorer without calibration, for a predictor on the CPU.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn new(predictor: &Predictor, rules: Rules) -> Result<Self> {
        let empty = match rules.rolling {
            0 => Calibration::fixed(Vec::new()),
            most => Calibration::Rolling(most, VecDeque::new()),
        };
        Ok(Self {
            spec: predictor.spec.clone(),
            rules,
            streams: predictor.streams()?,
            past: VecDeque::new(),
            errors: VecDeque::new(),
            high: empty.clone(),
            low: empty,
            steps: 0,
        })
    }

    pub fn rules(&self) -> Rules {
        self.rules
    }

    pub fn set_alpha(&mut self, alpha: f64) {
        self.rules.alpha = alpha;
    }

    /// Calibrates on normal values that continue the series.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn calibrate(&mut self, values: &[f32]) -> Result<()> {
        let (mut high, mut low) = (Vec::new(), Vec::new());
        for &value in values {
            if let Some([error, calm]) = self.means(value)? {
                high.push(error);
                low.push(calm);
            }
        }
        (self.high, self.low) = (Calibration::fixed(high), Calibration::fixed(low));
        Ok(())
    }

    /// Scores the next value.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn push(&mut self, value: f32) -> Result<Reading> {
        let Some([score, calm]) = self.means(value)? else { return Ok(Reading { p: 1.0, ..Reading::default() }) };
        let Rules { long, least, rest, alpha, .. } = self.rules;
        let (seen, is_peak) = (self.high.len(), self.high.last(rest).all(|other| other < score));
        let mut p = self.high.p(score);
        if long > 0 {
            // Two tests, so each may take half of the share.
            p = (2.0 * p.min(self.low.p(calm))).min(1.0);
        }
        Ok(Reading { score, p, is_peak, alarm: seen >= least && p <= alpha && is_peak })
    }

    /// Returns the mean error over the short time, and the negated one over the long time; `None` until there are
    /// predictions of the value.
    fn means(&mut self, value: f32) -> Result<Option<[f32; 2]>> {
        let error = self.error(value);
        let previous = self.past.front().map_or(value, |step| step.value);
        let means = self.predict(self.spec.frame(previous, value))?;
        self.past.truncate(self.spec.furthest() - 1);
        self.past.push_front(Step { value, means });
        self.steps += 1;
        let Some(error) = error else { return Ok(None) };
        let Rules { short, long, .. } = self.rules;
        self.errors.truncate(short.max(long).max(1) - 1);
        self.errors.push_front(error);
        let mean = |steps: usize| {
            let count = steps.clamp(1, self.errors.len());
            self.errors.iter().take(count).sum::<f32>() / count as f32
        };
        Ok(Some([mean(short), -mean(long)]))
    }

    /// Returns the predicted differences, averaged over the networks.
    fn predict(&mut self, frame: [f32; 2]) -> Result<Vec<f32>> {
        let share = 1.0 / self.streams.len() as f32;
        let mut means = vec![0.0; self.spec.ahead.len()];
        for stream in &mut self.streams {
            // The variances come after the means.
            let output = stream.step(&frame)?;
            means.iter_mut().zip(output).for_each(|(mean, output)| *mean += share * output);
        }
        Ok(means)
    }

    /// Returns the mean absolute error of the predictions that were made for a value.
    fn error(&self, value: f32) -> Option<f32> {
        let mut sum = 0.0;
        for (i, (&steps, spread)) in self.spec.ahead.iter().zip(&self.spec.spreads).enumerate() {
            let Step { value: from, means } = self.past.get(steps - 1)?;
            sum += ((value - from) / spread - means[i]).abs();
        }
        Some(sum / self.spec.ahead.len() as f32)
    }

    /// Adds rules and calibration to the file of the predictor.
    pub fn write(&self, file: &mut TensorFile) {
        self.rules.write(file);
        if self.rules.rolling == 0 {
            for (name, scores) in [("high", self.high.scores()), ("low", self.low.scores())] {
                file.insert(name, &[scores.len()], scores);
            }
        }
    }

    /// Reads a file that [`write`](Self::write) completed: a scorer at the beginning of a series.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(file: &TensorFile) -> Result<Self> {
        let mut scorer = Self::new(&Predictor::from_file(file)?, Rules::read(file)?)?;
        if scorer.rules.rolling == 0 {
            (scorer.high, scorer.low) =
                (Calibration::fixed(scores(file, "high")?), Calibration::fixed(scores(file, "low")?));
        }
        Ok(scorer)
    }

    /// Returns the state, to [restore](Self::restore) it.
    pub fn state(&self) -> TensorFile {
        let mut file = TensorFile::default();
        let mut insert = |name: &str, values: Vec<f32>| file.insert(name, &[values.len()], values);
        for (i, stream) in self.streams.iter().enumerate() {
            insert(&format!("stream.{i}"), stream.state().to_vec());
        }
        insert("values", self.past.iter().map(|step| step.value).collect());
        insert("means", self.past.iter().flat_map(|step| step.means.clone()).collect());
        insert("errors", self.errors.iter().copied().collect());
        if self.rules.rolling > 0 {
            insert("scores", self.high.scores());
        }
        file.metadata.insert("steps".into(), self.steps.to_string());
        file
    }

    /// Continues from a state of the same model.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn restore(&mut self, file: &TensorFile) -> Result<()> {
        self.steps = file.field("steps")?;
        for (i, stream) in self.streams.iter_mut().enumerate() {
            let state = scores(file, &format!("stream.{i}"))?;
            continue_stream(stream, &state, self.steps)?;
        }
        let (values, means, errors) = (scores(file, "values")?, scores(file, "means")?, scores(file, "errors")?);
        let each = self.spec.ahead.len();
        let most = self.rules.short.max(self.rules.long).max(1);
        if values.len() > self.spec.furthest() || means.len() != each * values.len() || errors.len() > most {
            return Err(refuse("the state", "does not match the model"));
        }
        let step = |(&value, means): (&f32, &[f32])| Step { value, means: means.to_vec() };
        self.past = values.iter().zip(means.chunks(each)).map(step).collect();
        self.errors = errors.into();
        if self.rules.rolling > 0 {
            let scores = scores(file, "scores")?;
            if scores.len() > self.rules.rolling {
                return Err(refuse("the state", "does not match the model"));
            }
            self.high.set(&scores);
        }
        Ok(())
    }
}

/// Continues a new stream from the state after `steps` steps.
///
/// A stream sets tiny states to 0 in some of its steps, and the state does not tell when. The steps before bring that
/// into line, so that the results have the same bits as without interruption.
///
/// # Errors
/// Errors from the library, for a state of the wrong length.
pub fn continue_stream(stream: &mut Stream, state: &[f32], steps: u64) -> Result<()> {
    let frame = vec![0.0; stream.input()];
    for _ in 0..steps % FLUSH {
        stream.step(&frame)?;
    }
    stream.set_state(state)
}

/// Returns the values of a tensor with one axis, all of them finite.
///
/// # Errors
/// [`wgru::Error::Format`].
pub fn scores(file: &TensorFile, name: &str) -> Result<Vec<f32>> {
    let (dims, values) = file.get(name)?;
    if dims.len() != 1 || values.iter().any(|value| !value.is_finite()) {
        return Err(refuse(&format!("tensor {name:?}"), "expected numbers along one axis"));
    }
    Ok(values.to_vec())
}

/// Returns the reading of a value as a line.
pub fn line(value: f32, reading: Reading, as_json: bool) -> String {
    let Reading { score, p, alarm, .. } = reading;
    match as_json {
        true => json!({"value": value, "score": score, "p": p, "alarm": alarm}).to_string(),
        false => format!("{value}\t{score}\t{p}\t{}", Value::from(u8::from(alarm))),
    }
}
