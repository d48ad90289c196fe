//! Scores a series value by value, as it arrives.

use std::collections::VecDeque;

use serde_json::{Value, json};
use wgru::io::TensorFile;
use wgru::{Result, Stream};

use crate::calibration::Calibration;
use crate::common::files::{json, refuse};
use crate::predictor::{LEAST, Predictor, Spec, variance};

const RULES: &str = "anomaly.rules";

/// How errors become p-values and alarms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Steps over which errors are averaged.
    pub short: usize,
    /// Steps over which the log-loss is averaged to find a series that is too calm; 0 to test the absolute error only.
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
    errors: VecDeque<Errors>,
    /// One for each test: the first of [`TESTS`], or all of them.
    calibrations: Vec<Calibration>,
    steps: u64,
}

/// Names of the test statistics: the mean absolute error, the mean log-loss, and the negated mean log-loss over a longer
/// time, which is high if the series is too calm.
///
/// The log-loss finds small deviations where the network is certain, such as a beat that comes early; the absolute error
/// finds large ones where it is not.
const TESTS: [&str; 3] = ["error", "loss", "calm"];

#[derive(Clone, Debug)]
struct Step {
    value: f32,
    /// Predicted differences, in units of the spreads.
    means: Vec<f32>,
    variances: Vec<f32>,
}

/// Errors of the predictions of one value, averaged over the predictions.
#[derive(Clone, Copy, Debug)]
struct Errors {
    absolute: f32,
    /// `e² / σ² + log σ²`, twice the negative log-likelihood without its constant.
    loss: f32,
}

/// Upper limit of `e² / σ²`, which keeps the averages finite.
const MOST: f32 = 1e6;
/// Steps after which a [`Stream`] sets tiny states to 0, counted from its creation.
const FLUSH: u64 = 64;

impl Scorer {
    /// Creates a scorer without calibration, for a predictor on the CPU.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn new(predictor: &Predictor, rules: Rules) -> Result<Self> {
        let empty = || match rules.rolling {
            0 => Calibration::fixed(Vec::new()),
            most => Calibration::Rolling(most, VecDeque::new()),
        };
        let tests = if rules.long > 0 { TESTS.len() } else { 1 };
        Ok(Self {
            spec: predictor.spec.clone(),
            rules,
            streams: predictor.streams()?,
            past: VecDeque::new(),
            errors: VecDeque::new(),
            calibrations: (0..tests).map(|_| empty()).collect(),
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
        let mut scores = vec![Vec::new(); self.calibrations.len()];
        for &value in values {
            if let Some(means) = self.means(value)? {
                scores.iter_mut().zip(means).for_each(|(scores, mean)| scores.push(mean));
            }
        }
        self.calibrations = scores.into_iter().map(Calibration::fixed).collect();
        Ok(())
    }

    /// Scores the next value.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn push(&mut self, value: f32) -> Result<Reading> {
        let Some(means) = self.means(value)? else { return Ok(Reading { p: 1.0, ..Reading::default() }) };
        let Rules { least, rest, alpha, .. } = self.rules;
        let (first, score) = (&self.calibrations[0], means[0]);
        let (seen, is_peak) = (first.len(), first.last(rest).all(|other| other < score));
        // Bonferroni correction.
        let tests = self.calibrations.len() as f64;
        let lowest = self.calibrations.iter_mut().zip(means).map(|(test, mean)| test.p(mean)).fold(1.0, f64::min);
        let p = (tests * lowest).min(1.0);
        Ok(Reading { score, p, is_peak, alarm: seen >= least && p <= alpha && is_peak })
    }

    /// Returns the values of [`TESTS`]; `None` until there are predictions of the value.
    fn means(&mut self, value: f32) -> Result<Option<[f32; TESTS.len()]>> {
        let errors = self.errors(value);
        let previous = self.past.front().map_or(value, |step| step.value);
        let step = self.predict(value, self.spec.frame(previous, value))?;
        self.past.truncate(self.spec.furthest() - 1);
        self.past.push_front(step);
        self.steps += 1;
        let Some(errors) = errors else { return Ok(None) };
        let Rules { short, long, .. } = self.rules;
        self.errors.truncate(short.max(long).max(1) - 1);
        self.errors.push_front(errors);
        let mean = |steps: usize, part: fn(&Errors) -> f32| {
            let count = steps.clamp(1, self.errors.len());
            self.errors.iter().take(count).map(part).sum::<f32>() / count as f32
        };
        Ok(Some([mean(short, |e| e.absolute), mean(short, |e| e.loss), -mean(long, |e| e.loss)]))
    }

    /// Returns the mean and the variance of the mixture of the networks' predictions at `value`.
    fn predict(&mut self, value: f32, frame: [f32; 2]) -> Result<Step> {
        let (each, share) = (self.spec.ahead.len(), 1.0 / self.streams.len() as f32);
        let (mut means, mut variances) = (vec![0.0; each], vec![0.0; each]);
        for stream in &mut self.streams {
            let (mean, raw) = stream.step(&frame)?.split_at(each);
            for i in 0..each {
                means[i] += share * mean[i];
                variances[i] += share * (variance(raw[i]) + mean[i] * mean[i]);
            }
        }
        variances.iter_mut().zip(&means).for_each(|(square, mean)| *square = (*square - mean * mean).max(LEAST));
        Ok(Step { value, means, variances })
    }

    /// Returns the errors of the predictions that were made for a value.
    fn errors(&self, value: f32) -> Option<Errors> {
        let (mut absolute, mut loss) = (0.0, 0.0);
        for (i, (&steps, spread)) in self.spec.ahead.iter().zip(&self.spec.spreads).enumerate() {
            let Step { value: from, means, variances } = self.past.get(steps - 1)?;
            let error = (value - from) / spread - means[i];
            absolute += error.abs();
            loss += (error * error / variances[i]).min(MOST) + variances[i].ln();
        }
        let share = 1.0 / self.spec.ahead.len() as f32;
        Some(Errors { absolute: share * absolute, loss: share * loss })
    }

    /// Adds rules and calibration to the file of the predictor.
    pub fn write(&self, file: &mut TensorFile) {
        self.rules.write(file);
        if self.rules.rolling == 0 {
            for (name, calibration) in TESTS.iter().zip(&self.calibrations) {
                let scores = calibration.scores();
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
            for (name, calibration) in TESTS.iter().zip(&mut scorer.calibrations) {
                *calibration = Calibration::fixed(scores(file, name)?);
            }
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
        insert("variances", self.past.iter().flat_map(|step| step.variances.clone()).collect());
        insert("errors", self.errors.iter().map(|errors| errors.absolute).collect());
        insert("losses", self.errors.iter().map(|errors| errors.loss).collect());
        if self.rules.rolling > 0 {
            insert("scores", self.calibrations[0].scores());
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
        let [values, means, variances] = [scores(file, "values")?, scores(file, "means")?, scores(file, "variances")?];
        let [errors, losses] = [scores(file, "errors")?, scores(file, "losses")?];
        let each = self.spec.ahead.len();
        let most = self.rules.short.max(self.rules.long).max(1);
        let predicted = [means.len(), variances.len()].iter().all(|&count| count == each * values.len());
        if values.len() > self.spec.furthest() || !predicted || errors.len() > most || losses.len() != errors.len() {
            return Err(refuse("the state", "does not match the model"));
        }
        if variances.iter().any(|variance| *variance < LEAST) {
            return Err(refuse("tensor \"variances\"", format!("expected numbers of at least {LEAST}")));
        }
        self.past = values
            .iter()
            .zip(means.chunks(each).zip(variances.chunks(each)))
            .map(|(&value, (means, variances))| Step { value, means: means.to_vec(), variances: variances.to_vec() })
            .collect();
        self.errors = errors.into_iter().zip(losses).map(|(absolute, loss)| Errors { absolute, loss }).collect();
        if self.rules.rolling > 0 {
            let scores = scores(file, "scores")?;
            if scores.len() > self.rules.rolling {
                return Err(refuse("the state", "does not match the model"));
            }
            self.calibrations[0].set(&scores);
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
