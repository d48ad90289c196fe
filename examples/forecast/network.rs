//! One network of a forecaster.

use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions, named_parameters};
use wgru::{Device, Result, Rng, Tensor};

use crate::data::Parts;
use crate::head::Loss;
use crate::spec::Spec;

/// Predicts how the target continues from its last value, from the last state of a GRU and from the window itself, each
/// through a linear layer. The direct path carries the linear part, as in ridge regression, and the GRU the rest.
///
/// If something is known in advance, a second GRU continues from the last state through the steps of the horizon, and
/// its states go through one linear layer.
pub struct Network {
    gru: Gru,
    decoder: Option<Gru>,
    head: Linear,
    skip: Linear,
    horizon: usize,
    outputs: usize,
    /// Whether the direct path adds to all outputs, or to the first one.
    shifts_all: bool,
}

impl Network {
    pub fn new(device: &Device, spec: &Spec, rng: &mut Rng) -> Result<Self> {
        let gru = |inputs: usize, rng: &mut Rng| {
            RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(inputs, spec.hidden) }.build(device, rng)
        };
        let (horizon, outputs) = (spec.horizon, spec.loss.outputs(&spec.levels()));
        let encoder = gru(spec.inputs(), rng)?;
        let decoder = if spec.ahead() > 0 { Some(gru(spec.ahead(), rng)?) } else { None };
        let by_head = if decoder.is_some() { outputs } else { horizon * outputs };
        let head = Linear::new(device, spec.hidden, by_head, true, rng)?;
        let skip = Linear::new(device, spec.window, horizon, false, rng)?;
        for (_, weight) in skip.parameters() {
            weight.assign(&vec![0.0; weight.len()])?;
        }
        let shifts_all = matches!(spec.loss, Loss::Mse | Loss::Quantile);
        Ok(Self { gru: encoder, decoder, head, skip, horizon, outputs, shifts_all })
    }

    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut parts: Vec<(&str, &dyn Module)> = vec![("gru", &self.gru), ("head", &self.head), ("skip", &self.skip)];
        parts.extend(self.decoder.iter().map(|decoder| ("decoder", decoder as &dyn Module)));
        named_parameters(&parts)
    }

    /// Maps windows `[B, window, inputs]` and what is known in advance to `[B, horizon, outputs]`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn forward(&self, parts: &Parts, mode: &mut Mode) -> Result<Tensor> {
        let (batch, window) = (parts.x.dims()[0], parts.x.dims()[1]);
        let run = self.gru.run(parts.x, RunOptions::default(), mode)?;
        let y = match (&self.decoder, parts.ahead) {
            (Some(decoder), Some(ahead)) => {
                let run = decoder.run(ahead, RunOptions { h0: Some(&run.h_n), ..Default::default() }, mode)?;
                self.head.forward_with(&run.output, mode)?
            }
            _ => self.head.forward_with(&run.last_state()?, mode)?,
        };
        let y = y.reshape(&[batch, self.horizon, self.outputs])?;
        let target = parts.x.slice(2, 0..1)?.reshape(&[batch, window])?;
        let direct = self.skip.forward_with(&target, mode)?.reshape(&[batch, self.horizon, 1])?;
        if self.shifts_all {
            return y.add(&direct);
        }
        let rest = y.slice(2, 1..self.outputs)?;
        Tensor::concat(&[&y.slice(2, 0..1)?.add(&direct)?, &rest], 2)
    }
}
