//! Copies, and rows selected by indices.

use wgru::Tensor;

use super::{EXACT, FEW};
use crate::reference::elementwise::{indices, place};
use crate::run::{Run, Stop, Tolerance, input};

/// Values are moved; gradients of repeated values are sums.
const MOVED: Tolerance = Tolerance { forward: EXACT, gradient: FEW.gradient };

pub async fn all(run: &mut Run<'_>) -> Result<(), Stop> {
    let dims = [5, 7, 9];
    let x = || [input(1, &dims, 1.0)];
    // The elements of an array of extents `to`, each from the place of `x` that `f` returns.
    let moved = |x: &[f64], to: &[usize], f: &dyn Fn(&[usize]) -> Vec<usize>| -> Vec<f64> {
        indices(to).iter().map(|at| x[place(&dims, &f(at))]).collect()
    };
    let turn = |x: &[Vec<f64>]| moved(&x[0], &[9, 5, 7], &|i| vec![i[1], i[2], i[0]]);
    run.check("permute", MOVED, &x(), |x| x[0].permute(&[2, 0, 1]), turn).await?;
    let flip = |x: &[Vec<f64>]| moved(&x[0], &dims, &|i| vec![4 - i[0], i[1], 8 - i[2]]);
    run.check("flip", MOVED, &x(), |x| x[0].flip(&[0, 2]), flip).await?;
    let part = |x: &[Vec<f64>]| moved(&x[0], &[5, 3, 9], &|i| vec![i[0], i[1] + 2, i[2]]);
    run.check("slice", MOVED, &x(), |x| x[0].slice(1, 2..5), part).await?;
    let swap = |x: &[Vec<f64>]| moved(&x[0], &dims, &|i| vec![i[0], (i[1] + 4) % 7, i[2]]);
    let f = |x: &[Tensor]| {
        let parts = x[0].split(1, &[4, 3])?;
        Tensor::concat(&[&parts[1], &parts[0]], 1)
    };
    run.check("split and concat", MOVED, &x(), f, swap).await?;
    let repeat = |x: &[Vec<f64>]| x[0].repeat(3);
    run.check("expand", MOVED, &x(), |x| x[0].unsqueeze(0)?.expand(&[3, 5, 7, 9]), repeat).await?;

    let rows = [4, 0, 4, 2, 4, 1];
    let device = run.device.clone();
    let f = |x: &[Tensor]| x[0].reshape(&[5, 63])?.gather(&Tensor::from_indices(&device, &rows, &[2, 3])?);
    let picked = |x: &[Vec<f64>]| rows.iter().flat_map(|&row| x[0][row as usize * 63..][..63].to_vec()).collect();
    run.check("gather and scatter_add", MOVED, &x(), f, picked).await
}
