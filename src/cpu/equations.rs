//! The equations of the cells over sixteen lanes, from the pre-activations on.
#![allow(unsafe_code, reason = "vector instructions")]

use super::simd::{Lanes, sigmoid, tanh};

/// `h' = o⊙tanh(c')` and `c' = f⊙c + i⊙g` of an LSTM, from the sums of its gates i, f, g, o.
#[inline(always)]
pub unsafe fn lstm<V: Lanes>([i, f, g, o]: [V; 4], old: V) -> [V; 2] {
    // SAFETY: the caller runs where V's instructions exist.
    unsafe {
        let c = sigmoid(f).fma(old, sigmoid(i).mul(tanh(g)));
        [sigmoid(o).mul(tanh(c)), c]
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
