//! Connectionist temporal classification: the loss of each sequence, and its gradient.

use crate::error::{Error, Result};
use crate::kernels::{Ctc, CtcAlpha, CtcBeta, CtcGradient};
use crate::tensor::Tensor;

/// Targets and lengths of a batch, checked and uploaded to the device.
pub struct Batch {
    p: Ctc,
    targets: Tensor,
    lengths: Tensor,
}

/// The losses `[B]`, and the tensors that the backward pass needs.
pub struct Losses {
    pub loss: Tensor,
    pub alpha: Tensor,
    pub feasible: Tensor,
}

impl Batch {
    /// Takes targets that are concatenated or padded to the same length, and `[input_lengths, target_lengths]`.
    pub fn new(
        log_probs: &Tensor,
        targets: &[u32],
        lengths: [&[usize]; 2],
        blank: u32,
        zero_infinity: bool,
    ) -> Result<Self> {
        log_probs.check_dtype("ctc", "log_probs", "f32")?;
        let [steps, batch, classes] = log_probs.dims()[..] else {
            return Err(Error::shape("ctc", "log_probs", "[steps, batch, classes]", log_probs.dims()));
        };
        for (arg, lengths) in ["input_lengths", "target_lengths"].into_iter().zip(lengths) {
            if lengths.len() != batch {
                return Err(Error::shape("ctc", arg, format!("[{batch}]"), &[lengths.len()]));
            }
        }
        if let Some(bad) = lengths[0].iter().find(|&&l| l > steps) {
            return Err(Error::value("ctc", "input_lengths", format!("at most {steps}"), bad));
        }
        if blank as usize >= classes {
            return Err(Error::value("ctc", "blank", format!("below {classes}"), blank));
        }
        let rows = Rows::of(targets, lengths[1])?;
        let device = log_probs.device();
        let [steps, classes, labels, count] = [steps, classes, rows.width, batch].map(|n| n as u32);
        let p = Ctc { steps, batch: count, classes, labels, blank, zero_infinity: zero_infinity as u32 };
        p.check("ctc")?;
        let padded = rows.padded(targets, lengths[1]);
        if let Some(label) = rows.each(targets, lengths[1]).flatten().find(|&&label| label == blank || label >= classes)
        {
            let expected = format!("labels below {classes}, not the blank {blank}");
            return Err(Error::value("ctc", "targets", expected, label));
        }
        let targets = Tensor::from_indices(device, &padded, &[batch, rows.width])?;
        let words: Vec<u32> = lengths.iter().flat_map(|l| l.iter().map(|&l| l as u32)).collect();
        Ok(Self { p, targets, lengths: Tensor::from_indices(device, &words, &[2, batch])? })
    }

    /// The loss of each sequence.
    pub fn losses(&self, log_probs: &Tensor) -> Result<Losses> {
        let p = self.p;
        let empty = |dims: &[usize]| Tensor::empty("ctc", log_probs.device(), dims);
        let batch = p.batch as usize;
        let out = Losses {
            alpha: empty(&[p.steps as usize, batch, p.width()])?,
            loss: empty(&[batch])?,
            feasible: empty(&[batch])?,
        };
        let reads = [&self.targets, &self.lengths, log_probs];
        log_probs.device().run(&CtcAlpha(p), reads, [&out.alpha, &out.loss, &out.feasible])?;
        Ok(out)
    }

    /// Returns the gradient of `log_probs` from that of each sequence's loss.
    pub fn backward(&self, log_probs: &Tensor, alpha: &Tensor, feasible: &Tensor, dloss: &Tensor) -> Result<Tensor> {
        let (p, device) = (self.p, log_probs.device());
        let empty = |dims: &[usize]| Tensor::empty("ctc_backward", device, dims);
        let (beta, occupancy) = (empty(&[2, p.batch as usize, p.width()])?, empty(alpha.dims())?);
        let (targets, lengths) = (&self.targets, &self.lengths);
        device.run(&CtcBeta(p), [targets, lengths, log_probs, alpha], [&beta, &occupancy])?;
        let dx = empty(log_probs.dims())?;
        device.run(&CtcGradient(p), [targets, lengths, &occupancy, feasible, dloss], [&dx])?;
        Ok(dx)
    }
}

/// Layout of the labels of all sequences.
struct Rows {
    /// Number of labels of the longest sequence, at least 1.
    width: usize,
    /// Distance between the labels of consecutive sequences; `None` if they are concatenated.
    stride: Option<usize>,
}

impl Rows {
    /// Infers the layout from the number of targets: concatenated if it is the total of all lengths, else padded.
    fn of(targets: &[u32], lengths: &[usize]) -> Result<Self> {
        let total = lengths.iter().try_fold(0usize, |sum, &l| sum.checked_add(l)).unwrap_or(usize::MAX);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let (stride, rest) = (targets.len() / lengths.len(), targets.len() % lengths.len());
        let stride = match targets.len() {
            len if len == total => None,
            _ if rest == 0 && stride >= longest => Some(stride),
            len => {
                let expected = format!("{total} concatenated labels, or a padded row for each sequence");
                return Err(Error::shape("ctc", "targets", expected, &[len]));
            }
        };
        Ok(Self { width: longest.max(1), stride })
    }

    fn each<'a>(&self, targets: &'a [u32], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let stride = self.stride;
        let mut start = 0;
        lengths.iter().map(move |&length| {
            let row = &targets[start..start + length];
            start += stride.unwrap_or(length);
            row
        })
    }

    fn padded(&self, targets: &[u32], lengths: &[usize]) -> Vec<u32> {
        let pad = |row: &[u32]| row.iter().copied().chain(std::iter::repeat_n(0, self.width - row.len())).collect();
        self.each(targets, lengths).flat_map(|row| -> Vec<u32> { pad(row) }).collect()
    }
}
