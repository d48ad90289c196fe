//! The CTC loss (connectionist temporal classification), compared with an enumeration of all paths.

use wgru::Tensor;
use wgru::train::Reduction;
use wgru::train::loss::{self, CtcOptions};

use crate::reference::ctc::Sequence;
use crate::reference::dense::log_softmax;
use crate::{check, input};

const STEPS: usize = 5;
const BATCH: usize = 4;
const CLASSES: usize = 3;

/// Sequences with all steps and with fewer, with repeated labels, and without labels.
const TARGETS: [(&[u32], usize); BATCH] = [(&[2, 0], 5), (&[2, 2], 4), (&[], 3), (&[0], 1)];

fn losses(log_probs: &[f64]) -> Vec<f64> {
    let one = |(b, (labels, steps)): (usize, &(&[u32], usize))| {
        let row = |t: usize| &log_probs[(t * BATCH + b) * CLASSES..][..CLASSES];
        let p: Vec<Vec<f64>> = (0..*steps).map(|t| row(t).iter().map(|v| v.exp()).collect()).collect();
        let labels: Vec<usize> = labels.iter().map(|&l| l as usize).collect();
        -Sequence { p: &p, labels: &labels, blank: 1 }.enumerated().ln()
    };
    TARGETS.iter().enumerate().map(one).collect()
}

#[test]
fn ctc_gradients_match_differences_of_all_paths() {
    let input_lengths = TARGETS.map(|(_, steps)| steps);
    let target_lengths = TARGETS.map(|(labels, _)| labels.len());
    let one_by_one: Vec<u32> = TARGETS.iter().flat_map(|(labels, _)| labels.to_vec()).collect();
    // Padding is ignored, even the blank and values that are not classes.
    let pad = |labels: &[u32]| -> Vec<u32> { labels.iter().copied().chain([1, u32::MAX, 7]).take(3).collect() };
    let padded: Vec<u32> = TARGETS.iter().flat_map(|(labels, _)| pad(labels)).collect();
    let reduce = |reduction: Reduction, losses: Vec<f64>| match reduction {
        Reduction::None => losses,
        Reduction::Sum => vec![losses.iter().sum()],
        Reduction::Mean => {
            let shares = losses.iter().zip(target_lengths).map(|(loss, labels)| loss / labels.max(1) as f64);
            vec![shares.sum::<f64>() / BATCH as f64]
        }
    };
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
        for targets in [&one_by_one, &padded] {
            let options = CtcOptions { blank: 1, reduction, zero_infinity: false };
            let f = |x: &Tensor| loss::ctc_with(x, targets, &input_lengths, &target_lengths, options);
            let x = [input(31, &[STEPS, BATCH, CLASSES], 2.0)];
            let name = format!("{reduction:?} of {} targets", targets.len());
            // The loss accepts any numbers as log-probabilities; its gradient is with respect to them only.
            check(&format!("ctc, {name}"), &x, |x| f(&x[0]), |x| reduce(reduction, losses(&x[0])));
            let reference = |x: &[Vec<f64>]| reduce(reduction, losses(&log_softmax(&x[0], CLASSES)));
            check(&format!("ctc of logits, {name}"), &x, |x| f(&x[0].log_softmax()?), reference);
        }
    }
}
