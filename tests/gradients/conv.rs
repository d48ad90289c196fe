//! Convolution over time, with every order of its axes.

use wgru::nn::{Axes, Conv1d, Conv1dConfig, Mode, Module};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill, twin};
use crate::reference::conv::Conv;
use crate::reference::{differences, dot, wide};

/// Sums of a few dozen products in f32.
const FORWARD: f64 = 5e-7;
const GRADIENT: f64 = 1e-6;

/// `[steps, batch, input, output, kernel, stride, padding, dilation, groups]`
const CASES: [[usize; 9]; 6] = [
    [1, 1, 1, 1, 1, 1, 0, 1, 1],
    [6, 2, 3, 2, 3, 1, 1, 1, 1],
    [9, 2, 4, 6, 2, 2, 0, 3, 2],
    [7, 1, 3, 3, 4, 1, 3, 1, 3],
    [8, 2, 2, 4, 3, 3, 2, 2, 2],
    [5, 3, 2, 3, 5, 2, 6, 1, 1],
];

fn layer(device: &Device, c: &Conv, axes: Axes, bias: bool) -> Result<Conv1d> {
    let Conv { input, output, taps, stride, padding, dilation, groups, .. } = *c;
    let config = Conv1dConfig { input, output, kernel: taps, stride, padding, dilation, groups, bias, axes };
    assert_eq!(config.output_steps(c.steps), c.outputs(), "{config:?}");
    config.build(device, &mut Rng::new(3))
}

/// Permutes values `[T, B, C]` to the order of `axes`, or back.
fn ordered(values: &[f32], [t, b, c]: [usize; 3], axes: Axes, back: bool) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (i, place) in (0..t).flat_map(|i| (0..b).flat_map(move |j| (0..c).map(move |k| [i, j, k]))).enumerate() {
        let [i_t, i_b, i_c] = place;
        let other = match axes {
            Axes::TimeFirst => i,
            Axes::BatchFirst => (i_b * t + i_t) * c + i_c,
            Axes::ChannelsFirst => (i_b * c + i_c) * t + i_t,
        };
        let (to, from) = if back { (i, other) } else { (other, i) };
        out[to] = values[from];
    }
    out
}

fn extents([t, b, c]: [usize; 3], axes: Axes) -> [usize; 3] {
    match axes {
        Axes::TimeFirst => [t, b, c],
        Axes::BatchFirst => [b, t, c],
        Axes::ChannelsFirst => [b, c, t],
    }
}

fn check(device: &Device, c: &Conv, axes: Axes, bias: bool) -> Result<()> {
    let what = format!("{c:?}, {axes:?}, bias {bias}");
    let conv = layer(device, c, axes, bias)?;
    let (dims, out) = ([c.steps, c.batch, c.input], [c.outputs(), c.batch, c.output]);
    let (x, dy) = (fill(1, dims.iter().product(), 1.0), fill(2, out.iter().product(), 1.0));
    let leaf = Tensor::from_slice(device, &ordered(&x, dims, axes, false), &extents(dims, axes))?.requires_grad();
    let y = conv.forward_with(&leaf, &mut Mode::Train(&mut Rng::new(0)))?;
    assert_eq!(y.dims(), extents(out, axes), "{what}");
    y.backward_with(&Tensor::from_slice(device, &ordered(&dy, out, axes, false), y.dims())?)?;

    let mut inputs = vec![wide(&x)];
    for (_, parameter) in conv.parameters() {
        inputs.push(wide(&parameter.read_blocking()?));
    }
    let reference = |v: &[Vec<f64>]| c.run(&v[0], &v[1], v.get(2).map(|b| &b[..]));
    assert_close(&format!("y of {what}"), &ordered(&y.read_blocking()?, out, axes, true), &reference(&inputs), FORWARD);
    let want = differences(&inputs, |moved| dot(&reference(moved), &wide(&dy)));
    let dx = ordered(&leaf.grad().expect("a gradient").read_blocking()?, dims, axes, true);
    assert_close(&format!("dx of {what}"), &dx, &want[0], GRADIENT);
    for ((name, parameter), want) in conv.parameters().iter().zip(&want[1..]) {
        let grad = parameter.grad().expect("a gradient").read_blocking()?;
        assert_close(&format!("{name} of {what}"), &grad, want, GRADIENT);
    }
    Ok(())
}

#[test]
fn conv1d_gradients_match_differences_in_every_order_of_axes() {
    for [steps, batch, input, output, taps, stride, padding, dilation, groups] in CASES {
        let c = Conv { steps, batch, input, output, taps, stride, padding, dilation, groups };
        for axes in [Axes::TimeFirst, Axes::BatchFirst, Axes::ChannelsFirst] {
            for bias in [true, false] {
                check(&twin(), &c, axes, bias).expect("forward and backward");
            }
        }
    }
}
