//! The losses and cross-entropy, forward and backward.

use wgru::Device;
use wgru::kernels::{CrossEntropy, CrossEntropyBackward, Loss, LossBackward, LossKind};

use crate::common::{assert_close, fill, mix};
use crate::reference::{dense as reference, wide};
use crate::{LENGTHS, buffer, indices, on_every_backend, run};

/// A few roundings, and a softplus within the error that WGSL allows, as derived in `accuracy.rs`.
const LOSS: f64 = 9e-7;
/// The same, and a sum over up to 257 classes.
const CROSS_ENTROPY: f64 = 5e-7;

on_every_backend![
    loss_matches_f64,
    loss_backward_matches_f64,
    loss_backward_at_the_kink_is_zero,
    cross_entropy_matches_f64,
    cross_entropy_backward_matches_f64,
    cross_entropy_gives_nan_for_an_invalid_target,
];

/// Predictions and targets for a kind; the targets of logits are in [0, 1].
fn pairs(kind: LossKind, len: usize) -> (Vec<f32>, Vec<f32>) {
    let t = fill(2, len, 2.0);
    let is_logit = kind == LossKind::BceWithLogits;
    (fill(1, len, 4.0), if is_logit { t.iter().map(|t| t / 4.0 + 0.5).collect() } else { t })
}

fn loss_matches_f64(device: &Device) {
    for kind in LossKind::ALL {
        for (len, delta) in LENGTHS.into_iter().zip([1.0, 0.5, 1.5, 1.0, 3.0]) {
            let (x, t) = pairs(kind, len);
            let kernel = Loss { len: len as u32, kind: kind as u32, delta };
            let [loss] = run(device, &kernel, [&buffer(device, &x), &buffer(device, &t)]);
            let each = |(&x, &t): (&f32, &f32)| reference::loss(kind, delta as f64, x as f64, t as f64);
            let want: Vec<f64> = x.iter().zip(&t).map(each).collect();
            assert_close(&format!("{kind:?} of {len}"), &loss, &want, LOSS);
        }
    }
}

fn loss_backward_matches_f64(device: &Device) {
    for kind in LossKind::ALL {
        for (len, delta) in LENGTHS.into_iter().zip([1.0, 0.5, 1.5, 1.0, 3.0]) {
            let ((x, t), dloss) = (pairs(kind, len), fill(3, len, 2.0));
            let kernel = LossBackward { len: len as u32, kind: kind as u32, delta };
            let [dx] = run(device, &kernel, [&buffer(device, &x), &buffer(device, &t), &buffer(device, &dloss)]);
            let slope = |i: usize| reference::loss_slope(kind, delta as f64, x[i] as f64, t[i] as f64);
            let want: Vec<f64> = (0..len).map(|i| slope(i) * dloss[i] as f64).collect();
            assert_close(&format!("{kind:?} of {len}"), &dx, &want, LOSS);
        }
    }
}

fn loss_backward_at_the_kink_is_zero(device: &Device) {
    let (x, dloss) = (buffer(device, &[0.7]), buffer(device, &[2.0]));
    for kind in [LossKind::Squared, LossKind::Absolute, LossKind::Huber] {
        let [dx] = run(device, &LossBackward { len: 1, kind: kind as u32, delta: 1.0 }, [&x, &x, &dloss]);
        assert_eq!(dx, [0.0], "{kind:?}");
    }
}

const IGNORED: u32 = 4_000_000_000;

/// Logits, and targets of which every fifth is ignored.
fn classes(rows: usize, classes: usize) -> (Vec<f32>, Vec<u32>) {
    let target = |i: u32| if i % 5 == 4 { IGNORED } else { mix(i) % classes as u32 };
    (fill(4, rows * classes, 5.0), (0..rows as u32).map(target).collect())
}

const ROWS: [[usize; 2]; 5] = [[1, 2], [3, 67], [67, 3], [335, 5], [5, 257]];

fn cross_entropy_matches_f64(device: &Device) {
    for [rows, width] in ROWS {
        let (x, target) = classes(rows, width);
        for smoothing in [0.0, 0.1] {
            let kernel = CrossEntropy { rows: rows as u32, classes: width as u32, ignored: IGNORED, smoothing };
            let [loss, counted] = run(device, &kernel, [&buffer(device, &x), &indices(device, &target)]);
            let x = wide(&x);
            let row = |(row, &t): (usize, &u32)| match t {
                IGNORED => (0.0, 0.0),
                t => (reference::cross_entropy(&x[row * width..][..width], t as usize, smoothing as f64), 1.0),
            };
            let (want, count): (Vec<f64>, Vec<f32>) = target.iter().enumerate().map(row).unzip();
            assert_close(&format!("{kernel:?}"), &loss, &want, CROSS_ENTROPY);
            assert_eq!(counted, count, "{kernel:?}");
        }
    }
}

fn cross_entropy_backward_matches_f64(device: &Device) {
    for [rows, width] in ROWS {
        let ((x, target), dloss) = (classes(rows, width), fill(5, rows, 2.0));
        for smoothing in [0.0, 0.1] {
            let kernel = CrossEntropyBackward { rows: rows as u32, classes: width as u32, ignored: IGNORED, smoothing };
            let reads = [&buffer(device, &x), &indices(device, &target), &buffer(device, &dloss)];
            let [dx] = run(device, &kernel, reads);
            let wide_x = wide(&x);
            let row = |(row, &t): (usize, &u32)| match t {
                IGNORED => vec![0.0; width],
                t => reference::cross_entropy_slope(&wide_x[row * width..][..width], t as usize, smoothing as f64)
                    .iter()
                    .map(|slope| slope * dloss[row] as f64)
                    .collect(),
            };
            let want: Vec<f64> = target.iter().enumerate().flat_map(row).collect();
            assert_close(&format!("{kernel:?}"), &dx, &want, CROSS_ENTROPY);
        }
    }
}

fn cross_entropy_gives_nan_for_an_invalid_target(device: &Device) {
    let kernel = CrossEntropy { rows: 2, classes: 3, ignored: IGNORED, smoothing: 0.0 };
    let [loss, counted] = run(device, &kernel, [&buffer(device, &[0.5; 6]), &indices(device, &[3, 2])]);
    assert!(loss[0].is_nan() && (loss[1] - 3f32.ln()).abs() <= 1e-6, "{loss:?}");
    assert_eq!(counted, [1.0, 1.0]);
}
