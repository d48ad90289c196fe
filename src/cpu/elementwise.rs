//! [`Binary`], [`Unary`], [`UnaryBackward`] and [`Dropout`] without a call or a branch per element.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use super::logarithm::exp_stable;
use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use crate::kernels::{Binary, BinaryOp, Dropout, Unary, UnaryBackward, UnaryOp};

/// An axis: its extent, and the strides of both operands.
type Axis = [usize; 3];

/// Returns the axes of a [`Binary`], innermost first, with adjacent contiguous axes merged.
fn axes(p: &Binary) -> [Axis; 4] {
    let (mut out, mut last) = ([[1, 0, 0]; 4], 0);
    for axis in (0..4).rev().filter(|&axis| p.dims[axis] > 1) {
        let [extent, a, b] = [p.dims[axis], p.a_strides[axis], p.b_strides[axis]].map(|n| n as usize);
        let [inner, inner_a, inner_b] = out[last];
        match inner {
            1 => out[last] = [extent, a, b],
            _ if a == inner * inner_a && b == inner * inner_b => out[last][0] *= extent,
            _ => {
                last += 1;
                out[last] = [extent, a, b];
            }
        }
    }
    out
}

/// Computes one row of a [`Binary`], given the strides of both operands.
type Row = fn(&[f32], usize, &[f32], usize, &mut [f32]);

#[inline(always)]
fn row(f: impl Fn(f32, f32) -> f32, a: &[f32], step_a: usize, b: &[f32], step_b: usize, y: &mut [f32]) {
    match (step_a, step_b) {
        (1, 1) => y.iter_mut().zip(a).zip(b).for_each(|((y, &u), &v)| *y = f(u, v)),
        (1, 0) => y.iter_mut().zip(a).for_each(|(y, &u)| *y = f(u, b[0])),
        (0, 1) => y.iter_mut().zip(b).for_each(|(y, &v)| *y = f(a[0], v)),
        _ => y.iter_mut().enumerate().for_each(|(i, y)| *y = f(a[i * step_a], b[i * step_b])),
    }
}

/// Runs [`Binary`].
pub fn binary(p: &Binary, [a, b]: [&[f32]; 2], y: &mut [f32]) -> bool {
    let run: Row = match BinaryOp::ALL[p.op as usize] {
        BinaryOp::Add => |a, i, b, j, y| row(|u, v| u + v, a, i, b, j, y),
        BinaryOp::Sub => |a, i, b, j, y| row(|u, v| u - v, a, i, b, j, y),
        BinaryOp::Mul => |a, i, b, j, y| row(|u, v| u * v, a, i, b, j, y),
        BinaryOp::Div => |a, i, b, j, y| row(|u, v| u / v, a, i, b, j, y),
        BinaryOp::Mask => |a, i, b, j, y| row(crate::math::masked, a, i, b, j, y),
    };
    let [[extent, step_a, step_b], middle, outer, last] = axes(p);
    let mut rows = y.chunks_exact_mut(extent);
    for i in 0..last[0] {
        for j in 0..outer[0] {
            for k in 0..middle[0] {
                let at = |operand: usize| i * last[operand] + j * outer[operand] + k * middle[operand];
                let Some(y) = rows.next() else { return true };
                run(&a[at(1)..], step_a, &b[at(2)..], step_b, y);
            }
        }
    }
    true
}

#[inline(always)]
fn each(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, &v)| *y = f(v));
}

/// Runs [`Unary`]. Returns false for rarely used functions, which the twin computes.
pub fn unary(isa: Isa, p: &Unary, x: &[f32], y: &mut [f32]) -> bool {
    let (alpha, y) = (p.alpha, &mut y[..p.len as usize]);
    match UnaryOp::ALL[p.op as usize] {
        // With relaxed SIMD, the compiler would turn these into `relaxed_min` and `relaxed_max`, which lose NaN.
        UnaryOp::Relu | UnaryOp::Min if cfg!(target_arch = "wasm32") => return false,
        UnaryOp::Scale => each(x, y, |v| alpha * v),
        UnaryOp::AddScalar => each(x, y, |v| v + alpha),
        UnaryOp::Relu => each(x, y, |v| if v < 0.0 { 0.0 } else { v }),
        UnaryOp::Square => each(x, y, |v| v * v),
        UnaryOp::Sqrt => each(x, y, f32::sqrt),
        UnaryOp::Abs => each(x, y, f32::abs),
        UnaryOp::Min => each(x, y, |v| if v > alpha { alpha } else { v }),
        op @ (UnaryOp::Sigmoid | UnaryOp::Tanh | UnaryOp::Exp) => {
            let x = &x[..p.len as usize];
            for_each_isa!(isa, activations::<_>(op: UnaryOp, x: &[f32], y: &mut [f32]));
        }
        UnaryOp::Log | UnaryOp::Elu | UnaryOp::Softplus | UnaryOp::Softsign | UnaryOp::Stirling => return false,
    }
    true
}

#[inline(always)]
unsafe fn activations<V: Lanes>(op: UnaryOp, x: &[f32], y: &mut [f32]) {
    for at in (0..y.len()).step_by(LANES) {
        let n = LANES.min(y.len() - at);
        // SAFETY: both slices are equally long, and the CPU supports the instructions.
        unsafe {
            let v = load_part::<V>(x.as_ptr().add(at), n);
            let v = match op {
                UnaryOp::Sigmoid => sigmoid(v),
                UnaryOp::Tanh => tanh(v),
                _ => exp_stable(v),
            };
            store_part(v, y.as_mut_ptr().add(at), n);
        }
    }
}

#[inline(always)]
fn each_slope([x, y, dy]: [&[f32]; 3], dx: &mut [f32], f: impl Fn(f32, f32, f32) -> f32) {
    dx.iter_mut().zip(x).zip(y).zip(dy).for_each(|(((dx, &v), &u), &g)| *dx = f(v, u, g));
}

/// Runs [`UnaryBackward`]. Returns false for rarely used functions, which the twin computes.
pub fn unary_backward(p: &UnaryBackward, reads: [&[f32]; 3], dx: &mut [f32]) -> bool {
    let (alpha, dx) = (p.alpha, &mut dx[..p.len as usize]);
    match UnaryOp::ALL[p.op as usize] {
        UnaryOp::Scale => each_slope(reads, dx, |_, _, g| alpha * g),
        UnaryOp::AddScalar => each_slope(reads, dx, |_, _, g| g),
        UnaryOp::Relu => each_slope(reads, dx, |v, _, g| if v <= 0.0 { 0.0 } else { g }),
        UnaryOp::Sigmoid => each_slope(reads, dx, |_, u, g| g * u * (1.0 - u)),
        UnaryOp::Tanh => each_slope(reads, dx, |_, u, g| g * (1.0 - u * u)),
        UnaryOp::Square => each_slope(reads, dx, |v, _, g| g * 2.0 * v),
        UnaryOp::Exp => each_slope(reads, dx, |_, u, g| g * u),
        _ => return false,
    }
    true
}

/// Runs [`Dropout`], drawing sixteen random numbers at a time.
pub fn dropout(isa: Isa, p: &Dropout, x: &[f32], y: &mut [f32]) -> bool {
    let (x, y) = (&x[..p.len as usize], &mut y[..p.len as usize]);
    for_each_isa!(isa, masked::<_>(p: &Dropout, x: &[f32], y: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn masked<V: Lanes>(p: &Dropout, x: &[f32], y: &mut [f32]) {
    for (part, (x, y)) in x.chunks(LANES).zip(y.chunks_mut(LANES)).enumerate() {
        let draws = draw([p.key_low, p.key_high], (part * LANES) as u32);
        for ((y, &v), draw) in y.iter_mut().zip(x).zip(draws) {
            *y = if draw >= p.threshold { v * p.scale } else { 0.0 };
        }
    }
}

/// `rng::threefry` of sixteen consecutive counters starting at `first`. Plain loops over arrays, which the compiler
/// vectorizes.
#[inline(always)]
fn draw(key: [u32; 2], first: u32) -> [u32; LANES] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let (mut x, mut y) = ([0u32; LANES], [keys[1]; LANES]);
    for (x, i) in x.iter_mut().zip(0..) {
        *x = first.wrapping_add(i).wrapping_add(keys[0]);
    }
    for injection in 1..6 {
        for round in 0..4 {
            let turn = ROTATIONS[(injection - 1) % 2 * 4 + round];
            for (x, y) in x.iter_mut().zip(&mut y) {
                *x = x.wrapping_add(*y);
                *y = y.rotate_left(turn) ^ *x;
            }
        }
        let (of_x, of_y) = (keys[injection % 3], keys[(injection + 1) % 3].wrapping_add(injection as u32));
        for (x, y) in x.iter_mut().zip(&mut y) {
            (*x, *y) = (x.wrapping_add(of_x), y.wrapping_add(of_y));
        }
    }
    x
}
