//! Padded sequences of different lengths as the input of a module.

use crate::error::{Error, Result};
use crate::ops::masked::check_lengths;
use crate::tensor::Tensor;

/// Output of [`Module::forward_padded`](super::Module::forward_padded).
#[derive(Clone, Debug)]
pub enum Padded {
    /// Sequences with the lengths of the input. Their padding may hold any values.
    Steps(Tensor),
    /// One row for each sequence, `[B, ..]`, such as its last state.
    Rows(Tensor),
}

/// Returns the error of a module that does not take lengths.
pub(super) fn refused() -> Error {
    let expected = "a module that takes lengths: implement Module::forward_padded, or use Trainer::fit_with, and pass \
                    Batch::lengths to the layers";
    Error::value("Module::forward_padded", "lengths", expected, "a module that does not implement it")
}

/// Returns the last valid step, or the first one, of each sequence of `x`: `[B, T, H]` (batch-first) or `[T, B, H]`
/// gives `[B, H]`. It is 0 for a sequence without steps.
pub(super) fn step_at_end(
    op: &'static str,
    x: &Tensor,
    (batch_first, is_last): (bool, bool),
    [steps, batch, width]: [usize; 3],
    lengths: &[usize],
) -> Result<Tensor> {
    check_lengths(op, lengths, batch, steps)?;
    let at = |(b, &length): (usize, &usize)| {
        let t = if is_last { length.saturating_sub(1) } else { 0 };
        (if batch_first { b * steps + t } else { t * batch + b }) as u32
    };
    let index: Vec<u32> = lengths.iter().enumerate().map(at).collect();
    let rows = x.reshape(&[steps * batch, width])?.gather(&Tensor::from_indices(x.device(), &index, &[batch])?)?;
    if lengths.iter().all(|&length| length > 0) {
        return Ok(rows);
    }
    let filled: Vec<f32> = lengths.iter().map(|&length| f32::from(length > 0)).collect();
    rows.mask(&Tensor::from_slice(x.device(), &filled, &[batch, 1])?)
}
