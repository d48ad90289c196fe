//! One GRU step of a few rows: products and gates of 16 units at a time.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use std::ops::Range;

use super::lines::Lines;
use super::packed::{Inputs, Packed, Precision};
use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use super::team::{Parts, Team};
use crate::error::Result;

/// Bytes of weights that are worth a thread.
const SHARED: usize = 1 << 16;

/// The weights of one layer, packed.
pub(crate) struct StepWeights {
    w: Packed,
    /// Three gates (reset after), or r and z.
    u: Packed,
    /// `U_n` where the reset gate acts before it.
    u_n: Option<Packed>,
    /// `[blocks, 4, 16]`: `b_r + d_r`, `b_z + d_z`, `b_n`, `d_n`.
    bias: Lines,
}

/// What a step of one layer works in.
#[derive(Clone)]
pub(crate) struct StepScratch {
    x: Lines,
    rec: Lines,
    kept: Vec<f32>,
    z: Vec<f32>,
    /// For the products with x, h and r⊙h.
    inputs: [Inputs; 3],
}

impl StepWeights {
    /// `w_ih` `[3H, I]`, `w_hh` `[3H, H]`, biases `[3H]`; gates r, z, n.
    pub fn new(
        [w_ih, w_hh]: [&[f32]; 2],
        [b_ih, b_hh]: [&[f32]; 2],
        reset_after: bool,
        precision: Precision,
    ) -> Result<Self> {
        let h = b_ih.len() / 3;
        let mut bias = Lines::zeros(h.div_ceil(LANES) * 4 * LANES);
        for unit in 0..h {
            let parts =
                [b_ih[unit] + b_hh[unit], b_ih[h + unit] + b_hh[h + unit], b_ih[2 * h + unit], b_hh[2 * h + unit]];
            for (part, v) in parts.into_iter().enumerate() {
                bias[(unit / LANES * 4 + part) * LANES + unit % LANES] = v;
            }
        }
        let w = Packed::new(w_ih, 3, h, precision)?;
        let (u, u_n) = if reset_after {
            (Packed::new(w_hh, 3, h, precision)?, None)
        } else {
            let (gates, candidate) = w_hh.split_at(2 * h * h);
            (Packed::new(gates, 2, h, precision)?, Some(Packed::new(candidate, 1, h, precision)?))
        };
        Ok(Self { w, u, u_n, bias })
    }

    /// Room for `batch` rows.
    pub fn scratch(&self, batch: usize) -> StepScratch {
        let (blocks, h) = (self.w.blocks(), self.w.units);
        let n = self.u_n.as_ref().unwrap_or(&self.u);
        StepScratch {
            x: Lines::zeros(blocks * self.w.block_len(batch)),
            rec: Lines::zeros(blocks * self.u.block_len(batch)),
            kept: vec![0.0; batch * h],
            z: vec![0.0; batch * h],
            inputs: [self.w.inputs(batch), self.u.inputs(batch), n.inputs(batch)],
        }
    }

    /// The states `new` `[rows, H]` after the frame `x` `[rows, I]`, from `old`.
    pub fn step(&self, (isa, team): (Isa, &Team), s: &mut StepScratch, x: &[f32], old: &[f32], new: &mut [f32]) {
        let (blocks, h) = (self.w.blocks(), self.w.units);
        let rows = old.len() / h;
        let [in_w, in_u, in_n] = &mut s.inputs;
        self.w.prepare(isa, x, rows, in_w);
        self.u.prepare(isa, old, rows, in_u);
        let (in_w, in_u) = (&*in_w, &*in_u);
        let (x_len, rec_len) = (self.w.block_len(rows), self.u.block_len(rows));
        let (wx, uh) = (Parts::new(&mut s.x), Parts::new(&mut s.rec));
        let (to, kept, z) = (Parts::new(new), Parts::new(&mut s.kept), Parts::new(&mut s.z));
        let most = (self.w.bytes() + self.u.bytes()) / SHARED;
        let gates = Gates { x: wx, rec: uh, bias: &self.bias, old, batch: rows, hidden: h };
        team.share(blocks, most, &|range: Range<usize>| {
            // SAFETY: this thread alone has these blocks.
            let (wx, uh) = unsafe {
                (wx.get(range.start * x_len..range.end * x_len), uh.get(range.start * rec_len..range.end * rec_len))
            };
            self.w.product(isa, x, rows, in_w, range.clone(), wx);
            self.u.product(isa, old, rows, in_u, range.clone(), uh);
            if self.u_n.is_none() { gates.reset_after(isa, range, to) } else { gates.reset_before(isa, range, kept, z) }
        });
        let Some(u_n) = &self.u_n else { return };
        let reset = &s.kept[..rows * h];
        u_n.prepare(isa, reset, rows, in_n);
        let (in_n, rec_len) = (&*in_n, u_n.block_len(rows));
        team.share(blocks, u_n.bytes() / SHARED, &|range: Range<usize>| {
            // SAFETY: as above.
            let rec = unsafe { uh.get(range.start * rec_len..range.end * rec_len) };
            u_n.product(isa, reset, rows, in_n, range.clone(), rec);
            gates.candidate(isa, range, z, to);
        });
    }
}

/// What the gates of a step read. Products are `[blocks, batch, gates, 16]`, states `[batch, H]`.
#[derive(Clone, Copy)]
struct Gates<'a> {
    /// `W·x`, gates r, z, n.
    x: Parts,
    /// `U·h`: gates r, z, n (reset after) or r, z.
    rec: Parts,
    bias: &'a [f32],
    old: &'a [f32],
    batch: usize,
    hidden: usize,
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
    first: usize,
    end: usize,
}

impl Gates<'_> {
    fn raw(&self, range: Range<usize>, out: Parts, z: Option<Parts>, rec_gates: usize) -> Raw {
        let (batch, hidden, blocks) = (self.batch, self.hidden, self.hidden.div_ceil(LANES));
        assert!(self.x.len() >= batch * blocks * 3 * LANES && self.rec.len() >= batch * blocks * rec_gates * LANES);
        assert!(self.bias.len() >= blocks * 4 * LANES && self.old.len() >= batch * hidden && range.end <= blocks);
        assert!(out.len() >= batch * hidden && z.is_none_or(|z| z.len() >= batch * hidden));
        Raw {
            x: self.x.as_ptr(),
            rec: self.rec.as_ptr(),
            bias: self.bias.as_ptr(),
            old: self.old.as_ptr(),
            out: out.as_ptr(),
            z: z.map_or(std::ptr::null_mut(), Parts::as_ptr),
            batch,
            hidden,
            first: range.start,
            end: range.end,
        }
    }

    /// Reset after: `h' = n + z⊙(h − n)` into `out`.
    fn reset_after(&self, isa: Isa, range: Range<usize>, out: Parts) {
        let p = self.raw(range, out, None, 3);
        for_each_isa!(isa, after::<_>(p: Raw));
    }

    /// Reset before, first half: `r⊙h` into `kept`, and `z`.
    fn reset_before(&self, isa: Isa, range: Range<usize>, kept: Parts, z: Parts) {
        let p = self.raw(range, kept, Some(z), 2);
        for_each_isa!(isa, before::<_>(p: Raw));
    }

    /// Reset before, second half: `rec` is `U_n·(r⊙h)`; `h' = n + z⊙(h − n)` into `out`.
    fn candidate(&self, isa: Isa, range: Range<usize>, z: Parts, out: Parts) {
        let p = self.raw(range, out, Some(z), 1);
        for_each_isa!(isa, candidate::<_>(p: Raw));
    }
}

#[inline(always)]
unsafe fn product<V: Lanes>(p: *const f32, raw: &Raw, row: usize, block: usize, gates: usize, gate: usize) -> V {
    // SAFETY: products hold [blocks, batch, gates, 16].
    unsafe { V::load(p.add(((block * raw.batch + row) * gates + gate) * LANES)) }
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
    // SAFETY: extents were checked in Gates::raw; this thread alone writes these blocks.
    unsafe {
        for block in p.first..p.end {
            for row in 0..p.batch {
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
    // SAFETY: extents were checked in Gates::raw; this thread alone writes these blocks.
    unsafe {
        for block in p.first..p.end {
            for row in 0..p.batch {
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
    // SAFETY: extents were checked in Gates::raw; this thread alone writes these blocks.
    unsafe {
        for block in p.first..p.end {
            for row in 0..p.batch {
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
