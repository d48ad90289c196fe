//! NaN inputs give NaN outputs, but only where they should; no kernel turns NaN into a number.

use wgru::Device;
use wgru::kernels::{
    Binary, BinaryOp, CrossEntropy, CrossEntropyBackward, Dropout, Loss, LossBackward, LossKind, MatMul, MatMulRows,
    MatMulTiled, Softmax, SoftmaxBackward, Sum, Unary, UnaryBackward, UnaryOp,
};

use crate::common::fill;
use crate::gru_case::{Case, cases};
use crate::{buffer, indices, on_every_backend, run};

const NAN: f32 = f32::NAN;

on_every_backend![
    unary_propagates_nan,
    binary_propagates_nan,
    rows_propagate_nan,
    matmul_propagates_nan,
    losses_propagate_nan,
    gru_propagates_nan_within_its_sequence,
    gru_backward_propagates_nan_within_its_sequence,
];

/// Returns which elements are NaN.
fn nans(values: &[f32]) -> Vec<bool> {
    values.iter().map(|v| v.is_nan()).collect()
}

fn unary_propagates_nan(device: &Device) {
    let (x, dy) = (buffer(device, &[1.0, NAN, 2.0]), buffer(device, &[1.0, 1.0, NAN]));
    for op in UnaryOp::ALL {
        let [y] = run(device, &Unary { len: 3, op: op as u32, alpha: 5.0 }, [&x]);
        assert_eq!(nans(&y), [false, true, false], "{op:?}");
        let [dx] = run(device, &UnaryBackward { len: 3, op: op as u32, alpha: 5.0 }, [&x, &buffer(device, &y), &dy]);
        assert!(!dx[0].is_nan() && dx[2].is_nan(), "{op:?}: {dx:?}");
        // Where the slope is independent of x, or NaN falls on one side of a kink, the result depends only on dy.
        let constant = matches!(op, UnaryOp::Scale | UnaryOp::AddScalar | UnaryOp::Relu | UnaryOp::Min);
        assert_eq!(dx[1].is_nan(), !constant, "{op:?}: {dx:?}");
    }
    let [y] = run(device, &Dropout { len: 3, key_low: 1, key_high: 2, threshold: 0, scale: 1.0 }, [&x]);
    assert_eq!(nans(&y), [false, true, false]);
}

fn binary_propagates_nan(device: &Device) {
    let (a, b) = (buffer(device, &[1.0, NAN, 2.0, 3.0]), buffer(device, &[1.0, 1.0, NAN, 0.5]));
    for op in BinaryOp::ALL {
        let strides = [0, 0, 0, 1];
        let kernel = Binary { dims: [1, 1, 1, 4], a_strides: strides, b_strides: strides, op: op as u32 };
        let [y] = run(device, &kernel, [&a, &b]);
        assert_eq!(nans(&y), [false, true, true, false], "{op:?}");
    }
}

fn rows_propagate_nan(device: &Device) {
    for at in 0..3 {
        let mut x = vec![0.5; 6];
        x[at] = NAN;
        let poisoned = [true, true, true, false, false, false];
        let (x, plain) = (buffer(device, &x), buffer(device, &[0.3; 6]));
        for log in [0, 1] {
            let [y] = run(device, &Softmax { rows: 2, width: 3, log }, [&x]);
            assert_eq!(nans(&y), poisoned, "softmax, log {log}");
            let [dx] = run(device, &SoftmaxBackward { rows: 2, width: 3, log }, [&plain, &x]);
            assert_eq!(nans(&dx), poisoned, "softmax_backward, log {log}");
        }
        for square in [0, 1] {
            let (scale, accumulate, offset) = (1.0, 0, 0);
            let kernel = Sum { outer: 2, axis: 3, inner: 1, chunk: 3, scale, square, accumulate, offset };
            assert_eq!(nans(&run(device, &kernel, [&x])[0]), [true, false]);
        }
        let target = indices(device, &[1, 2]);
        let kernel = CrossEntropy { rows: 2, classes: 3, ignored: 9, smoothing: 0.0 };
        let [loss, _] = run(device, &kernel, [&x, &target]);
        assert_eq!(nans(&loss), [true, false], "cross_entropy");
        let kernel = CrossEntropyBackward { rows: 2, classes: 3, ignored: 9, smoothing: 0.0 };
        let [dx] = run(device, &kernel, [&x, &target, &plain]);
        assert_eq!(nans(&dx), poisoned, "cross_entropy_backward");
    }
}

fn matmul_propagates_nan(device: &Device) {
    let p = MatMul::new(5, 67, 33);
    let (mut a, b) = (fill(1, 5 * 33, 1.0), fill(2, 33 * 67, 1.0));
    a[2 * 33 + 32] = NAN;
    let [a, b, bias] = [&a, &b, &vec![]].map(|v| buffer(device, v));
    let want: Vec<bool> = (0..5 * 67).map(|i| i / 67 == 2).collect();
    for [c] in [
        run(device, &p, [&a, &b, &bias]),
        run(device, &MatMulTiled(p), [&a, &b, &bias]),
        run(device, &MatMulRows(p), [&a, &b, &bias]),
    ] {
        assert_eq!(nans(&c), want);
    }
}

fn losses_propagate_nan(device: &Device) {
    let (x, t) = (buffer(device, &[1.0, NAN, 2.0]), buffer(device, &[0.5, 1.0, NAN]));
    let dloss = buffer(device, &[1.0; 3]);
    for kind in LossKind::ALL {
        let [loss] = run(device, &Loss { len: 3, kind: kind as u32, delta: 1.0 }, [&x, &t]);
        assert_eq!(nans(&loss), [false, true, true], "{kind:?}");
        let [dx] = run(device, &LossBackward { len: 3, kind: kind as u32, delta: 1.0 }, [&x, &t, &dloss]);
        assert_eq!(nans(&dx), [false, true, true], "{kind:?}");
    }
}

/// Cases with several rows, so that some rows are free of NaN.
fn several() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.p.batch > 2 && case.p.hidden <= 67)
}

fn gru_propagates_nan_within_its_sequence(device: &Device) {
    for case in several() {
        let [steps, batch, h, directions] = case.size();
        let row = batch / 2; // a full-length sequence
        for gate in 0..3 {
            let mut data = case.data();
            let d = directions - 1;
            let first = if case.is_reverse(d) { steps - 1 } else { 0 };
            data.x[case.at_gates(d, first, row, 3) + gate * h] = NAN;
            for whole in [false, true] {
                let [_, y, _] = case.forward(device, &data, whole);
                for (other_d, other) in case.sequences() {
                    for t in 0..steps {
                        let at = case.at_y(other_d, t, other);
                        let expected = if (other_d, other) != (d, row) {
                            0
                        } else if t == first {
                            1
                        } else {
                            h
                        };
                        let got = nans(&y[at..at + h]).into_iter().filter(|&nan| nan).count();
                        // With reset before, a NaN in r spreads to the whole candidate of its step.
                        let spread = gate == 0 && case.p.is_reset_before() && expected == 1;
                        assert_eq!(got, if spread { h } else { expected }, "gate {gate}, time {t}, {case:?}");
                    }
                }
            }
        }
    }
}

fn gru_backward_propagates_nan_within_its_sequence(device: &Device) {
    for case in several() {
        let [steps, batch, h, directions] = case.size();
        let (d, row) = (directions - 1, batch / 2);
        let mut data = case.data();
        let want = case.want(&data);
        let last = if case.is_reverse(d) { 0 } else { steps - 1 };
        data.dy[case.at_y(d, last, row)] = NAN;
        let reads = case.backward_reads(device, &data, &want);
        for whole in [false, true] {
            let [d_gates, dh0] = case.backward(device, &data, reads.each_ref(), whole);
            let got = nans(&dh0);
            assert_eq!(got, (0..dh0.len()).map(|i| i / h == d * batch + row).collect::<Vec<_>>(), "{case:?}");
            for (other_d, other) in case.sequences().into_iter().filter(|&sequence| sequence != (d, row)) {
                for t in 0..steps {
                    let at = case.at_gates(other_d, t, other, 4);
                    assert!(d_gates[at..at + 4 * h].iter().all(|v| v.is_finite()), "{case:?}");
                }
            }
        }
    }
}
