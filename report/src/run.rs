//! The state of a run: what it found so far, its time limit, and how it checks and measures.

use wgru::{Device, Error, Result, Rng, Tensor};

use crate::reference::{dot, wide};
use crate::report::{Check, Report, Skipped, Times, Timing};
use crate::{Host, Options};

/// Step of central differences along one element.
const STEP: f64 = 1e-5;
/// Step of the central difference along a direction of length 1.
const ALONG: f64 = 1e-4;
/// Elements of each input whose derivative is computed one by one.
const PICKS: usize = 12;

/// Seconds that one call may be expected to take. Longer work could make a desktop unresponsive.
const LONGEST: f64 = 0.1;
/// Seconds of one measurement, which repeats short calls. Clocks in browsers have steps of up to 0.1 ms.
const SAMPLE: f64 = 0.01;
/// Bytes of results that the calls of one measurement may keep.
const KEPT: usize = 64 << 20;

/// Why a run ends early.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The user asked for it.
    User,
    /// The time limit.
    Time,
    /// The device was lost.
    Lost(String),
}

/// Values and extents of a leaf.
pub type Input = (Vec<f32>, Vec<usize>);

/// Draws values for a leaf, uniform in (-scale, scale). The same stream gives the same values.
pub fn input(stream: u64, dims: &[usize], scale: f32) -> Input {
    (fill(stream, dims.iter().product(), scale), dims.to_vec())
}

/// Draws `n` values, uniform in (-scale, scale).
pub fn fill(stream: u64, n: usize, scale: f32) -> Vec<f32> {
    let mut rng = Rng::new(stream);
    (0..n).map(|_| rng.uniform(-scale, scale)).collect()
}

/// Returns the largest error relative to the largest expected value; infinite for NaN, another length, or no values.
pub fn worst_error(got: &[f32], want: &[f64]) -> f64 {
    if got.len() != want.len() || want.is_empty() || want.iter().any(|v| !v.is_finite()) {
        return f64::INFINITY;
    }
    let top = want.iter().fold(1e-30f64, |top, v| top.max(v.abs()));
    let error = |(&got, &want): (&f32, &f64)| match (f64::from(got) - want).abs() {
        error if error.is_nan() => f64::INFINITY,
        error => error / top,
    };
    got.iter().zip(want).map(error).fold(0.0, f64::max)
}

/// Derivatives of a scalar function in f64 at some elements of each input, and along a direction that moves all.
pub struct Slopes {
    picked: Vec<Vec<(usize, f64)>>,
    along: Vec<f64>,
}

/// The sign by which element `i` moves in [`Slopes::along`].
fn sign(i: usize) -> f64 {
    // The bits of a multiplicative hash, so that rows and columns of any width get mixed signs.
    if (i as u32).wrapping_mul(0x9E37_79B9) >> 31 == 0 { 1.0 } else { -1.0 }
}

impl Slopes {
    /// Computes the derivatives by central differences.
    pub fn of(inputs: &[Vec<f64>], f: impl Fn(&[Vec<f64>]) -> f64) -> Self {
        let mut moved = inputs.to_vec();
        let mut slope = |k: usize, at: &dyn Fn(usize) -> f64, step: f64| {
            let mut value = |step: f64| {
                let to = |(i, v): (usize, &f64)| v + step * at(i);
                moved[k] = inputs[k].iter().enumerate().map(to).collect();
                f(&moved)
            };
            let slope = (value(step) - value(-step)) / (2.0 * step);
            moved[k].clone_from(&inputs[k]);
            slope
        };
        let (mut picked, mut along) = (Vec::new(), Vec::new());
        for (k, values) in inputs.iter().enumerate() {
            let n = values.len();
            let count = n.min(PICKS);
            let at = |i: usize| i * n / count;
            picked.push((0..count).map(|i| (at(i), slope(k, &|j| f64::from(j == at(i)), STEP))).collect());
            let unit = 1.0 / (n as f64).sqrt();
            along.push(slope(k, &|i| sign(i) * unit, ALONG));
        }
        Self { picked, along }
    }

    /// Returns the largest error of the gradients.
    pub fn worst_error(&self, gradients: &[Vec<f32>]) -> f64 {
        if gradients.len() != self.picked.len() || gradients.iter().any(|g| g.iter().any(|v| !v.is_finite())) {
            return f64::INFINITY;
        }
        let of = |k: usize| {
            let (picked, along, gradient) = (&self.picked[k], self.along[k], &gradients[k]);
            let n = gradient.len() as f64;
            let top = gradient.iter().fold(1e-30f64, |top, v| top.max(f64::from(v.abs())));
            let errors = picked.iter().map(|&(i, want)| (f64::from(gradient[i]) - want).abs() / top);
            let sum: f64 = gradient.iter().enumerate().map(|(i, &v)| sign(i) * f64::from(v)).sum();
            errors.fold((sum / n.sqrt() - along).abs() / top, f64::max)
        };
        (0..gradients.len()).map(of).fold(0.0, f64::max)
    }
}

/// Largest errors that pass: of results, and of gradients.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub forward: f64,
    pub gradient: f64,
}

/// A run in progress.
pub struct Run<'a> {
    pub device: Device,
    pub options: Options,
    pub report: Report,
    host: &'a dyn Host,
    start: f64,
    group: String,
    /// The share of the run that is done.
    done: f64,
    /// Read to wait for all work before it.
    fence: Tensor,
}

impl<'a> Run<'a> {
    pub fn new(device: &Device, options: Options, host: &'a dyn Host, report: Report) -> Result<Self> {
        let fence = Tensor::zeros(device, &[1])?;
        let (device, group) = (device.clone(), String::new());
        Ok(Self { device, options, report, host, start: host.now(), group, done: 0.0, fence })
    }

    /// Begins a group, when this share of the run is done.
    pub fn begin(&mut self, group: &str, done: f64) {
        (self.group, self.done) = (group.to_string(), done);
    }

    /// Shows progress, and returns an error if the run has to end.
    pub fn at(&mut self, name: &str) -> std::result::Result<(), Stop> {
        self.report.seconds = self.host.now() - self.start;
        self.host.at(&self.report, self.done, &format!("{}: {name}", self.group));
        match () {
            () if self.device.is_lost() => Err(Stop::Lost(format!("at {}: {name}", self.group))),
            () if self.host.should_stop() => Err(Stop::User),
            () if self.report.seconds > self.options.seconds => Err(Stop::Time),
            () => Ok(()),
        }
    }

    /// Lists work that is left out.
    pub fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.report.skipped.push(Skipped { name: format!("{}: {}", self.group, name.into()), why: why.into() });
    }

    fn record(&mut self, name: &str, tolerance: f64, result: Result<f64>) -> std::result::Result<(), Stop> {
        let (worst, error) = match result {
            Ok(worst) => (worst * self.options.spoil, None),
            Err(error) => (f64::INFINITY, Some(error)),
        };
        // As many digits as the report has.
        let worst = format!("{worst:.2e}").parse().unwrap_or(f64::INFINITY);
        let text = error.as_ref().map(|error| error.to_string());
        let (group, name) = (self.group.clone(), name.to_string());
        self.report.checks.push(Check { group, name, worst, tolerance, error: text });
        match error {
            Some(error @ Error::DeviceLost(_)) => Err(Stop::Lost(error.to_string())),
            _ => Ok(()),
        }
    }

    /// Compares values with the expected ones.
    pub async fn compare(
        &mut self,
        name: &str,
        tolerance: f64,
        got: Result<Tensor>,
        want: &[f64],
    ) -> std::result::Result<(), Stop> {
        self.at(name)?;
        let result = match got {
            Ok(got) => got.read().await.map(|got| worst_error(&got, want)),
            Err(error) => Err(error),
        };
        self.record(name, tolerance, result)
    }

    /// Checks `f` against `reference`, and the gradient of `Σ f·dy` for a random `dy` with respect to every input.
    pub async fn check(
        &mut self,
        name: &str,
        tolerance: Tolerance,
        inputs: &[Input],
        f: impl Fn(&[Tensor]) -> Result<Tensor>,
        reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
    ) -> std::result::Result<(), Stop> {
        self.at(name)?;
        let values: Vec<Vec<f64>> = inputs.iter().map(|(values, _)| wide(values)).collect();
        let want = reference(&values);
        let dy = fill(99, want.len(), 1.0);
        let slopes = Slopes::of(&values, |moved| dot(&reference(moved), &wide(&dy)));
        let device = &self.device;
        let ran = async {
            let leaf = |(values, dims): &Input| Ok(Tensor::from_slice(device, values, dims)?.requires_grad());
            let leaves = inputs.iter().map(leaf).collect::<Result<Vec<Tensor>>>()?;
            let y = f(&leaves)?;
            if y.len() != want.len() {
                return Ok((f64::INFINITY, Ok(f64::INFINITY)));
            }
            y.backward_with(&Tensor::from_slice(device, &dy, y.dims())?)?;
            let worst = worst_error(&y.read().await?, &want);
            Ok((worst, gradient_error(&slopes, &leaves).await))
        };
        match ran.await {
            Ok((worst, gradient)) => {
                self.record(name, tolerance.forward, Ok(worst))?;
                self.record(&format!("{name}, gradients"), tolerance.gradient, gradient)
            }
            Err(error) => self.record(name, tolerance.forward, Err(error)),
        }
    }

    /// Records the error of results, and of gradients, that a group computed itself.
    pub fn found(
        &mut self,
        name: &str,
        tolerance: Tolerance,
        result: Result<(f64, Option<f64>)>,
    ) -> std::result::Result<(), Stop> {
        match result {
            Ok((worst, gradient)) => {
                self.record(name, tolerance.forward, Ok(worst))?;
                match gradient {
                    Some(worst) => self.record(&format!("{name}, gradients"), tolerance.gradient, Ok(worst)),
                    None => Ok(()),
                }
            }
            Err(error) => self.record(name, tolerance.forward, Err(error)),
        }
    }

    /// Waits until the device has done all recorded work whose results are still there.
    async fn wait(&self) -> Result<()> {
        self.fence.read().await.map(drop)
    }

    /// Measures a call and adds its times to the report. `expected` is the time in seconds that the call is expected to
    /// take; 0 if nothing is known. Returns the median in seconds, or `None` if the call was left out or failed.
    ///
    /// The results of a call are kept until the device has run it, since work whose results are dropped does not run.
    pub async fn time<T>(
        &mut self,
        key: Key<'_>,
        expected: f64,
        mut call: impl FnMut() -> Result<T>,
    ) -> std::result::Result<Option<f64>, Stop> {
        let name = key.name();
        self.at(&name)?;
        if expected > LONGEST {
            let why = format!("would take about {:.0} ms, above {:.0} ms", expected * 1e3, LONGEST * 1e3);
            self.skip(name, why);
            return Ok(None);
        }
        match self.samples(&mut call).await {
            Ok(samples) => {
                let times = Times::of(samples);
                let Key { kind, of, dims, choice } = key;
                let (kind, of, choice) = (kind.to_string(), of.to_string(), choice.to_string());
                self.report.timings.push(Timing { kind, of, dims: dims.to_vec(), choice, times });
                Ok(Some(times.median * 1e-6))
            }
            Err(error @ Error::DeviceLost(_)) => Err(Stop::Lost(error.to_string())),
            Err(error) => {
                self.skip(name, error.to_string());
                Ok(None)
            }
        }
    }

    /// Returns the seconds of a call, measured several times.
    async fn samples<T>(&self, call: &mut impl FnMut() -> Result<T>) -> Result<Vec<f64>> {
        let before = self.device.memory_use().live;
        let first = call()?;
        let bytes = self.device.memory_use().live.saturating_sub(before).max(1);
        self.wait().await?;
        drop(first);
        // The first call compiled shaders and allocated memory; the second shows how long a call takes.
        let mut sample = async |calls: usize| -> Result<f64> {
            let start = self.host.now();
            let kept = (0..calls).map(|_| call()).collect::<Result<Vec<T>>>()?;
            self.wait().await?;
            let seconds = self.host.now() - start;
            drop(kept);
            Ok(seconds / calls as f64)
        };
        let once = sample(1).await?;
        let calls = ((SAMPLE / once.max(1e-6)) as usize).clamp(1, (KEPT / bytes).clamp(1, 100));
        let (start, mut samples) = (self.host.now(), Vec::new());
        // A lower bound, since scheduling disturbs single measurements.
        while samples.len() < 3 || (samples.len() < 15 && self.host.now() - start < self.options.patience) {
            samples.push(sample(calls).await?);
            if once > LONGEST && samples.len() == 1 {
                break;
            }
        }
        Ok(samples)
    }

    /// Measures how long it takes from recording a trivial kernel until its result is in host memory.
    pub async fn round_trip(&mut self) -> std::result::Result<(), Stop> {
        self.at("round trip")?;
        let x = self.fence.clone();
        let ran = async {
            let mut samples = Vec::new();
            let start = self.host.now();
            while samples.len() < 10 || (samples.len() < 100 && self.host.now() - start < self.options.patience) {
                let at = self.host.now();
                x.add_scalar(1.0)?.read().await?;
                samples.push(self.host.now() - at);
            }
            Ok(samples.split_off(1))
        };
        match ran.await {
            Ok(samples) => {
                let (kind, of, choice) = ("round trip".to_string(), String::new(), String::new());
                self.report.timings.push(Timing { kind, of, dims: Vec::new(), choice, times: Times::of(samples) });
                Ok(())
            }
            Err(error @ Error::DeviceLost(_)) => Err(Stop::Lost(error.to_string())),
            Err(error) => {
                self.skip("round trip", error.to_string());
                Ok(())
            }
        }
    }
}

/// Returns the largest error of the gradients of leaves.
pub async fn gradient_error(slopes: &Slopes, leaves: &[Tensor]) -> Result<f64> {
    let mut gradients = Vec::new();
    for leaf in leaves {
        match leaf.grad() {
            Some(gradient) if gradient.dims() == leaf.dims() => gradients.push(gradient.read().await?),
            _ => return Ok(f64::INFINITY),
        }
    }
    Ok(slopes.worst_error(&gradients))
}

/// Names a measured time.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub kind: &'a str,
    pub of: &'a str,
    pub dims: &'a [u64],
    pub choice: &'a str,
}

impl Key<'_> {
    fn name(&self) -> String {
        let dims: Vec<String> = self.dims.iter().map(u64::to_string).collect();
        let words = [self.kind, self.of, &dims.join("×"), self.choice];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}
