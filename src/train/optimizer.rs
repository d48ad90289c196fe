//! SGD, RMSprop, Adam and AdamW, as PyTorch defines them.

use std::collections::HashMap;
use std::fmt;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::{Adam, Sgd, TrainingStatus};
use crate::nn::{Tied, by_storage};
use crate::ops::optim;
use crate::tensor::Tensor;

/// Options of stochastic gradient descent; names and defaults of `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// μ, the fraction of the last velocity that is kept.
    pub momentum: f32,
    /// Fraction of the gradient that is not added to the velocity.
    pub dampening: f32,
    /// λ, added to the gradient as `λ·w`.
    pub weight_decay: f32,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
}

/// Options of Adam; names and defaults of `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// β1, β2: fractions of the old moments that are kept.
    pub betas: (f32, f32),
    /// ε, added to the root of the second moment.
    pub eps: f32,
    /// λ, added to the gradient as `λ·w`.
    pub weight_decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Options of AdamW; names and defaults of `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// β1, β2: fractions of the old moments that are kept.
    pub betas: (f32, f32),
    /// ε, added to the root of the second moment.
    pub eps: f32,
    /// λ: each step first subtracts `lr·λ·w` from the weight.
    pub weight_decay: f32,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Options of RMSprop; names and defaults of `torch.optim.RMSprop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropConfig {
    /// α, the decay of the mean square.
    pub alpha: f32,
    /// ε, added to the root of the mean square.
    pub eps: f32,
    /// λ, added to the gradient as `λ·w`.
    pub weight_decay: f32,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Update rule of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// RMSprop without momentum: divides the gradient by the root of its mean square.
    RmsProp(RmsPropConfig),
    /// Adam, with weight decay in the gradient.
    Adam(AdamConfig),
    /// AdamW, with decoupled weight decay.
    AdamW(AdamWConfig),
}

impl Method {
    fn name(&self) -> &'static str {
        match self {
            Method::Sgd(_) => "sgd",
            Method::RmsProp(_) => "rmsprop",
            Method::Adam(_) => "adam",
            Method::AdamW(_) => "adamw",
        }
    }

    /// Rejects options outside their range.
    fn check(&self) -> Result<()> {
        let check = |arg: &'static str, ok: bool, expected: &str, got: f32| {
            if ok { Ok(()) } else { Err(Error::value("Optimizer", arg, expected, got)) }
        };
        let at_least_0 =
            |arg, value: f32| check(arg, value.is_finite() && value >= 0.0, "a finite number of at least 0", value);
        match self {
            Method::Sgd(c) => {
                at_least_0("momentum", c.momentum)?;
                at_least_0("weight_decay", c.weight_decay)?;
                check("dampening", c.dampening.is_finite(), "a finite number", c.dampening)?;
                let nesterov = !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0);
                let got = if c.dampening == 0.0 { c.momentum } else { c.dampening };
                check("nesterov", nesterov, "momentum above 0 and dampening 0", got)
            }
            Method::RmsProp(c) => {
                check("alpha", (0.0..1.0).contains(&c.alpha), "0 ≤ α < 1", c.alpha)?;
                at_least_0("eps", c.eps)?;
                at_least_0("weight_decay", c.weight_decay)
            }
            Method::Adam(AdamConfig { betas, eps, weight_decay })
            | Method::AdamW(AdamWConfig { betas, eps, weight_decay }) => {
                check("betas.0", (0.0..1.0).contains(&betas.0), "0 ≤ β < 1", betas.0)?;
                check("betas.1", (0.0..1.0).contains(&betas.1), "0 ≤ β < 1", betas.1)?;
                at_least_0("eps", *eps)?;
                at_least_0("weight_decay", *weight_decay)
            }
        }
    }

    /// Returns the number of state tensors per parameter.
    fn slots(&self) -> usize {
        match self {
            Method::Sgd(_) => 1,
            Method::RmsProp(_) | Method::Adam(_) | Method::AdamW(_) => 2,
        }
    }

    /// Returns the method with another weight decay.
    fn with_weight_decay(mut self, decay: f32) -> Self {
        match &mut self {
            Method::Sgd(c) => c.weight_decay = decay,
            Method::RmsProp(c) => c.weight_decay = decay,
            Method::Adam(c) => c.weight_decay = decay,
            Method::AdamW(c) => c.weight_decay = decay,
        }
        self
    }
}

/// Options for some of the parameters of an [`Optimizer`], like a parameter group of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterGroup {
    /// Factor of the learning rate. A schedule applies to all groups.
    pub rate_scale: f64,
    /// The weight decay; `None` uses that of the method.
    pub weight_decay: Option<f32>,
}

impl Default for ParameterGroup {
    fn default() -> Self {
        Self { rate_scale: 1.0, weight_decay: None }
    }
}

/// Updates parameters in place from their gradients.
///
/// ```
/// use wgru::{Device, Tensor, train::{Method, Optimizer, SgdConfig}};
/// let w = Tensor::from_slice(&Device::cpu(), &[1.0], &[1])?.requires_grad();
/// let mut optimizer = Optimizer::new(vec![("w".into(), w.clone())], Method::Sgd(SgdConfig::default()), 0.1)?;
/// w.mul(&w)?.sum()?.backward()?;
/// optimizer.step()?;                                                 // w − 0.1·2w
/// assert_eq!(w.item_blocking()?, 0.8);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Optimizer {
    method: Method,
    rate: f64,
    /// As passed to [`Optimizer::new`].
    parameters: Vec<(String, Tensor)>,
    slots: Vec<Slot>,
}

/// One parameter, possibly with several names.
struct Slot {
    parameter: Tied,
    group: ParameterGroup,
    /// Velocity, or the two moments; created in the first step.
    state: Vec<Tensor>,
    steps: u64,
    /// Placeholder, bound when a step has no training status.
    idle: Option<Tensor>,
}

impl Optimizer {
    /// Creates an optimizer for `parameters` with learning rate `rate`.
    ///
    /// A parameter that is listed more than once, or under several names (tied weights), is updated once, from the sum
    /// of its gradients.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate that is negative or not finite, options outside their range, two parameters with the
    /// same name, and a parameter that is the result of an operation; [`Error::DType`] for indices.
    pub fn new(parameters: Vec<(String, Tensor)>, method: Method, rate: f64) -> Result<Self> {
        check_rate(rate)?;
        method.check()?;
        check_parameters(&parameters)?;
        let slot =
            |parameter| Slot { parameter, group: ParameterGroup::default(), state: Vec::new(), steps: 0, idle: None };
        let slots = by_storage(&parameters).into_iter().map(slot).collect();
        Ok(Self { method, rate, parameters, slots })
    }

    /// Creates Adam with PyTorch's defaults: [`new`](Self::new) with [`AdamConfig::default`].
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn adam(parameters: Vec<(String, Tensor)>, rate: f64) -> Result<Self> {
        Self::new(parameters, Method::Adam(AdamConfig::default()), rate)
    }

    /// Creates AdamW with PyTorch's defaults, of which the weight decay is 0.01: [`new`](Self::new) with
    /// [`AdamWConfig::default`].
    ///
    /// # Errors
    /// Same as [`new`](Self::new).
    pub fn adamw(parameters: Vec<(String, Tensor)>, rate: f64) -> Result<Self> {
        Self::new(parameters, Method::AdamW(AdamWConfig::default()), rate)
    }

    /// Applies the options of `group` to the parameters whose name `select` accepts. Returns the number of parameters.
    /// A later call replaces the options of the parameters that it selects. Checkpoints do not contain groups: set them
    /// again before resuming.
    ///
    /// ```
    /// use wgru::{Device, Rng, nn::{Module, RecurrentConfig}, train::{AdamWConfig, Method, Optimizer, ParameterGroup}};
    /// let gru = RecurrentConfig::gru(3, 8).build(&Device::cpu(), &mut Rng::new(1))?;
    /// let method = Method::AdamW(AdamWConfig { weight_decay: 0.05, ..Default::default() });
    /// let mut optimizer = Optimizer::new(gru.parameters(), method, 1e-3)?;
    /// // Biases do not decay.
    /// let no_decay = ParameterGroup { weight_decay: Some(0.0), ..Default::default() };
    /// assert_eq!(optimizer.set_group(no_decay, |name| name.starts_with("bias"))?, 2);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] if no parameter is selected, and for options that are negative or not finite.
    pub fn set_group(&mut self, group: ParameterGroup, select: impl Fn(&str) -> bool) -> Result<usize> {
        const OP: &str = "Optimizer::set_group";
        let ParameterGroup { rate_scale, weight_decay } = group;
        for (arg, value) in [("rate_scale", rate_scale), ("weight_decay", weight_decay.unwrap_or(0.0).into())] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::value(OP, arg, "a finite number of at least 0", value));
            }
        }
        let mut count = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.parameter.names.iter().any(|name| select(name))) {
            slot.group = group;
            count += 1;
        }
        if count == 0 {
            let names: Vec<&str> = self.names().collect();
            return Err(Error::value(OP, "select", "a parameter", format!("none of {}", names.join(", "))));
        }
        Ok(count)
    }

    /// Returns an optimizer for the same parameters, with the same method and groups, before its first step.
    pub(super) fn fresh(&self) -> Result<Self> {
        let mut fresh = Self::new(self.parameters.clone(), self.method, self.rate)?;
        fresh.slots.iter_mut().zip(&self.slots).for_each(|(slot, old)| slot.group = old.group);
        Ok(fresh)
    }

    /// Returns the learning rate of the next step.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Sets the learning rate of the next step.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate that is negative or not finite.
    pub fn set_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(rate)?;
        self.rate = rate;
        Ok(())
    }

    /// Returns the parameters with their names, as passed to [`new`](Self::new). Tied parameters appear under each
    /// name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.parameters.clone()
    }

    /// Iterates over the names of the parameters, in the order of their flags in a training status.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.slots.iter().map(|slot| slot.parameter.name())
    }

    /// Iterates over the parameters with their first names. Tied parameters appear once.
    pub(crate) fn distinct(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.slots.iter().map(|slot| (slot.parameter.name(), slot.parameter.tensor()))
    }

    /// Iterates over the parameters with all of their names.
    pub(crate) fn tied(&self) -> impl ExactSizeIterator<Item = (&[String], &Tensor)> {
        self.slots.iter().map(|slot| (&slot.parameter.names[..], slot.parameter.tensor()))
    }

    /// Returns the number of steps of each parameter.
    pub(super) fn steps(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.steps).collect()
    }

    /// Sets the numbers of steps, to undo steps that did not change the weights.
    pub(super) fn set_steps(&mut self, steps: &[u64]) {
        self.slots.iter_mut().zip(steps).for_each(|(slot, &steps)| slot.steps = steps);
    }

    /// Clears all gradients.
    pub fn zero_grad(&self) {
        self.slots.iter().for_each(|slot| slot.parameter.clear_grad());
    }

    /// Updates every parameter that has a gradient. As in PyTorch, a NaN or infinite gradient makes the weights NaN or
    /// infinite: in a custom loop, check the loss. [`Trainer`](super::Trainer) skips such an update.
    ///
    /// # Errors
    /// [`Error::Value`] if no parameter has a gradient; errors from the device.
    pub fn step(&mut self) -> Result<()> {
        self.update(None)
    }

    /// [`step`](Self::step), but elements whose update is not finite keep their values and set a flag in `status`, and
    /// nothing changes once its total is not finite (see [`TrainingStatus`]).
    pub(crate) fn step_guarded(&mut self, status: &Tensor) -> Result<()> {
        self.update(Some(status))
    }

    fn update(&mut self, status: Option<&Tensor>) -> Result<()> {
        let grads = self.slots.iter().map(|slot| slot.parameter.grad()).collect::<Result<Vec<_>>>()?;
        if grads.iter().all(Option::is_none) {
            let expected =
                "a gradient for at least one: call backward() on a loss computed in Mode::Train before step()";
            return Err(Error::value("Optimizer::step", "parameters", expected, "none with a gradient"));
        }
        for (flag, (slot, grad)) in (TrainingStatus::FLAGS..).zip(self.slots.iter_mut().zip(&grads)) {
            if let Some(grad) = grad {
                slot.step(&self.method, self.rate, grad, status.map(|status| (status, flag)))?;
            }
        }
        Ok(())
    }

    /// Makes one guarded step of a temporary parameter.
    pub(super) fn rehearse(&self, device: &Device, status: &Tensor) -> Result<()> {
        let parameter = Tensor::zeros(device, &[1])?.requires_grad();
        parameter.set_grad(Some(Tensor::zeros(device, &[1])?));
        Self::new(vec![("rehearsal".into(), parameter)], self.method, self.rate)?.step_guarded(status)
    }

    /// Returns the state to save besides the weights: named tensors, and the number of steps of each parameter.
    pub(crate) fn state(&self) -> (Vec<(String, Tensor)>, Vec<u64>) {
        let named = |slot: &Slot| {
            let name = slot.parameter.name().to_string();
            slot.state.iter().enumerate().map(move |(i, t)| (format!("{name}.{i}"), t.clone())).collect::<Vec<_>>()
        };
        (self.slots.iter().flat_map(named).collect(), self.steps())
    }

    /// Returns the kind of optimizer. A [`state`](Self::state) can only be restored to an optimizer of the same kind.
    pub(crate) fn kind(&self) -> &'static str {
        self.method.name()
    }

    /// Restores a [`state`](Self::state). `read` returns the values of a tensor, given its name and shape.
    pub(crate) fn restore(&mut self, steps: &[u64], read: impl Fn(&str, &[usize]) -> Result<Vec<f32>>) -> Result<()> {
        if steps.len() != self.slots.len() {
            let expected = format!("{} parameters, each tied group counted once", self.slots.len());
            return Err(Error::value("Optimizer", "state", expected, steps.len()));
        }
        let mut restored = Vec::with_capacity(steps.len());
        for (slot, &count) in self.slots.iter().zip(steps) {
            let (kept, weight) = (if count == 0 { 0 } else { self.method.slots() }, slot.parameter.tensor());
            let make = |i: usize| {
                let values = read(&format!("{}.{i}", slot.parameter.name()), weight.dims())?;
                Tensor::from_slice(weight.device(), &values, weight.dims())
            };
            restored.push((0..kept).map(make).collect::<Result<Vec<_>>>()?);
        }
        for ((slot, state), &count) in self.slots.iter_mut().zip(restored).zip(steps) {
            (slot.state, slot.steps) = (state, count);
        }
        Ok(())
    }
}

/// Prints the method, and the names and shapes of the parameters.
impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<String> = self.distinct().map(|(name, t)| format!("{name} {:?}", t.dims())).collect();
        f.debug_struct("Optimizer")
            .field("method", &self.method)
            .field("rate", &self.rate)
            .field("parameters", &parameters)
            .finish()
    }
}

fn check_rate(rate: f64) -> Result<()> {
    if rate.is_finite() && rate >= 0.0 {
        return Ok(());
    }
    Err(Error::value("Optimizer", "rate", "a finite number of at least 0", rate))
}

/// Checks that every name belongs to one parameter, and that every parameter can have a gradient.
fn check_parameters(parameters: &[(String, Tensor)]) -> Result<()> {
    let mut storages = HashMap::new();
    for (name, tensor) in parameters {
        tensor.check_dtype("Optimizer", "parameters", "f32")?;
        if tensor.is_tracked() && !tensor.is_leaf() {
            let got = format!("{name:?}, the result of an operation");
            return Err(Error::value("Optimizer", "parameters", "leaf tensors, as from requires_grad()", got));
        }
        if *storages.entry(name).or_insert(tensor.storage_id()) != tensor.storage_id() {
            let got = format!("{name:?} for two parameters");
            return Err(Error::value("Optimizer", "parameters", "a distinct name for each parameter", got));
        }
    }
    Ok(())
}

impl Slot {
    /// Makes one update. `guard` is a training status with the index of this parameter's flag.
    fn step(&mut self, method: &Method, rate: f64, grad: &Tensor, guard: Option<(&Tensor, u32)>) -> Result<()> {
        let method = match self.group.weight_decay {
            Some(decay) => method.with_weight_decay(decay),
            None => *method,
        };
        let (rate, weight) = (rate * self.group.rate_scale, self.parameter.tensor());
        if self.state.is_empty() {
            let zeros = || Tensor::zeros(weight.device(), weight.dims());
            self.state = (0..method.slots()).map(|_| zeros()).collect::<Result<_>>()?;
        }
        let (status, guard) = match guard {
            Some((status, flag)) if status.device() == weight.device() => (status, flag),
            // Without a status on the parameter's device, the update is unguarded.
            _ => match &mut self.idle {
                Some(idle) => (&*idle, 0),
                none => (&*none.insert(Tensor::empty("Optimizer::step", weight.device(), &[1])?), 0),
            },
        };
        let (len, lr) = (weight.len() as u32, rate as f32);
        self.steps += 1;
        match method {
            Method::Sgd(c) => {
                let kernel = Sgd {
                    len,
                    lr,
                    momentum: c.momentum,
                    dampening: c.dampening,
                    weight_decay: c.weight_decay,
                    nesterov: c.nesterov as u32,
                    first: (self.steps == 1) as u32,
                    guard,
                };
                optim::sgd(&kernel, grad, weight, &self.state[0], status)
            }
            // Adam without the first moment and without bias correction.
            Method::RmsProp(c) => {
                let kernel = Adam {
                    len,
                    lr,
                    beta1: 0.0,
                    beta2: c.alpha,
                    eps: c.eps,
                    weight_decay: c.weight_decay,
                    decoupled: 0,
                    step_size: lr,
                    root2: 1.0,
                    guard,
                };
                optim::adam(&kernel, grad, weight, [&self.state[0], &self.state[1]], status)
            }
            Method::Adam(AdamConfig { betas, eps, weight_decay })
            | Method::AdamW(AdamWConfig { betas, eps, weight_decay }) => {
                // In f64, as in PyTorch: in f32, 1 − β^t loses digits in the first steps.
                let unbias = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
                let (beta1, beta2) = betas;
                let kernel = Adam {
                    len,
                    lr,
                    beta1,
                    beta2,
                    eps,
                    weight_decay,
                    decoupled: matches!(method, Method::AdamW(_)) as u32,
                    step_size: (rate / unbias(beta1)) as f32,
                    root2: unbias(beta2).sqrt() as f32,
                    guard,
                };
                optim::adam(&kernel, grad, weight, [&self.state[0], &self.state[1]], status)
            }
        }
    }
}
