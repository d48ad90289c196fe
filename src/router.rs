//! Runs each call of a model on the device that measured fastest for its shape.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::tensor::Tensor;

/// Time after which the measurement of a device stops, not counting its first run.
const PATIENCE: Duration = Duration::from_millis(100);
/// Maximum number of timed runs; the best one counts.
const RUNS: usize = 5;

/// The device for calls of one shape, and the reason.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Index of the device among those of the router.
    pub index: usize,
    /// Best time of a call on each device, excluding the first call; `None` for a device that was not measured or
    /// failed.
    pub times: Vec<Option<Duration>>,
    /// The reason as text, with the names of the devices.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The same model on several devices. Each call runs on the device that is fastest for its shape.
///
/// Holds one model per device, built by the same function. A call is a function of a model. Its inputs and results are
/// usually host values, so transfers are part of the call and of its measured time. The first call of a shape runs on
/// every device: once to warm up, then a few times to measure. Later calls run on the fastest device. This choice may
/// differ between runs of the program, and so may the last bits of the results: [`Router::pin`] fixes it.
///
/// ```
/// use wgru::{Device, Router, Result, Rng, Tensor, nn::{Gru, RecurrentConfig, Mode, Module}};
/// let devices = Router::<Gru>::devices();                                 // the CPU, and an adapter if there is one
/// let router = Router::new(&devices, |device| {
///     RecurrentConfig { input: 3, hidden: 8, ..Default::default() }.build(device, &mut Rng::new(1))
/// })?;
/// let (x, dims) = (vec![0.5; 20 * 2 * 3], [20, 2, 3]);
/// let call = |gru: &Gru, device: &Device| -> Result<Vec<f32>> {
///     gru.forward(&Tensor::from_slice(device, &x, &dims)?)?.read_blocking()
/// };
/// let y = router.run(&dims, call)?;                                       // measures
/// assert_eq!(y.len(), 20 * 2 * 8);
/// router.run(&dims, call)?;                                               // runs on the faster one
/// println!("{}", router.choice(&dims).unwrap());
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// **Training.** A step changes the weights of only one of the models. [`Router::choose`] times a step without its
/// update (clear the gradients afterwards). Then train the chosen [`model`](Router::model), and copy its weights to the
/// others with [`Router::sync_from`]. Until then, every call returns an error, so that no result comes from stale
/// weights.
pub struct Router<M> {
    entries: Vec<Entry<M>>,
    choices: Mutex<HashMap<Vec<usize>, Choice>>,
    /// For each device, the versions of the parameters when all models were last equal.
    equal: Mutex<Vec<Vec<u64>>>,
}

struct Entry<M> {
    device: Device,
    model: M,
    parameters: Vec<(String, Tensor)>,
}

impl<M> Entry<M> {
    fn versions(&self) -> impl Iterator<Item = u64> {
        self.parameters.iter().map(|(_, t)| t.version())
    }

    /// Iterates over names and extents of the parameters.
    fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.parameters.iter().map(|(name, t)| (&**name, t.dims()))
    }

    fn name(&self) -> &str {
        &self.device.info().name
    }
}

impl<M: Module> Router<M> {
    /// Returns the CPU and the best adapter, if there is one, even a software adapter: measuring shows which is faster.
    pub fn devices() -> Vec<Device> {
        #[cfg(feature = "gpu")]
        return [Device::cpu()].into_iter().chain(Device::gpu_blocking().ok()).collect();
        #[cfg(not(feature = "gpu"))]
        vec![Device::cpu()]
    }

    /// Builds a model on each device with `build`, and copies the first model's parameters to the others.
    ///
    /// # Errors
    /// [`Error::Value`] without devices, or if the models differ in their parameters; [`Error::DeviceMix`] if `build`
    /// returns a model on another device; errors from `build`.
    pub fn new(devices: &[Device], mut build: impl FnMut(&Device) -> Result<M>) -> Result<Self> {
        if devices.is_empty() {
            return Err(Error::value("Router", "devices", "at least one", 0));
        }
        let mut entries: Vec<Entry<M>> = Vec::with_capacity(devices.len());
        for device in devices {
            let model = build(device)?;
            let parameters = model.parameters();
            parameters.iter().try_for_each(|(_, t)| device.check_same("Router", "model", t))?;
            entries.push(Entry { device: device.clone(), model, parameters });
        }
        let first = &entries[0];
        if let Some(other) = entries.iter().find(|other| !other.shapes().eq(first.shapes())) {
            let got = format!("different ones on {} and {}", other.name(), first.name());
            return Err(Error::value("Router", "build", "models with the same parameters", got));
        }
        let router = Self { entries, choices: Mutex::default(), equal: Mutex::default() };
        router.sync_from(0)?;
        Ok(router)
    }

    /// Returns the model on device `index`, to inspect or train it, and the device; `None` if there is no such device.
    pub fn model(&self, index: usize) -> Option<(&M, &Device)> {
        self.entries.get(index).map(|entry| (&entry.model, &entry.device))
    }

    /// Copies the parameters of the model on device `index` to the others, through the host.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such device; errors from reading back.
    pub fn sync_from(&self, index: usize) -> Result<()> {
        let from = self.entry("Router::sync_from", index)?;
        let others = || self.entries.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, entry)| entry);
        for (i, (_, parameter)) in from.parameters.iter().enumerate().filter(|_| self.entries.len() > 1) {
            let values = parameter.read_blocking()?;
            others().try_for_each(|other| other.parameters[i].1.assign(&values))?;
        }
        *held(&self.equal) = self.entries.iter().map(|entry| entry.versions().collect()).collect();
        Ok(())
    }

    /// Returns the device for calls of `shape`. If it is not known yet, measures it by running `call` on every device.
    ///
    /// `shape` is whatever determines how long a call takes: the extents of its input, a flag for training.
    ///
    /// # Errors
    /// [`Error::Value`] if the weights of a model changed since all models were last equal; the first error if `call`
    /// fails on all devices.
    pub fn choose<R>(&self, shape: &[usize], mut call: impl FnMut(&M, &Device) -> Result<R>) -> Result<Choice> {
        self.check_equal()?;
        if let Some(choice) = self.choice(shape) {
            return Ok(choice);
        }
        let measured: Vec<Result<Duration>> = self.entries.iter().map(|entry| measure(entry, &mut call)).collect();
        let choice = self.decide(measured)?;
        held(&self.choices).insert(shape.to_vec(), choice.clone());
        Ok(choice)
    }

    /// Runs `call` on the device that [`choose`](Router::choose) returns for `shape`.
    ///
    /// # Errors
    /// Same as [`Router::choose`]; errors from `call`.
    pub fn run<R>(&self, shape: &[usize], mut call: impl FnMut(&M, &Device) -> Result<R>) -> Result<R> {
        let Entry { model, device, .. } = &self.entries[self.choose(shape, &mut call)?.index];
        call(model, device)
    }

    /// Returns the choice for `shape`, if there is one.
    pub fn choice(&self, shape: &[usize]) -> Option<Choice> {
        held(&self.choices).get(shape).cloned()
    }

    /// Runs calls of `shape` on device `index` from now on, without measuring, so that results are bit-identical every
    /// time.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no such device.
    pub fn pin(&self, shape: &[usize], index: usize) -> Result<()> {
        let reason = format!("{}: pinned", self.entry("Router::pin", index)?.name());
        let choice = Choice { index, times: vec![None; self.entries.len()], reason };
        held(&self.choices).insert(shape.to_vec(), choice);
        Ok(())
    }

    /// Clears all choices, so that calls measure again.
    pub fn forget(&self) {
        held(&self.choices).clear();
    }

    fn entry(&self, op: &'static str, index: usize) -> Result<&Entry<M>> {
        let missing = || Error::value(op, "index", format!("below {}", self.entries.len()), index);
        self.entries.get(index).ok_or_else(missing)
    }

    fn check_equal(&self) -> Result<()> {
        let equal = held(&self.equal);
        let changed = |(entry, then): &(&Entry<M>, &Vec<u64>)| !entry.versions().eq(then.iter().copied());
        match self.entries.iter().zip(&*equal).find(changed) {
            Some((entry, _)) if self.entries.len() > 1 => {
                let got = format!("those on {} changed: call sync_from", entry.name());
                Err(Error::value("Router", "model", "equal weights on every device", got))
            }
            _ => Ok(()),
        }
    }

    fn decide(&self, measured: Vec<Result<Duration>>) -> Result<Choice> {
        let times: Vec<Option<Duration>> = measured.iter().map(|m| m.as_ref().ok().copied()).collect();
        let timed = times.iter().enumerate().filter_map(|(i, t)| t.map(|t| (i, t)));
        let Some((index, best)) = timed.min_by_key(|(_, t)| *t) else {
            return Err(measured.into_iter().find_map(Result::err).expect("at least one device, and none succeeded"));
        };
        let mut reason = format!("{}: {best:.1?}", self.entries[index].name());
        for (_, (entry, measured)) in self.entries.iter().zip(&measured).enumerate().filter(|(i, _)| *i != index) {
            let name = entry.name();
            reason += &match measured {
                Ok(time) => {
                    format!("; {name}: {time:.1?}, {:.1} times as long", time.as_secs_f64() / best.as_secs_f64())
                }
                Err(error) => format!("; {name} failed: {error}"),
            };
        }
        if self.entries.len() == 1 {
            reason += "; the only device";
        }
        Ok(Choice { index, times, reason })
    }
}

/// Returns the best time of a call, including the wait for its results, after a call to warm up.
fn measure<M, R>(entry: &Entry<M>, call: &mut impl FnMut(&M, &Device) -> Result<R>) -> Result<Duration> {
    let mut run = || -> Result<Duration> {
        let start = Instant::now();
        // Keeps the result alive: work whose results were dropped is not submitted.
        let _result = call(&entry.model, &entry.device)?;
        entry.device.wait_blocking()?;
        Ok(start.elapsed())
    };
    run()?;
    let (start, mut best) = (Instant::now(), Duration::MAX);
    for _ in 0..RUNS {
        best = best.min(run()?);
        if start.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(best)
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().expect("nothing panics while it holds the lock")
}
