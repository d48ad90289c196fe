//! Losses of forecasts: values against definitions in f64, gradients against central differences.

use wgru::train::Reduction;
use wgru::train::loss::{self, GaussianNllOptions};
use wgru::{Device, Error, Result, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;
use crate::reference::elementwise::{log_gamma, place};
use crate::reference::{differences, dot, wide};

/// A dozen operations in single precision, relative to the largest loss.
const LOSS: f64 = 3e-6;
/// Gradients have a few more.
const GRADIENT: f64 = 5e-6;
/// Sums of large terms that nearly cancel: those of the degrees of freedom, whose gradients are small, and those of
/// Tweedie deviances with a power near 1 or 2.
const CANCELLED: f64 = 1e-4;

on_every_backend![
    quantile_matches_its_definition,
    gaussian_nll_matches_the_density,
    student_t_nll_matches_the_density,
    negative_binomial_nll_matches_the_probabilities,
    large_counts_keep_their_digits,
    tweedie_deviance_matches_its_integral,
    invalid_arguments_are_refused,
];

/// Values and extents of a tensor.
type Input = (Vec<f32>, Vec<usize>);

/// Random values in `low..high`.
fn input(stream: u32, dims: &[usize], low: f32, high: f32) -> Input {
    let unit = fill(stream, dims.iter().product(), 0.5).into_iter().map(|v| v + 0.5);
    (unit.map(|v| low + (high - low) * v).collect(), dims.to_vec())
}

/// Checks the losses and the gradient of every input. `reference` gets one value of each input, broadcast.
#[track_caller]
fn check(
    (device, name): (&Device, &str),
    [of_loss, of_gradient]: [f64; 2],
    inputs: &[Input],
    f: impl Fn(&[Tensor], Reduction) -> Result<Tensor>,
    reference: impl Fn(&[f64]) -> f64,
) {
    let dims = inputs[0].1.clone();
    let all = |values: &[Vec<f64>]| -> Vec<f64> {
        let at = |index: &Vec<usize>| {
            let each = inputs.iter().zip(values).map(|((_, dims), values)| values[place(dims, index)]);
            reference(&each.collect::<Vec<_>>())
        };
        crate::reference::elementwise::indices(&dims).iter().map(at).collect()
    };
    let leaf = |(values, dims): &Input| Tensor::from_slice(device, values, dims).expect("uploaded").requires_grad();
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let values: Vec<Vec<f64>> = inputs.iter().map(|(values, _)| wide(values)).collect();
    let want = all(&values);
    let losses = f(&leaves, Reduction::None).expect("losses");
    assert_close(name, &losses.read_blocking().expect("read"), &want, of_loss);
    for (reduction, share) in [(Reduction::Sum, 1.0), (Reduction::Mean, 1.0 / want.len() as f64)] {
        let got = f(&leaves, reduction).and_then(|loss| loss.item_blocking()).expect("loss");
        let (sum, size) = (want.iter().sum::<f64>() * share, want.iter().map(|v| v.abs()).sum::<f64>() * share);
        assert!((f64::from(got) - sum).abs() <= of_loss * size, "{name}: {reduction:?} is {got}, not {sum}");
    }
    let dy = fill(98, want.len(), 1.0);
    losses.backward_with(&Tensor::from_slice(device, &dy, &dims).expect("uploaded")).expect("backward");
    let slopes = differences(&values, |moved| dot(&all(moved), &wide(&dy)));
    for (i, (leaf, want)) in leaves.iter().zip(&slopes).enumerate() {
        match leaf.grad().map(|grad| grad.read_blocking().expect("read")) {
            Some(grad) => assert_close(&format!("{name}: gradient {i}"), &grad, want, of_gradient),
            None => assert_eq!(i, 1, "{name}: only the target may be without a gradient"),
        }
    }
}

fn quantile_matches_its_definition(device: &Device) {
    let levels = [0.05f32, 0.5, 0.9];
    let (prediction, dims) = input(1, &[4, 5, 3], -2.0, 2.0);
    let (target, _) = input(2, &[4, 5], -2.0, 2.0);
    let y = Tensor::from_slice(device, &prediction, &dims).expect("tensor").requires_grad();
    for target_dims in [&[4, 5][..], &[4, 5, 1]] {
        y.set_grad(None);
        let t = Tensor::from_slice(device, &target, target_dims).expect("tensor").requires_grad();
        let losses = loss::quantile_with(&y, &t, &levels, Reduction::None).expect("losses");
        let pairs =
            || prediction.iter().enumerate().map(|(i, &p)| (f64::from(p), f64::from(target[i / 3]), levels[i % 3]));
        let want: Vec<f64> = pairs()
            .map(|(p, t, q)| if t < p { (1.0 - f64::from(q)) * (p - t) } else { f64::from(q) * (t - p) })
            .collect();
        assert_close("quantile", &losses.read_blocking().expect("read"), &want, LOSS);
        let mean = loss::quantile(&y, &t, &levels).expect("loss");
        mean.backward().expect("backward");
        assert_close("mean", &[mean.item_blocking().expect("read")], &[want.iter().sum::<f64>() / 60.0], LOSS);
        let slope: Vec<f64> =
            pairs().map(|(p, t, q)| (if t < p { 1.0 - f64::from(q) } else { -f64::from(q) }) / 60.0).collect();
        assert_close("gradient", &y.grad().expect("gradient").read_blocking().expect("read"), &slope, GRADIENT);
        let of_target: Vec<f64> = slope.chunks(3).map(|each| -each.iter().sum::<f64>()).collect();
        assert_close("target's", &t.grad().expect("gradient").read_blocking().expect("read"), &of_target, GRADIENT);
    }
}

fn gaussian_nll_matches_the_density(device: &Device) {
    for full in [true, false] {
        let inputs = [input(3, &[3, 7], -2.0, 2.0), input(4, &[3, 7], -2.0, 2.0), input(5, &[3, 1], 0.2, 3.0)];
        let options = |reduction| GaussianNllOptions { full, reduction, ..GaussianNllOptions::default() };
        let f = |x: &[Tensor], reduction| loss::gaussian_nll_with(&x[0], &x[1], &x[2], options(reduction));
        let reference = |x: &[f64]| {
            let density = (-(x[0] - x[1]).powi(2) / (2.0 * x[2])).exp() / (std::f64::consts::TAU * x[2]).sqrt();
            -density.ln() - if full { 0.0 } else { 0.5 * std::f64::consts::TAU.ln() }
        };
        check((device, "Gaussian"), [LOSS, GRADIENT], &inputs, f, reference);
    }
    // Below ε, the loss is that of ε, and so is the gradient, as in PyTorch.
    let [mean, target] = [0.5, 1.0].map(|v| Tensor::full(device, v, &[1]).expect("tensor"));
    let var = Tensor::from_slice(device, &[-0.25], &[1]).expect("tensor").requires_grad();
    let options = GaussianNllOptions { eps: 0.125, ..GaussianNllOptions::default() };
    let loss = loss::gaussian_nll_with(&mean, &target, &var, options).expect("loss");
    loss.backward().expect("backward");
    assert_close("ε", &[loss.item_blocking().expect("read")], &[0.5 * (0.125f64.ln() + 0.25 / 0.125)], LOSS);
    let slope = 0.5 * (1.0 / 0.125 - 0.25 / 0.125f64.powi(2));
    assert_close("gradient at ε", &var.grad().expect("gradient").read_blocking().expect("read"), &[slope], GRADIENT);
}

fn student_t_nll_matches_the_density(device: &Device) {
    let pi = std::f64::consts::PI;
    let reference = |x: &[f64]| {
        let (z, scale, df) = ((x[1] - x[0]) / x[2], x[2], x[3]);
        let log = log_gamma(0.5 * (df + 1.0)) - log_gamma(0.5 * df) - 0.5 * (df * pi).ln() - scale.ln();
        0.5 * (df + 1.0) * (z * z / df).ln_1p() - log
    };
    for (low, high) in [(0.3, 2.0), (2.0, 30.0)] {
        let (x, t) = (input(6, &[3, 7], -3.0, 3.0), input(7, &[3, 7], -3.0, 3.0));
        let inputs = [x, t, input(8, &[7], 0.3, 2.0), input(9, &[3, 1], low, high)];
        let f = |x: &[Tensor], reduction| loss::student_t_nll_with(&x[0], &x[1], &x[2], &x[3], reduction);
        check((device, "Student"), [LOSS, CANCELLED], &inputs, f, reference);
    }
    // Many degrees of freedom: nearly a normal distribution, without loss of digits.
    let inputs = [0.0, 1.5, 1.0, 2000.0].map(|v| Tensor::full(device, v, &[1]).expect("tensor"));
    let loss = loss::student_t_nll(&inputs[0], &inputs[1], &inputs[2], &inputs[3]).expect("loss");
    let (got, want) = (loss.item_blocking().expect("read"), reference(&[0.0, 1.5, 1.0, 2000.0]));
    assert!((f64::from(got) - want).abs() <= 1e-6 + 5e-7 * 2000.0, "{got}, not {want}");
}

/// `−log P(k)` from the ratios of neighboring probabilities.
fn negative_binomial(logits: f64, k: f64, r: f64) -> f64 {
    let p = 1.0 / (1.0 + (-logits).exp());
    (0..k as usize).fold(-r * (1.0 - p).ln(), |sum, i| sum - ((r + i as f64) / (i as f64 + 1.0) * p).ln())
}

fn negative_binomial_nll_matches_the_probabilities(device: &Device) {
    for (low, high) in [(0.2, 3.0), (3.0, 40.0)] {
        let (mut counts, dims) = input(11, &[4, 6], -3.0, 20.0);
        counts.iter_mut().for_each(|v| *v = v.round().max(0.0));
        let inputs = [input(10, &[4, 6], -3.0, 2.0), (counts, dims), input(12, &[6], low, high)];
        let f = |x: &[Tensor], reduction| loss::negative_binomial_nll_with(&x[0], &x[1], &x[2], reduction);
        check((device, "negative binomial"), [LOSS, 4.0 * GRADIENT], &inputs, f, |x| {
            negative_binomial(x[0], x[1], x[2])
        });
    }
}

/// In single precision, `log Γ(10,000)` is only known to 0.008.
fn large_counts_keep_their_digits(device: &Device) {
    for (k, r, logits) in [(10_000.0f32, 3.0f32, 8.0f32), (12_345.0, 0.5, 9.5), (3.0, 5_000.0, -7.0)] {
        let all = [logits, k, r].map(|v| Tensor::full(device, v, &[1]).expect("tensor"));
        let [logits_, total] = [&all[0], &all[2]].map(Tensor::requires_grad);
        let loss = loss::negative_binomial_nll(&logits_, &all[1], &total).expect("loss");
        loss.backward().expect("backward");
        let got = f64::from(loss.item_blocking().expect("read"));
        let want = negative_binomial(logits.into(), k.into(), r.into());
        let bound = 2e-6 + 1e-6 * (f64::from(k + r) + want);
        assert!((got - want).abs() <= bound, "{k} of {r}: {got}, not {want} ± {bound}");
        let p = 1.0 / (1.0 + (-f64::from(logits)).exp());
        let slope = f64::from(r) * p - f64::from(k) * (1.0 - p);
        let got = logits_.grad().expect("gradient").item_blocking().expect("read");
        assert!((f64::from(got) - slope).abs() <= 2e-6 * f64::from(r + 1.0) * 4.0, "{got}, not {slope}");
    }
}

/// `2·∫ (y − u) / u^p du` from `μ` to `y`, by Simpson's rule on a scale that is even near 0.
fn tweedie(mu: f64, y: f64, p: f64) -> f64 {
    if y == 0.0 {
        return 2.0 * mu.powf(2.0 - p) / (2.0 - p);
    }
    let (from, steps) = (mu.ln(), 400);
    let width = (y.ln() - from) / f64::from(steps);
    let weight = |i: i32| if i == 0 || i == steps { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    let value = |u: f64| (y - u) * u.powf(1.0 - p);
    2.0 * width / 3.0 * (0..=steps).map(|i| weight(i) * value((from + width * f64::from(i)).exp())).sum::<f64>()
}

fn tweedie_deviance_matches_its_integral(device: &Device) {
    for power in [1.1f32, 1.5, 1.9] {
        let (mut target, dims) = input(14, &[5, 4], -1.0, 3.0);
        target.iter_mut().for_each(|v| *v = v.max(0.0));
        let inputs = [input(13, &[5, 4], 0.2, 4.0), (target, dims)];
        let f = |x: &[Tensor], reduction| loss::tweedie_deviance_with(&x[0], &x[1], power, reduction);
        check((device, &format!("Tweedie {power}")), [CANCELLED, GRADIENT], &inputs, f, |x| {
            tweedie(x[0], x[1], power.into())
        });
    }
    let [mu, negative] = [1.0, -1.0].map(|v| Tensor::full(device, v, &[1]).expect("tensor"));
    let loss = loss::tweedie_deviance(&mu, &negative, 1.5).expect("loss");
    assert!(loss.item_blocking().expect("read").is_nan());
}

fn invalid_arguments_are_refused(device: &Device) {
    let of = |dims: &[usize]| Tensor::ones(device, dims).expect("tensor");
    let refused = |result: Result<Tensor>, words: &[&str]| {
        let text = result.as_ref().err().map(Error::to_string).unwrap_or_default();
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text:?}");
    };
    let (x, wide) = (of(&[2, 3]), of(&[4, 2, 3]));
    refused(loss::quantile(&x, &of(&[2]), &[0.1, 0.9]), &["quantile", "prediction", "[.., 2]", "[2, 3]"]);
    refused(loss::quantile(&x, &of(&[3]), &[0.1, 0.5, 0.9]), &["quantile", "target", "[2]"]);
    refused(loss::quantile(&x, &of(&[2]), &[0.1, 0.5, 1.0]), &["quantile", "quantiles", "1"]);
    refused(loss::quantile(&x, &of(&[2]), &[]), &["quantile", "prediction"]);
    refused(loss::gaussian_nll(&x, &of(&[3]), &x), &["gaussian_nll", "target", "[2, 3]"]);
    refused(loss::gaussian_nll(&x, &x, &wide), &["gaussian_nll", "var", "broadcasts to [2, 3]", "[4, 2, 3]"]);
    let options = GaussianNllOptions { eps: 0.0, ..GaussianNllOptions::default() };
    refused(loss::gaussian_nll_with(&x, &x, &x, options), &["gaussian_nll", "eps"]);
    refused(loss::student_t_nll(&x, &x, &x, &of(&[2])), &["student_t_nll", "df", "[2]"]);
    refused(loss::negative_binomial_nll(&x, &x, &wide), &["negative_binomial_nll", "total_count"]);
    refused(loss::tweedie_deviance(&x, &x, 2.0), &["tweedie_deviance", "power", "2"]);
    refused(loss::tweedie_deviance(&x, &of(&[3]), 1.5), &["tweedie_deviance", "target"]);
    let indices = Tensor::from_indices(device, &[0; 6], &[2, 3]).expect("indices");
    refused(loss::student_t_nll(&indices, &x, &x, &x), &["f32"]);
}
