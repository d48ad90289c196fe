//! Negative log-likelihoods: losses for forecasts that are distributions.

use std::f32::consts::TAU;

use super::Reduction;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Checks that `target` has the shape of `input`, and that each of the other arguments broadcasts to it.
fn check_shapes(op: &'static str, input: &Tensor, target: &Tensor, others: &[(&'static str, &Tensor)]) -> Result<()> {
    if target.dims() != input.dims() {
        return Err(Error::shape(op, "target", format!("{:?}", input.dims()), target.dims()));
    }
    for (arg, other) in others {
        if !Shape::broadcast(op, input.shape(), other.shape()).is_ok_and(|shape| shape == *input.shape()) {
            return Err(Error::shape(op, arg, format!("a shape that broadcasts to {:?}", input.dims()), other.dims()));
        }
    }
    Ok(())
}

/// Options of [`gaussian_nll_with`]. Names and defaults are those of `torch.nn.functional.gaussian_nll_loss`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianNllOptions {
    /// Whether the constant `½·log 2π` is added.
    pub full: bool,
    /// ε, the lower bound of the variance.
    pub eps: f32,
    /// Reduction of the losses.
    pub reduction: Reduction,
}

impl Default for GaussianNllOptions {
    fn default() -> Self {
        Self { full: false, eps: 1e-6, reduction: Reduction::Mean }
    }
}

/// Negative log-likelihood of a normal distribution with mean `input` and variance `var`, as
/// `torch.nn.functional.gaussian_nll_loss`; the mean over all elements:
///
/// ```text
/// loss = ½·(log v + (input − target)² / v),    v = max(var, 1e-6)
/// ```
///
/// `var` broadcasts to the shape of `input`. As in PyTorch, the clamp passes the gradient of `v` on to `var`. A
/// negative variance is clamped too, where PyTorch raises an error. Make the output of a model positive with
/// [`softplus`](Tensor::softplus) or [`exp`](Tensor::exp):
///
/// ```
/// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
/// // Two outputs: the mean, and the variance before softplus.
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let model = Linear::new(&device, 1, 2, true, &mut rng)?;
/// // The targets are 3 or 5: mean 4, variance 1.
/// let data = HostData::new(&device, vec![1.0; 64], &[1])?
///     .with_targets((0..64).map(|i| 3.0 + 2.0 * (i % 2) as f32).collect(), &[1])?;
/// let options = TrainOptions { epochs: 200, ..Default::default() };
/// let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.05)?, options, rng);
/// let history = trainer.fit_blocking(&model, &data, None, |y, target| {
///     let parts = y.split(1, &[1, 1])?;
///     loss::gaussian_nll(&parts[0], target, &parts[1].softplus()?)
/// })?;
/// let best = 0.5 * (1f32.ln() + 1.0);
/// assert!((history.loss[199] - best).abs() < 0.01);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless `target` has the shape of `input`, and `var` has it without the last axis (one variance per row)
/// or broadcasts to it.
pub fn gaussian_nll(input: &Tensor, target: &Tensor, var: &Tensor) -> Result<Tensor> {
    gaussian_nll_with(input, target, var, GaussianNllOptions::default())
}

/// [`gaussian_nll`] with options.
///
/// # Errors
/// Same as [`gaussian_nll`]; [`Error::Value`] unless ε is positive.
pub fn gaussian_nll_with(input: &Tensor, target: &Tensor, var: &Tensor, options: GaussianNllOptions) -> Result<Tensor> {
    const OP: &str = "gaussian_nll";
    let GaussianNllOptions { full, eps, reduction } = options;
    if eps <= 0.0 || eps.is_nan() {
        return Err(Error::value(OP, "eps", "more than 0", eps));
    }
    // As in PyTorch: without its last axis, one variance per row.
    let (dims, is_per_row) = (input.dims(), input.dims().split_last().is_some_and(|(_, rows)| rows == var.dims()));
    let var = &if is_per_row { var.reshape(&[&dims[..dims.len() - 1], &[1]].concat())? } else { var.clone() };
    check_shapes(OP, input, target, &[("var", var)])?;
    // The second term is 0, and brings the gradient also to variances below ε.
    let fixed = var.detach();
    let least = fixed.scale(-1.0)?.clamp_max(-eps)?.scale(-1.0)?;
    let var = least.add(&var.sub(&fixed)?)?;
    let twice = input.sub(target)?.square()?.div(&var)?.add(&var.log()?)?;
    let losses = twice.scale(0.5)?;
    reduction.of(if full { losses.add_scalar(0.5 * TAU.ln())? } else { losses })
}

/// Negative log-likelihood of Student's t-distribution around `loc`, with scale `scale` and `df` degrees of freedom, as
/// `−torch.distributions.StudentT(df, loc, scale).log_prob(target)`; the mean over all elements:
///
/// ```text
/// loss = log scale + log Γ(ν/2) − log Γ((ν + 1)/2) + ½·log(ν·π) + (ν + 1)/2·log(1 + z²/ν)
/// z = (target − loc) / scale,    ν = df
/// ```
///
/// Its tails are heavier than those of a normal distribution, so that single outliers have less weight. `scale` and
/// `df` must be positive, and broadcast to the shape of `loc`; `df = 2 + softplus(x)` keeps the variance finite. All
/// four arguments have gradients. The rounding error is at most 1e-6 + 5e-7·(ν + |loss|).
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let device = Device::cpu();
/// let [loc, target, scale, df] = [0.0, 0.0, 1.0, 1.0].map(|v| Tensor::full(&device, v, &[1]));
/// let loss = loss::student_t_nll(&loc?, &target?, &scale?, &df?)?.item_blocking()?;
/// assert!((loss - std::f32::consts::PI.ln()).abs() < 1e-6);        // a Cauchy distribution, with density 1/π at 0
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless `target` has the shape of `loc` and the others broadcast to it.
pub fn student_t_nll(loc: &Tensor, target: &Tensor, scale: &Tensor, df: &Tensor) -> Result<Tensor> {
    student_t_nll_with(loc, target, scale, df, Reduction::Mean)
}

/// [`student_t_nll`] with another reduction.
///
/// # Errors
/// Same as [`student_t_nll`].
pub fn student_t_nll_with(
    loc: &Tensor,
    target: &Tensor,
    scale: &Tensor,
    df: &Tensor,
    reduction: Reduction,
) -> Result<Tensor> {
    check_shapes("student_t_nll", loc, target, &[("scale", scale), ("df", df)])?;
    // With a = ν/2 and Stirling's formula, log Γ(a) − log Γ(a + ½) + ½·log 2πa becomes
    // a·log(a / (a + ½)) + s(a) − s(a + ½) + ½ + ½·log 2π.
    let half = df.scale(0.5)?;
    let next = half.add_scalar(0.5)?;
    let constant = half.div(&next)?.log()?.mul(&half)?.add(&half.stirling()?)?.sub(&next.stirling()?)?;
    let square = target.sub(loc)?.div(scale)?.square()?;
    let tail = square.div(df)?.add_scalar(1.0)?.log()?.mul(&next)?;
    reduction.of(tail.add(&constant.add_scalar(0.5 + 0.5 * TAU.ln())?)?.add(&scale.log()?)?)
}

/// Negative log-likelihood of counts under a negative binomial distribution, in the parametrization of PyTorch and
/// GluonTS: `−torch.distributions.NegativeBinomial(total_count, logits=logits).log_prob(target)`; the mean over all
/// elements:
///
/// ```text
/// loss = r·log(1 + e^l) + k·log(1 + e^(−l)) − log Γ(k + r) + log Γ(r) + log Γ(k + 1)
/// r = total_count,    l = logits,    k = target
/// ```
///
/// The mean is `μ = r·e^l`, the variance `μ·(1 + e^l)`, which is always greater than the mean. `total_count` must be
/// positive; it broadcasts to the shape of `logits`. A negative count gives NaN. For a model of the mean, use
/// `logits = log μ − log r`. The rounding error is at most 2e-6 + 1e-6·(k + r + |loss|). The target has no gradient.
///
/// ```
/// use wgru::{Device, Tensor, train::loss};
/// let device = Device::cpu();
/// let [logits, target, total_count] = [0.0, 2.0, 1.0].map(|v| Tensor::full(&device, v, &[1]));
/// let loss = loss::negative_binomial_nll(&logits?, &target?, &total_count?)?.item_blocking()?;
/// assert!((loss - 8f32.ln()).abs() < 1e-6);                         // a geometric distribution: ½·½·½
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless `target` has the shape of `logits` and `total_count` broadcasts to it.
pub fn negative_binomial_nll(logits: &Tensor, target: &Tensor, total_count: &Tensor) -> Result<Tensor> {
    negative_binomial_nll_with(logits, target, total_count, Reduction::Mean)
}

/// [`negative_binomial_nll`] with another reduction.
///
/// # Errors
/// Same as [`negative_binomial_nll`].
pub fn negative_binomial_nll_with(
    logits: &Tensor,
    target: &Tensor,
    total_count: &Tensor,
    reduction: Reduction,
) -> Result<Tensor> {
    check_shapes("negative_binomial_nll", logits, target, &[("total_count", total_count)])?;
    let (l, k, r) = (logits, &target.detach(), total_count);
    let (next, sum) = (k.add_scalar(1.0)?, k.add(r)?);
    // By Stirling's formula, log Γ(k + r) − log Γ(r) − log Γ(k + 1) is
    // k·log((k + r) / (k + 1)) + (r − ½)·log((k + r) / r) − ½·log(k + 1) + 1 − ½·log 2π + s(k + r) − s(r) − s(k + 1).
    let of_count = sum.div(&next)?.log()?.mul(k)?.add(&sum.stirling()?)?;
    let of_total = sum.div(r)?.log()?.mul(&r.add_scalar(-0.5)?)?.sub(&r.stirling()?)?;
    let fixed = next.log()?.scale(-0.5)?.sub(&next.stirling()?)?.add_scalar(1.0 - 0.5 * TAU.ln())?;
    let ways = of_count.add(&of_total)?.add(&fixed)?;
    let cost = r.mul(&l.softplus()?)?.add(&k.mul(&l.scale(-1.0)?.softplus()?)?)?;
    reduction.of(cost.sub(&ways)?)
}
