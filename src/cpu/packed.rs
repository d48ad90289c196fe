//! Matrices packed once for products with a few rows: blocks of 16 units, each read from front to back.
//!
//! At batch 1 a step is a matter of bytes, so the weights may be kept as f16 or int8.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use super::int8::{self, Quantized};
use super::lines::Lines;
use super::simd::{Isa, LANES, Lanes, for_each_isa};
use crate::error::{Error, Result};

/// How the weights of a stream are kept. Sums are f32 (int8: i32) whatever the weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Half the bytes; about 3 decimal digits.
    F16,
    /// A quarter of the bytes: whole numbers to ±127 with a scale for each row; the inputs get a scale for each step.
    Int8,
}

/// `W` `[G·H, K]` as `[⌈H/16⌉, K, G, 16]`: what a block of 16 units reads lies together. Units past `H` are 0.
pub(crate) struct Packed {
    pub gates: usize,
    pub units: usize,
    depth: usize,
    weights: Weights,
}

enum Weights {
    F32(Lines),
    /// Two to a word.
    F16(Lines),
    Int8(int8::Weights),
}

/// Room that a product of [`Precision::Int8`] needs for its inputs; empty for the others.
#[derive(Clone)]
pub(crate) struct Inputs(Option<Quantized>);

impl Packed {
    /// Packs `weights`, row `gate·units + unit` by row.
    pub fn new(weights: &[f32], gates: usize, units: usize, precision: Precision) -> Result<Self> {
        let depth = weights.len() / (gates * units);
        let blocks = units.div_ceil(LANES);
        let mut words = Lines::zeros(blocks * depth * gates * LANES);
        for (row, values) in weights.chunks_exact(depth).enumerate() {
            let (gate, unit) = (row / units, row % units);
            for (k, &v) in values.iter().enumerate() {
                words[((unit / LANES * depth + k) * gates + gate) * LANES + unit % LANES] = v;
            }
        }
        let weights = match precision {
            Precision::F32 => Weights::F32(words),
            Precision::F16 => {
                let halves: Vec<half::f16> = words.iter().map(|&v| half::f16::from_f32(v)).collect();
                if let Some(i) = (0..words.len()).find(|&i| words[i].is_finite() && !halves[i].is_finite()) {
                    return Err(Error::value("Stream", "weights", "within ±65504 for f16", words[i]));
                }
                let mut lines = Lines::zeros(halves.len() / 2);
                let bits: &mut [u16] = bytemuck::cast_slice_mut(&mut lines);
                bits.iter_mut().zip(halves).for_each(|(bits, half)| *bits = half.to_bits());
                Weights::F16(lines)
            }
            Precision::Int8 => Weights::Int8(int8::Weights::new(&words, [blocks, depth, gates])),
        };
        Ok(Self { gates, units, depth, weights })
    }

    /// Blocks of 16 units.
    pub fn blocks(&self) -> usize {
        self.units.div_ceil(LANES)
    }

    /// Room for the inputs of `batch` rows.
    pub fn inputs(&self, batch: usize) -> Inputs {
        Inputs(matches!(self.weights, Weights::Int8(_)).then(|| Quantized::new(batch, self.depth)))
    }

    /// Words of the product of `batch` rows.
    pub fn out_len(&self, batch: usize) -> usize {
        batch * self.blocks() * self.gates * LANES
    }

    /// `out[row, block, gate, 16] = W·x[row]`; `x` `[batch, depth]`.
    pub fn product(&self, isa: Isa, x: &[f32], batch: usize, inputs: &mut Inputs, out: &mut [f32]) {
        assert!(x.len() >= batch * self.depth && out.len() >= self.out_len(batch), "checked by the stream");
        let (blocks, depth, x_ptr, out_ptr) = (self.blocks(), self.depth, x.as_ptr(), out.as_mut_ptr());
        let run = |words: *const u8| Product { words, blocks, depth, batch, x: x_ptr, out: out_ptr };
        match (&self.weights, self.gates) {
            (Weights::F32(w), gates) => rows_f32(isa, run(w.as_ptr().cast()), gates),
            (Weights::F16(w), gates) => rows_f16(isa, run(w.as_ptr().cast()), gates),
            (Weights::Int8(w), _) => {
                let quantized = inputs.0.as_mut().expect("made by Packed::inputs of this matrix");
                quantized.fill(isa, x, batch);
                w.product(isa, quantized, batch, out);
            }
        }
    }
}

/// One product, for the instruction sets.
#[derive(Clone, Copy)]
struct Product {
    words: *const u8,
    blocks: usize,
    depth: usize,
    batch: usize,
    x: *const f32,
    out: *mut f32,
}

/// How a weight is stored.
trait Stored {
    type Word;
    /// Sixteen weights.
    unsafe fn load<V: Lanes>(from: *const Self::Word) -> V;
}

struct Single;
struct Half;

impl Stored for Single {
    type Word = f32;
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> V {
        // SAFETY: valid for sixteen words.
        unsafe { V::load(from) }
    }
}

impl Stored for Half {
    type Word = u16;
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const u16) -> V {
        // SAFETY: valid for sixteen words.
        unsafe { V::load_half(from) }
    }
}

fn rows_f32(isa: Isa, p: Product, gates: usize) {
    for_each_isa!(isa, rows_single::<_>(p: Product, gates: usize));
}

fn rows_f16(isa: Isa, p: Product, gates: usize) {
    for_each_isa!(isa, rows_half::<_>(p: Product, gates: usize));
}

#[inline(always)]
unsafe fn rows_single<V: Lanes>(p: Product, gates: usize) {
    // SAFETY: as the caller's.
    unsafe { rows::<V, Single>(p, gates) }
}

#[inline(always)]
unsafe fn rows_half<V: Lanes>(p: Product, gates: usize) {
    // SAFETY: as the caller's.
    unsafe { rows::<V, Half>(p, gates) }
}

#[inline(always)]
unsafe fn rows<V: Lanes, S: Stored>(p: Product, gates: usize) {
    // SAFETY: as the caller's.
    unsafe {
        match gates {
            1 => blocks::<V, S, 1>(p),
            2 => blocks::<V, S, 2>(p),
            _ => blocks::<V, S, 3>(p),
        }
    }
}

#[inline(always)]
unsafe fn blocks<V: Lanes, S: Stored, const G: usize>(p: Product) {
    for block in 0..p.blocks {
        let mut row = 0;
        // Groups of 4, 2 and 1 rows, so that no row is computed for nothing; the weights of a block stay in L1.
        for size in [4, 2, 1] {
            while p.batch - row >= size {
                // SAFETY: as the caller's.
                unsafe {
                    match size {
                        4 => group::<V, S, G, 4, 1>(&p, block, row),
                        2 => group::<V, S, G, 2, 2>(&p, block, row),
                        _ => group::<V, S, G, 1, 4>(&p, block, row),
                    }
                }
                row += size;
            }
        }
    }
}

/// One block of `M` rows, with `U` sums of each so that the multipliers need not wait for one.
#[inline(always)]
unsafe fn group<V: Lanes, S: Stored, const G: usize, const M: usize, const U: usize>(
    p: &Product,
    block: usize,
    row: usize,
) {
    // SAFETY: the words hold [blocks, depth, G, 16], x [batch, depth], out [batch, blocks, G, 16].
    unsafe {
        let words = p.words.cast::<S::Word>().add(block * p.depth * G * LANES);
        let x: [*const f32; M] = std::array::from_fn(|m| p.x.add((row + m) * p.depth));
        let mut sums = [[[V::splat(0.0); M]; G]; U];
        let whole = p.depth - p.depth % U;
        let mut k = 0;
        while k < whole {
            for (u, sums) in sums.iter_mut().enumerate() {
                add_products::<V, S, G, M>(sums, words.add((k + u) * G * LANES), x, k + u);
            }
            k += U;
        }
        while k < p.depth {
            add_products::<V, S, G, M>(&mut sums[0], words.add(k * G * LANES), x, k);
            k += 1;
        }
        for g in 0..G {
            for m in 0..M {
                let mut sum = sums[0][g][m];
                for part in &sums[1..] {
                    sum = sum.add(part[g][m]);
                }
                sum.store(p.out.add((((row + m) * p.blocks + block) * G + g) * LANES));
            }
        }
    }
}

#[inline(always)]
unsafe fn add_products<V: Lanes, S: Stored, const G: usize, const M: usize>(
    sums: &mut [[V; M]; G],
    words: *const S::Word,
    x: [*const f32; M],
    k: usize,
) {
    // SAFETY: as the caller's.
    unsafe {
        let mut w = [V::splat(0.0); G];
        for (g, w) in w.iter_mut().enumerate() {
            *w = S::load(words.add(g * LANES));
        }
        for (m, x) in x.iter().enumerate() {
            let x = V::splat(*x.add(k));
            for (sum, w) in sums.iter_mut().zip(w) {
                sum[m] = w.fma(x, sum[m]);
            }
        }
    }
}
