//! The gates of one GRU step, after its products: 16 units at a time.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};

/// What the gates of a step read and write. Products are `[batch, blocks, gates, 16]`, states `[batch, H]`.
pub(crate) struct Gates<'a> {
    /// `W·x`, gates r, z, n.
    pub x: &'a [f32],
    /// `U·h`: gates r, z, n (reset after) or r, z.
    pub rec: &'a [f32],
    /// `[blocks, 4, 16]`: `b_r + d_r`, `b_z + d_z`, `b_n`, `d_n`.
    pub bias: &'a [f32],
    /// `h`
    pub old: &'a [f32],
}

#[derive(Clone, Copy)]
struct Raw {
    x: *const f32,
    rec: *const f32,
    bias: *const f32,
    old: *const f32,
    out: *mut f32,
    z: *mut f32,
    batch: usize,
    hidden: usize,
}

impl Gates<'_> {
    fn raw(&self, out: &mut [f32], z: &mut [f32], hidden: usize, rec_gates: usize) -> Raw {
        let (batch, blocks) = (self.old.len() / hidden, hidden.div_ceil(LANES));
        assert!(self.x.len() >= batch * blocks * 3 * LANES && self.rec.len() >= batch * blocks * rec_gates * LANES);
        assert!(self.bias.len() >= blocks * 4 * LANES && out.len() >= self.old.len());
        let [x, rec, bias, old] = [self.x, self.rec, self.bias, self.old].map(<[f32]>::as_ptr);
        Raw { x, rec, bias, old, out: out.as_mut_ptr(), z: z.as_mut_ptr(), batch, hidden }
    }

    /// Reset after: `h' = n + z⊙(h − n)` into `out`.
    pub fn reset_after(&self, isa: Isa, hidden: usize, out: &mut [f32]) {
        let p = self.raw(out, &mut [], hidden, 3);
        for_each_isa!(isa, after::<_>(p: Raw));
    }

    /// Reset before, first half: `r⊙h` into `kept`, and `z`.
    pub fn reset_before(&self, isa: Isa, hidden: usize, kept: &mut [f32], z: &mut [f32]) {
        assert!(z.len() >= self.old.len());
        let p = self.raw(kept, z, hidden, 2);
        for_each_isa!(isa, before::<_>(p: Raw));
    }

    /// Reset before, second half: `rec` is `U_n·(r⊙h)`; `h' = n + z⊙(h − n)` into `out`.
    pub fn candidate(&self, isa: Isa, hidden: usize, z: &mut [f32], out: &mut [f32]) {
        assert!(z.len() >= self.old.len());
        let p = self.raw(out, z, hidden, 1);
        for_each_isa!(isa, candidate::<_>(p: Raw));
    }
}

#[inline(always)]
unsafe fn product<V: Lanes>(p: *const f32, raw: &Raw, row: usize, block: usize, gates: usize, gate: usize) -> V {
    // SAFETY: products hold [batch, blocks, gates, 16].
    unsafe { V::load(p.add(((row * raw.hidden.div_ceil(LANES) + block) * gates + gate) * LANES)) }
}

#[inline(always)]
unsafe fn bias<V: Lanes>(p: &Raw, block: usize, part: usize) -> V {
    // SAFETY: the bias holds [blocks, 4, 16].
    unsafe { V::load(p.bias.add((block * 4 + part) * LANES)) }
}

/// The input's part of a gate, with its bias.
#[inline(always)]
unsafe fn input<V: Lanes>(p: &Raw, row: usize, block: usize, gate: usize) -> V {
    // SAFETY: as the others.
    unsafe { product::<V>(p.x, p, row, block, 3, gate).add(bias(p, block, gate)) }
}

#[inline(always)]
unsafe fn after<V: Lanes>(p: Raw) {
    // SAFETY: extents were checked in Gates::raw.
    unsafe {
        for row in 0..p.batch {
            for block in 0..p.hidden.div_ceil(LANES) {
                let count = LANES.min(p.hidden - block * LANES);
                let r = sigmoid(input::<V>(&p, row, block, 0).add(product(p.rec, &p, row, block, 3, 0)));
                let z = sigmoid(input::<V>(&p, row, block, 1).add(product(p.rec, &p, row, block, 3, 1)));
                let c = product::<V>(p.rec, &p, row, block, 3, 2).add(bias(&p, block, 3));
                let n = tanh(r.fma(c, input(&p, row, block, 2)));
                let at = row * p.hidden + block * LANES;
                let old = load_part::<V>(p.old.add(at), count);
                store_part(z.fma(old.sub(n), n), p.out.add(at), count);
            }
        }
    }
}

#[inline(always)]
unsafe fn before<V: Lanes>(p: Raw) {
    // SAFETY: extents were checked in Gates::raw and Gates::reset_before.
    unsafe {
        for row in 0..p.batch {
            for block in 0..p.hidden.div_ceil(LANES) {
                let count = LANES.min(p.hidden - block * LANES);
                let r = sigmoid(input::<V>(&p, row, block, 0).add(product(p.rec, &p, row, block, 2, 0)));
                let z = sigmoid(input::<V>(&p, row, block, 1).add(product(p.rec, &p, row, block, 2, 1)));
                let at = row * p.hidden + block * LANES;
                store_part(r.mul(load_part(p.old.add(at), count)), p.out.add(at), count);
                store_part(z, p.z.add(at), count);
            }
        }
    }
}

#[inline(always)]
unsafe fn candidate<V: Lanes>(p: Raw) {
    // SAFETY: extents were checked in Gates::raw and Gates::candidate.
    unsafe {
        for row in 0..p.batch {
            for block in 0..p.hidden.div_ceil(LANES) {
                let count = LANES.min(p.hidden - block * LANES);
                let c = product::<V>(p.rec, &p, row, block, 1, 0).add(bias(&p, block, 3));
                let n = tanh(input::<V>(&p, row, block, 2).add(c));
                let at = row * p.hidden + block * LANES;
                let (old, z) = (load_part::<V>(p.old.add(at), count), load_part::<V>(p.z.add(at), count));
                store_part(z.fma(old.sub(n), n), p.out.add(at), count);
            }
        }
    }
}
