//! Matrix products: every shader by name, and the operations that choose among them.

use wgru::kernels::MatMul;
use wgru::{Result, Tensor};

use super::{SUMS, run_kernel};
use crate::reference::elementwise::{broadcast_dims, indices, place};
use crate::reference::{dense, wide};
use crate::run::{Run, Stop, fill, input};
use crate::timings::products::{SHADERS, can_run, multiply};

/// Dot products of up to 335 terms.
const PRODUCT: f64 = 3e-6;

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    for [m, n, k] in [[3, 67, 257], [67, 67, 33], [4, 64, 64], [64, 128, 36], [130, 132, 68], [1, 335, 67]] {
        let plain = MatMul::new(m, n, k);
        let layouts = [("mixed", plain), ("along", plain.b_transposed()), ("across", plain.a_transposed())];
        for (layout, p) in layouts {
            let bias = MatMul { bias: 1, ..p };
            let ([a, b, _], _) = bias.reach();
            let (a, b, row) = (fill(1, a, 1.0), fill(2, b, 1.0), fill(3, n, 1.0));
            let [at_a, at_b] = [[p.a_row, p.a_col], [p.b_row, p.b_col]].map(|strides| strides.map(|n| n as usize));
            let (wide_a, wide_b, wide_row) = (wide(&a), wide(&b), wide(&row));
            let products = dense::matmul(
                [m, n, k],
                |row, i| wide_a[row * at_a[0] + i * at_a[1]],
                |i, col| wide_b[i * at_b[0] + col * at_b[1]],
            );
            let want: Vec<f64> = products.iter().enumerate().map(|(i, v)| v + wide_row[i % n]).collect();
            let device = run.device.clone();
            let product = |shader: &str| -> Result<Tensor> {
                let of = |values: &[f32]| Tensor::from_slice(&device, values, &[values.len()]);
                let c = Tensor::full(&device, f32::NAN, &[m * n])?;
                multiply(&device, shader, bias, [&of(&a)?, &of(&b)?, &of(&row)?], &c)?;
                Ok(c)
            };
            for shader in SHADERS.into_iter().filter(|shader| can_run(&device, shader, &bias)) {
                run.compare(&format!("{shader} {m}×{n}×{k} {layout}"), PRODUCT, product(shader), &want).await?;
            }
        }
    }
    split(run).await?;
    operations(run).await
}

/// A product whose sum is split, as a batch of parts with an ordered second pass.
async fn split(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let [m, n, k] = [3, 5, 2048];
    let (a, b) = (fill(4, m * k, 1.0), fill(5, k * n, 1.0));
    let (wide_a, wide_b) = (wide(&a), wide(&b));
    let want = dense::matmul([m, n, k], |row, i| wide_a[row * k + i], |i, col| wide_b[i * n + col]);
    let part = 512;
    let [each, parts] = [part as u32, (k / part) as u32];
    let whole = MatMul::new(m, n, k);
    let p = MatMul {
        k: each,
        batch: parts,
        k_all: k as u32,
        a_batch: each * whole.a_col,
        b_batch: each * whole.b_row,
        c_batch: (m * n) as u32,
        ..whole
    };
    let got = Tensor::from_slice(&run.device, &a, &[a.len()]).and_then(|a| {
        let (b, none) = (Tensor::from_slice(&run.device, &b, &[b.len()])?, Tensor::zeros(&run.device, &[1])?);
        let [c] = run_kernel(run, &p, [&a, &b, &none])?;
        c.reshape(&[k / part, m * n])?.sum_axis(0)
    });
    run.compare("plain 3×5×2048 in four parts", PRODUCT, got, &want).await
}

async fn operations(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    for [m, n, k] in [[5, 67, 33], [67, 64, 68]] {
        let inputs = [input(6, &[m, k], 1.0), input(7, &[n, k], 1.0), input(8, &[n], 1.0)];
        let reference = |x: &[Vec<f64>]| {
            let products = dense::matmul([m, n, k], |row, i| x[0][row * k + i], |i, col| x[1][col * k + i]);
            products.iter().enumerate().map(|(i, v)| v + x[2][i % n]).collect()
        };
        let f = |x: &[Tensor]| x[0].linear(&x[1], Some(&x[2]));
        run.check(&format!("linear {m}×{n}×{k}"), SUMS, &inputs, f, reference).await?;
    }
    let (da, db) = ([2, 1, 3, 5], [4, 5, 7]);
    let batch = broadcast_dims(&da[..2], &db[..1]);
    let reference = |x: &[Vec<f64>]| {
        let item = |at: &Vec<usize>| {
            let (a, b) = (place(&da[..2], at) * 15, place(&db[..1], at) * 35);
            dense::matmul([3, 7, 5], |row, i| x[0][a + row * 5 + i], |i, col| x[1][b + i * 7 + col])
        };
        indices(&batch).iter().flat_map(item).collect()
    };
    let inputs = [input(9, &da, 1.0), input(10, &db, 1.0)];
    run.check("matmul of batches", SUMS, &inputs, |x| x[0].matmul(&x[1]), reference).await
}
