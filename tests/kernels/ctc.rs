//! Connectionist temporal classification: forward and backward variables, loss and gradient.

use wgru::Device;
use wgru::kernels::{Ctc, CtcAlpha, CtcBeta, CtcGradient};

use crate::common::{assert_close, fill, mix};
use crate::reference::ctc::Sequence;
use crate::reference::dense::log_softmax;
use crate::reference::{narrow, wide};
use crate::{buffer, indices, on_every_backend, run};

/// Logarithms of up to 100 rounded steps, each normalized by its maximum.
const LOSS: f64 = 5e-7;
/// Path shares, with the rounding of up to 100 steps in each direction.
const SHARE: f64 = 2e-5;

on_every_backend![
    ctc_alpha_matches_f64,
    ctc_beta_matches_f64,
    ctc_gradient_matches_f64,
    ctc_without_a_path_is_infinite_or_zero,
    ctc_propagates_nan_within_its_sequence,
    ctc_gives_nan_for_an_invalid_label,
];

/// A batch, with the number of steps and labels per sequence.
struct Case {
    p: Ctc,
    log_probs: Vec<f32>,
    targets: Vec<u32>,
    lengths: Vec<u32>,
}

impl Case {
    /// Labels repeat often, and every sequence is shorter than the previous one.
    fn new([steps, batch, classes, labels]: [u32; 4], blank: u32) -> Self {
        let p = Ctc { steps, batch, classes, labels, blank, zero_infinity: 0 };
        let logits = wide(&fill(1, (steps * batch * classes) as usize, 3.0));
        let log_probs = narrow(&log_softmax(&logits, classes as usize));
        let label = |i| (blank + 1 + mix(i) % (classes - 1).min(2)) % classes;
        let lengths = (0..batch).map(|b| steps - b).chain((0..batch).map(|b| labels - b.min(labels))).collect();
        Self { p, log_probs, targets: (0..batch * labels).map(label).collect(), lengths }
    }

    fn all() -> Vec<Self> {
        let all = [
            Self::new([1, 1, 2, 1], 0),
            Self::new([9, 4, 3, 3], 1),
            Self::new([12, 3, 5, 4], 4),
            Self::new([100, 2, 4, 40], 0), // 81 positions: more than one workgroup
        ];
        assert!(all.iter().any(|case| (0..case.batch()).any(|b| case.labels(b).is_empty())));
        all.into()
    }

    fn batch(&self) -> usize {
        self.p.batch as usize
    }

    fn labels(&self, b: usize) -> Vec<usize> {
        let row = &self.targets[b * self.p.labels as usize..];
        row[..self.lengths[self.batch() + b] as usize].iter().map(|&l| l as usize).collect()
    }

    fn steps(&self, b: usize) -> usize {
        self.lengths[b] as usize
    }

    fn probabilities(&self, b: usize) -> Vec<Vec<f64>> {
        let classes = self.p.classes as usize;
        let row = |t: usize| &self.log_probs[(t * self.batch() + b) * classes..][..classes];
        (0..self.steps(b)).map(|t| row(t).iter().map(|&v| (v as f64).exp()).collect()).collect()
    }

    /// Returns `f` of each sequence.
    fn each<T>(&self, f: impl Fn(usize, Sequence) -> T) -> Vec<T> {
        let one =
            |b| f(b, Sequence { p: &self.probabilities(b), labels: &self.labels(b), blank: self.p.blank as usize });
        (0..self.batch()).map(one).collect()
    }

    fn alpha(&self, device: &Device) -> [Vec<f32>; 3] {
        let reads =
            [&indices(device, &self.targets), &indices(device, &self.lengths), &buffer(device, &self.log_probs)];
        run(device, &CtcAlpha(self.p), reads)
    }

    fn occupancy(&self, device: &Device, alpha: &[f32]) -> Vec<f32> {
        let (targets, lengths) = (indices(device, &self.targets), indices(device, &self.lengths));
        let reads = [&targets, &lengths, &buffer(device, &self.log_probs), &buffer(device, alpha)];
        let [_, occupancy] = run(device, &CtcBeta(self.p), reads);
        occupancy
    }

    fn gradient(&self, device: &Device, occupancy: &[f32], feasible: &[f32], dloss: &[f32]) -> Vec<f32> {
        let [targets, lengths] = [&self.targets, &self.lengths].map(|v| indices(device, v));
        let [occupancy, feasible, dloss] = [occupancy, feasible, dloss].map(|v| buffer(device, v));
        let [dx] = run(device, &CtcGradient(self.p), [&targets, &lengths, &occupancy, &feasible, &dloss]);
        dx
    }

    /// Returns the rows `[t][b][..positions]` of a buffer within the sequence's steps; all others must be untouched.
    fn rows(&self, values: &[f32], b: usize) -> Vec<Vec<f32>> {
        let positions = 2 * self.labels(b).len() + 1;
        let row = |t: usize| &values[self.p.row_at(t, b)..][..self.p.width()];
        for t in 0..self.p.steps as usize {
            let written = if t < self.steps(b) { positions } else { 0 };
            assert!(row(t)[written..].iter().all(|v| v.is_nan()), "written past the sequence");
        }
        (0..self.steps(b)).map(|t| row(t)[..positions].to_vec()).collect()
    }
}

fn ctc_alpha_matches_f64(device: &Device) {
    for case in Case::all() {
        let [alpha, loss, feasible] = case.alpha(device);
        assert_eq!(feasible, vec![1.0; case.batch()], "{:?}", case.p);
        assert_close(&format!("loss of {:?}", case.p), &loss, &case.each(|_, q| -q.total().ln()), LOSS);
        case.each(|b, q| {
            for (got, want) in case.rows(&alpha, b).iter().zip(q.beginnings()) {
                let top = want.iter().fold(0.0, |m: f64, v| m.max(*v));
                let want: Vec<f64> = want.iter().map(|v| v / top).collect();
                let got: Vec<f32> = got.iter().map(|v| v.exp()).collect();
                assert_close(&format!("alpha of {:?}", case.p), &got, &want, SHARE);
            }
        });
    }
}

fn ctc_beta_matches_f64(device: &Device) {
    for case in Case::all() {
        let [alpha, ..] = case.alpha(device);
        let occupancy = case.occupancy(device, &alpha);
        case.each(|b, q| {
            for (got, want) in case.rows(&occupancy, b).iter().zip(q.posterior()) {
                let (total, sum) = (got.iter().sum::<f32>(), want.iter().sum::<f64>());
                assert!((sum - 1.0).abs() <= 1e-12, "the reference sums to {sum}");
                let got: Vec<f32> = got.iter().map(|v| v / total).collect();
                assert_close(&format!("occupancy of {:?}", case.p), &got, &want, SHARE);
            }
        });
    }
}

fn ctc_gradient_matches_f64(device: &Device) {
    for case in Case::all() {
        let [batch, classes] = [case.batch(), case.p.classes as usize];
        let mut occupancy = vec![f32::NAN; case.p.rows_len()];
        let mut want = vec![0.0; case.p.probs_len()];
        let dloss = fill(2, batch, 2.0);
        case.each(|_, q| q.posterior()).into_iter().enumerate().for_each(|(b, posterior)| {
            let labels = case.labels(b);
            for (t, row) in posterior.iter().enumerate() {
                for (s, share) in row.iter().enumerate() {
                    let symbol = if s.is_multiple_of(2) { case.p.blank as usize } else { labels[s / 2] };
                    occupancy[case.p.row_at(t, b) + s] = 0.5 * *share as f32;
                    want[(t * batch + b) * classes + symbol] -= dloss[b] as f64 * share;
                }
            }
        });
        let dx = case.gradient(device, &occupancy, &vec![1.0; batch], &dloss);
        assert_close(&format!("gradient of {:?}", case.p), &dx, &want, LOSS);
    }
}

fn ctc_without_a_path_is_infinite_or_zero(device: &Device) {
    // Two equal labels need three steps, but sequence 0 has two and sequence 2 has none.
    for zero_infinity in [0, 1] {
        let mut case = Case::new([4, 3, 3, 2], 0);
        case.p.zero_infinity = zero_infinity;
        case.targets = vec![1, 1, 1, 2, 2, 2];
        case.lengths = vec![2, 4, 0, 2, 2, 1];
        let [alpha, loss, feasible] = case.alpha(device);
        assert_eq!(feasible, [0.0, 1.0, 0.0]);
        let none = if zero_infinity == 1 { 0.0 } else { f32::INFINITY };
        assert!(loss[0] == none && loss[1] > 0.0 && loss[1].is_finite() && loss[2] == none, "{loss:?}");
        let dx = case.gradient(device, &case.occupancy(device, &alpha), &feasible, &[1.0; 3]);
        for (i, v) in dx.iter().enumerate() {
            let (t, b) = (i / 9, i / 3 % 3);
            match (b, t < case.steps(b)) {
                (1, _) => assert!(v.is_finite(), "{dx:?}"),
                (0, true) if zero_infinity == 0 => assert!(v.is_nan(), "{dx:?}"),
                _ => assert_eq!(*v, 0.0, "{dx:?}"),
            }
        }
        // Without steps and labels there is exactly one path, with probability 1.
        case.lengths = vec![2, 4, 0, 0, 0, 0];
        assert_eq!(case.alpha(device)[1][2], 0.0);
    }
}

fn ctc_propagates_nan_within_its_sequence(device: &Device) {
    let mut case = Case::new([9, 4, 3, 3], 1);
    let classes = case.p.classes as usize;
    let at = |t: usize, b: usize| (t * 4 + b) * classes;
    case.log_probs[at(3, 1)..][..classes].fill(f32::NAN);
    let [alpha, loss, feasible] = case.alpha(device);
    let is_nan: Vec<bool> = loss.iter().map(|v| v.is_nan()).collect();
    assert_eq!(is_nan, [false, true, false, false]);
    let dx = case.gradient(device, &case.occupancy(device, &alpha), &feasible, &[1.0; 4]);
    for (i, v) in dx.iter().enumerate() {
        let (t, b) = (i / classes / 4, i / classes % 4);
        assert_eq!(v.is_nan(), b == 1 && t < case.steps(1), "time {t}, sequence {b}");
    }
}

fn ctc_gives_nan_for_an_invalid_label(device: &Device) {
    let mut case = Case::new([9, 4, 3, 3], 1);
    case.targets[1] = u32::MAX;
    let [_, loss, _] = case.alpha(device);
    assert!(loss[0].is_nan() && loss[1..].iter().all(|v| v.is_finite()), "{loss:?}");
}
