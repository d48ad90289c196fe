//! Losses, optimizers and clipping.

use wgru::kernels::{LossKind, TrainingStatus};
use wgru::train::loss::{self, CrossEntropyOptions, CtcOptions};
use wgru::train::{AdamConfig, AdamWConfig, Method, Optimizer, Reduction, SgdConfig, clip_grad_norm};
use wgru::{Result, Tensor};

use super::{EXACT, FEW, SUMS};
use crate::reference::ctc::Sequence;
use crate::reference::{dense, elementwise, training, wide};
use crate::run::{Run, Stop, Tolerance, fill, input, worst_error};

/// Sums of logarithms over some steps.
const CTC: Tolerance = Tolerance { forward: 4e-6, gradient: 1e-5 };
/// Several updates, each with a root and a quotient.
const UPDATES: f64 = 2e-6;

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    losses(run).await?;
    likelihood(run).await?;
    ctc(run).await?;
    optimizers(run).await?;
    clip(run).await?;
    status(run).await
}

async fn losses(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    type Loss = fn(&Tensor, &Tensor) -> Result<Tensor>;
    let cases: [(&str, LossKind, Loss); 4] = [
        ("mse", LossKind::Squared, loss::mse),
        ("mae", LossKind::Absolute, loss::mae),
        ("huber", LossKind::Huber, loss::huber),
        ("bce_with_logits", LossKind::BceWithLogits, loss::bce_with_logits),
    ];
    for (name, kind, f) in cases {
        let inputs = [input(1, &[5, 67], 2.0), input(2, &[5, 67], 2.0)];
        let reference = |v: &[Vec<f64>]| {
            let losses = v[0].iter().zip(&v[1]).map(|(&x, &t)| dense::loss(kind, 1.0, x, t));
            vec![losses.sum::<f64>() / v[0].len() as f64]
        };
        run.check(name, SUMS, &inputs, |x| f(&x[0], &x[1]), reference).await?;
    }
    let (rows, classes) = (7, 67);
    let targets: Vec<u32> = (0..rows as u32).map(|row| row * 31 % classes as u32).collect();
    let device = run.device.clone();
    let f = |x: &[Tensor]| {
        let target = Tensor::from_indices(&device, &targets, &[rows])?;
        let options = CrossEntropyOptions { label_smoothing: 0.125, reduction: Reduction::None, ..Default::default() };
        loss::cross_entropy_with(&x[0], &target, options)
    };
    let reference = |v: &[Vec<f64>]| {
        let each = v[0].chunks(classes).zip(&targets);
        each.map(|(row, &target)| dense::cross_entropy(row, target as usize, 0.125)).collect()
    };
    run.check("cross_entropy", SUMS, &[input(3, &[rows, classes], 3.0)], f, reference).await
}

/// Student's t, whose logarithms of the gamma function have a kernel of their own.
async fn likelihood(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let positive = |stream: u64, low: f32| {
        let (mut values, dims) = input(stream, &[67], 1.0);
        values.iter_mut().for_each(|v| *v = v.abs() * 4.0 + low);
        (values, dims)
    };
    let inputs = [input(4, &[67], 2.0), input(5, &[67], 2.0), positive(6, 0.5), positive(7, 2.0)];
    let reference = |v: &[Vec<f64>]| {
        let log_gamma = elementwise::log_gamma;
        let one = |i: usize| {
            let [loc, target, scale, df] = [0, 1, 2, 3].map(|k| v[k][i]);
            let z = (target - loc) / scale;
            scale.ln() + log_gamma(df / 2.0) - log_gamma((df + 1.0) / 2.0)
                + 0.5 * (df * std::f64::consts::PI).ln()
                + (df + 1.0) / 2.0 * (z * z / df).ln_1p()
        };
        vec![(0..67).map(one).sum::<f64>() / 67.0]
    };
    let f = |x: &[Tensor]| loss::student_t_nll(&x[0], &x[1], &x[2], &x[3]);
    run.check("student_t_nll", CTC, &inputs, f, reference).await
}

async fn ctc(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (steps, batch, classes) = (6, 3, 4);
    let (input_lengths, labels): ([usize; 3], [&[u32]; 3]) = ([6, 5, 4], [&[2, 1, 2], &[3, 3], &[]]);
    let targets = labels.concat();
    let target_lengths = labels.map(<[u32]>::len);
    let f = |x: &[Tensor]| {
        let log_probs = x[0].log_softmax()?;
        let options = CtcOptions { reduction: Reduction::None, ..Default::default() };
        loss::ctc_with(&log_probs, &targets, &input_lengths, &target_lengths, options)
    };
    let reference = |v: &[Vec<f64>]| {
        let p = dense::softmax(&v[0], classes);
        let one = |b: usize| {
            let p: Vec<Vec<f64>> =
                (0..input_lengths[b]).map(|t| p[(t * batch + b) * classes..][..classes].to_vec()).collect();
            let labels: Vec<usize> = labels[b].iter().map(|&label| label as usize).collect();
            -Sequence { p: &p, labels: &labels, blank: 0 }.total().ln()
        };
        (0..batch).map(one).collect()
    };
    run.check("ctc", CTC, &[input(8, &[steps, batch, classes], 2.0)], f, reference).await
}

async fn optimizers(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (rate, len, updates) = (0.05f32, 335, 5);
    let start = fill(9, len, 1.0);
    let gradients: Vec<Vec<f32>> = (0..updates).map(|update| fill(10 + update, len, 1.0)).collect();
    let history = |i: usize| gradients.iter().map(|g| f64::from(g[i])).collect::<Vec<f64>>();
    let sgd = SgdConfig { momentum: 0.875, weight_decay: 0.125, nesterov: true, ..Default::default() };
    let adam = AdamConfig { weight_decay: 0.125, ..Default::default() };
    let adamw = AdamWConfig { weight_decay: 0.125, ..Default::default() };
    let f64_sgd =
        training::Sgd { lr: rate.into(), momentum: 0.875, dampening: 0.0, weight_decay: 0.125, nesterov: true };
    let f64_adam = |decoupled: bool| training::Adam {
        lr: rate.into(),
        beta1: adam.betas.0.into(),
        beta2: adam.betas.1.into(),
        eps: adam.eps.into(),
        weight_decay: 0.125,
        decoupled,
    };
    let each =
        |of: &dyn Fn(f64, &[f64]) -> f64| -> Vec<f64> { (0..len).map(|i| of(start[i].into(), &history(i))).collect() };
    let cases = [
        ("sgd", Method::Sgd(sgd), each(&|w, g| f64_sgd.run(w, g).0)),
        ("adam", Method::Adam(adam), each(&|w, g| f64_adam(false).run(w, g)[0])),
        ("adamw", Method::AdamW(adamw), each(&|w, g| f64_adam(true).run(w, g)[0])),
    ];
    for (name, method, want) in cases {
        let device = run.device.clone();
        let updated = || -> Result<Tensor> {
            let w = Tensor::from_slice(&device, &start, &[len])?.requires_grad();
            let mut optimizer = Optimizer::new(vec![("w".into(), w.clone())], method, rate.into())?;
            for gradient in &gradients {
                w.set_grad(Some(Tensor::from_slice(&device, gradient, &[len])?));
                optimizer.step()?;
            }
            Ok(w.detach())
        };
        run.compare(name, UPDATES, updated(), &want).await?;
    }
    Ok(())
}

async fn clip(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let gradient = fill(20, 335, 1.0);
    let norm = wide(&gradient).iter().map(|g| g * g).sum::<f64>().sqrt();
    let want: Vec<f64> = wide(&gradient).iter().map(|g| g * 2.0 / (norm + 1e-6)).collect();
    let device = run.device.clone();
    let clipped = || -> Result<Tensor> {
        let w = Tensor::zeros(&device, &[335])?.requires_grad();
        w.set_grad(Some(Tensor::from_slice(&device, &gradient, &[335])?));
        clip_grad_norm(&[("w".to_string(), w.clone())], 2.0)?;
        w.grad().ok_or_else(|| wgru::Error::Gpu("the gradient is gone".to_string()))
    };
    run.compare("clip_grad_norm", FEW.forward, clipped(), &want).await
}

/// The running loss of an epoch, and the number of its updates.
async fn status(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    run.at("training status")?;
    let ran = async {
        let status = Tensor::zeros(&run.device, &[5])?;
        for loss in [3.0, 0.5, 1.25] {
            let loss = Tensor::full(&run.device, loss, &[1])?;
            run.device.run(&TrainingStatus { share: 0.5, parameters: 3 }, [&loss], [&status])?;
        }
        let words = status.read().await?;
        let got = [words[0], words[1].to_bits() as f32];
        Ok((worst_error(&got, &[2.375, 3.0]), None))
    };
    let result = ran.await;
    run.found("training status", Tolerance { forward: EXACT, gradient: EXACT }, result)
}
