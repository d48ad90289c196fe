//! The minimal GRU in every configuration: outputs, and gradients of `x`, `h0` and all parameters.

use wgru::nn::{MinGru, MinGruConfig, MinGruForm, MinGruInput, Mode, Module};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill, twin};
use crate::reference::min_gru::Network;
use crate::reference::{differences, dot, wide};

/// Up to eight consecutive steps in f32.
const FORWARD: f64 = 6e-7;
/// The same backward, plus a sum over twelve steps of sequences.
const GRADIENT: f64 = 1.5e-6;
/// Backward through seventy steps, plus a sum over a hundred: errors of half an ulp each accumulate.
const LONG: f64 = 6e-6;

const BATCH: usize = 3;

fn cases() -> Vec<Network> {
    let mut all = Vec::new();
    for (bidirectional, reverse) in [(false, false), (false, true), (true, false)] {
        for (layers, bias) in [(1, true), (2, false), (2, true)] {
            for positive in [false, true] {
                all.push(Network { input: 2, hidden: 3, layers, bias, bidirectional, reverse, positive });
            }
        }
    }
    all
}

fn layer(device: &Device, n: &Network, batch_first: bool) -> Result<MinGru> {
    let form = if n.positive { MinGruForm::Log } else { MinGruForm::Linear };
    let Network { input, hidden, layers, bias, bidirectional, reverse, .. } = *n;
    let config = MinGruConfig { input, hidden, layers, bias, batch_first, dropout: 0.0, bidirectional, reverse, form };
    config.build(device, &mut Rng::new(5))
}

fn check(device: &Device, n: &Network, steps: usize, lengths: Option<[usize; BATCH]>, batch_first: bool) -> Result<()> {
    let tolerance = if steps > 8 { LONG } else { GRADIENT };
    let what = format!("{n:?}, {steps} steps, {lengths:?}, batch first {batch_first}");
    let layer = layer(device, n, batch_first)?;
    let directions = 1 + n.bidirectional as usize;
    let state = [n.layers * directions, BATCH, n.hidden];
    let x = fill(1, steps * BATCH * n.input, 1.5);
    let mut h0 = fill(2, state.iter().product(), 0.9);
    if n.positive {
        h0.iter_mut().for_each(|v| *v = v.abs() + 0.05); // 0 has no logarithm
    }
    let dy = fill(3, steps * BATCH * directions * n.hidden, 1.0);
    let dh_n = fill(4, h0.len(), 1.0);

    // Converts values [T, B, ..] to a tensor in the layer's axis order.
    let leaf = |values: &[f32], width: usize| -> Result<Tensor> {
        let time_first = Tensor::from_slice(device, values, &[steps, BATCH, width])?;
        if batch_first { time_first.permute(&[1, 0, 2]) } else { Ok(time_first) }
    };
    let by_time = |t: &Tensor| if batch_first { t.permute(&[1, 0, 2])?.read_blocking() } else { t.read_blocking() };
    let x_leaf = leaf(&x, n.input)?.requires_grad();
    let h0_leaf = Tensor::from_slice(device, &h0, &state)?.requires_grad();
    let input = MinGruInput { h0: Some(&h0_leaf), lengths: lengths.as_ref().map(|l| &l[..]) };
    let out = layer.run(&x_leaf, input, &mut Mode::Train(&mut Rng::new(0)))?;
    let from_y = out.output.mul(&leaf(&dy, directions * n.hidden)?)?.sum()?;
    let from_h = out.h_n.mul(&Tensor::from_slice(device, &dh_n, &state)?)?.sum()?;
    from_y.add(&from_h)?.backward()?;

    let mut inputs = vec![wide(&x), wide(&h0)];
    for (_, parameter) in layer.parameters() {
        inputs.push(wide(&parameter.read_blocking()?));
    }
    let lengths = lengths.unwrap_or([steps; BATCH]);
    let reference = |v: &[Vec<f64>]| n.run(&v[2..], &v[0], &v[1], &lengths);
    let (y, h_n) = reference(&inputs);
    assert_close(&format!("output of {what}"), &by_time(&out.output)?, &y, FORWARD);
    assert_close(&format!("h_n of {what}"), &out.h_n.read_blocking()?, &h_n, FORWARD);
    let want = differences(&inputs, |moved| {
        let (y, h_n) = reference(moved);
        dot(&y, &wide(&dy)) + dot(&h_n, &wide(&dh_n))
    });
    let grad = |t: &Tensor| t.grad().unwrap_or_else(|| panic!("{what}: no gradient"));
    assert_close(&format!("dx of {what}"), &by_time(&grad(&x_leaf))?, &want[0], tolerance);
    assert_close(&format!("dh0 of {what}"), &grad(&h0_leaf).read_blocking()?, &want[1], tolerance);
    for ((name, parameter), want) in layer.parameters().iter().zip(&want[2..]) {
        assert_close(&format!("{name} of {what}"), &grad(parameter).read_blocking()?, want, tolerance);
    }
    Ok(())
}

#[test]
fn min_gru_gradients_match_differences_in_every_configuration() {
    for n in cases() {
        for lengths in [None, Some([2, 4, 0])] {
            for batch_first in [false, true] {
                check(&twin(), &n, 4, lengths, batch_first).expect("forward and backward");
            }
        }
    }
}

/// With 70 steps, the GPU splits the scan into chunks.
#[test]
#[cfg(feature = "gpu")]
fn min_gru_gradients_match_differences_on_the_gpu() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    for n in cases().iter().filter(|n| n.layers == 2 && n.bias) {
        for (steps, lengths) in [(4, [2, 4, 0]), (70, [33, 70, 0])] {
            check(&device, n, steps, Some(lengths), false).expect("forward and backward");
        }
    }
}
