//! Matrices packed once for products with few rows: blocks of 16 units, each read sequentially.
//!
//! At batch 1 a step is limited by memory bandwidth, so the weights may be stored as f16, bf16 or int8.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use super::int8::{self, Quantized};
use super::lines::Lines;
use super::simd::{Isa, LANES, Lanes, for_each_isa, unrolled, zeros};
use super::sweep::Sweep;
use crate::error::{Error, Result};
use crate::precision::Precision;

/// `W` `[G·H, K]` stored as `[⌈H/16⌉, K, G, 16]`, so that a block of 16 units is contiguous. Units past `H` are 0.
pub(crate) struct Packed {
    pub gates: usize,
    pub units: usize,
    depth: usize,
    weights: Weights,
}

enum Weights {
    F32(Lines),
    /// Two weights per word.
    F16(Lines),
    /// `[blocks, ⌈K/2⌉, G, 16]` words, with an even `k` in the low half and the next `k` in the high half.
    Bf16(Lines),
    Int8(int8::Weights),
}

/// Scratch space for the inputs of a [`Precision::Int8`] product; empty for other formats.
#[derive(Clone)]
pub(crate) struct Inputs(Option<Quantized>);

impl Packed {
    /// Packs `weights` in a format other than [`Precision::Auto`]. Row `gate·units + unit` belongs to that gate and unit.
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
            Precision::F32 | Precision::Auto => Weights::F32(words),
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
            Precision::Bf16 => Weights::Bf16(pairs(&words, [blocks, depth, gates * LANES])),
            Precision::Int8 => Weights::Int8(int8::Weights::new(&words, [blocks, depth, gates])),
        };
        Ok(Self { gates, units, depth, weights })
    }

    /// Number of blocks of 16 units.
    pub fn blocks(&self) -> usize {
        self.units.div_ceil(LANES)
    }

    /// Allocates scratch space for the inputs of `batch` rows.
    pub fn inputs(&self, batch: usize) -> Inputs {
        Inputs(matches!(self.weights, Weights::Int8(_)).then(|| Quantized::new(batch, self.depth)))
    }

    /// Words of the product of `batch` rows for one block.
    pub fn block_len(&self, batch: usize) -> usize {
        batch * self.gates * LANES
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        let word = match self.weights {
            Weights::F32(_) => 4,
            Weights::F16(_) | Weights::Bf16(_) => 2,
            Weights::Int8(_) => 1,
        };
        self.blocks() * self.depth * self.gates * LANES * word
    }

    /// Prepares `x` `[batch, depth]` for [`product`](Self::product).
    pub fn prepare(&self, isa: Isa, x: &[f32], batch: usize, inputs: &mut Inputs) {
        if let Some(quantized) = &mut inputs.0 {
            quantized.fill(isa, x, batch);
        }
    }

    /// Computes `out[block, row, gate, 16] = W·x[row]` for the blocks of `sweep`; `x` `[batch, depth]` must be prepared
    /// in `inputs`.
    pub fn product(&self, isa: Isa, x: &[f32], batch: usize, inputs: &Inputs, sweep: &Sweep, out: &mut [f32]) {
        let Sweep { blocks, is_back } = sweep.clone();
        assert!(blocks.end <= self.blocks() && x.len() >= batch * self.depth, "checked by the stream");
        assert!(out.len() >= blocks.len() * self.block_len(batch), "made by the stream");
        let (depth, x_ptr, out_ptr) = (self.depth, x.as_ptr(), out.as_mut_ptr());
        let (first, count) = (blocks.start, blocks.len());
        let run = |words: &Lines, in_word: usize| {
            let at = first * depth.next_multiple_of(in_word) / in_word * self.gates * LANES;
            Product { words: words[at..].as_ptr(), blocks: count, is_back, depth, batch, x: x_ptr, out: out_ptr }
        };
        let gates = self.gates;
        match &self.weights {
            Weights::F32(w) => {
                let p = run(w, 1);
                for_each_isa!(isa, rows::<_, Single>(p: Product, gates: usize));
            }
            Weights::F16(w) => {
                let at = first * depth * self.gates * LANES;
                let words = bytemuck::cast_slice::<f32, u16>(w)[at..].as_ptr().cast();
                let p = Product { words, blocks: count, is_back, depth, batch, x: x_ptr, out: out_ptr };
                for_each_isa!(isa, rows::<_, Half>(p: Product, gates: usize));
            }
            Weights::Bf16(w) => {
                let p = run(w, 2);
                for_each_isa!(isa, rows::<_, Brain>(p: Product, gates: usize));
            }
            Weights::Int8(w) => {
                let quantized = inputs.0.as_ref().expect("made by Packed::inputs of this matrix");
                w.product(isa, quantized, batch, sweep, out);
            }
        }
    }
}

/// Packs pairs of bf16 along `k`. The high half is read without masking the low half, which then forms the low
/// bits of its mantissa. It is rounded so that the combined value is nearest to the weight.
fn pairs(words: &[f32], [blocks, depth, lanes]: [usize; 3]) -> Lines {
    let mut out = Lines::zeros(blocks * depth.div_ceil(2) * lanes);
    for block in 0..blocks {
        for k in (0..depth).step_by(2) {
            for lane in 0..lanes {
                let at = |k: usize| if k < depth { words[(block * depth + k) * lanes + lane] } else { 0.0 };
                let low = half::bf16::from_f32(at(k)).to_bits() as u32;
                let next = at(k + 1).to_bits();
                let high = ((next & 0x7fff_ffff) + 0x8000).saturating_sub(low) & 0x7fff_0000;
                // Excludes subnormals, which are slow on some processors, and values beyond the largest finite number.
                let high = if low == 0 { high } else { high.max(0x0080_0000) }.min(0x7f7f_0000) | next & 0x8000_0000;
                // A NaN or infinite weight becomes NaN, so that the error is visible in the output.
                let high = if at(k + 1).is_finite() { high } else { 0x7fc0_0000 };
                out[(block * depth.div_ceil(2) + k / 2) * lanes + lane] = f32::from_bits(high | low);
            }
        }
    }
    out
}

/// Arguments of a product, for the functions compiled per instruction set.
#[derive(Clone, Copy)]
struct Product {
    words: *const f32,
    blocks: usize,
    is_back: bool,
    depth: usize,
    batch: usize,
    x: *const f32,
    out: *mut f32,
}

/// Storage format of the weights.
trait Storage {
    type Word;
    /// Consecutive `k` per word.
    const IN_WORD: usize;
    /// Whether the weights are stored as f32.
    const IS_F32: bool = false;
    /// Loads sixteen weights of a `k` and of the next one, which are `stride` words apart unless they share words.
    unsafe fn load<V: Lanes>(from: *const Self::Word, stride: usize) -> [V; 2];
    /// Loads only the weights of the first `k`.
    unsafe fn load_one<V: Lanes>(from: *const Self::Word) -> V;
}

struct Single;
struct Half;
struct Brain;

impl Storage for Single {
    type Word = f32;
    const IN_WORD: usize = 1;
    const IS_F32: bool = true;
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32, stride: usize) -> [V; 2] {
        // SAFETY: valid for sixteen words, twice.
        unsafe { [V::load(from), V::load(from.add(stride))] }
    }
    #[inline(always)]
    unsafe fn load_one<V: Lanes>(from: *const f32) -> V {
        // SAFETY: valid for sixteen words.
        unsafe { V::load(from) }
    }
}

impl Storage for Half {
    type Word = u16;
    const IN_WORD: usize = 1;
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const u16, stride: usize) -> [V; 2] {
        // SAFETY: valid for sixteen words, twice.
        unsafe { [V::load_half(from), V::load_half(from.add(stride))] }
    }
    #[inline(always)]
    unsafe fn load_one<V: Lanes>(from: *const u16) -> V {
        // SAFETY: valid for sixteen words.
        unsafe { V::load_half(from) }
    }
}

impl Storage for Brain {
    type Word = f32;
    const IN_WORD: usize = 2;
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32, _: usize) -> [V; 2] {
        // SAFETY: valid for sixteen words.
        unsafe { [V::load_low_halves(from), V::load(from)] }
    }
    #[inline(always)]
    unsafe fn load_one<V: Lanes>(from: *const f32) -> V {
        // SAFETY: valid for sixteen words.
        unsafe { V::load_low_halves(from) }
    }
}

#[inline(always)]
unsafe fn rows<V: Lanes, S: Storage>(p: Product, gates: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match gates {
            // If few sums fit in registers, one gate at a time needs only one function. f32 takes two or three at a
            // time: with one vector per gate, the loads of the inputs and the loop would take as long as the sums.
            _ if const { V::SUMS < 6 && !S::IS_F32 } => blocks::<V, S, 1>(p, gates),
            3 => blocks::<V, S, 3>(p, gates),
            _ if const { V::SUMS < 6 } && gates.is_multiple_of(2) => blocks::<V, S, 2>(p, gates),
            _ if const { V::SUMS < 6 } => blocks::<V, S, 1>(p, gates),
            1 => blocks::<V, S, 1>(p, gates),
            2 => blocks::<V, S, 2>(p, gates),
            _ => blocks::<V, S, 4>(p, gates),
        }
    }
}

/// Computes `G` gates at a time.
#[inline(always)]
unsafe fn blocks<V: Lanes, S: Storage, const G: usize>(p: Product, gates: usize) {
    for i in 0..p.blocks * (gates / G) {
        let (i, gate) = (i / (gates / G), i % (gates / G) * G);
        let at = At { block: if p.is_back { p.blocks - 1 - i } else { i }, gate, gates };
        let mut row = 0;
        // Groups of 4, 2 and 1 rows, so that no padding rows are computed; the weights of a block stay in L1.
        macro_rules! groups {
            ($($rows:literal)*) => {
                $(while const { $rows == 1 || V::SUMS >= 16 || $rows * G <= V::SUMS } && p.batch - row >= $rows {
                    // SAFETY: guaranteed by the caller.
                    unsafe {
                        match const { sums_of_each(V::SUMS, G, $rows) } {
                            1 => group::<V, S, G, $rows, 1>(&p, at, row),
                            2 => group::<V, S, G, $rows, 2>(&p, at, row),
                            4 => group::<V, S, G, $rows, 4>(&p, at, row),
                            _ => group::<V, S, G, $rows, 8>(&p, at, row),
                        }
                    }
                    row += $rows;
                })*
            };
        }
        groups!(4 2 1);
    }
}

/// Number of accumulators per row and gate, if `room` accumulators fit in registers.
const fn sums_of_each(room: usize, gates: usize, rows: usize) -> usize {
    match (rows, room, gates) {
        (4, ..) => 1,
        (2, 16.., _) => 2,
        (2, ..) => 1,
        (_, 16.., 1) => 8,
        (_, 16.., _) | (_, 6.., 1) => 4,
        (_, 6.., 2 | 3) | (_, _, 1) => 2,
        _ => 1,
    }
}

/// A block, the first gate to compute, and the number of gates in the matrix.
#[derive(Clone, Copy)]
struct At {
    block: usize,
    gate: usize,
    gates: usize,
}

/// Computes `G` gates of a block for `M` rows, with `U` (1, 2, 4 or 8) accumulators each to hide the latency of the
/// multiply-adds.
#[inline(always)]
unsafe fn group<V: Lanes, S: Storage, const G: usize, const M: usize, const U: usize>(
    p: &Product,
    At { block, gate, gates }: At,
    row: usize,
) {
    // SAFETY: the words hold [blocks, depth, G, 16], x [batch, depth], out [blocks, batch, G, 16].
    unsafe {
        // A constant where all gates are computed at once.
        let gates = if const { V::SUMS < 6 } { gates } else { G };
        let stride = gates * LANES;
        let words = p.words.cast::<S::Word>().add(block * p.depth.div_ceil(S::IN_WORD) * stride + gate * LANES);
        let mut x = [p.x; M];
        unrolled!(m < M, { x[m] = p.x.add((row + m) * p.depth) });
        let mut sums: [[[V; M]; G]; U] = zeros();
        let mut k = 0;
        while U > 2 && k + U <= p.depth {
            unrolled!(pair < U / 2, {
                add_pair::<V, S, G, M, U>(&mut sums, 2 * pair, words.add(k / S::IN_WORD * stride), stride, x, k);
                k += 2;
            });
        }
        while k + 2 <= p.depth {
            add_pair::<V, S, G, M, U>(&mut sums, 0, words.add(k / S::IN_WORD * stride), stride, x, k);
            k += 2;
        }
        if k < p.depth {
            unrolled!(g < G, {
                let w = S::load_one::<V>(words.add(k / S::IN_WORD * stride + g * LANES));
                unrolled!(m < M, { sums[0][g][m] = w.fma(V::splat(*x[m].add(k)), sums[0][g][m]) });
            });
        }
        unrolled!(g < G, {
            unrolled!(m < M, {
                unrolled!(u < U, {
                    if u > 0 {
                        sums[0][g][m] = sums[0][g][m].add(sums[u][g][m]);
                    }
                });
                sums[0][g][m].store(p.out.add(((block * p.batch + row + m) * gates + gate + g) * LANES));
            });
        });
    }
}

/// Adds the contributions of `k` and `k + 1` to the sums `u` and `u + 1`, or both to the only sum.
#[inline(always)]
unsafe fn add_pair<V: Lanes, S: Storage, const G: usize, const M: usize, const U: usize>(
    sums: &mut [[[V; M]; G]; U],
    u: usize,
    words: *const S::Word,
    stride: usize,
    x: [*const f32; M],
    k: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if const { V::SUMS < 6 && S::IS_F32 } {
            unrolled!(i in [0 1], {
                let mut row = [0.0; M];
                unrolled!(m < M, { row[m] = *x[m].add(k + i) });
                let words = words.cast::<f32>().add(i * stride);
                unrolled!(g < G, { V::add_products(&mut sums[(u + i) % U][g], words.add(g * LANES), row) });
            });
            return;
        }
        let mut w: [[V; 2]; G] = zeros();
        unrolled!(g < G, { w[g] = S::load::<V>(words.add(g * LANES), stride) });
        unrolled!(i in [0 1], {
            unrolled!(m < M, {
                let x = V::splat(*x[m].add(k + i));
                unrolled!(g < G, { sums[(u + i) % U][g][m] = w[g][i].fma(x, sums[(u + i) % U][g][m]) });
            });
        });
    }
}
