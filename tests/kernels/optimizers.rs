//! SGD and Adam over several steps.

use wgru::Device;
use wgru::kernels::{Adam, ClipFactor, Sgd, TrainingStatus};

use crate::common::{assert_close, fill};
use crate::reference::training as reference;
use crate::{LENGTHS, buffer, on_every_backend, poison, read};

/// Number of consecutive updates, so that the moments matter.
const STEPS: usize = 5;
/// Rounding of five steps. The parameters are near 1, and each update is much smaller.
const SGD: f64 = 4e-7;
/// The same, with a square root and a quotient in each step.
const ADAM: f64 = 8e-7;

on_every_backend![
    sgd_matches_torch_in_f64,
    adam_matches_torch_in_f64,
    clip_factor_is_one_for_norms_that_are_not_finite,
    training_status_adds_losses_until_one_is_not_finite,
    optimizers_keep_and_flag_elements_that_are_not_finite,
    optimizers_leave_weights_alone_after_a_failure,
];

fn gradients(len: usize) -> Vec<Vec<f32>> {
    (0..STEPS as u32).map(|step| fill(10 + step, len, 1.0)).collect()
}

fn history(gradients: &[Vec<f32>], i: usize) -> Vec<f64> {
    gradients.iter().map(|g| g[i] as f64).collect()
}

fn sgd_matches_torch_in_f64(device: &Device) {
    let options = [(0.0, 0.0, 0.0, 0), (0.0, 0.0, 0.1, 0), (0.9, 0.0, 0.0, 0), (0.9, 0.5, 0.1, 0), (0.9, 0.0, 0.1, 1)];
    for len in LENGTHS {
        let (start, gradients) = (fill(1, len, 1.0), gradients(len));
        for (momentum, dampening, weight_decay, nesterov) in options {
            let (w, v) = (buffer(device, &start), poison(device, len));
            let kernel =
                Sgd { len: len as u32, lr: 0.05, momentum, dampening, weight_decay, nesterov, first: 0, guard: 0 };
            for (step, gradient) in gradients.iter().enumerate() {
                let kernel = Sgd { first: (step == 0) as u32, ..kernel };
                device.run(&kernel, [&buffer(device, gradient)], [&w, &v, &poison(device, 1)]).expect("run");
            }
            let [lr, momentum, dampening, weight_decay] =
                [0.05f32, momentum, dampening, weight_decay].map(|v| v as f64);
            let sgd = reference::Sgd { lr, momentum, dampening, weight_decay, nesterov: nesterov == 1 };
            let each = |i: usize| sgd.run(start[i] as f64, &history(&gradients, i));
            let (want_w, want_v): (Vec<f64>, Vec<f64>) = (0..len).map(each).unzip();
            assert_close(&format!("w of {kernel:?}"), &read(&w), &want_w, SGD);
            if momentum == 0.0 {
                assert!(read(&v).iter().all(|v| v.is_nan()), "without momentum, the velocity is unused");
            } else {
                assert_close(&format!("v of {kernel:?}"), &read(&v), &want_v, SGD);
            }
        }
    }
}

fn adam_matches_torch_in_f64(device: &Device) {
    let [lr, beta1, beta2, eps] = [0.02f32, 0.9, 0.999, 1e-8];
    for len in LENGTHS {
        let (start, gradients) = (fill(2, len, 1.0), gradients(len));
        for (weight_decay, decoupled) in [(0.0, 0), (0.1, 0), (0.1, 1)] {
            let (w, [m, v]) = (buffer(device, &start), [0, 1].map(|_| buffer(device, &vec![0.0; len])));
            for (step, gradient) in gradients.iter().enumerate() {
                let t = step as i32 + 1;
                let step_size = (lr as f64 / (1.0 - (beta1 as f64).powi(t))) as f32;
                let root2 = (1.0 - (beta2 as f64).powi(t)).sqrt() as f32;
                let kernel = Adam {
                    len: len as u32,
                    lr,
                    beta1,
                    beta2,
                    eps,
                    weight_decay,
                    decoupled,
                    step_size,
                    root2,
                    guard: 0,
                };
                device.run(&kernel, [&buffer(device, gradient)], [&w, &m, &v, &poison(device, 1)]).expect("run");
            }
            let [lr, beta1, beta2, eps, weight_decay] = [lr, beta1, beta2, eps, weight_decay].map(|v| v as f64);
            let adam = reference::Adam { lr, beta1, beta2, eps, weight_decay, decoupled: decoupled == 1 };
            let want: Vec<[f64; 3]> = (0..len).map(|i| adam.run(start[i] as f64, &history(&gradients, i))).collect();
            let what = format!("{len} elements, weight decay {weight_decay}, decoupled {decoupled}");
            for (part, tensor) in [&w, &m, &v].into_iter().enumerate() {
                let want: Vec<f64> = want.iter().map(|parts| parts[part]).collect();
                assert_close(&format!("part {part} of {what}"), &read(tensor), &want, ADAM);
            }
        }
    }
}

/// Returns `[total, updates, flags…]` of a status buffer.
fn status_words(status: &wgru::Tensor) -> (f32, Vec<u32>) {
    let words = read(status);
    (words[0], words[1..].iter().map(|w| w.to_bits()).collect())
}

fn status(device: &Device, total: f32, rest: &[u32]) -> wgru::Tensor {
    let words: Vec<f32> = std::iter::once(total).chain(rest.iter().map(|&w| f32::from_bits(w))).collect();
    buffer(device, &words)
}

fn training_status_adds_losses_until_one_is_not_finite(device: &Device) {
    let kernel = TrainingStatus { share: 0.5, parameters: 3 };
    let add = |status: &wgru::Tensor, loss: f32| {
        device.run(&kernel, [&buffer(device, &[loss])], [status]).expect("run");
        status_words(status)
    };
    let good = status(device, 0.0, &[0; 4]);
    assert_eq!(add(&good, 3.0), (1.5, vec![1, 0, 0, 0]));
    assert_eq!(add(&good, 1.0), (2.0, vec![2, 0, 0, 0]));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let failed = status(device, 2.0, &[2, 0, 0, 0]);
        let (total, rest) = add(&failed, bad);
        assert!(!total.is_finite() && rest == [2, 0, 0, 0], "{bad}: {total} {rest:?}");
        let (total, rest) = add(&failed, 1.0);
        assert!(!total.is_finite() && rest == [2, 0, 0, 0], "a failure stays: {total} {rest:?}");
    }
    let flagged = status(device, 2.0, &[2, 0, 0, 1]);
    let (total, rest) = add(&flagged, 1.0);
    assert!(total.is_nan() && rest == [2, 0, 0, 1], "{total} {rest:?}");
}

/// Runs one guarded step of Adam and one of SGD with momentum. Returns the buffers they write, with the status last.
fn guarded(device: &Device, total: f32, grad: &[f32], w: &[f32]) -> [Vec<Vec<u32>>; 2] {
    let len = grad.len() as u32;
    let adam = Adam {
        len,
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: 0,
        step_size: 1.0,
        root2: 0.03,
        guard: 3,
    };
    let sgd = Sgd { len, lr: 0.1, momentum: 0.9, dampening: 0.0, weight_decay: 0.0, nesterov: 0, first: 0, guard: 3 };
    let make =
        || (buffer(device, w), [0, 1].map(|_| buffer(device, &vec![0.5; w.len()])), status(device, total, &[7, 0, 0]));
    let bits = |t: &wgru::Tensor| read(t).iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    let grad = buffer(device, grad);
    let (a, [m, v], s) = make();
    device.run(&adam, [&grad], [&a, &m, &v, &s]).expect("adam");
    let of_adam = [&a, &m, &v, &s].map(bits).to_vec();
    let (a, [_, v], s) = make();
    device.run(&sgd, [&grad], [&a, &v, &s]).expect("sgd");
    [of_adam, [&a, &v, &s].map(bits).to_vec()]
}

fn optimizers_keep_and_flag_elements_that_are_not_finite(device: &Device) {
    let (half, len) = (0.5f32.to_bits(), 67);
    let w = fill(3, len, 1.0);
    for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, 66), (f32::NEG_INFINITY, 64)] {
        let mut grad = fill(4, len, 1.0);
        let good = guarded(device, 2.0, &grad, &w);
        grad[at] = bad;
        for (buffers, good) in guarded(device, 2.0, &grad, &w).into_iter().zip(good) {
            let (status, tensors) = buffers.split_last().expect("buffers");
            assert_eq!(status[..4], [2.0f32.to_bits(), 7, 0, 1], "{bad} at {at}");
            assert_eq!(good.last().expect("status")[3], 0, "a finite update sets no flag");
            for (part, (got, good)) in tensors.iter().zip(&good).enumerate() {
                for i in 0..len {
                    let old = if part == 0 { w[i].to_bits() } else { half };
                    assert_eq!(got[i], if i == at { old } else { good[i] }, "{bad}: element {i} of part {part}");
                }
            }
        }
    }
}

fn optimizers_leave_weights_alone_after_a_failure(device: &Device) {
    let (w, grad) = (fill(3, 67, 1.0), fill(4, 67, 1.0));
    for total in [f32::NAN, f32::INFINITY] {
        for buffers in guarded(device, total, &grad, &w) {
            let (status, tensors) = buffers.split_last().expect("buffers");
            assert_eq!(status[1..4], [7, 0, 0]);
            for (part, got) in tensors.iter().enumerate() {
                let is_old =
                    |(i, bits): (usize, &u32)| *bits == if part == 0 { w[i].to_bits() } else { 0.5f32.to_bits() };
                assert!(got[..67].iter().enumerate().all(is_old), "{total}: part {part} changed");
            }
        }
    }
}

fn clip_factor_is_one_for_norms_that_are_not_finite(device: &Device) {
    for (norm, want) in [(10.0, 0.5), (5.0, 1.0), (0.0, 1.0), (1e30, 5e-30)] {
        let factor = poison(device, 1);
        device.run(&ClipFactor { max_norm: 5.0 }, [&buffer(device, &[norm])], [&factor]).expect("run");
        assert_close(&format!("norm {norm}"), &read(&factor), &[want], 1e-6);
    }
    for norm in [f32::NAN, f32::INFINITY] {
        let factor = poison(device, 1);
        device.run(&ClipFactor { max_norm: 5.0 }, [&buffer(device, &[norm])], [&factor]).expect("run");
        assert_eq!(read(&factor), [1.0], "norm {norm}");
    }
}
