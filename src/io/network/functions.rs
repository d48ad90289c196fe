//! Layers without parameters, on batch-first sequences.

use crate::error::{Error, Result};
use crate::math::Activation;
use crate::nn::{Kind, Mode, Module};
use crate::tensor::Tensor;

/// A function of one tensor.
#[derive(Clone, Debug)]
pub(in crate::io) enum Function {
    Tanh,
    Sigmoid,
    Relu,
    /// With its scale below 0.
    Elu(f32),
    Selu,
    Softplus,
    Softsign,
    Exp,
    /// `x · σ(x)`
    Swish,
    /// `x · tanh(ln(1 + eˣ))`
    Mish,
    /// Between 0 and 1: `slope · x + offset`
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    /// `max(x, 0) + slope · min(x, 0)`, at most `max`.
    LeakyRelu {
        slope: f32,
        max: Option<f32>,
    },
    /// Over the last axis.
    Softmax,
    LogSoftmax,
    /// `scale · x + offset`
    Rescale {
        scale: f32,
        offset: f32,
    },
    /// `[B, T, ..]` backward in time.
    Reversed,
    /// `[B, T, ..]` to `[T, B, ..]`, and back.
    SwapBatch,
    /// Order of the axes after the batch.
    Permute(Vec<usize>),
    /// Extents after the batch; at most one is -1.
    Reshape(Vec<isize>),
    /// `[B, I]` to `[B, n, I]`.
    Repeat(usize),
    /// Zero steps before and after.
    Pad(usize, usize),
    /// Zero steps such that ⌈T / stride⌉ windows of this reach fit, with the larger half after.
    PadSame {
        reach: usize,
        stride: usize,
    },
    /// Without the first and the last steps.
    Crop(usize, usize),
    /// Each step this many times.
    UpSample(usize),
    /// Windows over time.
    Pool {
        size: usize,
        stride: usize,
        is_max: bool,
    },
    /// All steps of `[B, T, C]` to `[B, C]`, or `[B, 1, C]`.
    PoolAll {
        is_max: bool,
        keep: bool,
    },
    /// Combines the halves of the last axis, which are the directions of a layer.
    Directions(Merge),
}

/// How two or more tensors become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::io) enum Merge {
    Add,
    Subtract,
    Multiply,
    Average,
    /// Along an axis, from the end if negative.
    Concat(isize),
}

impl Merge {
    /// Combines the tensors, of which there is at least one.
    pub fn run(self, parts: &[&Tensor]) -> Result<Tensor> {
        let Some((first, rest)) = parts.split_first() else {
            return Err(Error::value("Network", "parts", "at least 1", 0));
        };
        let mut rest = rest.iter();
        let sum = |rest: &mut std::slice::Iter<&Tensor>| rest.try_fold((*first).clone(), |sum, part| &sum + *part);
        match self {
            Merge::Add => sum(&mut rest),
            Merge::Subtract => rest.try_fold((*first).clone(), |sum, part| &sum - *part),
            Merge::Multiply => rest.try_fold((*first).clone(), |product, part| &product * *part),
            Merge::Average => sum(&mut rest)?.scale(1.0 / parts.len() as f32),
            Merge::Concat(axis) => {
                let rank = first.dims().len() as isize;
                match usize::try_from(if axis < 0 { axis + rank } else { axis }) {
                    Ok(at) if at < first.dims().len() => Tensor::concat(parts, at),
                    _ => Err(Error::shape("Concatenate", "x", format!("an axis {axis}"), first.dims())),
                }
            }
        }
    }
}

impl Function {
    /// Returns the activation with this name in Keras; the slope of `hard_sigmoid` has changed with Keras 3.
    pub fn activation(name: &str, is_keras_2: bool) -> Option<Self> {
        Some(match name {
            "tanh" => Function::Tanh,
            "sigmoid" => Function::Sigmoid,
            "relu" => Function::Relu,
            "elu" => Function::Elu(1.0),
            "selu" => Function::Selu,
            "softplus" => Function::Softplus,
            "softsign" => Function::Softsign,
            "exponential" => Function::Exp,
            "swish" | "silu" => Function::Swish,
            "mish" => Function::Mish,
            "relu6" => Function::LeakyRelu { slope: 0.0, max: Some(6.0) },
            "leaky_relu" => Function::LeakyRelu { slope: 0.2, max: None },
            "hard_sigmoid" => {
                let slope = if is_keras_2 { 0.2 } else { 1.0 / 6.0 };
                Function::HardSigmoid { slope, offset: 0.5 }
            }
            "softmax" => Function::Softmax,
            "log_softmax" => Function::LogSoftmax,
            _ => return None,
        })
    }
}

impl Function {
    /// Returns the layer of an activation of recurrent cells, if there is one.
    pub fn of(activation: Activation) -> Option<Self> {
        Some(match activation {
            Activation::Tanh => Function::Tanh,
            Activation::Sigmoid => Function::Sigmoid,
            Activation::Relu => Function::Relu,
            Activation::Softplus => Function::Softplus,
            Activation::Softsign => Function::Softsign,
            Activation::Elu { alpha } => Function::Elu(alpha),
            Activation::LeakyRelu { alpha: slope } => Function::LeakyRelu { slope, max: None },
            Activation::HardSigmoid { alpha: slope, beta: offset } => Function::HardSigmoid { slope, offset },
            Activation::Affine { alpha: scale, beta: offset } => Function::Rescale { scale, offset },
            Activation::ScaledTanh { .. } | Activation::ThresholdedRelu { .. } => return None,
        })
    }
}

/// Returns the extents of a sequence `[B, T, C]`.
fn sequence(op: &'static str, x: &Tensor) -> Result<[usize; 3]> {
    x.dims().try_into().map_err(|_| Error::shape(op, "x", "[batch, steps, features]", x.dims()))
}

/// Adds steps of zeros.
fn pad(x: &Tensor, before: usize, after: usize) -> Result<Tensor> {
    let [batch, _, width] = sequence("Network", x)?;
    let zeros = |steps: usize| match steps {
        0 => Ok(None),
        _ => Tensor::zeros(x.device(), &[batch, steps, width]).map(Some),
    };
    let (before, after) = (zeros(before)?, zeros(after)?);
    let parts: Vec<&Tensor> = before.iter().chain([x]).chain(&after).collect();
    if parts.len() == 1 { Ok(x.clone()) } else { Tensor::concat(&parts, 1) }
}

/// Returns the mean or the maximum of each window of steps.
fn pool(x: &Tensor, size: usize, stride: usize, is_max: bool) -> Result<Tensor> {
    let [batch, steps, width] = sequence("Pooling1D", x)?;
    let Some(count) = steps.checked_sub(size).map(|rest| rest / stride + 1) else {
        return Err(Error::shape("Pooling1D", "x", format!("at least {size} steps"), x.dims()));
    };
    // Step k of every window: every `stride`-th step from k on.
    let padded = pad(x, 0, (size - 1 + count * stride).saturating_sub(steps))?;
    let step = |k: usize| {
        let part = padded.slice(1, k..k + count * stride)?.reshape(&[batch, count, stride, width])?;
        part.slice(2, 0..1)
    };
    let parts = (0..size).map(step).collect::<Result<Vec<_>>>()?;
    let windows = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 2)?;
    if is_max { windows.max(2) } else { windows.mean_axis(2) }
}

/// Removes an axis that a reduction may have kept with extent 1.
fn shaped(y: &Tensor, dims: &[usize]) -> Result<Tensor> {
    if y.dims() == dims { Ok(y.clone()) } else { y.reshape(dims) }
}

impl Module for Function {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
        let (dims, batch) = (x.dims(), x.dims().first().copied().unwrap_or(1));
        match self {
            Function::Tanh => x.tanh(),
            Function::Sigmoid => x.sigmoid(),
            Function::Relu => x.relu(),
            Function::Elu(scale) => x.elu(*scale),
            Function::Selu => x.elu(1.673_263_2)?.scale(1.050_701),
            Function::Softplus => x.softplus(),
            Function::Softsign => x.softsign(),
            Function::Exp => x.exp(),
            Function::Swish => x * &x.sigmoid()?,
            Function::Mish => x * &x.softplus()?.tanh()?,
            Function::HardSigmoid { slope, offset } => x.scale(*slope)?.add_scalar(*offset)?.relu()?.clamp_max(1.0),
            Function::LeakyRelu { slope, max } => {
                let mut y = x.relu()?;
                if let Some(max) = max {
                    y = y.clamp_max(*max)?;
                }
                if *slope == 0.0 { Ok(y) } else { &y + &x.clamp_max(0.0)?.scale(*slope)? }
            }
            Function::Softmax => x.softmax(),
            Function::LogSoftmax => x.log_softmax(),
            Function::Rescale { scale, offset } => x.scale(*scale)?.add_scalar(*offset),
            Function::Reversed => {
                sequence("Network", x)?;
                x.flip(&[1])
            }
            Function::SwapBatch => {
                sequence("Network", x)?;
                x.permute(&[1, 0, 2])
            }
            Function::Permute(order) if order.len() + 1 == dims.len() => x.permute(&[&[0], &order[..]].concat()),
            Function::Permute(order) => {
                Err(Error::shape("Permute", "x", format!("{} axes after the batch", order.len()), dims))
            }
            Function::Reshape(extents) => {
                let len: usize = dims.iter().skip(1).product();
                let known: usize = extents.iter().filter_map(|&n| usize::try_from(n).ok()).product();
                let free = len.checked_div(known).unwrap_or(0);
                let extents = extents.iter().map(|&n| usize::try_from(n).unwrap_or(free));
                x.reshape(&std::iter::once(batch).chain(extents).collect::<Vec<_>>())
            }
            Function::Repeat(n) => match *dims {
                [batch, width] => x.reshape(&[batch, 1, width])?.expand(&[batch, *n, width]),
                _ => Err(Error::shape("RepeatVector", "x", "[batch, features]", dims)),
            },
            Function::Pad(before, after) => pad(x, *before, *after),
            Function::PadSame { reach, stride } => {
                let [_, steps, _] = sequence("Conv1D", x)?;
                let total = (steps.div_ceil(*stride).saturating_sub(1) * stride + reach).saturating_sub(steps);
                pad(x, total / 2, total - total / 2)
            }
            Function::Crop(before, after) => {
                let [_, steps, _] = sequence("Cropping1D", x)?;
                match steps.checked_sub(*after).filter(|end| end > before) {
                    Some(end) => x.slice(1, *before..end),
                    None => Err(Error::shape("Cropping1D", "x", format!("more than {} steps", before + after), dims)),
                }
            }
            Function::UpSample(n) => {
                let [batch, steps, width] = sequence("UpSampling1D", x)?;
                let each = x.reshape(&[batch, steps, 1, width])?.expand(&[batch, steps, *n, width])?;
                each.reshape(&[batch, steps * n, width])
            }
            Function::Pool { size, stride, is_max } => {
                let y = pool(x, *size, *stride, *is_max)?;
                let width = dims[2];
                let count = y.len() / (batch * width).max(1);
                shaped(&y, &[batch, count, width])
            }
            Function::PoolAll { is_max, keep } => {
                let [batch, _, width] = sequence("Pooling1D", x)?;
                let y = if *is_max { x.max(1)? } else { x.mean_axis(1)? };
                if *keep { y.reshape(&[batch, 1, width]) } else { shaped(&y, &[batch, width]) }
            }
            Function::Directions(merge) => {
                let Some((axis, width)) = dims.len().checked_sub(1).map(|axis| (axis, dims[axis])) else {
                    return Err(Error::shape("Bidirectional", "x", "features", dims));
                };
                merge.run(&[&x.slice(axis, 0..width / 2)?, &x.slice(axis, width / 2..width)?])
            }
        }
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Activation(match *self {
            Function::Tanh => Activation::Tanh,
            Function::Sigmoid => Activation::Sigmoid,
            Function::Relu => Activation::Relu,
            Function::Elu(alpha) => Activation::Elu { alpha },
            Function::Softplus => Activation::Softplus,
            Function::Softsign => Activation::Softsign,
            Function::HardSigmoid { slope: alpha, offset: beta } => Activation::HardSigmoid { alpha, beta },
            Function::LeakyRelu { slope: alpha, max: None } => Activation::LeakyRelu { alpha },
            Function::Rescale { scale: alpha, offset: beta } => Activation::Affine { alpha, beta },
            Function::Softmax => return Kind::Softmax,
            Function::LogSoftmax => return Kind::LogSoftmax,
            _ => return Kind::Typed(self),
        })
    }
}
