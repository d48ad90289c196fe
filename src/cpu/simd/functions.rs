//! Activations of vectors.
#![allow(unsafe_code, reason = "SIMD intrinsics")]

use super::Vector;
use crate::math::SIGMOID_LOW;

/// `e^(−k·v) = 2^n·(1 − k·q)` from −87 to 87, where `k` is a constant: a power of two, or its negative. Returns `q` and
/// `2^n`.
///
/// `−k·v = n·ln 2 − k·r` with a whole number `n`. The terms of Cephes' polynomial in `r` are added in pairs (Estrin's
/// scheme), which takes half as long as one after the other.
#[inline(always)]
unsafe fn decay<V: Vector>(v: V, k: f32) -> (V, V) {
    // SAFETY: the caller guarantees that V's instructions are available.
    unsafe {
        let c = V::splat;
        // Adding 1.5·2²³ rounds to an integer, in the lowest bits. With 127, these are the exponent of 2^n.
        let magic = c(12_582_912.0 + 127.0);
        let biased = v.fma(c(-k * std::f32::consts::LOG2_E), magic);
        let n = biased.sub(magic);
        // `ln 2` is the sum of two constants. If products are not rounded, the first one is exact enough for all but the
        // linear term. Otherwise it has few bits, so that its product with `n` is exact.
        let (r, linear) = if V::FUSES {
            let r = n.fma(c(std::f32::consts::LN_2 / k), v);
            (r, n.fma(c(-1.904_654_3e-9 / k), r))
        } else {
            let r = n.fma(c(-2.121_944_4e-4 / k), n.fma(c(0.693_359_4 / k), v));
            (r, r)
        };
        let square = r.mul(r);
        let (k2, k3) = (k * k, k * k * k);
        let low = r.fma(c(1.666_666_5e-1 * k2), c(-0.5 * k));
        let middle = r.fma(c(8.333_452e-3 * k2 * k2), c(-4.166_579_6e-2 * k3));
        let high = r.fma(c(1.987_569_1e-4 * k3 * k3), c(-1.398_199_9e-3 * k2 * k3));
        let p = high.fma(square, middle).fma(square, low);
        (p.fma(square, linear), biased.power())
    }
}

/// `e^v` within 2 ulp up to 87; `e^−87` below −87, unspecified above 87.
#[inline(always)]
pub unsafe fn exp<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (q, power) = decay(v.at_least(V::splat(SIGMOID_LOW)), -1.0);
        q.add(V::splat(1.0)).mul(power)
    }
}

/// `σ(v)` within 2.5 ulp, like `math::sigmoid`: exactly 0 below [`SIGMOID_LOW`].
#[inline(always)]
pub unsafe fn sigmoid<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { if V::CALLS { sigmoid_call(v) } else { sigmoid_inline(v) } }
}

#[inline(never)]
unsafe fn sigmoid_call<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { sigmoid_inline(v) }
}

#[inline(always)]
unsafe fn sigmoid_inline<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let one = V::splat(1.0);
        let (q, power) = decay(v.at_most(V::splat(-SIGMOID_LOW)), 1.0);
        one.div(one.sub(q).fma(power, one)).zero_below(v, V::splat(SIGMOID_LOW))
    }
}

/// `tanh(v)` within 3 ulp, like `math::tanh_stable`.
#[inline(always)]
pub unsafe fn tanh<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { if V::CALLS { tanh_call(v) } else { tanh_inline(v) } }
}

#[inline(never)]
unsafe fn tanh_call<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { tanh_inline(v) }
}

#[inline(always)]
unsafe fn tanh_inline<V: Vector>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        // `(1 − e)/(1 + e)` with `e = e^(−2·|v|)`. If `|v|` is small, 2^n is 1, so `1 − e` loses no digits.
        let (q, power) = decay(v.abs().at_most(V::splat(-0.5 * SIGMOID_LOW)), 2.0);
        let rest = q.fma(power.add(power), V::splat(1.0).sub(power));
        rest.div(V::splat(2.0).sub(rest)).with_sign_of(v)
    }
}

/// The two activations of recurrent cells.
pub trait Activations {
    /// # Safety
    /// V's instructions must be available.
    unsafe fn sigmoid<V: Vector>(v: V) -> V;
    /// # Safety
    /// As above.
    unsafe fn tanh<V: Vector>(v: V) -> V;
}

/// [`sigmoid`] and [`tanh`].
pub struct Exact;

impl Activations for Exact {
    #[inline(always)]
    unsafe fn sigmoid<V: Vector>(v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { sigmoid(v) }
    }
    #[inline(always)]
    unsafe fn tanh<V: Vector>(v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { tanh(v) }
    }
}

/// Activations without an exponential function. Absolute errors are up to 1.3e-5 for tanh and 7e-6 for σ. Results stay in
/// [−1, 1] and [0, 1]; NaN stays NaN.
pub struct Fast;

impl Activations for Fast {
    #[inline(always)]
    unsafe fn sigmoid<V: Vector>(v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { ratio(v, 0.5).fma(V::splat(0.5), V::splat(0.5)) }
    }
    #[inline(always)]
    unsafe fn tanh<V: Vector>(v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { ratio(v, 1.0) }
    }
}

/// `tanh(k·v)` as a ratio of polynomials, where `k` is a constant power of two. The coefficients were fitted to the least
/// relative error up to 9.02. Those of the numerator were then made smaller by that error and by rounding errors, so that
/// results stay within ±1.
#[inline(always)]
unsafe fn ratio<V: Vector>(v: V, k: f32) -> V {
    const P: [f32; 4] = [0.999_987_5, 0.120_554_53, 2.064_455_4e-3, 3.014_748e-6];
    const Q: [f32; 3] = [0.453_850_48, 2.005_643e-2, 1.201_56e-4];
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (c, k2) = (V::splat, k * k);
        let x = v.at_most(c(9.02 / k)).at_least(c(-9.02 / k));
        let s = x.mul(x);
        let square = s.mul(s);
        let low = s.fma(c(P[1] * k2 * k), c(P[0] * k)).mul(x);
        let high = s.fma(c(P[3] * k2 * k2 * k2 * k), c(P[2] * k2 * k2 * k)).mul(x);
        let below = s.fma(c(Q[0] * k2), c(1.0));
        let above = s.fma(c(Q[2] * k2 * k2 * k2), c(Q[1] * k2 * k2));
        high.fma(square, low).div(above.fma(square, below))
    }
}
