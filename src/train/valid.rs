//! The valid steps of padded sequences, for losses of every step.

use crate::error::{Error, Result};
use crate::ops::masked::check_lengths;
use crate::tensor::Tensor;

/// Returns the first `lengths[b]` steps of each sequence `b` of `x` `[B, T, ..]`, one sequence after another: `[N, ..]`
/// with `N` the sum of the lengths. Without lengths, all steps are valid.
///
/// Prediction and target without their padding give the loss over valid steps only, whatever the loss. The padding may
/// hold any values, even NaN, and its gradient is 0. [`Trainer::fit`](super::Trainer::fit) does this for data with
/// lengths; a step function of [`fit_with`](super::Trainer::fit_with) passes [`Batch::lengths`](super::Batch::lengths).
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let device = Device::cpu();
/// // Two sequences of 3 steps and 1 step.
/// let lengths = Some(&[3, 1][..]);
/// let y = Tensor::from_slice(&device, &[1.0, 1.0, 1.0, 2.0, 9.0, 9.0], &[2, 3])?;
/// let target = Tensor::zeros(&device, &[2, 3])?;
/// let loss = loss::mse(&loss::valid_steps(&y, lengths)?, &loss::valid_steps(&target, lengths)?)?;
/// assert_eq!(loss.item_blocking()?, (1.0 + 1.0 + 1.0 + 4.0) / 4.0);
///
/// // Classes: logits [B, T, C] and targets [B, T].
/// let logits = Tensor::zeros(&device, &[2, 3, 5])?;
/// let classes = Tensor::from_indices(&device, &[4, 0, 2, 3, 0, 0], &[2, 3])?;
/// let loss = loss::cross_entropy(&loss::valid_steps(&logits, lengths)?, &loss::valid_steps(&classes, lengths)?)?;
/// assert!((loss.item_blocking()? - 5f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for fewer than two axes or a wrong number of lengths, [`Error::Value`] for a length above `T`, and
/// if all lengths are 0.
pub fn valid_steps(x: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    const OP: &str = "valid_steps";
    let [batch, steps, rest @ ..] = x.dims() else { return Err(Error::shape(OP, "x", "[batch, steps, ..]", x.dims())) };
    let (batch, steps) = (*batch, *steps);
    let flat = |rows: usize| [&[rows], rest].concat();
    let Some(lengths) = lengths else { return x.reshape(&flat(batch * steps)) };
    check_lengths(OP, lengths, batch, steps)?;
    let of = |(b, &length): (usize, &usize)| (b * steps..b * steps + length).map(|row| row as u32);
    let index: Vec<u32> = lengths.iter().enumerate().flat_map(of).collect();
    if index.len() == batch * steps {
        return x.reshape(&flat(batch * steps));
    }
    if index.is_empty() {
        return Err(Error::value(OP, "lengths", "at least one step in a batch", "only sequences without steps"));
    }
    let table = x.reshape(&[batch * steps, rest.iter().product()])?;
    table.gather(&Tensor::from_indices(x.device(), &index, &[index.len()])?)?.reshape(&flat(index.len()))
}
