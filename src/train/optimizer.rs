//! SGD, Adam and AdamW, as PyTorch defines them

use crate::error::{Error, Result};
use crate::kernels::{Adam, Sgd};
use crate::ops::optim;
use crate::tensor::Tensor;

/// Options of stochastic gradient descent; names and defaults of `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// μ, share of the last velocity that is kept.
    pub momentum: f32,
    /// Share of the gradient left out of the velocity.
    pub dampening: f32,
    /// λ, added to the gradient as `λ·w`.
    pub weight_decay: f32,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
}

/// Options of Adam and AdamW; names and defaults of `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// β1, β2: shares of the old moments that are kept.
    pub betas: (f32, f32),
    /// ε, added to the root of the second moment.
    pub eps: f32,
    /// λ: added to the gradient as `λ·w` by Adam, taken off the weight as `lr·λ·w` by AdamW.
    pub weight_decay: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }
}

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam, weight decay in the gradient.
    Adam(AdamConfig),
    /// AdamW, weight decay apart from the gradient. PyTorch's default for it is λ = 0.01.
    AdamW(AdamConfig),
}

impl Method {
    fn name(&self) -> &'static str {
        match self {
            Method::Sgd(_) => "sgd",
            Method::Adam(_) => "adam",
            Method::AdamW(_) => "adamw",
        }
    }

    /// Tensors kept for each parameter.
    fn slots(&self) -> usize {
        match self {
            Method::Sgd(_) => 1,
            Method::Adam(_) | Method::AdamW(_) => 2,
        }
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
/// assert_eq!(w.item()?, 0.8);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct Optimizer {
    method: Method,
    rate: f64,
    parameters: Vec<Slot>,
}

struct Slot {
    name: String,
    weight: Tensor,
    /// Velocity, or the two moments; made at the first step.
    state: Vec<Tensor>,
    steps: u64,
}

impl Optimizer {
    /// An optimizer of `parameters` with learning rate `rate`.
    ///
    /// # Errors
    /// [`Error::Value`] for a rate that is negative or not finite, or options outside their range.
    pub fn new(parameters: Vec<(String, Tensor)>, method: Method, rate: f64) -> Result<Self> {
        let check = |arg: &'static str, ok: bool, expected: &str, got: f32| {
            if ok { Ok(()) } else { Err(Error::value("Optimizer", arg, expected, got)) }
        };
        check("rate", rate.is_finite() && rate >= 0.0, "at least 0", rate as f32)?;
        match method {
            Method::Sgd(c) => {
                check("momentum", c.momentum >= 0.0, "at least 0", c.momentum)?;
                check("weight_decay", c.weight_decay >= 0.0, "at least 0", c.weight_decay)?;
                let nesterov = !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0);
                check("nesterov", nesterov, "momentum and no dampening", c.momentum)?;
            }
            Method::Adam(c) | Method::AdamW(c) => {
                check("betas.0", (0.0..1.0).contains(&c.betas.0), "0 ≤ β < 1", c.betas.0)?;
                check("betas.1", (0.0..1.0).contains(&c.betas.1), "0 ≤ β < 1", c.betas.1)?;
                check("eps", c.eps >= 0.0, "at least 0", c.eps)?;
                check("weight_decay", c.weight_decay >= 0.0, "at least 0", c.weight_decay)?;
            }
        }
        let parameters =
            parameters.into_iter().map(|(name, weight)| Slot { name, weight, state: Vec::new(), steps: 0 }).collect();
        Ok(Self { method, rate, parameters })
    }

    /// The learning rate of the next step.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Sets the learning rate of the next step.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// The parameters, with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.parameters.iter().map(|slot| (slot.name.clone(), slot.weight.clone())).collect()
    }

    /// Forgets all gradients.
    pub fn zero_grad(&self) {
        self.parameters.iter().for_each(|slot| slot.weight.set_grad(None));
    }

    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    /// Those of the device.
    pub fn step(&mut self) -> Result<()> {
        let (method, rate) = (self.method, self.rate);
        self.parameters.iter_mut().try_for_each(|slot| slot.step(&method, rate))
    }

    /// What resuming needs beside the weights: `(name, tensor)`, and the steps of each parameter.
    pub(crate) fn state(&self) -> (Vec<(String, Tensor)>, Vec<u64>) {
        let named = |slot: &Slot| {
            let name = slot.name.clone();
            slot.state.iter().enumerate().map(move |(i, t)| (format!("{name}.{i}"), t.clone())).collect::<Vec<_>>()
        };
        (self.parameters.iter().flat_map(named).collect(), self.parameters.iter().map(|s| s.steps).collect())
    }

    /// What [`state`](Self::state) must have come from to fit this optimizer.
    pub(crate) fn kind(&self) -> &'static str {
        self.method.name()
    }

    /// Takes back what [`state`](Self::state) gave: `read` finds a tensor's values by name and extents.
    pub(crate) fn restore(&mut self, steps: &[u64], read: impl Fn(&str, &[usize]) -> Result<Vec<f32>>) -> Result<()> {
        if steps.len() != self.parameters.len() {
            return Err(Error::value(
                "Optimizer",
                "state",
                format!("{} parameters", self.parameters.len()),
                steps.len(),
            ));
        }
        let mut restored = Vec::with_capacity(steps.len());
        for (slot, &count) in self.parameters.iter().zip(steps) {
            let slots = if count == 0 { 0 } else { self.method.slots() };
            let make = |i: usize| {
                let values = read(&format!("{}.{i}", slot.name), slot.weight.dims())?;
                Tensor::from_slice(slot.weight.device(), &values, slot.weight.dims())
            };
            restored.push((0..slots).map(make).collect::<Result<Vec<_>>>()?);
        }
        for ((slot, state), &count) in self.parameters.iter_mut().zip(restored).zip(steps) {
            (slot.state, slot.steps) = (state, count);
        }
        Ok(())
    }
}

impl Slot {
    fn step(&mut self, method: &Method, rate: f64) -> Result<()> {
        let Some(grad) = self.weight.grad() else { return Ok(()) };
        if self.state.is_empty() {
            let zeros = || Tensor::zeros(self.weight.device(), self.weight.dims());
            self.state = (0..method.slots()).map(|_| zeros()).collect::<Result<_>>()?;
        }
        let (len, lr) = (self.weight.len() as u32, rate as f32);
        self.steps += 1;
        match *method {
            Method::Sgd(c) => {
                let kernel = Sgd {
                    len,
                    lr,
                    momentum: c.momentum,
                    dampening: c.dampening,
                    weight_decay: c.weight_decay,
                    nesterov: c.nesterov as u32,
                    first: (self.steps == 1) as u32,
                };
                optim::sgd(&kernel, &grad, &self.weight, &self.state[0])
            }
            Method::Adam(c) | Method::AdamW(c) => {
                // In f64, as PyTorch: 1 − β^t loses digits in f32 at the first steps.
                let unbias = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
                let (beta1, beta2) = c.betas;
                let kernel = Adam {
                    len,
                    lr,
                    beta1,
                    beta2,
                    eps: c.eps,
                    weight_decay: c.weight_decay,
                    decoupled: matches!(method, Method::AdamW(_)) as u32,
                    step_size: (rate / unbias(beta1)) as f32,
                    root2: unbias(beta2).sqrt() as f32,
                };
                optim::adam(&kernel, &grad, &self.weight, &self.state[0], &self.state[1])
            }
        }
    }
}
