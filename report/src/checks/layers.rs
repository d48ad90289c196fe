//! Layers other than the recurrent ones, and single steps of cells.

use wgru::nn::{
    Attention, AttentionConfig, AttentionPool, Axes, Conv1d, Conv1dConfig, Embedding, KeyMask, LayerNormGru,
    LayerNormGruConfig, LayerNormGruInput, MinGru, MinGruConfig, MinGruForm, MinGruInput, Mode, Module, RecurrentCell,
    RecurrentConfig, Score,
};
use wgru::{Cell, Result, Rng, Tensor};

use super::{FEW, SUMS};
use crate::reference::conv::Conv;
use crate::reference::min_gru::Network;
use crate::reference::normalize::{layer_norm, masked_softmax};
use crate::reference::recurrent::{Steps, run as run_f64};
use crate::reference::{dense, dot, wide};
use crate::run::{Run, Slopes, Stop, Tolerance, fill, gradient_error, worst_error};

/// Long scans, whose errors accumulate.
const LONG: Tolerance = Tolerance { forward: 4e-6, gradient: 2e-5 };

/// Checks a layer with its own random parameters. `f` runs it on leaves `inputs`; `reference` takes the inputs, then
/// the parameters.
async fn check<M: Module>(
    run: &mut Run<'_>,
    (name, tolerance): (&str, Tolerance),
    inputs: &[(u64, &[usize])],
    layer: Result<M>,
    f: impl Fn(&M, &[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> std::result::Result<(), Stop> {
    run.at(name)?;
    let ran = async {
        let layer = layer?;
        let mut leaves = Vec::new();
        let mut values = Vec::new();
        for &(stream, dims) in inputs {
            let of = fill(stream, dims.iter().product(), 1.0);
            leaves.push(Tensor::from_slice(&run.device, &of, dims)?.requires_grad());
            values.push(wide(&of));
        }
        let given = leaves.clone();
        for (_, parameter) in layer.parameters() {
            values.push(wide(&parameter.read().await?));
            leaves.push(parameter);
        }
        let want = reference(&values);
        let dy = fill(99, want.len(), 1.0);
        let y = f(&layer, &given)?;
        if y.len() != want.len() {
            return Ok((f64::INFINITY, None));
        }
        y.backward_with(&Tensor::from_slice(&run.device, &dy, y.dims())?)?;
        let slopes = Slopes::of(&values, |moved| dot(&reference(moved), &wide(&dy)));
        Ok((worst_error(&y.read().await?, &want), Some(gradient_error(&slopes, &leaves).await?)))
    };
    let result = ran.await;
    run.found(name, tolerance, result)
}

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    cells(run).await?;
    convolutions(run).await?;
    embedding(run).await?;
    min_gru(run).await?;
    layer_norm_gru(run).await?;
    attention(run).await?;
    pool(run).await
}

async fn cells(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (batch, input, hidden) = (3, 4, 7);
    for cell in Cell::ALL {
        let config = RecurrentConfig::new(cell, input, hidden);
        let layer = RecurrentCell::new(&run.device, config.clone(), &mut Rng::new(1));
        let f = |cell: &RecurrentCell, x: &[Tensor]| {
            let (h, c) = cell.step(&x[0], &x[1], x.get(2), &mut Mode::Train(&mut Rng::new(0)))?;
            match c {
                Some(c) => Tensor::concat(&[&h, &c], 1),
                None => Ok(h),
            }
        };
        let is_lstm = cell == Cell::Lstm;
        let states = if is_lstm { 2 } else { 1 };
        let reference = |v: &[Vec<f64>]| {
            let none = Vec::new();
            let c = if is_lstm { &v[2] } else { &none };
            let (_, h, c) = run_f64(&config, &v[1 + states..], &v[0], [&v[1], c], &Steps::all(1, batch), &[]);
            let row =
                |i: usize| [&h[i * hidden..][..hidden], c.get(i * hidden..(i + 1) * hidden).unwrap_or(&[])].concat();
            (0..batch).flat_map(row).collect()
        };
        let (x, state) = ([batch, input], [batch, hidden]);
        let inputs: [(u64, &[usize]); 3] = [(1, &x), (2, &state), (3, &state)];
        check(run, (&format!("{cell} cell"), SUMS), &inputs[..1 + states], layer, f, reference).await?;
    }
    Ok(())
}

async fn convolutions(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    for [steps, batch, input, output, taps, stride, padding, dilation, groups] in
        [[9, 2, 4, 6, 2, 2, 0, 3, 2], [8, 3, 5, 9, 3, 1, 1, 1, 1]]
    {
        let conv = Conv { steps, batch, input, output, taps, stride, padding, dilation, groups };
        let axes = Axes::TimeFirst;
        let config = Conv1dConfig { input, output, kernel: taps, stride, padding, dilation, groups, bias: true, axes };
        let layer: Result<Conv1d> = config.build(&run.device, &mut Rng::new(2));
        let f = |layer: &Conv1d, x: &[Tensor]| layer.forward_with(&x[0], &mut Mode::Train(&mut Rng::new(0)));
        let reference = |v: &[Vec<f64>]| conv.run(&v[0], &v[1], Some(&v[2]));
        let name = format!("conv1d of {taps} taps, {groups} groups");
        check(run, (&name, SUMS), &[(1, &[steps, batch, input])], layer, f, reference).await?;
    }
    Ok(())
}

async fn embedding(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let device = run.device.clone();
    let rows = [3, 0, 3, 4, 1, 3];
    let layer = Embedding::new(&device, 5, 67, &mut Rng::new(3));
    let f = |layer: &Embedding, _: &[Tensor]| {
        let index = Tensor::from_indices(&device, &rows, &[2, 3])?;
        layer.forward_with(&index, &mut Mode::Train(&mut Rng::new(0)))
    };
    let reference = |v: &[Vec<f64>]| rows.iter().flat_map(|&row| v[0][row as usize * 67..][..67].to_vec()).collect();
    check(run, ("embedding", FEW), &[], layer, f, reference).await
}

/// With 70 steps, the scan runs in chunks.
async fn min_gru(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    for (form, name) in [(MinGruForm::Linear, "linear"), (MinGruForm::Log, "log")] {
        for steps in [5, 70] {
            let lengths = [steps, steps / 2];
            let (input, hidden, layers, bias, bidirectional, reverse) = (3, 5, 1, true, true, false);
            let positive = form == MinGruForm::Log;
            let network = Network { input, hidden, layers, bias, bidirectional, reverse, positive };
            let config = MinGruConfig {
                input,
                hidden,
                layers,
                bias,
                batch_first: false,
                dropout: 0.0,
                bidirectional,
                reverse,
                form,
            };
            let layer: Result<MinGru> = config.build(&run.device, &mut Rng::new(4));
            let f = |layer: &MinGru, x: &[Tensor]| {
                // Positive states, which have logarithms.
                let h0 = x[1].square()?.add_scalar(0.1)?;
                let input = MinGruInput { h0: Some(&h0), lengths: Some(&lengths) };
                let out = layer.run(&x[0], input, &mut Mode::Train(&mut Rng::new(0)))?;
                let flat = |t: &Tensor| t.reshape(&[t.len()]);
                Tensor::concat(&[&flat(&out.output)?, &flat(&out.h_n)?], 0)
            };
            let reference = |v: &[Vec<f64>]| {
                let h0: Vec<f64> = v[1].iter().map(|h| h * h + f64::from(0.1f32)).collect();
                let (y, h_n) = network.run(&v[2..], &v[0], &h0, &lengths);
                [y, h_n].concat()
            };
            let inputs: [(u64, &[usize]); 2] = [(1, &[steps, 2, input]), (2, &[2, 2, hidden])];
            check(run, (&format!("min_gru {name}, {steps} steps"), LONG), &inputs, layer, f, reference).await?;
        }
    }
    Ok(())
}

async fn layer_norm_gru(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (steps, batch, input, h) = (4, 2, 3, 5);
    let config = LayerNormGruConfig { input, hidden: h, ..Default::default() };
    let layer = LayerNormGru::new(&run.device, config, &mut Rng::new(5));
    let f = |layer: &LayerNormGru, x: &[Tensor]| {
        let input = LayerNormGruInput { h0: Some(&x[1]), ..Default::default() };
        Ok(layer.run(&x[0], input, &mut Mode::Train(&mut Rng::new(0)))?.output)
    };
    let eps = f64::from(1e-5f32);
    let reference = |v: &[Vec<f64>]| {
        let [x, h0, w, u, norms @ ..] = v else { return Vec::new() };
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let products = |matrix: &[f64], v: &[f64], weight: &[f64], bias: &[f64]| {
            let sums: Vec<f64> = matrix.chunks(v.len()).map(|row| dot(row, v)).collect();
            layer_norm(&sums, weight, bias, h, eps)
        };
        let (mut state, mut y) = (h0.clone(), Vec::new());
        for t in 0..steps {
            for b in 0..batch {
                let a = products(w, &x[(t * batch + b) * input..][..input], &norms[0], &norms[1]);
                let c = products(u, &state[b * h..][..h], &norms[2], &norms[3]);
                for i in 0..h {
                    let (r, z) = (sigmoid(a[i] + c[i]), sigmoid(a[h + i] + c[h + i]));
                    let n = (a[2 * h + i] + r * c[2 * h + i]).tanh();
                    let at = &mut state[b * h + i];
                    *at = (1.0 - z) * n + z * *at;
                }
            }
            y.extend(&state);
        }
        y
    };
    let inputs: [(u64, &[usize]); 2] = [(1, &[steps, batch, input]), (2, &[1, batch, h])];
    // The variance of five sums may be small, and its root divides.
    check(run, ("layer_norm_gru", LONG), &inputs, layer, f, reference).await
}

async fn attention(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (batch, queries, keys, width, units) = (2, 3, 5, 6, 4);
    let lengths = [5, 3];
    for (name, score) in [("dot", Score::Dot), ("general", Score::General), ("additive", Score::Additive { units })] {
        let config = AttentionConfig { query: width, key: width, score, scaled: true, batch_first: true };
        let layer = Attention::new(&run.device, config, &mut Rng::new(6));
        let f = |layer: &Attention, x: &[Tensor]| {
            Ok(layer.run(&x[0], &x[1], &x[2], KeyMask::Lengths(&lengths), &Mode::Train(&mut Rng::new(0)))?.context)
        };
        let reference = |v: &[Vec<f64>]| {
            let row = |x: &[f64], i: usize| x[i * width..][..width].to_vec();
            let product = |w: &[f64], x: &[f64]| w.chunks(x.len()).map(|row| dot(row, x)).collect::<Vec<f64>>();
            let scored = |q: &[f64], k: &[f64]| match score {
                Score::Dot => dot(q, k) / (width as f64).sqrt(),
                Score::General => dot(q, &product(&v[3], k)) / (width as f64).sqrt(),
                Score::Additive { .. } => {
                    let sums: Vec<f64> =
                        product(&v[3], k).iter().zip(product(&v[4], q)).map(|(k, q)| (k + q).tanh()).collect();
                    dot(&v[5], &sums) / (units as f64).sqrt()
                }
            };
            let mut scores = Vec::new();
            for b in 0..batch {
                for i in 0..queries {
                    let q = row(&v[0], b * queries + i);
                    scores.extend((0..keys).map(|j| scored(&q, &row(&v[1], b * keys + j))));
                }
            }
            let keep: Vec<bool> = (0..batch * keys).map(|i| i % keys < lengths[i / keys]).collect();
            let weights = masked_softmax(&scores, &keep, queries, keys);
            let item = |b: usize| {
                let (weights, values) = (&weights[b * queries * keys..], &v[2][b * keys * width..]);
                dense::matmul([queries, width, keys], |i, j| weights[i * keys + j], |j, col| values[j * width + col])
            };
            (0..batch).flat_map(item).collect()
        };
        let (q, k) = ([batch, queries, width], [batch, keys, width]);
        let inputs: [(u64, &[usize]); 3] = [(1, &q), (2, &k), (3, &k)];
        check(run, (&format!("attention, {name}"), SUMS), &inputs, layer, f, reference).await?;
    }
    Ok(())
}

async fn pool(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let (batch, steps, width, units) = (2, 5, 6, 4);
    let lengths = [5, 3];
    let layer = AttentionPool::new(&run.device, width, units, &mut Rng::new(7));
    let f = |layer: &AttentionPool, x: &[Tensor]| {
        Ok(layer.run(&x[0], Some(&lengths), &mut Mode::Train(&mut Rng::new(0)))?.output)
    };
    let reference = |v: &[Vec<f64>]| {
        let score = |x: &[f64]| -> f64 {
            let unit = |u: usize| v[3][u] * (dot(&v[1][u * width..][..width], x) + v[2][u]).tanh();
            (0..units).map(unit).sum()
        };
        let scores: Vec<f64> = v[0].chunks(width).map(score).collect();
        let keep: Vec<bool> = (0..batch * steps).map(|i| i % steps < lengths[i / steps]).collect();
        let weights = masked_softmax(&scores, &keep, 1, steps);
        let at = |b: usize, i: usize| {
            (0..steps).map(|t| weights[b * steps + t] * v[0][(b * steps + t) * width + i]).sum::<f64>()
        };
        (0..batch).flat_map(|b| (0..width).map(move |i| (b, i))).map(|(b, i)| at(b, i)).collect()
    };
    check(run, ("attention pool", SUMS), &[(1, &[batch, steps, width])], layer, f, reference).await
}
