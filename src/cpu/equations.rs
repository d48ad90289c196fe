//! Cell equations over sixteen lanes, starting from the pre-activations.
#![allow(unsafe_code, reason = "vector instructions")]

use super::simd::{Lanes, sigmoid, tanh};

/// Results of an LSTM step.
pub struct Lstm<V> {
    pub i: V,
    pub f: V,
    pub g: V,
    pub o: V,
    /// `c' = f⊙c + i⊙g`
    pub c: V,
    /// `tanh(c')`
    pub s: V,
    /// `h' = o⊙s`
    pub h: V,
}

/// Computes an LSTM step from the pre-activations of the gates i, f, g, o.
#[inline(always)]
pub unsafe fn lstm<V: Lanes>([i, f, g, o]: [V; 4], old: V) -> Lstm<V> {
    // SAFETY: the caller runs where V's instructions are available.
    unsafe {
        let (i, f, g, o) = (sigmoid(i), sigmoid(f), tanh(g), sigmoid(o));
        let c = f.fma(old, i.mul(g));
        let s = tanh(c);
        Lstm { i, f, g, o, c, s, h: o.mul(s) }
    }
}

/// `max(v, 0)`; NaN stays NaN.
#[inline(always)]
pub unsafe fn relu<V: Lanes>(v: V) -> V {
    // SAFETY: as above.
    unsafe { v.at_least(V::splat(0.0)) }
}

/// `h' = n + z⊙(h − n)`
#[inline(always)]
pub unsafe fn mix<V: Lanes>(n: V, z: V, old: V) -> V {
    // SAFETY: as above.
    unsafe { z.fma(old.sub(n), n) }
}
