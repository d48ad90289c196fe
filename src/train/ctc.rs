//! The loss of connectionist temporal classification

use super::Reduction;
use crate::autograd::record;
use crate::error::Result;
use crate::ops::ctc::Batch;
use crate::tensor::Tensor;

/// Options of [`ctc_with`]. Names and defaults are those of `torch.nn.functional.ctc_loss`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CtcOptions {
    /// The class that means "no label".
    pub blank: u32,
    /// Reduction of the sequences' losses. For the mean, each loss is first divided by its number of labels, at least
    /// 1.
    pub reduction: Reduction,
    /// Whether a sequence with too few steps for its labels has a loss and gradient of 0, instead of an infinite loss
    /// and a NaN gradient.
    pub zero_infinity: bool,
}

/// Returns the negative logarithm of the probability of the labels, summed over all alignments with the frames, as
/// `torch.nn.functional.ctc_loss`:
///
/// ```text
/// loss_b = −log Σ_{π spells labels_b} Π_t p_t(π_t),    π spells: merge repeats, then drop blanks
/// ∂loss_b/∂log p_t(c) = −P(π_t = c | π spells labels_b)
/// ```
///
/// `log_probs` is `[T, B, C]`, as returned by [`log_softmax`](Tensor::log_softmax). `targets` holds the labels of all
/// sequences, either concatenated or padded as `[B, S]`; the number of labels tells which. Padding may hold anything.
/// Each sequence has `input_lengths` valid steps and `target_lengths` labels; both may be 0.
///
/// The gradient of `log_probs` is exact. After a log-softmax, the gradient of the logits equals PyTorch's. For
/// `log_probs` itself, PyTorch returns `e^(log p) − P`, which is only correct before a log-softmax.
///
/// Graves, Fernández, Gomez, Schmidhuber: *Connectionist temporal classification: labelling unsegmented sequence data
/// with recurrent neural networks* (2006).
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let logits = Tensor::zeros(&Device::cpu(), &[3, 1, 2])?.requires_grad();   // 3 steps, a blank and one label
/// let loss = loss::ctc(&logits.log_softmax()?, &[1], &[3], &[1])?;
/// // Of the 8 paths, 6 spell the label: all but three blanks, and the label, a blank, and the label again.
/// assert!((loss.item_blocking()? + (6f32 / 8.0).ln()).abs() < 1e-6);
/// loss.backward()?;
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// The blank is class 0. The result is the mean of the sequences' losses, each divided by its number of labels, at
/// least 1. [`ctc_with`] takes other options.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for a wrong shape or number of labels, [`Error::Value`](crate::Error::Value)
/// for a length beyond the steps, and for labels that are the blank or not a class,
/// [`Error::Limit`](crate::Error::Limit) for more than 65,535 sequences on a GPU.
pub fn ctc(log_probs: &Tensor, targets: &[u32], input_lengths: &[usize], target_lengths: &[usize]) -> Result<Tensor> {
    ctc_with(log_probs, targets, input_lengths, target_lengths, CtcOptions::default())
}

/// [`ctc`] with options.
///
/// # Errors
/// Same as [`ctc`].
pub fn ctc_with(
    log_probs: &Tensor,
    targets: &[u32],
    input_lengths: &[usize],
    target_lengths: &[usize],
    options: CtcOptions,
) -> Result<Tensor> {
    let CtcOptions { blank, reduction, zero_infinity } = options;
    let batch = Batch::new(log_probs, targets, [input_lengths, target_lengths], blank, zero_infinity)?;
    let forward = batch.losses(log_probs)?;
    let (x, alpha, feasible) = (log_probs.detach(), forward.alpha, forward.feasible);
    let [losses] = record("ctc", &[log_probs], &[log_probs], [forward.loss], || {
        Box::new(move |dys| {
            let dx = |dloss: &Tensor| batch.backward(&x, &alpha, &feasible, dloss);
            Ok(vec![dys[0].as_ref().map(dx).transpose()?])
        })
    });
    match reduction {
        Reduction::Mean => {
            let share = |&labels: &usize| 1.0 / (labels.max(1) as f32 * target_lengths.len() as f32);
            let shares: Vec<f32> = target_lengths.iter().map(share).collect();
            losses.mul(&Tensor::from_slice(log_probs.device(), &shares, &[shares.len()])?)?.sum()
        }
        Reduction::Sum => losses.sum(),
        Reduction::None => Ok(losses),
    }
}
