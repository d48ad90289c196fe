//! Masked values never affect the result, even if they are NaN or infinite: kernels select instead of multiplying.

use wgru::Device;
use wgru::kernels::marks::VALID;
use wgru::kernels::{
    Binary, BinaryOp, CrossEntropy, Dropout, Loss, LossKind, SoftmaxBackward, StateUpdate, StateUpdateBackward,
    ValidRows,
};

use crate::{buffer, indices, on_every_backend, run, update};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

on_every_backend![
    mask_selects,
    dropout_selects,
    valid_rows_are_copied_and_others_zeroed,
    softmax_backward_does_not_read_where_softmax_is_zero,
    cross_entropy_without_smoothing_accepts_impossible_classes,
    certain_targets_accept_infinite_logits,
    zoneout_and_recurrent_dropout_select,
];

fn mask_selects(device: &Device) {
    let (a, b) = (buffer(device, &[NAN, INF, -INF, 3.0, 3.0]), buffer(device, &[0.0, 0.0, -0.0, 0.5, 0.0]));
    let strides = [0, 0, 0, 1];
    let kernel = Binary { dims: [1, 1, 1, 5], a_strides: strides, b_strides: strides, op: BinaryOp::Mask as u32 };
    assert_eq!(run(device, &kernel, [&a, &b]), [[0.0, 0.0, 0.0, 1.5, 0.0]]);
}

fn dropout_selects(device: &Device) {
    let x = buffer(device, &[NAN, INF, -INF]);
    // Only a random word of all ones would be kept, and none of these three is.
    let kernel = Dropout { len: 3, key_low: 1, key_high: 2, threshold: u32::MAX, scale: 2.0 };
    assert_eq!(run(device, &kernel, [&x]), [[0.0; 3]]);
}

fn valid_rows_are_copied_and_others_zeroed(device: &Device) {
    // Four rows of two elements, three apart, starting at the second element.
    let x = [9.0, 1.0, 2.0, 9.0, NAN, INF, 9.0, 3.0, 4.0, 9.0, -INF, NAN];
    let marks = indices(device, &[VALID, 8, VALID | 2, 32]);
    let kernel = ValidRows { rows: 4, width: 2, src_row: 3, src_offset: 1 };
    assert_eq!(run(device, &kernel, [&marks, &buffer(device, &x)]), [[1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0]]);
    for (rows, width) in [(1, 1), (67, 3), (5, 257)] {
        let x: Vec<f32> = (0..rows * width).map(|i| i as f32).collect();
        let marks: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        let kernel = ValidRows { rows: rows as u32, width: width as u32, src_row: width as u32, src_offset: 0 };
        let want: Vec<f32> = (0..rows * width).map(|i| if i / width % 3 == 1 { i as f32 } else { 0.0 }).collect();
        assert_eq!(run(device, &kernel, [&indices(device, &marks), &buffer(device, &x)]), [want]);
    }
}

fn softmax_backward_does_not_read_where_softmax_is_zero(device: &Device) {
    let (y, dy) = (buffer(device, &[0.5, 0.0, 0.5, 0.0]), buffer(device, &[1.0, NAN, 3.0, INF]));
    let [dx] = run(device, &SoftmaxBackward { rows: 1, width: 4, log: 0 }, [&y, &dy]);
    assert_eq!(dx, [-0.5, 0.0, 0.5, 0.0]);
}

fn cross_entropy_without_smoothing_accepts_impossible_classes(device: &Device) {
    let (x, target) = (buffer(device, &[0.0, -INF, 0.0]), indices(device, &[2]));
    let loss =
        |smoothing| run(device, &CrossEntropy { rows: 1, classes: 3, ignored: 9, smoothing }, [&x, &target])[0][0];
    assert!((loss(0.0) - 2f32.ln()).abs() <= 1e-6, "{}", loss(0.0));
    assert_eq!(loss(0.1), INF);
}

fn certain_targets_accept_infinite_logits(device: &Device) {
    let (x, t) = (buffer(device, &[INF, INF, -INF, -INF, NAN]), buffer(device, &[1.0, 0.0, 0.0, 1.0, 1.0]));
    let [loss] = run(device, &Loss { len: 5, kind: LossKind::BceWithLogits as u32, delta: 0.0 }, [&x, &t]);
    assert_eq!(loss[..4], [0.0, INF, 0.0, INF]);
    assert!(loss[4].is_nan());
}

/// Zoneout keeps every unit's value, and dropout zeroes the input of the recurrent product.
fn zoneout_and_recurrent_dropout_select(device: &Device) {
    let p = StateUpdate {
        steps: 1,
        batch: 2,
        out: 2,
        width: 2,
        directions: 1,
        reverse: 0,
        step: 0,
        draws: 1,
        zone_h: 0.9,
        zone_c: 0.0,
        zone_h_below: u32::MAX,
        zone_c_below: 0,
        zone_low: 1,
        zone_high: 2,
        drops: 1,
        drop_below: u32::MAX,
        drop_scale: 10.0,
        drop_low: 3,
        drop_high: 4,
    };
    let marks = indices(device, &[VALID; 2]);
    let fresh = buffer(device, &[NAN, INF, -INF, NAN]);
    let state = [1.0, 2.0, 3.0, INF, NAN, NAN, NAN, NAN];
    let [state, y, dropped] = update(device, &p, [&marks, &fresh], [&state, &[NAN; 4], &[NAN; 8]]);
    assert_eq!((&state[4..], &y[..], &dropped[4..]), (&state[..4], &state[..4], &[0.0; 4][..]));

    let (dy, q) = (buffer(device, &[1.0, INF, 2.0, NAN]), buffer(device, &[NAN, INF, -INF, NAN]));
    let [d_fresh, carry] = update(device, &StateUpdateBackward(p), [&marks, &dy, &q], [&[NAN; 4], &[0.0; 8]]);
    assert_eq!(d_fresh, [0.0; 4]);
    assert_eq!(carry[..3], [1.0, INF, 2.0]);
    let last = StateUpdateBackward(StateUpdate { step: 1, ..p });
    let [_, carry] = update(device, &last, [&marks, &dy, &q], [&[NAN; 4], &[5.0; 8]]);
    assert_eq!(carry[..4], [5.0; 4]);
}
