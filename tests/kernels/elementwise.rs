//! fill, unary, binary and dropout.

use wgru::Device;
use wgru::kernels::{Binary, BinaryOp, Dropout, Fill, Loss, LossKind, Unary, UnaryBackward, UnaryOp};

use crate::common::{assert_close, fill};
use crate::reference::{elementwise as reference, narrow, wide};
use crate::{LENGTHS, bits, buffer, on_every_backend, run};

/// One rounding in each of a few operations.
const ARITHMETIC: f64 = 2e-7;
/// A division within the 2.5 ulp that WGSL allows.
const QUOTIENT: f64 = 3e-7;

on_every_backend![
    fill_writes_its_value,
    unary_matches_f64,
    unary_backward_matches_f64,
    unary_backward_at_a_kink_is_as_pytorch,
    unary_stays_in_range_for_large_arguments,
    binary_broadcasts_as_f64,
    dropout_draws_the_mask_of_threefry,
];

fn fill_writes_its_value(device: &Device) {
    for len in LENGTHS {
        for value in [0.0, -1.5, f32::INFINITY] {
            let [out] = run(device, &Fill { len: len as u32, value }, []);
            assert_eq!(bits(&out), bits(&vec![value; len]));
        }
    }
}

/// The largest error that WGSL allows for arguments within ±6, as derived in `accuracy.rs`.
fn tolerance(op: UnaryOp) -> f64 {
    match op {
        UnaryOp::Sigmoid | UnaryOp::Log | UnaryOp::Stirling => 5e-7,
        UnaryOp::Sqrt => 6e-7,
        UnaryOp::Tanh => 7e-7,
        UnaryOp::Softplus => 9e-7,
        UnaryOp::Elu | UnaryOp::Softsign => 4e-7,
        UnaryOp::Exp => 3e-6,
        _ => ARITHMETIC,
    }
}

/// Arguments for an operation: of both signs, except for functions of positive numbers.
fn arguments(op: UnaryOp, len: usize, scale: f32) -> Vec<f32> {
    let x = fill(op as u32, len, scale);
    let is_positive = matches!(op, UnaryOp::Sqrt | UnaryOp::Log | UnaryOp::Stirling);
    if is_positive { x.iter().map(|v| v.abs() + 0.01).collect() } else { x }
}

fn unary_matches_f64(device: &Device) {
    for op in UnaryOp::ALL {
        for (len, alpha) in LENGTHS.into_iter().zip([1.25, -0.5, 0.75, 2.0, -1.0]) {
            let x = arguments(op, len, 6.0);
            let [y] = run(device, &Unary { len: len as u32, op: op as u32, alpha }, [&buffer(device, &x)]);
            let want: Vec<f64> = x.iter().map(|&v| reference::unary(op, alpha as f64, v as f64)).collect();
            assert_close(&format!("{op:?} of {len}"), &y, &want, tolerance(op));
        }
    }
}

fn unary_backward_matches_f64(device: &Device) {
    for op in UnaryOp::ALL {
        for (len, alpha) in LENGTHS.into_iter().zip([1.25, -0.5, 0.75, 2.0, -1.0]) {
            // Further out, the slopes of σ and tanh vanish in the rounding of y, from which they are computed.
            let (x, dy) = (arguments(op, len, 2.0), fill(21, len, 2.0));
            let y = narrow(&wide(&x).iter().map(|&v| reference::unary(op, alpha as f64, v)).collect::<Vec<_>>());
            let kernel = UnaryBackward { len: len as u32, op: op as u32, alpha };
            let [dx] = run(device, &kernel, [&buffer(device, &x), &buffer(device, &y), &buffer(device, &dy)]);
            let slope = |v: f32, g: f32| reference::unary_slope(op, alpha as f64, v as f64) * g as f64;
            let want: Vec<f64> = x.iter().zip(&dy).map(|(&v, &g)| slope(v, g)).collect();
            assert_close(&format!("{op:?} of {len}"), &dx, &want, tolerance(op));
        }
    }
}

fn unary_backward_at_a_kink_is_as_pytorch(device: &Device) {
    for (op, alpha, x, want) in
        [(UnaryOp::Relu, 0.0, 0.0, 0.0), (UnaryOp::Abs, 0.0, 0.0, 0.0), (UnaryOp::Min, 0.5, 0.5, 3.0)]
    {
        let [x, dy] = [x, 3.0].map(|v| buffer(device, &[v]));
        let [dx] = run(device, &UnaryBackward { len: 1, op: op as u32, alpha }, [&x, &x, &dy]);
        assert_eq!(dx, [want], "{op:?}");
    }
}

fn unary_stays_in_range_for_large_arguments(device: &Device) {
    let x = [f32::INFINITY, 1e30, 100.0, 88.0, -88.0, -100.0, -1e30, f32::NEG_INFINITY];
    let len = x.len() as u32;
    let of = |op: UnaryOp| run(device, &Unary { len, op: op as u32, alpha: 0.0 }, [&buffer(device, &x)])[0].clone();
    assert_eq!(of(UnaryOp::Tanh), [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]);
    let sigmoid = of(UnaryOp::Sigmoid);
    assert_eq!(sigmoid[..4], [1.0; 4]);
    assert_eq!(sigmoid[4..], [0.0; 4]);
    let [edge] = run(device, &Unary { len: 1, op: UnaryOp::Sigmoid as u32, alpha: 0.0 }, [&buffer(device, &[-87.0])]);
    assert!((edge[0] as f64 * 87f64.exp() - 1.0).abs() <= 1e-5, "{edge:?}");

    let exp = of(UnaryOp::Exp);
    assert!((exp[3] as f64 / 88f64.exp() - 1.0).abs() <= 1e-5 && exp[4] > 0.0 || exp[4] == 0.0, "{exp:?}");
    assert_eq!(of(UnaryOp::Softplus)[1..3], x[1..3]);
    assert_eq!(of(UnaryOp::Softsign)[1], 1.0);

    // With the target −1 the loss is softplus(x) + x, without a term 0·∞.
    let kernel = Loss { len, kind: LossKind::BceWithLogits as u32, delta: 0.0 };
    let target = buffer(device, &vec![-1.0; x.len()]);
    let [loss] = run(device, &kernel, [&buffer(device, &x), &target]);
    let softplus = |x: f32| if x > 0.0 { x } else { 0.0 };
    assert_eq!(loss, x.map(|v| softplus(v) + v));
}

fn binary_broadcasts_as_f64(device: &Device) {
    let cases: [(&[usize], &[usize]); 8] = [
        (&[1], &[1]),
        (&[335], &[335]),
        (&[67], &[1]),
        (&[5, 67], &[67]),
        (&[67, 1], &[1, 5]),
        (&[3, 1, 7], &[1, 5, 1]),
        (&[2, 3, 1, 11], &[2, 1, 5, 11]),
        (&[1, 1, 1, 3], &[3, 5, 7, 1]),
    ];
    for (da, db) in cases {
        let a = fill(1, da.iter().product(), 2.0);
        let b: Vec<f32> = fill(2, db.iter().product(), 2.0).iter().map(|v| v + 0.5f32.copysign(*v)).collect();
        let dims = reference::broadcast_dims(da, db);
        for op in BinaryOp::ALL {
            let (a_strides, b_strides) = (strides(da), strides(db));
            let kernel = Binary { dims: four(&dims), a_strides, b_strides, op: op as u32 };
            let [y] = run(device, &kernel, [&buffer(device, &a), &buffer(device, &b)]);
            let want = reference::broadcast(op, (&wide(&a), da), (&wide(&b), db));
            assert_close(
                &format!("{op:?} of {da:?} and {db:?}"),
                &y,
                &want,
                if op == BinaryOp::Div { QUOTIENT } else { ARITHMETIC },
            );
        }
    }
}

/// Extents padded to four axes.
fn four(dims: &[usize]) -> [u32; 4] {
    let padded = [&vec![1; 4 - dims.len()], dims].concat();
    std::array::from_fn(|axis| padded[axis] as u32)
}

/// Strides padded to four axes; 0 where the extent is 1.
fn strides(dims: &[usize]) -> [u32; 4] {
    let dims = four(dims);
    std::array::from_fn(|axis| if dims[axis] == 1 { 0 } else { dims[axis + 1..].iter().product() })
}

fn dropout_draws_the_mask_of_threefry(device: &Device) {
    // Known answers from Random123 (`kat_vectors`, threefry2x32, 20 rounds).
    assert_eq!(reference::threefry([0, 0], [0, 0]), 0x6b20_0159);
    assert_eq!(reference::threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), 0xc492_3a9c);

    for (len, p) in [(1, 0.5), (67, 0.0), (335, 0.1), (20_001, 0.3), (20_001, 0.9)] {
        let [key_low, key_high] = [0x1234_5678 ^ len as u32, 0x9abc_def0];
        let (threshold, scale) = ((p * 4_294_967_296.0) as u32, (1.0 / (1.0 - p)) as f32);
        let x = fill(31, len, 3.0);
        let kernel = Dropout { len: len as u32, key_low, key_high, threshold, scale };
        let [y] = run(device, &kernel, [&buffer(device, &x)]);
        let kept = |i: usize| reference::threefry([key_low, key_high], [i as u32, 0]) >= threshold;
        let want: Vec<f32> = x.iter().enumerate().map(|(i, v)| if kept(i) { v * scale } else { 0.0 }).collect();
        assert_eq!(y, want, "{len} elements, p = {p}");
        if len > 10_000 {
            // Six standard deviations of the dropped share in `len` draws.
            let share = y.iter().filter(|&&v| v == 0.0).count() as f64 / len as f64;
            assert!((share - p).abs() <= 6.0 * (p * (1.0 - p) / len as f64).sqrt(), "{share} dropped, not {p}");
        }
    }
}
