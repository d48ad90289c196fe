//! The network that predicts the next values of a series, each as a normal distribution.

use std::ops::Range;

use wgru::io::TensorFile;
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions, named_parameters};
use wgru::train::{HostData, loss};
use wgru::{Device, Result, Rng, Stream, Tensor};

use crate::args::Task;
use crate::common::files::{json, load, metadata, refuse, size};

/// Smallest variance, in units of the differences.
pub const LEAST: f32 = 0.02;
/// Features of a frame: the value, and its difference from the previous one.
const INPUTS: usize = 2;
const MARK: &str = "anomaly.version";
const VERSION: &str = "2";

/// The predicted values, and their units.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub task: Task,
    /// How many steps ahead the network predicts, in ascending order.
    pub ahead: Vec<usize>,
    pub hidden: usize,
    /// Number of networks whose predictions are averaged.
    pub members: usize,
    pub mean: f32,
    pub deviation: f32,
    /// Root mean square of the differences over each of these numbers of steps.
    pub spreads: Vec<f32>,
}

impl Spec {
    /// Takes the units from a series.
    pub fn of(task: Task, ahead: &[usize], [hidden, members]: [usize; 2], series: &[f32]) -> Self {
        let n = series.len() as f64;
        let mean = series.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = series.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let positive = |v: f64| if v > 0.0 { v as f32 } else { 1.0 };
        let spread = |&steps: &usize| {
            let square = |pair: (&f32, &f32)| f64::from(pair.0 - pair.1).powi(2);
            let pairs = series.len().saturating_sub(steps).max(1);
            let sum: f64 = series.iter().skip(steps).zip(series).map(square).sum();
            positive((sum / pairs as f64).sqrt())
        };
        Self {
            task,
            hidden,
            members,
            mean: mean as f32,
            deviation: positive(variance.sqrt()),
            spreads: ahead.iter().map(spread).collect(),
            ahead: ahead.to_vec(),
        }
    }

    /// Returns the largest number of steps ahead.
    pub fn furthest(&self) -> usize {
        self.ahead.last().copied().unwrap_or(1)
    }

    /// Returns the number of outputs of the network: a mean and a variance before softplus for each prediction.
    pub fn outputs(&self) -> usize {
        2 * self.ahead.len()
    }

    /// Returns the features of a value that follows `previous`.
    pub fn frame(&self, previous: f32, value: f32) -> [f32; INPUTS] {
        [(value - self.mean) / self.deviation, (value - previous) / self.spreads[0]]
    }

    fn write(&self, file: &mut TensorFile) {
        for (key, value) in [
            (MARK, VERSION.to_string()),
            ("anomaly.task", self.task.name().into()),
            ("anomaly.hidden", self.hidden.to_string()),
            ("anomaly.members", self.members.to_string()),
            ("anomaly.ahead", serde_json::json!(self.ahead).to_string()),
        ] {
            file.metadata.insert(key.into(), value);
        }
        let units = [&[self.mean, self.deviation], &self.spreads[..]].concat();
        file.insert("units", &[units.len()], units);
    }

    fn read(file: &TensorFile) -> Result<Self> {
        let task = match metadata(file, "anomaly.task")? {
            "ecg" => Task::Ecg,
            "machine" => Task::Machine,
            other => return Err(refuse("anomaly.task", format!("expected ecg or machine, got {other:?}"))),
        };
        let numbers = json(file, "anomaly.ahead")?;
        let numbers = numbers.as_array().map(|list| list.iter().map(|v| v.as_u64().unwrap_or(0) as usize).collect());
        let ahead: Vec<usize> = numbers.unwrap_or_default();
        /// Predictions are kept for as many steps, so that a file cannot ask for any amount of memory.
        const MOST: usize = 10_000;
        let ascend = ahead.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || ahead.first().is_none_or(|&first| first == 0) || ahead.last().is_some_and(|&last| last > MOST) {
            return Err(refuse("anomaly.ahead", format!("expected ascending numbers from 1 to {MOST}")));
        }
        let units = file.expect("units", &[2 + ahead.len()])?;
        if units.iter().any(|v| !v.is_finite()) || units[1..].iter().any(|v| *v <= 0.0) {
            return Err(refuse("tensor \"units\"", "expected a mean, and positive numbers"));
        }
        let (mean, deviation, spreads) = (units[0], units[1], units[2..].to_vec());
        let (hidden, members) = (size(file, "anomaly.hidden")?, size(file, "anomaly.members")?);
        Ok(Self { task, hidden, members, ahead, mean, deviation, spreads })
    }
}

/// A GRU and a linear layer.
struct Member {
    gru: Gru,
    head: Linear,
}

impl Module for Member {
    wgru::parts!(gru, head);

    /// Maps frames `[B, T, 2]` to predictions `[B, T, outputs]`.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.forward_with(&self.gru.run(x, RunOptions::default(), mode)?.output, mode)
    }
}

/// A predictor, trained or loaded. Each of its networks computes
///
/// ```text
/// h_t = GRU(z_t, Δz_t)      z_{t+d} − z_t ~ N(μ_d(h_t), softplus(s_d(h_t)) + 0.02)      for several d
/// ```
///
/// Sources: Malhotra et al., *Long short term memory networks for anomaly detection in time series* (2015), for several
/// predictions of one value; Lakshminarayanan et al., *Simple and scalable predictive uncertainty estimation using deep
/// ensembles* (2017), for several networks.
pub struct Predictor {
    pub spec: Spec,
    members: Vec<Member>,
}

impl Predictor {
    /// Creates a predictor with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, spec: Spec, rng: &mut Rng) -> Result<Self> {
        let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(INPUTS, spec.hidden) };
        let mut member = || {
            let gru = config.build(device, rng)?;
            Ok(Member { gru, head: Linear::new(device, spec.hidden, spec.outputs(), true, rng)? })
        };
        let members = (0..spec.members).map(|_| member()).collect::<Result<_>>()?;
        Ok(Self { members, spec })
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let of = |(i, member): (usize, &Member)| named_parameters(&[(&i.to_string(), member)]);
        self.members.iter().enumerate().flat_map(of).collect()
    }

    /// Returns the mean negative log-likelihood of windows `[B, T, 2]` with targets `[B, T, predictions]`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, x: &Tensor, target: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let each = self.spec.ahead.len();
        let mut sum: Option<Tensor> = None;
        for member in &self.members {
            let parts = member.forward_with(x, mode)?.split(2, &[each, each])?;
            let loss = loss::gaussian_nll(&parts[0], target, &parts[1].softplus()?.add_scalar(LEAST)?)?;
            sum = Some(sum.map_or(Ok(loss.clone()), |sum| sum.add(&loss))?);
        }
        let sum = sum.ok_or_else(|| refuse("anomaly.members", "expected at least one network"))?;
        sum.scale(1.0 / self.members.len() as f32)
    }

    /// Returns a stream for each network. It maps frames to the means and then the raw variances, which [`variance`]
    /// converts. The predictor must be on the CPU.
    ///
    /// # Errors
    /// Errors from the library.
    pub fn streams(&self) -> Result<Vec<Stream>> {
        self.members.iter().map(|member| member.gru.stream(1)?.then(&member.head)).collect()
    }

    /// Returns a file with the weights and the specification.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        self.spec.write(&mut file);
        for (name, tensor) in self.parameters() {
            file.insert(&name, tensor.dims(), tensor.read_blocking()?);
        }
        Ok(file)
    }

    /// Reads a file of [`Predictor::to_file`], onto the CPU.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(file: &TensorFile) -> Result<Self> {
        check_version(file)?;
        let spec = Spec::read(file)?;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        for member in 0..spec.members {
            file.expect(&format!("{member}.gru.weight_hh_l0"), &[spec.hidden.saturating_mul(3), spec.hidden])?;
        }
        let predictor = Self::new(&Device::cpu(), spec, &mut Rng::new(0))?;
        load(&predictor.parameters(), file)?;
        Ok(predictor)
    }
}

/// Converts a raw output to a variance: `softplus(raw) + 0.02`.
pub fn variance(raw: f32) -> f32 {
    raw.max(0.0) + (-raw.abs()).exp().ln_1p() + LEAST
}

/// Checks that a file is a model of this example and version.
///
/// # Errors
/// [`wgru::Error::Format`].
pub fn check_version(file: &TensorFile) -> Result<()> {
    match metadata(file, MARK)? {
        VERSION => Ok(()),
        _ => Err(refuse(MARK, "written by another version of this example")),
    }
}

/// Marks a file as a model of this example and version.
pub fn mark_version(file: &mut TensorFile) {
    file.metadata.insert(MARK.into(), VERSION.into());
}

/// Returns windows of `steps` values that begin every `stride` values within `part`, and their targets. `None` if there
/// is not one.
///
/// # Errors
/// Errors from the library.
pub fn windows(
    device: &Device,
    spec: &Spec,
    series: &[f32],
    part: Range<usize>,
    [steps, stride]: [usize; 2],
) -> Result<Option<HostData>> {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let Some(last) = part.end.checked_sub(steps + spec.furthest()).filter(|&last| last >= part.start) else {
        return Ok(None);
    };
    for start in (part.start..=last).step_by(stride) {
        for t in start..start + steps {
            x.extend(spec.frame(series[t.saturating_sub(1).max(part.start)], series[t]));
            y.extend(spec.ahead.iter().zip(&spec.spreads).map(|(d, spread)| (series[t + d] - series[t]) / spread));
        }
    }
    let data = HostData::new(device, x, &[steps, INPUTS])?.with_targets(y, &[steps, spec.ahead.len()])?;
    Ok(Some(data))
}
