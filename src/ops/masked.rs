//! Reductions over the steps of sequences `[T, B, ..]` of different lengths. Steps past a sequence's length may be NaN.

use super::elementwise::binary;
use super::extreme::{extreme, extreme_backward};
use super::reduce::sum_axis;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::BinaryOp;
use crate::tensor::Tensor;

/// Checks that there is one length for each of `batch` sequences, of at most `steps`.
pub fn check_lengths(op: &'static str, lengths: &[usize], batch: usize, steps: usize) -> Result<()> {
    if lengths.len() != batch {
        return Err(Error::shape(op, "lengths", format!("[{batch}]"), &[lengths.len()]));
    }
    match lengths.iter().find(|&&length| length > steps) {
        Some(length) => Err(Error::value(op, "lengths", format!("0..={steps}"), length)),
        None => Ok(()),
    }
}

/// Returns 1 for every step within its sequence, else 0: `[T, B, 1]`.
pub fn valid_steps(device: &Device, lengths: &[usize], steps: usize) -> Result<Tensor> {
    let batch = lengths.len();
    let flags: Vec<f32> = (0..steps * batch).map(|i| f32::from(i / batch < lengths[i % batch])).collect();
    Tensor::from_slice(device, &flags, &[steps, batch, 1])
}

/// Data for a reduction over the steps of sequences of different lengths, and for its gradient.
pub struct Steps {
    op: &'static str,
    dims: Vec<usize>,
    /// 1 for every step within its sequence, else 0: `[T, B, 1, ..]`.
    valid: Tensor,
    lengths: Vec<usize>,
}

impl Steps {
    pub fn new(op: &'static str, x: &Tensor, lengths: &[usize]) -> Result<Self> {
        x.check_dtype(op, "self", "f32")?;
        let [steps, batch, rest @ ..] = x.dims() else {
            return Err(Error::shape(op, "self", "[steps, batch, ..]", x.dims()));
        };
        check_lengths(op, lengths, *batch, *steps)?;
        let valid = valid_steps(x.device(), lengths, *steps)?;
        let valid = valid.view(op, &[&[*steps, *batch][..], &vec![1; rest.len()]].concat())?;
        Ok(Self { op, dims: x.dims().to_vec(), valid, lengths: lengths.to_vec() })
    }

    /// Returns a number for each sequence, `[1, B, 1, ..]`.
    fn each(&self, number: impl Fn(usize) -> f32) -> Result<Tensor> {
        let numbers: Vec<f32> = self.lengths.iter().map(|&length| number(length)).collect();
        let dims = [&[1, numbers.len()][..], &vec![1; self.dims.len() - 2]].concat();
        Tensor::from_slice(self.valid.device(), &numbers, &dims)
    }

    /// The divisors of the means: the lengths, but 1 for a sequence without steps, whose sum is 0.
    fn counts(&self) -> Result<Tensor> {
        self.each(|length| length.max(1) as f32)
    }

    /// 1 for each sequence with steps, else 0.
    fn filled(&self) -> Result<Tensor> {
        self.each(|length| f32::from(length > 0))
    }

    fn with_time(&self, y: &Tensor) -> Result<Tensor> {
        y.view(self.op, &[&[1], y.dims()].concat())
    }

    fn without_time(&self, y: &Tensor) -> Result<Tensor> {
        y.view(self.op, &self.dims[1..])
    }

    /// Returns the mean over each sequence's steps.
    pub fn mean(&self, x: &Tensor) -> Result<Tensor> {
        let sum = sum_axis(&binary(BinaryOp::Mask, x, &self.valid)?, 0, 1.0)?;
        self.without_time(&binary(BinaryOp::Div, &sum, &self.counts()?)?)
    }

    /// Returns the gradient of `x` from that of the mean.
    pub fn mean_backward(&self, dy: &Tensor) -> Result<Tensor> {
        let share = binary(BinaryOp::Div, &self.with_time(dy)?, &self.counts()?)?;
        binary(BinaryOp::Mask, &share, &self.valid)
    }

    /// Returns the maximum over each sequence's steps, and the steps that it came from.
    pub fn max(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        // −∞ is less than every valid element, and adding −0 changes none.
        let batch = self.lengths.len();
        let step = |i: usize| if i / batch < self.lengths[i % batch] { -0.0 } else { f32::NEG_INFINITY };
        let closed: Vec<f32> = (0..self.valid.len()).map(step).collect();
        let closed = Tensor::from_slice(x.device(), &closed, self.valid.dims())?;
        let open = binary(BinaryOp::Add, &binary(BinaryOp::Mask, x, &self.valid)?, &closed)?;
        let [value, index] = extreme(self.op, &open, 0, false)?;
        Ok([self.without_time(&binary(BinaryOp::Mask, &value, &self.filled()?)?)?, index])
    }

    /// Returns the gradient of `x` from that of the maximum and the steps.
    pub fn max_backward(&self, index: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dy = binary(BinaryOp::Mask, &self.with_time(dy)?, &self.filled()?)?;
        extreme_backward(&self.dims, 0, index, &dy)
    }
}
