//! The loss of connectionist temporal classification

use super::Reduction;
use crate::autograd::record;
use crate::error::Result;
use crate::ops::ctc::Batch;
use crate::tensor::Tensor;

/// Options of [`ctc_with`]. Names and defaults are those of `torch.nn.functional.ctc_loss`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CtcOptions {
    /// The class that stands for no label.
    pub blank: u32,
    /// Reduction of the sequences' losses. The mean is of each loss divided by its number of labels, at least 1.
    pub reduction: Reduction,
    /// Whether a sequence whose labels do not fit its steps has loss and gradient 0, instead of an infinite loss and a
    /// gradient of NaN.
    pub zero_infinity: bool,
}

/// The negative logarithm of the probability that the frames spell the labels, summed over every alignment, as
/// `torch.nn.functional.ctc_loss`:
///
/// ```text
/// loss_b = −log Σ_{π spells labels_b} Π_t p_t(π_t),    π spells: merge repeats, then drop blanks
/// ∂loss_b/∂log p_t(c) = −P(π_t = c | π spells labels_b)
/// ```
///
/// `log_probs` is `[T, B, C]`, as [`log_softmax`](Tensor::log_softmax) gives it. `targets` are the labels of all
/// sequences one after the other, or padded `[B, S]`; the count tells which, and padding may hold anything. Of each
/// sequence the first `input_lengths` steps count, and `target_lengths` labels; both may be 0.
///
/// The gradient is the exact one of `log_probs`. Behind a log-softmax it gives the logits what PyTorch gives them;
/// PyTorch itself returns `e^(log p) − P` for `log_probs`, which is right only there.
///
/// Graves, Fernández, Gomez, Schmidhuber: *Connectionist temporal classification: labelling unsegmented sequence data
/// with recurrent neural networks* (2006).
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let logits = Tensor::zeros(&Device::cpu(), &[3, 1, 2])?.requires_grad();   // 3 steps, a blank and one label
/// let loss = loss::ctc(&logits.log_softmax()?, &[1], &[3], &[1])?;
/// // Of the 8 paths, 6 spell the label: all but three blanks, and the label, a blank, and the label again.
/// assert!((loss.item()? + (6f32 / 8.0).ln()).abs() < 1e-6);
/// loss.backward()?;
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// The blank is class 0. Each sequence's loss is divided by its number of labels, at least 1, and the result is their
/// mean. [`ctc_with`] takes other options.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for a wrong shape or number of labels, [`Error::Value`](crate::Error::Value)
/// for a length past the steps and for labels that are the blank or past the classes,
/// [`Error::Limit`](crate::Error::Limit) for more than 65,535 sequences on a GPU.
pub fn ctc(log_probs: &Tensor, targets: &[u32], input_lengths: &[usize], target_lengths: &[usize]) -> Result<Tensor> {
    ctc_with(log_probs, targets, input_lengths, target_lengths, CtcOptions::default())
}

/// [`ctc`] with options.
///
/// # Errors
/// As [`ctc`].
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
