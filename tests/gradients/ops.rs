//! Every tensor operation.

use wgru::kernels::{BinaryOp, UnaryOp};
use wgru::{Result, Tensor};

use crate::common::mix;
use crate::reference::{dense, elementwise, normalize};
use crate::{Input, check, input};

type Unary = fn(&Tensor) -> Result<Tensor>;
type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;

#[test]
fn binary_gradients_are_summed_over_broadcast_axes() {
    let ops: [(BinaryOp, Binary); 4] = [
        (BinaryOp::Add, Tensor::add),
        (BinaryOp::Sub, Tensor::sub),
        (BinaryOp::Mul, Tensor::mul),
        (BinaryOp::Div, Tensor::div),
    ];
    let shapes: [(&[usize], &[usize]); 7] = [
        (&[5], &[5]),
        (&[], &[2, 3]),
        (&[3, 4], &[4]),
        (&[3, 1], &[1, 4]),
        (&[4], &[2, 3, 4]),
        (&[2, 3, 1, 2], &[3, 2, 1]),
        (&[1, 1], &[]),
    ];
    for (op, f) in ops {
        for (da, db) in shapes {
            let a = input(1, da, 2.0);
            let (mut b, dims) = input(2, db, 1.0);
            // Away from 0, for the quotient.
            b.iter_mut().for_each(|v| *v += 1f32.copysign(*v));
            let name = format!("{op:?} of {da:?} and {db:?}");
            let reference = |x: &[Vec<f64>]| elementwise::broadcast(op, (&x[0], da), (&x[1], db));
            check(&name, &[a, (b, dims)], |x| f(&x[0], &x[1]), reference);
        }
    }
}

#[test]
fn mask_gradients_are_summed_over_broadcast_axes_and_skip_the_factors() {
    for (da, db) in [(&[5][..], &[5][..]), (&[3, 1], &[1, 4]), (&[4], &[2, 3, 4]), (&[2, 3, 4], &[3, 1])] {
        let mut factors = input(2, db, 1.0).0;
        factors.iter_mut().step_by(2).for_each(|v| *v = 0.0);
        let wide: Vec<f64> = factors.iter().map(|&v| v as f64).collect();
        let reference = |x: &[Vec<f64>]| elementwise::broadcast(BinaryOp::Mask, (&x[0], da), (&wide, db));
        let mask = |x: &[Tensor]| x[0].mask(&Tensor::from_slice(x[0].device(), &factors, db)?);
        check(&format!("mask of {da:?} by {db:?}"), &[input(1, da, 2.0)], mask, reference);
    }
    let device = wgru::Device::cpu();
    let tracked = |v: &[f32]| Tensor::from_slice(&device, v, &[v.len()]).expect("uploaded").requires_grad();
    let (x, factors) = (tracked(&[f32::NAN, 2.0, f32::INFINITY]), tracked(&[0.0, 3.0, 0.0]));
    let y = x.mask(&factors).expect("mask");
    assert_eq!(y.read_blocking().expect("read"), [0.0, 6.0, 0.0]);
    y.sum().and_then(|y| y.backward()).expect("backward");
    assert_eq!(x.grad().expect("a gradient").read_blocking().expect("read"), [0.0, 3.0, 0.0]);
    assert!(factors.grad().is_none());
}

#[test]
fn unary_gradients_match_differences() {
    let ops: [(UnaryOp, Unary); 14] = [
        (UnaryOp::Scale, |x| x.scale(-1.75)),
        (UnaryOp::AddScalar, |x| x.add_scalar(-1.75)),
        (UnaryOp::Relu, Tensor::relu),
        (UnaryOp::Sigmoid, Tensor::sigmoid),
        (UnaryOp::Tanh, Tensor::tanh),
        (UnaryOp::Square, Tensor::square),
        (UnaryOp::Sqrt, Tensor::sqrt),
        (UnaryOp::Abs, Tensor::abs),
        (UnaryOp::Min, |x| x.clamp_max(-1.75)),
        (UnaryOp::Exp, Tensor::exp),
        (UnaryOp::Log, Tensor::log),
        (UnaryOp::Elu, |x| x.elu(-1.75)),
        (UnaryOp::Softplus, Tensor::softplus),
        (UnaryOp::Softsign, Tensor::softsign),
    ];
    for (op, f) in ops {
        let (mut x, dims) = input(3, &[3, 7], 3.0);
        if matches!(op, UnaryOp::Sqrt | UnaryOp::Log) {
            x.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        }
        let reference = |x: &[Vec<f64>]| x[0].iter().map(|&v| elementwise::unary(op, -1.75, v)).collect();
        check(&format!("{op:?}"), &[(x, dims)], |x| f(&x[0]), reference);
    }
}

#[test]
fn sum_and_mean_gradients_match_differences() {
    let dims = [3, 5, 2];
    let total = |x: &[Vec<f64>]| x[0].iter().sum::<f64>();
    check("sum", &[input(4, &dims, 1.0)], |x| x[0].sum(), |x| vec![total(x)]);
    check("mean", &[input(4, &dims, 1.0)], |x| x[0].mean(), |x| vec![total(x) / 30.0]);
    check("sum of a scalar", &[input(4, &[], 1.0)], |x| x[0].sum(), |x| vec![total(x)]);
    // Long enough for a second pass over the chunks.
    check("long sum", &[input(4, &[335], 1.0)], |x| x[0].sum(), |x| vec![total(x)]);
    for (axis, extents) in [(0, [1, 3, 10]), (1, [3, 5, 2]), (2, [15, 2, 1])] {
        let reference = |x: &[Vec<f64>]| elementwise::sum(&x[0], extents, extents[1], |v| v);
        check(&format!("sum over axis {axis}"), &[input(5, &dims, 1.0)], |x| x[0].sum_axis(axis), reference);
    }
}

/// `[batch, m, k]·[batch or 1, k, n]`
fn product(a: &[f64], b: &[f64], [batch, m, n, k]: [usize; 4]) -> Vec<f64> {
    let shared = b.len() == k * n;
    let item = |z: usize| {
        let (a, b) = (&a[z * m * k..], if shared { b } else { &b[z * k * n..] });
        dense::matmul([m, n, k], |row, i| a[row * k + i], |i, col| b[i * n + col])
    };
    (0..batch).flat_map(item).collect()
}

#[test]
fn matmul_gradients_match_differences() {
    let cases: [(&[usize], &[usize], [usize; 4]); 5] = [
        (&[1, 1], &[1, 1], [1, 1, 1, 1]),
        (&[3, 5], &[5, 4], [1, 3, 4, 5]),
        (&[2, 3, 5], &[5, 4], [2, 3, 4, 5]),
        (&[2, 3, 5], &[2, 5, 4], [2, 3, 4, 5]),
        (&[2, 2, 3, 5], &[5, 1], [4, 3, 1, 5]),
    ];
    for (da, db, size) in cases {
        let inputs = [input(6, da, 1.0), input(7, db, 1.0)];
        let name = format!("matmul of {da:?} and {db:?}");
        check(&name, &inputs, |x| x[0].matmul(&x[1]), |x| product(&x[0], &x[1], size));
    }
}

#[test]
fn linear_gradients_match_differences() {
    for dims in [&[3, 5][..], &[2, 3, 5], &[5]] {
        let rows: usize = dims[..dims.len() - 1].iter().product();
        let inputs = [input(8, dims, 1.0), input(9, &[4, 5], 1.0), input(10, &[4], 1.0)];
        let reference = |x: &[Vec<f64>]| {
            let bias = |i: usize| x.get(2).map_or(0.0, |bias| bias[i]);
            let y = dense::matmul([rows, 4, 5], |row, i| x[0][row * 5 + i], |i, col| x[1][col * 5 + i]);
            y.iter().enumerate().map(|(i, v)| v + bias(i % 4)).collect()
        };
        check(&format!("linear of {dims:?}"), &inputs, |x| x[0].linear(&x[1], Some(&x[2])), reference);
        check(&format!("linear of {dims:?}, no bias"), &inputs[..2], |x| x[0].linear(&x[1], None), reference);
    }
}

/// Checks an operation that only moves elements; `from` gives the source of each element of the result.
fn check_movement(name: &str, x: Input, f: impl Fn(&Tensor) -> Result<Tensor>, from: Vec<usize>) {
    check(name, &[x], |x| f(&x[0]), |x| from.iter().map(|&i| x[0][i]).collect());
}

#[test]
fn movement_gradients_go_back_to_their_source_elements() {
    let dims = [2, 3, 4];
    let at = |i: usize, j: usize, k: usize| (i * 3 + j) * 4 + k;
    let x = || input(11, &dims, 1.0);
    check_movement("reshape", x(), |x| x.reshape(&[6, 4]), (0..24).collect());
    check_movement("reshape to four axes", x(), |x| x.reshape(&[1, 3, 2, 4]), (0..24).collect());

    let all = |dims: &[usize]| elementwise::indices(dims);
    let permuted = |[i, j, k]: [usize; 3]| all(&[dims[i], dims[j], dims[k]]);
    let back = |index: &Vec<usize>| at(index[1], index[2], index[0]);
    let from: Vec<usize> = permuted([2, 0, 1]).iter().map(back).collect();
    check_movement("permute", x(), |x| x.permute(&[2, 0, 1]), from);
    let from: Vec<usize> = permuted([1, 0, 2]).iter().map(|index| at(index[1], index[0], index[2])).collect();
    check_movement("swap of the outer axes", x(), |x| x.permute(&[1, 0, 2]), from);

    for (axis, range) in [(0, 1..2), (1, 0..2), (2, 1..4), (1, 0..3)] {
        let inside = |index: &&Vec<usize>| range.contains(&index[axis]);
        let from = all(&dims).iter().filter(inside).map(|index| at(index[0], index[1], index[2])).collect();
        check_movement(&format!("slice {range:?} of {axis}"), x(), |x| x.slice(axis, range.clone()), from);
    }
}

#[test]
fn split_gradients_are_concatenated() {
    let sizes = [2, 1, 3];
    for axis in 0..3 {
        let dims = |extent: usize| -> Vec<usize> { (0..3).map(|a| if a == axis { extent } else { 2 }).collect() };
        // The parts are reordered, and the middle one is dropped: its gradient is 0.
        let f = |x: &[Tensor]| {
            let parts = x[0].split(axis, &sizes)?;
            assert_eq!(parts.iter().map(|part| part.dims()[axis]).collect::<Vec<_>>(), sizes);
            Tensor::concat(&[&parts[2], &parts[0]], axis)
        };
        let from = |index: Vec<usize>| {
            let moved = |(a, &i): (usize, &usize)| if a == axis { (i + 3) % 6 } else { i };
            index.iter().enumerate().map(moved).collect::<Vec<_>>()
        };
        let from = |index| elementwise::place(&dims(6), &from(index));
        let from: Vec<usize> = elementwise::indices(&dims(5)).into_iter().map(from).collect();
        check_movement(&format!("split along {axis}"), input(40, &dims(6), 1.0), |x| f(std::slice::from_ref(x)), from);
    }
}

#[test]
fn concat_gradients_go_to_their_parts() {
    for axis in 0..3 {
        let dims = |extent: usize| -> Vec<usize> { (0..3).map(|a| if a == axis { extent } else { 2 }).collect() };
        let extents = [1, 3, 2];
        let inputs = [1, 3, 2].map(|extent| input(12 + extent as u32, &dims(extent), 1.0));
        let reference = |x: &[Vec<f64>]| {
            let pick = |mut index: Vec<usize>| {
                let mut part = 0;
                while index[axis] >= extents[part] {
                    index[axis] -= extents[part];
                    part += 1;
                }
                x[part][elementwise::place(&dims(extents[part]), &index)]
            };
            elementwise::indices(&dims(6)).into_iter().map(pick).collect()
        };
        let f = |x: &[Tensor]| Tensor::concat(&x.iter().collect::<Vec<_>>(), axis);
        check(&format!("concat along {axis}"), &inputs, f, reference);
    }
    // Concatenating a tensor with itself adds both parts of the gradient.
    let twice = |x: &[Tensor]| Tensor::concat(&[&x[0], &x[0]], 0);
    check("concat with itself", &[input(16, &[3], 1.0)], twice, |x| [&x[0][..], &x[0]].concat());
}

#[test]
fn gather_gradients_add_up_over_repeated_rows() {
    let index: Vec<u32> = (0..12).map(|i| mix(i) % 5).collect();
    let f = |x: &[Tensor]| x[0].gather(&Tensor::from_indices(x[0].device(), &index, &[3, 4])?);
    let reference = |x: &[Vec<f64>]| index.iter().flat_map(|&i| x[0][3 * i as usize..][..3].to_vec()).collect();
    check("gather", &[input(17, &[7, 3], 1.0)], f, reference);
}

#[test]
fn softmax_gradients_match_differences() {
    for dims in [&[5][..], &[3, 4], &[2, 3, 7]] {
        let width = dims[dims.len() - 1];
        let x = [input(18, dims, 2.0)];
        check(&format!("softmax of {dims:?}"), &x, |x| x[0].softmax(), |x| dense::softmax(&x[0], width));
        check(&format!("log_softmax of {dims:?}"), &x, |x| x[0].log_softmax(), |x| dense::log_softmax(&x[0], width));
    }
}

#[test]
fn compositions_match_differences() {
    let inputs = [input(19, &[3, 5], 1.0), input(20, &[4, 5], 1.0), input(21, &[4], 1.0)];
    let f = |x: &[Tensor]| {
        let y = x[0].linear(&x[1], Some(&x[2]))?.tanh()?;
        y.mul(&y.softmax()?)?.sum_axis(1)?.add(&x[0].slice(1, 0..1)?.square()?)
    };
    let reference = |x: &[Vec<f64>]| {
        let y = dense::matmul([3, 4, 5], |row, i| x[0][row * 5 + i], |i, col| x[1][col * 5 + i]);
        let y: Vec<f64> = y.iter().enumerate().map(|(i, v)| (v + x[2][i % 4]).tanh()).collect();
        let p = dense::softmax(&y, 4);
        (0..3).map(|r| (4 * r..4 * r + 4).map(|i| y[i] * p[i]).sum::<f64>() + x[0][5 * r].powi(2)).collect()
    };
    check("a small network", &inputs, f, reference);
}

#[test]
fn layer_norm_gradients_match_differences() {
    // One set of weights, or one for each index of the second-to-last axis.
    let shapes: [(&[usize], &[usize]); 5] =
        [(&[5], &[5]), (&[3, 4], &[4]), (&[2, 3, 4], &[4]), (&[2, 3, 4], &[3, 4]), (&[3, 4], &[3, 4])];
    for (dims, weights) in shapes {
        let inputs = [input(30, dims, 2.0), input(31, weights, 1.0), input(32, weights, 1.0)];
        let width = dims[dims.len() - 1];
        let reference = |x: &[Vec<f64>]| normalize::layer_norm(&x[0], &x[1], &x[2], width, 1e-5);
        let name = format!("layer_norm of {dims:?} by {weights:?}");
        check(&name, &inputs, |x| x[0].layer_norm(&x[1], &x[2], 1e-5), reference);
    }
    // More rows than one chunk of an ordered sum.
    let inputs = [input(33, &[300, 3], 2.0), input(34, &[3], 1.0), input(35, &[3], 1.0)];
    let reference = |x: &[Vec<f64>]| normalize::layer_norm(&x[0], &x[1], &x[2], 3, 0.1);
    check("layer_norm of many rows", &inputs, |x| x[0].layer_norm(&x[1], &x[2], 0.1), reference);
}

#[test]
fn masked_softmax_gradients_match_differences() {
    let keep = [true, false, true, true, false, false, false, false, true, true, true, true];
    let marks: Vec<u32> = keep.iter().map(|&k| k as u32).collect();
    let f = |x: &[Tensor]| x[0].masked_softmax(&Tensor::from_indices(x[0].device(), &marks, &[3, 4])?);
    let reference = |x: &[Vec<f64>]| normalize::masked_softmax(&x[0], &keep, 2, 4);
    check("masked_softmax", &[input(36, &[3, 2, 4], 2.0)], f, reference);
}
