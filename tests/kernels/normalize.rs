//! layer_norm, layer_norm_backward and masked_softmax.

use wgru::Device;
use wgru::kernels::{LayerNorm, LayerNormBackward, MaskedSoftmax, SoftmaxBackward};

use crate::common::{assert_close, fill, mix};
use crate::reference::{differences, dot, normalize as reference, wide};
use crate::{buffer, indices, on_every_backend, run};

/// Two sums over up to 335 elements, and a shader's square root and division. Worst measured: 5e-7.
const LAYER_NORM: f64 = 1.5e-6;
/// The same, for products of mixed signs. Central differences in f64 are accurate to 1e-8. Worst measured: 8e-7.
const LAYER_NORM_BACKWARD: f64 = 2e-6;
/// The exponentials' error of a few ulp, and a sum of up to 257 of them. Worst measured: 2e-7.
const SOFTMAX: f64 = 1.2e-6;

on_every_backend![
    layer_norm_matches_f64,
    layer_norm_backward_matches_differences,
    layer_norm_of_equal_elements_is_the_bias,
    layer_norm_propagates_nan_within_its_row,
    masked_softmax_matches_f64,
    masked_softmax_does_not_read_masked_elements,
    masked_softmax_propagates_nan_within_its_row,
];

/// Rows, width, groups: below and past the edge of a workgroup.
const SIZES: [[usize; 3]; 7] = [[1, 1, 1], [3, 67, 1], [6, 5, 3], [67, 3, 1], [5, 335, 1], [258, 5, 3], [66, 33, 2]];

const EPS: f32 = 1e-5;

/// `x`, `weight`, `bias` and `dy` of a size; the rows differ in mean and in spread.
fn data([rows, width, groups]: [usize; 3]) -> [Vec<f32>; 4] {
    let mut x = fill(1, rows * width, 1.0);
    let (level, scale) = (fill(2, rows, 3.0), fill(3, rows, 2.0));
    x.iter_mut().enumerate().for_each(|(i, v)| *v = *v * (scale[i / width] + 2.5) + level[i / width]);
    [x, fill(4, groups * width, 1.0), fill(5, groups * width, 1.0), fill(6, rows * width, 1.0)]
}

fn forward(device: &Device, [rows, width, groups]: [usize; 3], [x, weight, bias]: [&[f32]; 3]) -> [Vec<f32>; 2] {
    let [rows, width, groups] = [rows, width, groups].map(|n| n as u32);
    let kernel = LayerNorm { rows, width, groups, eps: EPS };
    run(device, &kernel, [&buffer(device, x), &buffer(device, weight), &buffer(device, bias)])
}

fn layer_norm_matches_f64(device: &Device) {
    for size in SIZES {
        let [x, weight, bias, _] = data(size);
        let [y, stats] = forward(device, size, [&x, &weight, &bias]);
        let want = reference::layer_norm(&wide(&x), &wide(&weight), &wide(&bias), size[1], EPS as f64);
        assert_close(&format!("y of {size:?}"), &y, &want, LAYER_NORM);
        let means: Vec<f32> = stats.chunks(2).map(|pair| pair[0]).collect();
        let want: Vec<f64> = wide(&x).chunks(size[1]).map(|x| x.iter().sum::<f64>() / size[1] as f64).collect();
        assert_close(&format!("means of {size:?}"), &means, &want, LAYER_NORM);
    }
}

fn layer_norm_backward_matches_differences(device: &Device) {
    for size in SIZES.into_iter().filter(|&[rows, width, _]| rows * width <= 700 && width > 1) {
        let [rows, width, groups] = size;
        let [x, weight, bias, dy] = data(size);
        let [_, stats] = forward(device, size, [&x, &weight, &bias]);
        let reads = [&x, &weight, &stats, &dy].map(|v| buffer(device, v));
        let kernel = LayerNormBackward { rows: rows as u32, width: width as u32, groups: groups as u32 };
        let [dx, dw] = run(device, &kernel, reads.each_ref());

        // One row at a time, since a row's result depends on nothing else.
        let (mut want_dx, mut want_dw) = (Vec::new(), Vec::new());
        for (row, x) in wide(&x).chunks(width).enumerate() {
            let part = |values: &[f32], at: usize| wide(&values[at * width..][..width]);
            let (weight, bias, dy) = (part(&weight, row % groups), part(&bias, row % groups), part(&dy, row));
            let f = |v: &[Vec<f64>]| dot(&reference::layer_norm(&v[0], &v[1], &bias, width, EPS as f64), &dy);
            let mut grads = differences(&[x.to_vec(), weight], f).into_iter();
            want_dx.extend(grads.next().into_iter().flatten());
            want_dw.extend(grads.next().into_iter().flatten());
        }
        assert_close(&format!("dx of {size:?}"), &dx, &want_dx, LAYER_NORM_BACKWARD);
        assert_close(&format!("dw of {size:?}"), &dw, &want_dw, LAYER_NORM_BACKWARD);
    }
}

fn layer_norm_of_equal_elements_is_the_bias(device: &Device) {
    let (weight, bias) = (fill(4, 4, 1.0), fill(5, 4, 1.0));
    let [y, _] = forward(device, [3, 4, 1], [&[2.0; 12], &weight, &bias]);
    assert_eq!(y, [&bias[..], &bias, &bias].concat());
}

fn nans(values: &[f32]) -> Vec<bool> {
    values.iter().map(|v| v.is_nan()).collect()
}

fn layer_norm_propagates_nan_within_its_row(device: &Device) {
    let poisoned = [false, false, false, true, true, true];
    let [x, weight, bias, dy] = data([2, 3, 1]);
    for at in 3..6 {
        let (mut nan_x, mut nan_dy) = (x.clone(), dy.clone());
        (nan_x[at], nan_dy[at]) = (f32::NAN, f32::NAN);
        let [y, stats] = forward(device, [2, 3, 1], [&nan_x, &weight, &bias]);
        assert_eq!(nans(&y), poisoned);
        let kernel = LayerNormBackward { rows: 2, width: 3, groups: 1 };
        for (x, stats, dy) in [(&nan_x, &stats, &dy), (&x, &vec![0.0, 1.0, 0.0, 1.0], &nan_dy)] {
            let [dx, _] = run(device, &kernel, [x, &weight, stats, dy].map(|v| buffer(device, v)).each_ref());
            assert_eq!(nans(&dx), poisoned);
        }
    }
}

/// Batch, rows, width.
const MASKED: [[usize; 3]; 6] = [[1, 1, 1], [3, 5, 67], [67, 1, 3], [2, 130, 5], [1, 3, 257], [33, 2, 2]];

/// Keeps two of three elements at random; with several masks, the first one keeps nothing.
fn keep([batch, _, width]: [usize; 3]) -> Vec<bool> {
    (0..batch * width).map(|i| (batch == 1 || i >= width) && !mix(i as u32 + 9).is_multiple_of(3)).collect()
}

fn marked(device: &Device, keep: &[bool]) -> wgru::Tensor {
    // Any nonzero value keeps an element.
    indices(device, &keep.iter().enumerate().map(|(i, &k)| k as u32 * (i as u32 + 1)).collect::<Vec<_>>())
}

fn masked_softmax_matches_f64(device: &Device) {
    for size in MASKED {
        let [batch, rows, width] = size;
        let (x, dy) = (fill(1, batch * rows * width, 8.0), fill(2, batch * rows * width, 1.0));
        let keep = if width == 1 { vec![true] } else { keep(size) };
        let kernel = MaskedSoftmax { batch: batch as u32, rows: rows as u32, width: width as u32 };
        let [y] = run(device, &kernel, [&buffer(device, &x), &marked(device, &keep)]);
        let want = reference::masked_softmax(&wide(&x), &keep, rows, width);
        assert_close(&format!("{kernel:?}"), &y, &want, SOFTMAX);
        for (i, y) in y.iter().enumerate() {
            let masked = !keep[i / (rows * width) * width + i % width];
            assert!(!masked || *y == 0.0, "{kernel:?}: element {i} is masked, but is {y}");
        }
        // The gradient of the plain softmax is also that of the masked one.
        let kernel = SoftmaxBackward { rows: (batch * rows) as u32, width: width as u32, log: 0 };
        let [dx] = run(device, &kernel, [&buffer(device, &y), &buffer(device, &dy)]);
        for (i, dx) in dx.iter().enumerate() {
            let masked = !keep[i / (rows * width) * width + i % width];
            assert!(!masked || *dx == 0.0, "{kernel:?}: element {i} is masked, but its gradient is {dx}");
        }
    }
}

fn masked_softmax_does_not_read_masked_elements(device: &Device) {
    let x = [f32::NAN, 1.0, 1.0, f32::INFINITY, f32::NAN, f32::INFINITY, 3e38, -3e38];
    let keep = marked(device, &[false, true, true, false]);
    let [y] = run(device, &MaskedSoftmax { batch: 1, rows: 1, width: 4 }, [&buffer(device, &x[..4]), &keep]);
    assert_eq!(y, [0.0, 0.5, 0.5, 0.0]);
    let [y] = run(
        device,
        &MaskedSoftmax { batch: 1, rows: 1, width: 4 },
        [&buffer(device, &x), &marked(device, &[false; 4])],
    );
    assert_eq!(y, [0.0; 4]);
    // Extreme logits, and all kept ones negative.
    let far = [-3e38, -1e30, 0.0, -1e30];
    let keep = marked(device, &[true, true, false, true]);
    let [y] = run(device, &MaskedSoftmax { batch: 1, rows: 1, width: 4 }, [&buffer(device, &far), &keep]);
    assert_eq!(y, [0.0, 0.5, 0.0, 0.5]);
}

fn masked_softmax_propagates_nan_within_its_row(device: &Device) {
    for at in [3, 5] {
        let mut x = [0.5; 6];
        x[at] = f32::NAN;
        let keep = marked(device, &[true, false, true]);
        let [y] = run(device, &MaskedSoftmax { batch: 1, rows: 2, width: 3 }, [&buffer(device, &x), &keep]);
        assert_eq!(nans(&y), [false, false, false, true, false, true]);
    }
}
