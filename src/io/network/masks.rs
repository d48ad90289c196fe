//! Masks: which steps of each sequence count.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// `[B, T]`, in the host's memory, because the order of steps depends on it.
pub(super) type Mask = Arc<Vec<bool>>;

/// Where the mask of a step's output comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::io) enum Rule {
    /// The steps that count in all inputs with a mask.
    Keep,
    /// The steps that count in one of the inputs; none if an input has no mask.
    Either,
    /// There is none.
    Drop,
    /// The indices of the input that are not 0.
    Indices,
    /// The steps of the input with a feature other than this value.
    Features(f32),
}

impl Rule {
    /// Whether the output has a mask, given whether each input has one.
    pub fn is_masked(self, inputs: &[bool]) -> bool {
        match self {
            Rule::Keep => inputs.contains(&true),
            Rule::Either => !inputs.contains(&false),
            Rule::Drop => false,
            Rule::Indices | Rule::Features(_) => true,
        }
    }

    /// Returns the mask of the output.
    pub fn apply(self, x: &Tensor, inputs: &[Option<Mask>]) -> Result<Option<Mask>> {
        Ok(match self {
            Rule::Drop => None,
            Rule::Keep => inputs.iter().flatten().cloned().reduce(|a, b| join(&a, &b, |a, b| a && b)),
            Rule::Either if inputs.contains(&None) => None,
            Rule::Either => inputs.iter().flatten().cloned().reduce(|a, b| join(&a, &b, |a, b| a || b)),
            Rule::Indices => Some(Arc::new(read_indices(x)?.into_iter().map(|index| index != 0).collect())),
            Rule::Features(value) => {
                let width = x.dims().last().copied().unwrap_or(1).max(1);
                let steps = read(x)?;
                Some(Arc::new(steps.chunks(width).map(|step| step.iter().any(|&v| v != value)).collect()))
            }
        })
    }
}

fn join(a: &Mask, b: &Mask, rule: fn(bool, bool) -> bool) -> Mask {
    Arc::new(a.iter().zip(b.iter()).map(|(&a, &b)| rule(a, b)).collect())
}

/// Returns 1 for each step that counts and 0 for the others, as `[B, T, 1]`.
pub(super) fn factors(mask: &Mask, x: &Tensor) -> Result<Tensor> {
    let &[batch, steps, _] = x.dims() else {
        return Err(Error::shape("Network", "x", "[batch, steps, features]", x.dims()));
    };
    let values: Vec<f32> = mask.iter().map(|&counts| f32::from(u8::from(counts))).collect();
    Tensor::from_slice(x.device(), &values, &[batch, steps, 1])
}

/// Returns the mean of the steps that count, `[B, C]`; 0/0 for a sequence without any, as in Keras.
pub(super) fn mean(x: &Tensor, mask: &Mask) -> Result<Tensor> {
    let factors = factors(mask, x)?;
    let (sum, count) = ((x * &factors)?.sum_axis(1)?, factors.sum_axis(1)?);
    let dims = [x.dims()[0], x.dims()[2]];
    let (sum, count) = (sum.reshape(&dims)?, count.reshape(&[dims[0], 1])?);
    &sum / &count
}

#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
fn read(x: &Tensor) -> Result<Vec<f32>> {
    x.read_blocking()
}

#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
fn read_indices(x: &Tensor) -> Result<Vec<u32>> {
    x.read_indices_blocking()
}

#[cfg(not(any(not(target_arch = "wasm32"), wgru_jspi)))]
fn read(_: &Tensor) -> Result<Vec<f32>> {
    Err(Error::value("Network", "x", "a network without masks: they are read back, which blocks", "a masked network"))
}

#[cfg(not(any(not(target_arch = "wasm32"), wgru_jspi)))]
fn read_indices(x: &Tensor) -> Result<Vec<u32>> {
    read(x).map(|_| Vec::new())
}
