//! SGD and Adam over several steps.

use wgru::Device;
use wgru::kernels::{Adam, Sgd};

use crate::common::{assert_close, fill};
use crate::reference::training as reference;
use crate::{LENGTHS, buffer, on_every_backend, poison, read};

/// Updates made in a row, so that the moments matter.
const STEPS: usize = 5;
/// Rounding of five steps. The parameters are near 1, each update far below.
const SGD: f64 = 4e-7;
/// The same, with a root and a quotient in each step.
const ADAM: f64 = 8e-7;

on_every_backend![sgd_matches_torch_in_f64, adam_matches_torch_in_f64];

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
            let kernel = Sgd { len: len as u32, lr: 0.05, momentum, dampening, weight_decay, nesterov, first: 0 };
            for (step, gradient) in gradients.iter().enumerate() {
                let kernel = Sgd { first: (step == 0) as u32, ..kernel };
                device.run(&kernel, [&buffer(device, gradient)], [&w, &v]).expect("run");
            }
            let [lr, momentum, dampening, weight_decay] =
                [0.05f32, momentum, dampening, weight_decay].map(|v| v as f64);
            let sgd = reference::Sgd { lr, momentum, dampening, weight_decay, nesterov: nesterov == 1 };
            let each = |i: usize| sgd.run(start[i] as f64, &history(&gradients, i));
            let (want_w, want_v): (Vec<f64>, Vec<f64>) = (0..len).map(each).unzip();
            assert_close(&format!("w of {kernel:?}"), &read(&w), &want_w, SGD);
            if momentum == 0.0 {
                assert!(read(&v).iter().all(|v| v.is_nan()), "the velocity is not used without momentum");
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
                let kernel = Adam { len: len as u32, lr, beta1, beta2, eps, weight_decay, decoupled, step_size, root2 };
                device.run(&kernel, [&buffer(device, gradient)], [&w, &m, &v]).expect("run");
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
