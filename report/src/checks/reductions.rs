//! Sums, extremes, softmax and layer normalization.

use wgru::Tensor;

use super::{EXACT, FEW, SUMS};
use crate::reference::{dense, elementwise, normalize};
use crate::run::{Run, Stop, Tolerance, fill, input};

const EXTREME: Tolerance = Tolerance { forward: EXACT, gradient: FEW.gradient };

pub async fn all(run: &mut Run<'_>) -> Result<(), Stop> {
    sums(run).await?;
    extremes(run).await?;
    let x = || [input(1, &[9, 67], 3.0)];
    run.check("softmax", SUMS, &x(), |x| x[0].softmax(), |x| dense::softmax(&x[0], 67)).await?;
    run.check("log_softmax", SUMS, &x(), |x| x[0].log_softmax(), |x| dense::log_softmax(&x[0], 67)).await?;
    masked(run).await?;
    let inputs = [input(2, &[10, 67], 1.0), input(3, &[2, 67], 1.0), input(4, &[2, 67], 1.0)];
    let f = |x: &[Tensor]| x[0].reshape(&[5, 2, 67])?.layer_norm(&x[1], &x[2], 1e-5);
    // The f32 nearest to ε.
    let eps = f64::from(1e-5f32);
    run.check("layer_norm", SUMS, &inputs, f, |x| normalize::layer_norm(&x[0], &x[1], &x[2], 67, eps)).await
}

async fn sums(run: &mut Run<'_>) -> Result<(), Stop> {
    let extents = [5, 67, 9];
    let x = || [input(1, &extents, 1.0)];
    let whole = [1, extents.iter().product(), 1];
    let of = |x: &[Vec<f64>], extents: [usize; 3]| elementwise::sum(&x[0], extents, extents[1], |v| v);
    run.check("sum", SUMS, &x(), |x| x[0].sum(), |x| of(x, whole)).await?;
    let mean = |x: &[Vec<f64>]| vec![of(x, whole)[0] / x[0].len() as f64];
    run.check("mean", SUMS, &x(), |x| x[0].mean(), mean).await?;
    run.check("sum_axis", SUMS, &x(), |x| x[0].sum_axis(1), |x| of(x, extents)).await?;
    let rest = |x: &[Vec<f64>]| of(x, [5, 67 * 9, 1]).iter().map(|sum| sum / 603.0).collect();
    run.check("mean_axes", SUMS, &x(), |x| x[0].mean_axes(&[1, 2]), rest).await?;
    // Long enough for a sum in two passes.
    let long = [input(5, &[20_000], 1.0)];
    run.check("sum of 20000", SUMS, &long, |x| x[0].sum(), |x| of(x, [1, 20_000, 1])).await
}

async fn extremes(run: &mut Run<'_>) -> Result<(), Stop> {
    let x = || [input(6, &[5, 67], 1.0)];
    let of = |x: &[Vec<f64>], f: fn(f64, f64) -> f64| -> Vec<f64> {
        x[0].chunks(67).map(|row| row.iter().copied().reduce(f).unwrap_or(f64::NAN)).collect()
    };
    run.check("max", EXTREME, &x(), |x| x[0].max(1), |x| of(x, f64::max)).await?;
    run.check("min", EXTREME, &x(), |x| x[0].min(1), |x| of(x, f64::min)).await?;
    let (values, dims) = input(7, &[2, 5000], 1.0);
    let want: Vec<f64> = values.chunks(5000).map(|row| row.iter().copied().fold(f32::MIN, f32::max).into()).collect();
    let got = Tensor::from_slice(&run.device, &values, &dims).and_then(|x| x.max(1));
    run.compare("max of 5000", EXACT, got, &want).await?;
    // The positions select the extremes.
    let got = Tensor::from_slice(&run.device, &values, &dims).and_then(|x| {
        let at = x.slice(0, 0..1)?.argmax(1)?;
        x.slice(0, 0..1)?.reshape(&[5000, 1])?.gather(&at)
    });
    run.compare("argmax of 5000", EXACT, got, &want[..1]).await
}

async fn masked(run: &mut Run<'_>) -> Result<(), Stop> {
    let (batch, rows, width) = (3, 5, 67);
    let keep: Vec<bool> = fill(8, batch * width, 1.0).iter().map(|v| *v > -0.3).collect();
    let marks: Vec<u32> = keep.iter().map(|&keep| keep.into()).collect();
    let device = run.device.clone();
    let x = [input(9, &[batch, rows, width], 3.0)];
    let f = |x: &[Tensor]| x[0].masked_softmax(&Tensor::from_indices(&device, &marks, &[batch, width])?);
    run.check("masked_softmax", SUMS, &x, f, |x| normalize::masked_softmax(&x[0], &keep, rows, width)).await?;

    let (steps, lengths) = (7, [7, 3, 1]);
    let x = || [input(10, &[steps, batch, 9], 1.0)];
    let of = |x: &[f64], f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let column = |b: usize, i: usize| (0..lengths[b]).map(|t| x[(t * batch + b) * 9 + i]).collect::<Vec<f64>>();
        (0..batch).flat_map(|b| (0..9).map(move |i| (b, i))).map(|(b, i)| f(&column(b, i))).collect()
    };
    let mean = |x: &[Vec<f64>]| of(&x[0], &|v| v.iter().sum::<f64>() / v.len() as f64);
    run.check("masked_mean", FEW, &x(), |x| x[0].masked_mean(&lengths), mean).await?;
    let max = |x: &[Vec<f64>]| of(&x[0], &|v| v.iter().copied().fold(f64::MIN, f64::max));
    run.check("masked_max", EXTREME, &x(), |x| x[0].masked_max(&lengths), max).await
}
