//! One step of each cell over the units of one vector, shared by sequences and streams.
#![allow(unsafe_code, reason = "SIMD intrinsics")]

use super::simd::{Activations, Vector};

/// Inputs and outputs of one step for the units of one vector. Gates are in PyTorch's order.
///
/// # Safety
/// V's instructions must be available, and gates and states must be those of the row's cell.
pub unsafe trait Units<V: Vector> {
    type Activations: Activations;
    /// The input term of a gate's pre-activation.
    unsafe fn x(&self, gate: usize) -> V;
    /// The recurrent term of a gate's pre-activation.
    unsafe fn a(&self, gate: usize) -> V;
    /// The pre-activation of a gate.
    #[inline(always)]
    unsafe fn sum(&self, gate: usize) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { self.x(gate).add(self.a(gate)) }
    }
    /// State `part` before the step: `h`, or the LSTM's `c`.
    unsafe fn old(&self, part: usize) -> V;
    /// Writes state `part` after the step.
    unsafe fn put(&self, part: usize, v: V);
    /// Stores `r⊙h` and `z` between the halves of a GRU whose reset gate acts before the product.
    unsafe fn keep(&self, reset: V, z: V);
    /// The `z` that [`keep`](Self::keep) stored.
    unsafe fn kept(&self) -> V;
    /// σ, or the activation that replaces it in a part of the cell. Parts are in the order of `Cell::activation_names`.
    #[inline(always)]
    unsafe fn sigmoid(&self, _part: usize, v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::Activations::sigmoid(v) }
    }
    /// tanh, or the activation that replaces it in a part of the cell.
    #[inline(always)]
    unsafe fn tanh(&self, _part: usize, v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::Activations::tanh(v) }
    }
    /// Saves values for the backward pass.
    #[inline(always)]
    unsafe fn save<const N: usize>(&self, _parts: [(usize, V); N]) {}
}

/// `r = σ(x_r + a_r)`, `z = σ(x_z + a_z)`, `n = tanh(x_n + r⊙a_n)`, `h' = n + z⊙(h − n)`
#[inline(always)]
pub unsafe fn gru<V: Vector>(u: &impl Units<V>) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        let (r, z) = (u.sigmoid(0, u.sum(0)), u.sigmoid(1, u.sum(1)));
        let a = u.a(2);
        let n = u.tanh(2, r.fma(a, u.x(2)));
        u.put(0, mix(n, z, u.old(0)));
        u.save([(0, r), (1, z), (2, n), (3, a)]);
    }
}

/// `r⊙h` and `z`: the first half of a GRU whose reset gate acts before the product.
#[inline(always)]
pub unsafe fn gru_gates<V: Vector>(u: &impl Units<V>) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        let (r, z) = (u.sigmoid(0, u.sum(0)), u.sigmoid(1, u.sum(1)));
        let reset = r.mul(u.old(0));
        u.keep(reset, z);
        u.save([(0, r), (1, z), (3, reset)]);
    }
}

/// `n = tanh(x_n + a_n)`, `h' = n + z⊙(h − n)`: the second half, where `a_n` is the product with `r⊙h`.
#[inline(always)]
pub unsafe fn gru_candidate<V: Vector>(u: &impl Units<V>) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        let n = u.tanh(2, u.sum(2));
        u.put(0, mix(n, u.kept(), u.old(0)));
        u.save([(2, n)]);
    }
}

/// `i = σ(..)`, `f = σ(..)`, `g = tanh(..)`, `o = σ(..)`, `c' = f⊙c + i⊙g`, `h' = o⊙tanh(c')`
#[inline(always)]
pub unsafe fn lstm<V: Vector>(u: &impl Units<V>) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        let (i, f, g, o) =
            (u.sigmoid(0, u.sum(0)), u.sigmoid(1, u.sum(1)), u.tanh(2, u.sum(2)), u.sigmoid(3, u.sum(3)));
        let c = f.fma(u.old(1), i.mul(g));
        let s = u.tanh(4, c);
        u.put(0, o.mul(s));
        u.put(1, c);
        u.save([(0, i), (1, f), (2, g), (3, o), (4, s)]);
    }
}

/// `h' = tanh(x + a)`, or `max(x + a, 0)`; NaN stays NaN.
#[inline(always)]
pub unsafe fn rnn<V: Vector>(u: &impl Units<V>, is_relu: bool) {
    // SAFETY: the caller upholds the same contract.
    unsafe {
        let v = u.sum(0);
        let h = if is_relu { v.at_least(V::splat(0.0)) } else { u.tanh(0, v) };
        u.put(0, h);
        u.save([(0, h)]);
    }
}

/// `n + z⊙(h − n)`
#[inline(always)]
unsafe fn mix<V: Vector>(n: V, z: V, h: V) -> V {
    // SAFETY: the caller upholds the same contract.
    unsafe { z.fma(h.sub(n), n) }
}
