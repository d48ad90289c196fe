//! Kernels that reduce rows: [`LayerNorm`], [`Softmax`], [`CrossEntropy`] and their gradients, sixteen elements at a
//! time. The rest of a row is processed one element at a time.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]
#![allow(clippy::needless_range_loop, reason = "one index addresses several rows")]

use super::simd::{Isa, LANES, Lanes, exp, for_each_isa};
use crate::kernel::words;
use crate::kernels::{CrossEntropy, CrossEntropyBackward, LayerNorm, LayerNormBackward, Softmax};

/// Loads sixteen elements of `x` starting at `at`.
#[inline(always)]
unsafe fn load<V: Lanes>(x: &[f32], at: usize) -> V {
    // SAFETY: the slice is checked; the caller guarantees that V's instructions are available.
    unsafe { V::load(x[at..at + LANES].as_ptr()) }
}

#[inline(always)]
unsafe fn store<V: Lanes>(v: V, y: &mut [f32], at: usize) {
    // SAFETY: as above.
    unsafe { v.store(y[at..at + LANES].as_mut_ptr()) }
}

/// Sums the lanes.
#[inline(always)]
unsafe fn total<V: Lanes>(v: V) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: sixteen floats.
    unsafe { v.store(lanes.as_mut_ptr()) };
    lanes.iter().sum()
}

/// `e^v` for `v ≤ 0`; 0 below −87.
#[inline(always)]
unsafe fn exp_low<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { v.where_below(V::splat(-87.0), V::splat(0.0), exp(v)) }
}

/// Returns the largest element of a row, skipping NaN unless it comes first, and `Σ e^(x − largest)`.
#[inline(always)]
unsafe fn largest_and_total<V: Lanes>(x: &[f32]) -> (f32, f32) {
    let whole = x.len() - x.len() % LANES;
    let mut top = x[0];
    // SAFETY: guaranteed by the caller.
    unsafe {
        if whole > 0 {
            let mut tops: V = load(x, 0);
            for at in (LANES..whole).step_by(LANES) {
                tops = tops.at_least(load(x, at));
            }
            let mut lanes = [0.0f32; LANES];
            tops.store(lanes.as_mut_ptr());
            top = lanes.iter().fold(top, |top, &v| if v > top { v } else { top });
        }
        top = x[whole..].iter().fold(top, |top, &v| if v > top { v } else { top });
        let mut sum = V::splat(0.0);
        for at in (0..whole).step_by(LANES) {
            sum = sum.add(exp_low(load::<V>(x, at).sub(V::splat(top))));
        }
        (top, total(sum) + x[whole..].iter().map(|v| (v - top).exp()).sum::<f32>())
    }
}

/// Runs [`Softmax`].
pub fn softmax(isa: Isa, p: &Softmax, x: &[f32], y: &mut [f32]) -> bool {
    for_each_isa!(isa, softmax_of::<_>(p: &Softmax, x: &[f32], y: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn softmax_of<V: Lanes>(p: &Softmax, x: &[f32], y: &mut [f32]) {
    let width = p.width as usize;
    let whole = width - width % LANES;
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).take(p.rows as usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let (top, sum) = largest_and_total::<V>(x);
            let (level, share) = (sum.ln(), 1.0 / sum);
            for at in (0..whole).step_by(LANES) {
                let v = load::<V>(x, at).sub(V::splat(top));
                let v = if p.log == 1 { v.sub(V::splat(level)) } else { exp_low(v).mul(V::splat(share)) };
                store(v, y, at);
            }
            for (y, v) in y[whole..].iter_mut().zip(&x[whole..]) {
                *y = if p.log == 1 { v - top - level } else { (v - top).exp() * share };
            }
        }
    }
}

/// Runs [`CrossEntropy`].
pub fn cross_entropy(isa: Isa, p: &CrossEntropy, [x, target]: [&[f32]; 2], [loss, counted]: [&mut [f32]; 2]) -> bool {
    for_each_isa!(isa, losses::<_>(p: &CrossEntropy, x: &[f32], target: &[f32], loss: &mut [f32], counted: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn losses<V: Lanes>(p: &CrossEntropy, x: &[f32], target: &[f32], loss: &mut [f32], counted: &mut [f32]) {
    let classes = p.classes as usize;
    for (row, &t) in words(target)[..p.rows as usize].iter().enumerate() {
        if t == p.ignored {
            (loss[row], counted[row]) = (0.0, 0.0);
            continue;
        }
        let x = &x[row * classes..][..classes];
        // SAFETY: guaranteed by the caller.
        let (top, sum) = unsafe { largest_and_total::<V>(x) };
        let level = sum.ln();
        let hit = x.get(t as usize).map_or(f32::NAN, |v| v - top);
        // A term with weight 0 is dropped, even if it is infinite.
        let mut all = if p.smoothing == 1.0 { 0.0 } else { (1.0 - p.smoothing) * (level - hit) };
        if p.smoothing != 0.0 {
            let mean = x.iter().map(|v| (v - top) / classes as f32).sum::<f32>();
            all += p.smoothing * (level - mean);
        }
        (loss[row], counted[row]) = (all, 1.0);
    }
}

/// Runs [`CrossEntropyBackward`].
pub fn cross_entropy_backward(isa: Isa, p: &CrossEntropyBackward, reads: [&[f32]; 3], dx: &mut [f32]) -> bool {
    for_each_isa!(isa, logits::<_>(p: &CrossEntropyBackward, reads: [&[f32]; 3], dx: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn logits<V: Lanes>(p: &CrossEntropyBackward, [x, target, dloss]: [&[f32]; 3], dx: &mut [f32]) {
    let classes = p.classes as usize;
    let whole = classes - classes % LANES;
    for (row, &t) in words(target)[..p.rows as usize].iter().enumerate() {
        let (x, dx) = (&x[row * classes..][..classes], &mut dx[row * classes..][..classes]);
        if t == p.ignored {
            dx.fill(0.0);
            continue;
        }
        let scale = if t < p.classes { dloss[row] } else { f32::NAN };
        let even = p.smoothing / classes as f32;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let (top, sum) = largest_and_total::<V>(x);
            for at in (0..whole).step_by(LANES) {
                let share = exp_low(load::<V>(x, at).sub(V::splat(top))).div(V::splat(sum));
                store(share.sub(V::splat(even)).mul(V::splat(scale)), dx, at);
            }
            for (dx, v) in dx[whole..].iter_mut().zip(&x[whole..]) {
                *dx = scale * ((v - top).exp() / sum - even);
            }
            if let (Some(dx), Some(v)) = (dx.get_mut(t as usize), x.get(t as usize)) {
                *dx = scale * ((v - top).exp() / sum - (1.0 - p.smoothing + even));
            }
        }
    }
}

/// Runs [`LayerNorm`].
pub fn layer_norm(isa: Isa, p: &LayerNorm, reads: [&[f32]; 3], [y, stats]: [&mut [f32]; 2]) -> bool {
    for_each_isa!(isa, normalize::<_>(p: &LayerNorm, reads: [&[f32]; 3], y: &mut [f32], stats: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn normalize<V: Lanes>(p: &LayerNorm, [x, weight, bias]: [&[f32]; 3], y: &mut [f32], stats: &mut [f32]) {
    let [width, groups] = [p.width, p.groups].map(|n| n as usize);
    let whole = width - width % LANES;
    for row in 0..p.rows as usize {
        let (x, y) = (&x[row * width..][..width], &mut y[row * width..][..width]);
        let (weight, bias) = (&weight[row % groups * width..][..width], &bias[row % groups * width..][..width]);
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut sum = V::splat(0.0);
            for at in (0..whole).step_by(LANES) {
                sum = sum.add(load(x, at));
            }
            let mean = (total(sum) + x[whole..].iter().sum::<f32>()) / width as f32;
            let mut sum = V::splat(0.0);
            for at in (0..whole).step_by(LANES) {
                let v = load::<V>(x, at).sub(V::splat(mean));
                sum = v.fma(v, sum);
            }
            let squares = total(sum) + x[whole..].iter().map(|v| (v - mean) * (v - mean)).sum::<f32>();
            let scale = 1.0 / (squares / width as f32 + p.eps).sqrt();
            for at in (0..whole).step_by(LANES) {
                let v = load::<V>(x, at).sub(V::splat(mean)).mul(V::splat(scale));
                store(v.fma(load(weight, at), load(bias, at)), y, at);
            }
            for i in whole..width {
                y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
            }
            (stats[2 * row], stats[2 * row + 1]) = (mean, scale);
        }
    }
}

/// Runs [`LayerNormBackward`].
pub fn layer_norm_backward(isa: Isa, p: &LayerNormBackward, reads: [&[f32]; 4], [dx, dw]: [&mut [f32]; 2]) -> bool {
    for_each_isa!(isa, normalize_back::<_>(p: &LayerNormBackward, reads: [&[f32]; 4], dx: &mut [f32], dw: &mut [f32]));
    true
}

#[inline(always)]
unsafe fn normalize_back<V: Lanes>(
    p: &LayerNormBackward,
    [x, weight, stats, dy]: [&[f32]; 4],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let [width, groups] = [p.width, p.groups].map(|n| n as usize);
    let whole = width - width % LANES;
    for row in 0..p.rows as usize {
        let (mean, scale) = (stats[2 * row], stats[2 * row + 1]);
        let (x, dy) = (&x[row * width..][..width], &dy[row * width..][..width]);
        let (dx, dw) = (&mut dx[row * width..][..width], &mut dw[row * width..][..width]);
        let weight = &weight[row % groups * width..][..width];
        // SAFETY: guaranteed by the caller.
        unsafe {
            let (m, s) = (V::splat(mean), V::splat(scale));
            let (mut plain, mut along) = (V::splat(0.0), V::splat(0.0));
            for at in (0..whole).step_by(LANES) {
                let (unit, dy) = (load::<V>(x, at).sub(m).mul(s), load::<V>(dy, at));
                let g = dy.mul(load(weight, at));
                (plain, along) = (plain.add(g), g.fma(unit, along));
                store(dy.mul(unit), dw, at);
            }
            let (mut plain, mut along) = (total(plain), total(along));
            for i in whole..width {
                let (unit, g) = ((x[i] - mean) * scale, dy[i] * weight[i]);
                (plain, along) = (plain + g, along + g * unit);
                dw[i] = dy[i] * unit;
            }
            (plain, along) = (plain / width as f32, along / width as f32);
            for at in (0..whole).step_by(LANES) {
                let unit = load::<V>(x, at).sub(m).mul(s);
                let g = load::<V>(dy, at).mul(load(weight, at)).sub(V::splat(plain));
                store(g.sub(unit.mul(V::splat(along))).mul(s), dx, at);
            }
            for i in whole..width {
                dx[i] = scale * (dy[i] * weight[i] - plain - (x[i] - mean) * scale * along);
            }
        }
    }
}
